"""Street View House Numbers, cropped digits: 32x32 pictures in MAT-files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gankit import DamagedFile, DataOptions, Dataset, ImageSet
from gankit.data import Pixels, Unpacked, check_split, fetched, pixel_set
from gankit.plugins.datasets import about, mat5

PARTS = ("train", "test", "extra")
MOST = 1_000_000
_BLOCK = 1000
_IMAGE = 3 * 32 * 32


class SVHN(Dataset):
    """Netzer et al. 2011, Reading digits in natural images with unsupervised feature learning."""

    about = about.SVHN

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        split = check_split(options, self.about)
        parts = PARTS if split == "all" else (split,)
        paths = tuple(fetched(options, self.about, (f"{part}_32x32.mat",)) for part in parts)
        return pixel_set(Pixels(paths, split, lambda: read(paths)), options, tuple("0123456789"))


def read(paths: tuple[Path, ...]) -> Unpacked:
    """The pictures of all ``paths``, joined. DamagedFile where one has no X [32, 32, 3, N] of bytes, or no y [N, 1]."""
    counts = [_count(path) for path in paths]
    labels: list[NDArray[np.int64]] = []

    def blocks() -> Iterator[NDArray[np.uint8]]:
        for path in paths:
            yield from _images(path, labels)

    return Unpacked((sum(counts), 3, 32, 32), blocks(), lambda: np.concatenate(labels))


def _count(path: Path) -> int:
    """How many pictures are in ``path``."""
    for array in mat5.arrays(path):
        if array.name == "X":
            if array.shape[:3] != (32, 32, 3) or len(array.shape) != 4 or array.dtype != np.uint8:
                raise DamagedFile(f"{path}: X is {array.dtype} {array.shape}, not uint8 (32, 32, 3, N)")
            if array.shape[3] > MOST:
                raise DamagedFile(f"{path}: X holds {array.shape[3]} pictures, more than SVHN has")
            return array.shape[3]
    raise DamagedFile(f"{path}: holds no X; check that it is the published file of cropped digits")


def _images(path: Path, labels: list[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
    """The pictures in ``path``, in blocks; its labels are added to ``labels``, which write 0 as 10."""
    count = _count(path)
    found = None
    for array in mat5.arrays(path):
        if array.name == "X":
            for first in range(0, count, _BLOCK):
                n = min(_BLOCK, count - first)
                # Column by column, as Fortran has it: the bytes of a picture are [C, W, H].
                yield np.frombuffer(array.read(n * _IMAGE), np.uint8).reshape(n, 3, 32, 32).swapaxes(2, 3)
        elif array.name == "y":
            if array.shape != (count, 1):
                raise DamagedFile(f"{path}: {count} pictures, but y is {array.shape}")
            found = array.values().astype(np.int64)
            if count and not (found.min() >= 0 and found.max() <= 10):
                raise DamagedFile(
                    f"{path}: y has labels from {found.min()} to {found.max()}; digits are 0 to 9, or 10 for 0"
                )
            found %= 10
    if found is None:
        raise DamagedFile(f"{path}: holds no y; check that it is the published file of cropped digits")
    labels.append(found)
