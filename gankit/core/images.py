"""Images out: uint8 arrays, grids, PNG files."""

from __future__ import annotations

import io
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import count as count_from
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.files import atomic_file, atomic_write, explained
from gankit.core.progress import ProgressBar


def to_uint8(images: Tensor) -> Tensor:
    """[N,C,H,W] in [-1, 1] -> uint8, rounded to the nearest; what lies outside is clipped."""
    return images.detach().float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8).cpu()


def grid(images: Tensor, columns: int | None = None, gap: int = 2) -> Image.Image:
    """uint8 [N,C,H,W], C 1 or 3 -> one picture, row by row; ``columns`` defaults to the square root of N."""
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = torch.full((channels, rows * (height + gap) - gap, columns * (width + gap) - gap), 255, dtype=torch.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return picture(sheet)


def picture(image: Tensor) -> Image.Image:
    """uint8 [C,H,W] with C of 1, 3 or 4 -> a Pillow image; of any other C the first channel."""
    pixels = image.movedim(0, -1).numpy()
    return Image.fromarray(np.ascontiguousarray(pixels if pixels.shape[-1] in (3, 4) else pixels[..., 0]))


def save(images: Tensor, path: str | Path, columns: int | None = None) -> Path:
    """Save [N,C,H,W] in [-1, 1], by ``path``'s ending: .png a grid, .npy uint8 [N,H,W,C], none a folder of PNGs."""
    return save_parts([images], len(images), path, columns)


def save_parts(parts: Iterable[Tensor], count: int, path: str | Path, columns: int | None = None) -> Path:
    """Save ``count`` images that come in ``parts`` as ``save`` does, whole or not at all. An array and a folder are
    written part by part; a grid is put together in memory.
    """
    path = Path(path)
    check_output(path)
    tally = ProgressBar("saving images", count, "images")
    pixels = _counted(parts, tally)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            atomic_write(path, encode_png(grid(torch.cat(list(pixels)), columns)))
        elif path.suffix == ".npy":
            _write_array(path, pixels, count)
        else:
            _write_folder(path, pixels)
    tally.close()
    return path


def _counted(parts: Iterable[Tensor], tally: ProgressBar) -> Iterator[Tensor]:
    """Each of ``parts`` as uint8."""
    done = 0
    for images in parts:
        done += len(images)
        pixels = to_uint8(images)
        del images  # not to be held while the next part is made
        yield pixels
        tally.update(done)


def _write_array(path: Path, parts: Iterator[Tensor], count: int) -> None:
    with atomic_file(path) as file:
        for i, pixels in enumerate(parts):
            array = np.ascontiguousarray(pixels.movedim(1, -1).numpy())
            if i == 0:
                about = {"descr": "|u1", "fortran_order": False, "shape": (count, *array.shape[1:])}
                np.lib.format.write_array_header_1_0(file, about)
            file.write(array.data)


def _write_folder(path: Path, parts: Iterator[Tensor]) -> None:
    """One PNG for each image in folder ``path``, which is made whole under a temporary name, or is there and empty."""
    made = path.exists()
    folder = path if made else path.with_name(f".{path.name}.tmp")
    if not made:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        folder.mkdir()
    names = (folder / f"{i:06d}.png" for i in count_from(0))
    try:
        for pixels in parts:
            for image in pixels:
                next(names).write_bytes(encode_png(picture(image)))
        if hasattr(os, "sync"):  # at once: to flush each of 50,000 files takes longer than to make them
            os.sync()
        if not made:
            os.replace(folder, path)
    except BaseException:
        for written in folder.glob("*.png"):
            written.unlink(missing_ok=True)
        if not made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def check_output(path: Path) -> None:
    """UsageError where ``path`` has an ending that images cannot be saved by, or is a folder with files in it."""
    if path.suffix not in (".png", ".npy", ""):
        raise UsageError(f"-o {path}: end it with .png (a grid), .npy (an array) or nothing (a folder of PNGs)")
    if path.is_dir() and (path.suffix or any(path.iterdir())):
        raise UsageError(f"-o {path}: a folder that is not empty; choose another name")


def encode_png(image: Image.Image) -> bytes:
    """The bytes of ``image`` as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
