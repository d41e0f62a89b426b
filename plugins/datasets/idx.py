"""MNIST-like data sets in IDX files, gzipped or not (the format is described on LeCun's MNIST page)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from gankit.data import DataOptions, Dataset, ImageSet, cache_folder, resized, roots
from gankit.download import download
from gankit.errors import DamagedFile, GankitError, UsageError, closest

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of unsigned bytes in IDX file ``path``. DamagedFile where it is truncated or of another kind."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFile(f"{path}: cannot be read ({error}); fetch it again") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise DamagedFile(f"{path}: not an IDX file of unsigned bytes; check that it is the published file")
    dims = raw[3]
    head = 4 + 4 * dims
    shape = tuple(int(n) for n in np.frombuffer(raw[4:head], ">u4")) if len(raw) >= head else ()
    if len(shape) != dims or len(raw) - head != int(np.prod(shape, dtype=np.int64)):
        raise DamagedFile(f"{path}: holds {len(raw)} bytes, not what its header promises ({shape}); fetch it again")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


class IDXDataset(Dataset):
    """Images and labels in the four files of MNIST's layout."""

    classes: ClassVar[tuple[str, ...]]
    mirror: ClassVar[str]
    digests: ClassVar[dict[str, str]]
    """File name -> md5 of the published .gz file."""
    packaged: ClassVar[tuple[str, ...]] = ()

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        if options.split not in FILES:
            raise UsageError(f"--split {options.split}: {self.name} has {closest(options.split, FILES)}")
        images_name, labels_name = FILES[options.split]
        images_path, labels_path = self._find(options, images_name), self._find(options, labels_name)
        images, labels = read_idx(images_path), read_idx(labels_path)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DamagedFile(f"{images_path}: {images.shape} does not go with {labels_path.name}: {labels.shape}")
        if labels.size and labels.max() >= len(self.classes):
            raise DamagedFile(f"{labels_path}: label {labels.max()}, but {self.name} has {len(self.classes)} classes")
        found = ImageSet(
            torch.from_numpy(images[: options.limit].copy())[:, None],
            torch.from_numpy(labels[: options.limit].astype(np.int64)),
            self.classes,
        )
        return ImageSet(resized(found.images, options), found.labels, found.classes)

    def _find(self, options: DataOptions, stem: str) -> Path:
        """The file ``stem`` (or .gz) where people keep it, else downloaded into the user's cache."""
        places = roots(options, self.name, self.packaged)
        for folder in places:
            for path in (folder / f"{stem}.gz", folder / stem):
                if path.is_file():
                    return path
        if options.path or options.data_root:
            looked = " or ".join(str(place) for place in places[: 1 if options.path else 2])
            raise UsageError(f"{self.name}: no {stem}.gz in {looked}; put the published files there")
        name = f"{stem}.gz"
        try:
            return download(self.mirror + name, cache_folder() / self.name / name, self.digests[name], algorithm="md5")
        except GankitError as error:
            raise GankitError(f"{self.name} is not on this machine: {error} (or pass --data-root)") from error


class FashionMNIST(IDXDataset):
    """Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747."""

    name = "fashion-mnist"
    summary = "60,000 grey 28x28 pictures of clothes in 10 classes"
    licence = "MIT"
    classes = (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    mirror = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    packaged = ("/usr/share/datasets/fashion-mnist",)
    digests = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
