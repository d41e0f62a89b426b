"""dSprites: white squares, ellipses and hearts, every combination of their factors, in a NumPy archive.

The archive also holds a pickled member, "metadata", which is never opened: what it says is written here.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gankit import DamagedFile, DataOptions, Dataset, ImageSet
from gankit.data import Pixels, Unpacked, check_split, fetched, npz_member, pixel_set
from gankit.plugins.datasets import about

FACTORS = ("color", "shape", "scale", "orientation", "position x", "position y")
SHAPES = ("square", "ellipse", "heart")
MOST = 1_000_000
_BLOCK = 4096


class DSprites(Dataset):
    """Matthey, Higgins, Hassabis & Lerchner 2017. The label is the shape; ``factors`` are all six latent classes."""

    about = about.DSPRITES

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        check_split(options, self.about)
        path = fetched(options, self.about)
        return pixel_set(Pixels((path,), "", lambda: read(path)), options, SHAPES, FACTORS)


def read(path: Path) -> Unpacked:
    """The sprites in ``path``, 0 and 1 there, as 0 and 255. DamagedFile where they are not as published."""
    with _member(path, "imgs") as (shape, dtype, _):
        if shape[1:] != (64, 64) or shape[0] > MOST or dtype != np.uint8:
            raise DamagedFile(f"{path}: imgs is {dtype} {shape}, not uint8 (N, 64, 64)")
    count, height, width = shape
    with _member(path, "latents_classes") as (latent_shape, latent_dtype, file):
        if latent_shape != (count, len(FACTORS)) or latent_dtype.kind not in "iu":
            raise DamagedFile(
                f"{path}: latents_classes is {latent_dtype} {latent_shape}, not whole numbers ({count}, 6)"
            )
        size = count * len(FACTORS) * latent_dtype.itemsize
        factors = np.frombuffer(_exactly(path, file, size), latent_dtype).reshape(latent_shape).astype(np.int64)
    if count and not 0 <= factors[:, 1].min() <= factors[:, 1].max() < len(SHAPES):
        raise DamagedFile(f"{path}: latents_classes has a shape that is none of {', '.join(SHAPES)}")
    return Unpacked((count, 1, height, width), _blocks(path, shape), lambda: factors[:, 1], lambda: factors)


def _blocks(path: Path, shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    count, height, width = shape
    with _member(path, "imgs") as (_, _, file):
        for first in range(0, count, _BLOCK):
            n = min(_BLOCK, count - first)
            pixels = np.frombuffer(_exactly(path, file, n * height * width), np.uint8)
            if pixels.max() > 1:
                raise DamagedFile(f"{path}: imgs holds {pixels.max()}, not only 0 and 1")
            yield pixels.reshape(n, 1, height, width) * np.uint8(255)


@contextmanager
def _member(path: Path, name: str) -> Iterator[tuple[tuple[int, ...], np.dtype[np.generic], IO[bytes]]]:
    """(shape, type, the file where its values begin) of array ``name`` in an .npz. DamagedFile where it is not there,
    or its values are objects, that is pickled.
    """
    try:
        with npz_member(path, name) as (shape, fortran, dtype, file):
            if dtype.hasobject or fortran:
                raise ValueError("its values are pickled" if dtype.hasobject else "its axes are in another order")
            yield shape, dtype, file
    except (KeyError, OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedFile(f"{path}: {name} cannot be read ({error}); fetch it again") from error


def _exactly(path: Path, file: IO[bytes], size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise DamagedFile(f"{path}: ends before its {size} values; fetch it again")
    return found
