"""Anyone's images: every picture below a folder; the first level of subfolders, where all are in one, gives labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gankit.data import DataOptions, Dataset, ImageSet, square
from gankit.errors import DamagedFile, UsageError

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
MAX_UNREADABLE = 0.05
DEFAULT_SIZE = 64


class Folder(Dataset):
    """folder:PATH"""

    name = "folder"
    summary = "your own images: folder:PATH; class folders become labels"

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        if not options.path:
            raise UsageError("--data folder needs a path: --data folder:PATH")
        root = Path(options.path)
        paths = find_images(root)[: options.limit]
        size, channels = options.size or DEFAULT_SIZE, options.channels or 3
        if channels not in (1, 3):
            raise UsageError(f"--channels {channels}: images are read as grey (1) or colour (3)")
        images, kept = read_images(paths, size, channels, options.fit)
        folders = [path.relative_to(root).parts for path in kept]
        classes: tuple[str, ...] = ()
        labels = None
        if all(len(parts) > 1 for parts in folders):
            classes = tuple(sorted({parts[0] for parts in folders}))
            labels = torch.tensor([classes.index(parts[0]) for parts in folders])
        return ImageSet(torch.from_numpy(images), labels, classes)


def find_images(root: Path) -> list[Path]:
    """Every image file below ``root``, sorted. UsageError where there is no such folder or nothing in it."""
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; --data folder:PATH takes a folder of images")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not paths:
        raise UsageError(f"{root}: no images in it (looked for {', '.join(sorted(ENDINGS))})")
    return paths


def read_images(paths: Sequence[Path], size: int, channels: int, fit: str) -> tuple[NDArray[np.uint8], list[Path]]:
    """(uint8 [n, channels, size, size], the paths that were read). Unreadable files are named on standard error and
    left out; DamagedFile where they are more than one in twenty.
    """
    images, kept, bad = [], [], []
    for path in paths:
        try:
            images.append(read_image(path, size, channels, fit))
            kept.append(path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            bad.append(path)
            print(f"Warning: {path} is left out: {error}", file=sys.stderr)
    if len(bad) > MAX_UNREADABLE * len(paths):
        raise DamagedFile(
            f"{len(bad)} of {len(paths)} images cannot be read, {bad[0]} the first; remove or mend them "
            f"(up to {MAX_UNREADABLE:.0%} are left out by themselves)"
        )
    return np.stack(images), kept


def read_image(path: Path, size: int, channels: int, fit: str) -> NDArray[np.uint8]:
    """uint8 [channels, size, size]: turned as its EXIF says, transparent parts on black, 16 bits scaled down to 8."""
    with Image.open(path) as opened:
        image: Image.Image = opened
        image.draft("L" if channels == 1 else "RGB", (size, size))  # JPEG: decode at 1/2 .. 1/8 where that is enough
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I") or image.mode == "F":
            values = np.asarray(image, np.float64)
            top = 65535 if values.max(initial=0) > 255 else 255
            image = Image.fromarray((values.clip(0, top) * (255 / top)).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
        image = square(image.convert("L" if channels == 1 else "RGB"), size, fit)
    return np.ascontiguousarray(np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1))
