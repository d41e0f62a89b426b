"""Images out: uint8 arrays, grids, PNG files."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.files import atomic_write, explained


def to_uint8(images: Tensor) -> Tensor:
    """[N,C,H,W] in [-1, 1] -> uint8, rounded to the nearest; what lies outside is clipped."""
    return images.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()


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
    path, pixels = Path(path), to_uint8(images)
    check_output(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            atomic_write(path, encode_png(grid(pixels, columns)))
        elif path.suffix == ".npy":
            buffer = io.BytesIO()
            np.save(buffer, pixels.movedim(1, -1).numpy())
            atomic_write(path, buffer.getvalue())
        else:
            path.mkdir(exist_ok=True)
            for i, image in enumerate(pixels):
                atomic_write(path / f"{i:06d}.png", encode_png(picture(image)))
    return path


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
