"""CIFAR-10 in its binary version; the Python version is pickled, and never loaded."""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from gankit import DamagedFile, DataOptions, Dataset, ImageSet
from gankit.data import Bounded, Pixels, Unpacked, check_split, fetched, most_bytes, pixel_set, plain_file
from gankit.plugins.datasets import about

RECORD = 1 + 3 * 32 * 32
"""A label, then the red, the green and the blue pixels, row by row."""
MOST = 100_000 * RECORD
FOLDER = "cifar-10-batches-bin"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": r"data_batch_[1-5]\.bin", "test": r"test_batch\.bin"}


class CIFAR10(Dataset):
    """Krizhevsky 2009, Learning multiple layers of features from tiny images."""

    about = about.CIFAR10

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        split = check_split(options, self.about)
        path = fetched(options, self.about)
        path = path.parent if path.suffix == ".bin" else path
        parts = ("train", "test") if split == "all" else (split,)
        files = sorted(path.glob("*.bin")) if path.is_dir() else [path]
        return pixel_set(Pixels((path, *files), split, lambda: read(path, parts)), options, CLASSES)


def read(path: Path, parts: tuple[str, ...]) -> Unpacked:
    """The images of ``parts`` in folder or .tar.gz ``path``, train before test, batches in their order. DamagedFile
    where a batch is missing or no whole number of records.
    """
    batches = dict(_in_folder(path) if path.is_dir() else _in_archive(path))
    records = []
    for part in parts:
        names = sorted(name for name in batches if re.fullmatch(BATCHES[part], name))
        if len(names) != (5 if part == "train" else 1):
            raise DamagedFile(f"{path}: holds {', '.join(names) or 'none'} of the batches of {part}; fetch it again")
        records += [_records(path, name, batches[name]) for name in names]
    whole = np.concatenate(records)
    labels = whole[:, 0].astype(np.int64)
    return Unpacked((len(whole), 3, 32, 32), [whole[:, 1:].reshape(-1, 3, 32, 32)], lambda: labels)


def _records(path: Path, name: str, data: bytes) -> NDArray[np.uint8]:
    if not data or len(data) % RECORD:
        raise DamagedFile(f"{path}: {name} has {len(data)} bytes, no whole number of images; fetch it again")
    found = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    if found[:, 0].max() >= len(CLASSES):
        raise DamagedFile(f"{path}: {name} has label {found[:, 0].max()}, but there are {len(CLASSES)} classes")
    return found


def _wanted(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in BATCHES.values())


def _in_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for each in sorted(path.iterdir()):
        if _wanted(each.name):
            with plain_file(each) as file:
                yield each.name, file.read(MOST)


def _in_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    """The batches in a .tar.gz, read as it streams by: nothing is unpacked, so no name in it leads anywhere."""
    most = min(2 * MOST, most_bytes())
    try:
        # Bounded, since even the name of a member may be said to have gigabytes.
        with (
            plain_file(path) as raw,
            gzip.GzipFile(fileobj=raw) as unpacked,
            tarfile.open(fileobj=cast(IO[bytes], Bounded(unpacked, most)), mode="r|") as archive,
        ):
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                if member.isreg() and folder in (FOLDER, f"./{FOLDER}") and _wanted(name):
                    file = archive.extractfile(member)
                    assert file is not None
                    yield name, file.read(MOST)
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise DamagedFile(f"{path}: cannot be read as a .tar.gz ({error}); fetch it again") from error
