"""MNIST-like data sets in IDX files, gzipped or not (the format is described on LeCun's MNIST page)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from gankit import DamagedFile, DataOptions, Dataset, ImageSet
from gankit.data import Pixels, Unpacked, check_split, checked_shape, fetched, pixel_set, plain_file
from gankit.plugins.datasets.about import FASHION_MNIST
from gankit.plugins.datasets.about import MNIST as DIGITS

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of unsigned bytes in IDX file ``path``. DamagedFile where it is truncated or of another kind."""
    try:
        with plain_file(path) as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            return _parsed(path, cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if zipped else raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFile(f"{path}: cannot be read ({error}); fetch it again") from error


def _parsed(path: Path, file: IO[bytes]) -> NDArray[np.uint8]:
    head = file.read(4)
    if len(head) < 4 or head[:3] != b"\x00\x00\x08":
        raise DamagedFile(f"{path}: not an IDX file of unsigned bytes; check that it is the published file")
    sizes = file.read(4 * head[3])
    shape = tuple(int(n) for n in np.frombuffer(sizes[: len(sizes) // 4 * 4], ">u4"))
    try:
        count = checked_shape(shape, 1)
    except ValueError as error:
        raise DamagedFile(f"{path}: {error}") from error
    values = file.read(count + 1) if len(shape) == head[3] else b""
    if len(shape) != head[3] or len(values) != count:
        raise DamagedFile(f"{path}: holds {len(values)} values, not what its header promises ({shape}); fetch it again")
    return np.frombuffer(values, np.uint8).reshape(shape)


class IDXDataset(Dataset):
    """Images and labels in the four files of MNIST's layout."""

    classes: ClassVar[tuple[str, ...]]

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        split = check_split(options, self.about)
        images, labels = (fetched(options, self.about, (f"{stem}.gz", stem)) for stem in FILES[split])
        return pixel_set(Pixels((images, labels), split, lambda: self._read(images, labels)), options, self.classes)

    def _read(self, images_path: Path, labels_path: Path) -> Unpacked:
        images, labels = read_idx(images_path), read_idx(labels_path)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DamagedFile(f"{images_path}: {images.shape} does not go with {labels_path.name}: {labels.shape}")
        if labels.size and labels.max() >= len(self.classes):
            raise DamagedFile(f"{labels_path}: label {labels.max()}, but there are {len(self.classes)} classes")
        count, height, width = images.shape
        return Unpacked((count, 1, height, width), [images[:, None]], lambda: labels.astype(np.int64))


class MNIST(IDXDataset):
    """LeCun, Bottou, Bengio & Haffner 1998, Proceedings of the IEEE 86(11)."""

    about = DIGITS
    classes = tuple("0123456789")


class FashionMNIST(IDXDataset):
    """Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747."""

    about = FASHION_MNIST
    classes = (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
