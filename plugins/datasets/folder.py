"""Anyone's images: every picture below a folder; the first level of subfolders, where all are in one, gives labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gankit.data import DataOptions, Dataset, ImageSet, square
from gankit.errors import DamagedFile, UsageError
from gankit.images import UNREADABLE, decoded, find_images

MAX_UNREADABLE = 0.05
DEFAULT_SIZE = 64


class Folder(Dataset):
    """folder:PATH"""

    name = "folder"
    summary = "your own images: folder:PATH; class folders become labels"

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        if not options.path:
            raise UsageError("--data folder needs a path: --data folder:PATH")
        if options.split != "train":
            raise UsageError(f"--split {options.split}: a folder has no parts; name the subfolder itself")
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


def read_images(paths: Sequence[Path], size: int, channels: int, fit: str) -> tuple[NDArray[np.uint8], list[Path]]:
    """(uint8 [n, channels, size, size], the paths that were read). Unreadable files are named on standard error and
    left out; DamagedFile where they are more than one in twenty.
    """
    images, kept, bad = [], [], []
    for path in paths:
        try:
            images.append(read_image(path, size, channels, fit))
            kept.append(path)
        except UNREADABLE as error:
            bad.append(path)
            print(f"Warning: {path} is left out: {error}", file=sys.stderr)
    if len(bad) > MAX_UNREADABLE * len(paths):
        raise DamagedFile(
            f"{len(bad)} of {len(paths)} images cannot be read, {bad[0]} the first; remove or mend them "
            f"(up to {MAX_UNREADABLE:.0%} are left out by themselves)"
        )
    return np.stack(images), kept


def read_image(path: Path, size: int, channels: int, fit: str) -> NDArray[np.uint8]:
    """uint8 [channels, size, size]: the file as ``decoded`` gives it, made square."""
    image = square(decoded(path, channels, size), size, fit)
    return np.ascontiguousarray(np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1))
