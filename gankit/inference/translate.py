"""Pictures through a model that maps images to images."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.files import atomic_write, explained
from gankit.core.images import check_output, encode_png, picture, save, to_uint8
from gankit.core.progress import warn
from gankit.core.rng import RandomStream
from gankit.data.decoding import UNREADABLE, decoded
from gankit.data.sources import find_images
from gankit.models.interface import Translator
from gankit.runs.folder import RunFolder


def translate(run: RunFolder, source: str | Path, output: str | Path, direction: str = "a2b", seed: int = 0) -> Path:
    """Translate an image file, or every image below a folder, each in its own size; returns ``output``.

    ``output`` by its ending: a folder gets one PNG for each image, of the image's name; .png a grid (one image: itself)
    and .npy an array, for images of one size. ``seed`` is that of dropout, where the run has any. UsageError, before
    anything is written, for a run that does not translate, a file that is no image, or sizes that do not fit.
    """
    source, output = Path(source), Path(output)
    check_output(output)
    model = run.load()
    if not isinstance(model, Translator) or direction not in model.directions:
        can = f"it does {' and '.join(model.directions)}" if isinstance(model, Translator) else "take a run of cyclegan"
        raise UsageError(f"{run.root}: {run.config.variant} does not translate {direction}; {can}")
    paths = readable(source)
    _check_sizes(run, model, paths, output)
    made = _translated(model, list(paths), run.spec.channels, direction, seed)
    if output.suffix:
        return save(torch.cat(list(made)), output)
    for name, images in zip(_names(list(paths), source), made, strict=True):
        with explained(output):
            (output / name).parent.mkdir(parents=True, exist_ok=True)
        atomic_write(output / name, encode_png(picture(to_uint8(images)[0])))
    return output


def readable(source: Path) -> dict[Path, tuple[int, int]]:
    """The images at ``source`` with their (width, height). In a folder, files that are none are named and left out."""
    found: dict[Path, tuple[int, int]] = {}
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder; name an image, or a folder of images")
    for path in find_images(source) if source.is_dir() else [source]:
        try:
            found[path] = decoded(path, 3).size
        except UNREADABLE as error:
            if not source.is_dir():
                raise UsageError(f"{path}: cannot be read as an image ({error})") from error
            warn(f"{path} is left out: {error}")
    if not found:
        raise UsageError(f"{source}: none of its images can be read")
    return found


def _check_sizes(run: RunFolder, model: Translator, paths: dict[Path, tuple[int, int]], output: Path) -> None:
    high, wide = run.spec.sides
    for path, (width, height) in paths.items():
        if not model.any_size and (height, width) != (high, wide):
            raise UsageError(
                f"{path}: {height}x{width} pixels (height x width), but this run's networks take {high}x{wide} only; "
                "resize it, or train with --arch resnet"
            )
    if output.suffix and len(set(paths.values())) > 1:
        raise UsageError(f"-o {output}: the images are of several sizes; name a folder (no ending) for one PNG each")


def _names(paths: list[Path], source: Path) -> list[Path]:
    """The name of each result below the output folder, no two alike: the image's own with the ending .png; both endings
    where two images differ in theirs only; and a number where that is taken, too.

    Names that differ in case only count as alike, as many file systems have it.
    """
    inside = [path.relative_to(source) if source.is_dir() else Path(path.name) for path in paths]
    often = Counter(_folded(path.with_suffix(".png")) for path in inside)
    taken = {_folded(parent) for path in inside for parent in path.parents}
    found: list[Path | None] = []
    for path in inside:  # first those that keep their own name, so that no other takes it
        own = path.with_suffix(".png")
        found.append(own if often[_folded(own)] == 1 and _folded(own) not in taken else None)
    taken |= {_folded(name) for name in found if name is not None}
    return [_untaken(path, taken) if name is None else name for path, name in zip(inside, found, strict=True)]


def _untaken(path: Path, taken: set[str]) -> Path:
    """A name for the result of image ``path`` that is not yet ``taken``, which it then is."""
    tries = (path.with_name(f"{path.name}{number}.png") for number in chain([""], (f"-{i}" for i in count(2))))
    name = next(each for each in tries if _folded(each) not in taken)
    taken.add(_folded(name))
    return name


def _folded(path: Path) -> str:
    """What is equal for names that a file system may take for one."""
    return unicodedata.normalize("NFC", str(path)).casefold()


@torch.no_grad()
def _translated(model: Translator, paths: list[Path], channels: int, direction: str, seed: int) -> Iterator[Tensor]:
    """Each image [1,C,H,W] in [-1, 1], one at a time."""
    dtype = next(model.parameters()).dtype
    for i, path in enumerate(paths):
        pixels = to_tensor(decoded(path, channels), channels)
        with torch.no_grad():
            yield model.translate(pixels.to(dtype), direction, RandomStream(seed, "translate", i))


def to_tensor(image: Image.Image, channels: int) -> Tensor:
    """[1,C,H,W] in [-1, 1], float64."""
    pixels = np.asarray(image).reshape(image.height, image.width, channels)
    return torch.from_numpy(pixels.astype(np.float64) / 127.5 - 1).movedim(-1, 0)[None]
