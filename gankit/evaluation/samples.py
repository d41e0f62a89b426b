"""Where samples to be judged come from: a run, a folder of images, or an array in a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gankit.build import DTYPES, load_images, pick_device
from gankit.core.errors import DamagedFile, UsageError
from gankit.core.images import to_uint8
from gankit.core.rng import RandomStream, key
from gankit.core.sides import Sides
from gankit.core.types import Noise, placed
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import ImageSet
from gankit.data.decoding import UNREADABLE, decoded
from gankit.data.sources import find_images
from gankit.evaluation.judge import Samples, in_batches
from gankit.models.interface import Conditional, Model
from gankit.runs.folder import RunFolder


@dataclass(frozen=True)
class SampleSource:
    """``count`` samples of ``size`` (height, width) with ``channels``, which ``batches`` gives anew at each call.

    ``data``: the data set they are compared with unless another is named; ``seed``, ``averaged``, ``step``: what a
    score's protocol holds of a run's samples, None for files.
    """

    name: str
    count: int
    size: Sides
    channels: int
    batches: Callable[[tuple[str, ...]], Iterator[Samples]]
    """Takes the names of the data set's classes, to read the labels of files by."""
    data: DataOptions | None = None
    seed: int | None = None
    averaged: bool | None = None
    step: int | None = None


def sample_source(
    path: str | Path, count: int, *, seed: int = 0, checkpoint: str = "last", device: str = "auto"
) -> SampleSource:
    """The samples at ``path``: a run folder, a folder of images or a .npy file; of files at most ``count``.

    UsageError where it is none of these.
    """
    path = Path(path)
    if (path / "config.json").is_file():
        return of_run(path, count, seed, checkpoint, device)
    if path.suffix == ".npy" and path.is_file():
        return of_array(path, count)
    if path.is_dir():
        return of_folder(path, count)
    raise UsageError(f"{path}: neither a run folder, nor a folder of images, nor a .npy file")


def of_run(root: Path, count: int, seed: int = 0, checkpoint: str = "last", device: str = "auto") -> SampleSource:
    """``count`` images that the run's model draws, with averaged weights where the run has them."""
    run, place = RunFolder(root), pick_device(device)
    model, step = run.load_at(checkpoint)
    model.to(place)
    images = None
    if model.reads_images:
        images = load_images(run.config)
        run.check_images(images)
    dtype = DTYPES[run.config.train.precision]

    def batches(classes: tuple[str, ...]) -> Iterator[Samples]:
        return generated(model, count, seed, place, dtype, images, run.spec.sides)

    averaged = run.config.train.ema_halflife_images > 0
    data = None if run.recorded.get("images given") else run.config.data
    return SampleSource(str(root), count, run.spec.sides, run.spec.channels, batches, data, seed, averaged, step)


@torch.no_grad()
def generated(
    model: Model,
    count: int,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    images: ImageSet | None = None,
    size: Sides = (0, 0),
) -> Iterator[Samples]:
    """``count`` samples of ``model`` in eval mode, as `gankit sample` would save them; the mode it had is put back.

    ``images``, of which ``size`` pixels are taken: what a model that maps images to images starts from. The latents are
    a function of ``seed`` and of the image's batch, so no more than one batch of them is held.
    """
    training = model.training
    model.eval()
    try:
        for first, n in in_batches(count):
            noise = model.noise("sample", n, RandomStream(seed, "evaluate", first))
            labels, code = noise.get("labels"), categorical(model, noise)
            batch = None if images is None else images.pick(n, key(seed, "evaluate", first) % 2**63, size)
            if batch is not None:
                other = None if batch.other is None else batch.other.to(device, dtype)
                batch = dataclasses.replace(batch, images=batch.images.to(device, dtype), other=other)
            yield Samples(to_uint8(model.sample(placed(noise, device, dtype), batch)), labels, code)
    finally:
        model.train(training)


def categorical(model: Model, noise: Noise) -> Tensor | None:
    """The values [n] of the model's first categorical code in ``noise``, None where it has none but the class."""
    conditions = model.conditions if isinstance(model, Conditional) else {}
    return next((noise[name] for name, count in conditions.items() if count and name in noise), None)


def of_array(path: Path, count: int) -> SampleSource:
    """The first ``count`` images of a uint8 array [N,H,W,C] or [N,H,W], which is read as it is needed."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedFile(f"{path}: cannot be read as a NumPy array ({error})") from error
    shape = array.shape + (1,) * (array.ndim == 3)
    if array.dtype != np.uint8 or len(shape) != 4 or not len(array):
        raise UsageError(f"{path}: {array.dtype} {array.shape}; judged are uint8 arrays [N,H,W,C] or [N,H,W]")
    count = min(count, len(array))

    def batches(classes: tuple[str, ...]) -> Iterator[Samples]:
        for first, n in in_batches(count):
            pixels = torch.from_numpy(np.array(array[first : first + n])).reshape(n, *shape[1:])
            yield Samples(pixels.movedim(-1, 1).contiguous())

    return SampleSource(str(path), count, shape[1:3], shape[3], batches)


def of_folder(root: Path, count: int) -> SampleSource:
    """The first ``count`` images below a folder, all of one size. Subfolders with the names of classes are labels."""
    paths = find_images(root)[:count]
    with opened(paths[0]) as image:
        channels = 1 if image.mode in ("1", "L", "LA", "I;16", "I") else 3
    first_image = whole(paths[0], channels)  # upright, which the file's own height and width need not be
    size = first_image.height, first_image.width

    def batches(classes: tuple[str, ...]) -> Iterator[Samples]:
        for first, n in in_batches(len(paths)):
            some = paths[first : first + n]
            pixels = np.stack([read(path, size, channels) for path in some])
            folders = [path.relative_to(root).parts[0] for path in some]
            known = bool(classes) and all(folder in classes for folder in folders)
            labels = torch.tensor([classes.index(folder) for folder in folders]) if known else None
            yield Samples(torch.from_numpy(pixels), labels)

    return SampleSource(str(root), len(paths), size, channels, batches)


def opened(path: Path) -> Image.Image:
    """The image file, not yet decoded. DamagedFile where it is none."""
    try:
        return Image.open(path)
    except UNREADABLE as error:
        raise DamagedFile(f"{path}: cannot be read as an image ({error}); mend or remove it") from error


def whole(path: Path, channels: int) -> Image.Image:
    """The image in ``path`` in its own size. DamagedFile where it cannot be read."""
    try:
        return decoded(path, channels)
    except UNREADABLE as error:
        raise DamagedFile(f"{path}: cannot be read as an image ({error}); mend or remove it") from error


def read(path: Path, size: Sides, channels: int) -> NDArray[np.uint8]:
    """uint8 [channels,*size]. UsageError where the image has another size: to resize samples without being asked would
    change their scores.
    """
    image = whole(path, channels)
    if (image.height, image.width) != size:
        raise UsageError(
            f"{path}: {image.height}x{image.width} pixels, but the first image has {size[0]}x{size[1]}; "
            "judge images of one size"
        )
    return np.ascontiguousarray(np.asarray(image).reshape(*size, channels).transpose(2, 0, 1))
