"""Anyone's arrays: images in a .npy file, or in a .npz file with labels. Nothing in them is unpickled."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gankit import DamagedFile, DataOptions, Dataset, ImageSet, UsageError
from gankit.data import Pixels, Unpacked, check_split, npz_array, pixel_set
from gankit.plugins.datasets.about import ARRAY

IMAGES = ("images", "x", "X", "data", "arr_0")
LABELS = ("labels", "y")
FORMS = "[N,H,W], [N,H,W,C] or [N,C,H,W] with C 1 or 3"
_BLOCK = 256

Values = NDArray[np.generic]


class Array(Dataset):
    """array:FILE, a .npy or a .npz file; a .npz may hold ``labels`` or ``y`` beside the images."""

    about = ARRAY

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        if not options.path:
            raise UsageError("--data array needs a path: --data array:FILE.npy, or .npz")
        check_split(options, self.about, deep=True)
        path = Path(options.path)
        if path.suffix not in (".npy", ".npz") or not path.is_file():
            what = "no such file" if not path.exists() else "neither a .npy nor a .npz file"
            raise UsageError(f"{path}: {what}; name an array: --data array:FILE.npy, or .npz")
        values = options.values
        labels = read_labels(path)
        classes, index = (None, None) if labels is None else np.unique(labels, return_inverse=True)
        pixels = Pixels((path,), f"values {values}", lambda: read(path, values, index))
        plain = dataclasses.replace(options, range=None)  # it is in the pixels already
        return pixel_set(pixels, plain, () if classes is None else [str(each) for each in classes.tolist()])


def read(path: Path, values: tuple[float, float] | None, labels: NDArray[np.int64] | None) -> Unpacked:
    """The images in ``path`` as bytes, ``values`` becoming 0 and 255. DamagedFile or UsageError where they are none."""
    images = _images(path)
    kind, count = images.dtype.kind, len(images)
    if images.dtype == np.uint8 or kind == "b":
        if values is not None:
            raise UsageError(f"{path}: holds {images.dtype}, which --range does not scale; leave it out")
    elif kind not in "iuf":
        raise UsageError(f"{path}: holds {images.dtype}; images are uint8, or numbers with --range LOW,HIGH")
    elif values is None:
        low, high = _extent(path, images)
        raise UsageError(
            f"{path}: holds {images.dtype} from {low:g} to {high:g}; say which values become black and white: "
            f"--range {low:g},{high:g}"
        )
    if labels is not None and len(labels) != count:
        raise DamagedFile(f"{path}: {count} images but {len(labels)} labels; they go together one by one")
    shape, axis = _layout(path, images.shape)
    return Unpacked(shape, _blocks(path, images, axis, values), None if labels is None else lambda: labels)


def read_labels(path: Path) -> Values | None:
    """The labels [N] in a .npz: whole numbers or names; None where there are none."""
    if path.suffix != ".npz":
        return None
    here = [name for name in LABELS if name in _names(path)]
    if not here:
        return None
    if len(here) > 1:
        raise UsageError(f"{path}: holds {' and '.join(here)}; keep the labels that are right")
    labels = _load(path, here[0])
    if labels.ndim != 1 or labels.dtype.kind not in "iuUb":
        raise DamagedFile(f"{path}: {here[0]} is {labels.dtype} {labels.shape}; labels are whole numbers or names, [N]")
    return labels.astype(np.int64) if labels.dtype.kind == "b" else labels


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DamagedFile(f"{path}: cannot be read as a .npz ({error}); write it again with numpy.savez") from error


def _images(path: Path) -> Values:
    """The array of images, mapped where that is possible."""
    name = ""
    if path.suffix == ".npz":
        names = [each for each in _names(path) if each not in LABELS]
        fitting = [each for each in IMAGES if each in names] or (names if len(names) == 1 else [])
        if len(fitting) != 1:
            raise UsageError(f"{path}: holds {', '.join(names) or 'no array'}; name that of the images {IMAGES[0]}")
        name = fitting[0]
    images = _load(path, name)
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise UsageError(f"{path}: {images.dtype} {images.shape}; images are {FORMS}")
    return images


def _load(path: Path, name: str) -> Values:
    try:
        if path.suffix == ".npy":
            found: Values = np.lib.format.open_memmap(path, mode="r")  # never unpickles
            return found
        return npz_array(path, name)
    except (OSError, ValueError, EOFError, KeyError, SyntaxError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedFile(f"{path}: {name or 'the array'} cannot be read ({error}); pickled ones never are") from error


def _layout(path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, int, int, int], int | None]:
    """([N,C,H,W], which axis of an image has its channels, None for none)."""
    if len(shape) == 3:
        return (shape[0], 1, shape[1], shape[2]), None
    if shape[3] in (1, 3):
        return (shape[0], shape[3], shape[1], shape[2]), 3
    if shape[1] in (1, 3):
        return (shape[0], shape[1], shape[2], shape[3]), 1
    raise UsageError(f"{path}: {shape} has no axis of 1 or 3 channels; images are {FORMS}")


def _blocks(
    path: Path, images: Values, axis: int | None, values: tuple[float, float] | None
) -> Iterator[NDArray[np.uint8]]:
    for first in range(0, len(images), _BLOCK):
        some = np.asarray(images[first : first + _BLOCK])
        some = some[:, None] if axis is None else np.moveaxis(some, axis, 1)
        if some.dtype == np.uint8:
            yield some.astype(np.uint8, copy=False)
        elif values is None:
            yield some.astype(np.uint8) * np.uint8(255)
        else:
            yield _scaled(path, some.astype(np.float64), values, first)


def _scaled(path: Path, some: NDArray[np.float64], values: tuple[float, float], first: int) -> NDArray[np.uint8]:
    low, high = values
    odd = ~np.isfinite(some).reshape(len(some), -1).all(1)
    if odd.any():
        raise DamagedFile(f"{path}: image {first + int(odd.argmax())} holds values that are no numbers; mend it")
    return np.asarray(np.rint((some.clip(low, high) - low) * (255 / (high - low))), np.uint8)


def _extent(path: Path, images: Values) -> tuple[float, float]:
    blocks = (np.asarray(images[first : first + _BLOCK], np.float64) for first in range(0, len(images), _BLOCK))
    ends = [(float(np.nanmin(block)), float(np.nanmax(block))) for block in blocks if not np.isnan(block).all()]
    if not ends:
        raise DamagedFile(f"{path}: holds no numbers; mend it")
    return min(low for low, _ in ends), max(high for _, high in ends)
