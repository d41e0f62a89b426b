"""Where images come from: picture files in a folder or a zip archive, or pixels in published files."""

from __future__ import annotations

import hashlib
import math
import os
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gankit.core.errors import DamagedFile, UsageError
from gankit.core.progress import ProgressBar, warn
from gankit.data import cache
from gankit.data.cache import Prepared
from gankit.data.decode_pool import decode
from gankit.data.decode_worker import Job, Name, write_at
from gankit.data.decoding import Frame, digest

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
MOST_MEMBERS = 5_000_000
MOST_BYTES = 1 << 40
MOST_RATIO = 100
MOST_TEXT = 1 << 26
"""Bounds on an archive: its members, their bytes unpacked, those over its own, and the bytes of a text read from it."""


@dataclass(frozen=True)
class Tree:
    """The files below a folder, or in a zip archive, which is read in place and never unpacked.

    UsageError where there is neither, DamagedFile where an archive is out of bounds.
    """

    root: Path

    @cached_property
    def is_archive(self) -> bool:
        """Whether it is a zip archive."""
        return self.root.is_file()

    @cached_property
    def files(self) -> dict[str, tuple[int, int]]:
        """Name -> (size, time of last change in ns; in an archive the checksum), sorted."""
        if self.is_archive:
            found = dict(_members(self.root))
        elif self.root.is_dir():
            found = dict(_below(self.root, ""))
        else:
            raise UsageError(f"{self.root}: no such folder; name a folder of images, or a zip of them")
        return dict(sorted(found.items(), key=lambda item: item[0].split("/")))

    def pictures(self, under: str = "") -> list[str]:
        """The names of all image files below folder ``under``. UsageError where there are none."""
        start, files = f"{under}/" if under else "", self.files
        if not self.is_archive and not (self.root / under).is_dir():
            raise UsageError(f"{self.root / under}: no such folder; check that it is the layout that is read")
        found = [name for name in files if name.startswith(start) and os.path.splitext(name)[1].lower() in ENDINGS]
        if not found:
            raise UsageError(f"{self.root / under}: no images in it (looked for {', '.join(sorted(ENDINGS))})")
        return found

    def parent_of(self, part: str) -> str:
        """The folder, "" or one that ends in "/", in which ``part`` ("train/") is. UsageError where there is none."""
        for name in self.files:
            at = f"/{name}".find(f"/{part}")
            if at >= 0:
                return name[:at]
        raise UsageError(f"{self.root}: holds no {part}; check that it is the published layout")

    def text(self, name: str) -> str:
        """The text in file ``name``. DamagedFile where it is not there, too long, or no text."""
        try:
            if self.files[name][0] > MOST_TEXT:
                raise ValueError("too long")
            if not self.is_archive:
                return (self.root / name).read_text("utf-8")
            with zipfile.ZipFile(self.root) as archive:
                return archive.read(name).decode("utf-8")
        except KeyError as error:
            raise DamagedFile(f"{self.root}: holds no {name}; check that it is the published layout") from error
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DamagedFile(f"{self.root / name}: cannot be read ({error}); fetch it again") from error


def _below(folder: Path, start: str) -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue  # what systems leave beside images
                if entry.is_dir(follow_symlinks=False):
                    yield from _below(folder / entry.name, f"{start}{entry.name}/")
                elif entry.is_file():
                    status = entry.stat()
                    yield start + entry.name, (status.st_size, status.st_mtime_ns)
    except PermissionError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror}); change its permissions") from error


def _members(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """The regular files of zip archive ``path``. DamagedFile where a name leads out of it or it unpacks to too much."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DamagedFile(f"{path}: cannot be read as a zip archive ({error}); fetch it again") from error
    total, size = sum(member.file_size for member in members), path.stat().st_size
    if len(members) > MOST_MEMBERS or total > min(MOST_BYTES, MOST_RATIO * size):
        raise DamagedFile(f"{path}: {len(members)} files of {total} bytes in {size}; that is no archive of images")
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or ":" in name[:2]:
            raise DamagedFile(f"{path}: the name {name!r} in it leads out of it; do not trust this archive")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DamagedFile(f"{path}: {name!r} in it is a link; do not trust this archive")
        if not (member.is_dir() or any(part.startswith((".", "__MACOSX")) for part in parts)):
            yield name, (member.file_size, member.CRC)


def find_images(root: Path) -> list[Path]:
    """Every image file below folder ``root``, sorted. UsageError where there is no such folder or nothing in it."""
    tree = Tree(root)
    return [root / name for name in tree.pictures()]


@dataclass(frozen=True)
class Pictures:
    """Image files: ``names`` in ``tree``, with ``labels`` where they have classes; ``part`` tells them from others that
    are prepared from the same tree.
    """

    tree: Tree
    part: str
    names: list[str]
    labels: list[int] | None = None

    def prepared(self, name: str, frame: Frame, limit: int | None = None) -> Prepared:
        """The first ``limit`` of them, decoded into the cache of data set ``name``.

        Unreadable ones are left out by name; DamagedFile where they are more than ``spared`` allows.
        """
        names = self.names[:limit]
        root = self.tree.root.resolve()
        what = (str(root), self.part, frame, limit)
        stamps = [(each, *self.tree.files[each]) for each in names]
        identity = _digest([*stamps, self.labels and self.labels[:limit], root.stat().st_mtime_ns * root.is_file()])
        return cache.kept(name, what, identity, lambda folder: self._build(folder, name, names, frame))

    def _build(self, folder: Path, name: str, names: list[str], frame: Frame) -> dict[str, Any]:
        path = folder / "images.npy"
        kind = "zip" if self.tree.is_archive else "folder"
        start = cache.write_header(path, (len(names), *frame.shape))
        job = Job(str(path), start, frame, kind, str(self.tree.root.resolve()))
        tally = ProgressBar(f"preparing {name}", len(names), "images")
        done = decode(job, names, tally)
        tally.close()
        failed = {names[i]: reason for i, reason in sorted(done.failed.items())}
        report(self.tree.root, failed, len(names))
        left = [i for i in range(len(names)) if i not in done.failed]
        _close_up(path, left, frame, start)
        if self.labels is not None:
            np.save(folder / "labels.npy", np.array(self.labels, np.int64)[left])
        cache.sync(path)
        return {"digest": cache.joined(done.digests[i] for i in left), "skipped": list(failed.items())}


def spared(count: int) -> int:
    """How many of ``count`` pictures may be unreadable: one in a hundred, and one of twenty to a hundred."""
    return max(count // 100, 1 if count >= 20 else 0)


def report(root: Path, failed: dict[str, str], count: int) -> None:
    """Name the pictures that were left out. DamagedFile where they are too many."""
    for name, reason in list(failed.items())[:20]:
        warn(f"{root / name} is left out: {reason}")
    if len(failed) > spared(count):
        raise DamagedFile(
            f"{len(failed)} of {count} images cannot be read, {root / next(iter(failed))} the first; remove or mend "
            "them (one in a hundred is left out by itself)"
        )
    if len(failed) > 20:
        warn(f"{len(failed)} of {count} images are left out (`gankit data check` names them)")


def _close_up(path: Path, left: list[int], frame: Frame, start: int) -> None:
    """Move the images ``left`` together, in place, so that no gaps remain where pictures could not be read."""
    size = math.prod(frame.shape)
    with path.open("r+b", buffering=0) as file:
        for to, at in enumerate(left):
            if to != at:
                write_at(file.fileno(), memoryview(os.pread(file.fileno(), size, start + at * size)), start + to * size)
    cache.write_header(path, (len(left), *frame.shape))


@dataclass(frozen=True)
class Unpacked:
    """Pixels on their way out of a published file: ``blocks`` of uint8 [n,C,H,W] that make up ``shape``; ``labels``
    int64 [N] and ``factors`` int64 [N,F], asked for when the blocks are through.
    """

    shape: tuple[int, int, int, int]
    blocks: Iterable[NDArray[np.uint8]]
    labels: Callable[[], NDArray[np.int64]] | None = None
    factors: Callable[[], NDArray[np.int64]] | None = None


@dataclass(frozen=True)
class Pixels:
    """Images that ``read`` takes out of ``files``; ``part`` tells them from others in the same files."""

    files: tuple[Path, ...]
    part: str
    read: Callable[[], Unpacked] = field(repr=False)

    def prepared(
        self, name: str, size: int | str | None, channels: int | None, fit: str, limit: int | None = None
    ) -> Prepared:
        """The first ``limit`` images in the cache of data set ``name``, in their own shape unless told another."""
        stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in self.files]
        what = ([str(path.resolve()) for path in self.files], self.part)
        own = cache.kept(name, what, _digest(stamps), lambda folder: self._unpack(folder, name))
        height, width = own.images.shape[2:]
        frame = Frame(size or max(height, width), channels or own.images.shape[1], fit)
        if own.images.shape[1:] == frame.shape:
            return own if limit is None else _first(own, limit)
        count = min(len(own.images), limit or len(own.images))
        return cache.kept(
            name, (*what, frame, limit), _digest(stamps), lambda folder: self._resize(folder, name, own, frame, count)
        )

    def _unpack(self, folder: Path, name: str) -> dict[str, Any]:
        unpacked, path = self.read(), folder / "images.npy"
        start = cache.write_header(path, unpacked.shape)
        digests: list[str] = []
        tally = ProgressBar(f"unpacking {name}", unpacked.shape[0], "images")
        with path.open("r+b", buffering=0) as file:
            for block in unpacked.blocks:
                data = np.ascontiguousarray(block)
                write_at(file.fileno(), data.reshape(-1).data, start + len(digests) * int(np.prod(data.shape[1:])))
                digests += [digest(image) for image in data]
                tally.update(len(digests))
            os.fsync(file.fileno())
        tally.close()
        assert len(digests) == unpacked.shape[0]
        for each, values in (("labels", unpacked.labels), ("factors", unpacked.factors)):
            if values is not None:
                np.save(folder / f"{each}.npy", values())
        return {"digest": cache.joined(digests), "skipped": []}

    @staticmethod
    def _resize(folder: Path, name: str, own: Prepared, frame: Frame, count: int) -> dict[str, Any]:
        path = folder / "images.npy"
        start = cache.write_header(path, (count, *frame.shape))
        tally = ProgressBar(f"resizing {name}", count, "images")
        names: list[Name] = list(range(count))
        done = decode(Job(str(path), start, frame, "array", str(own.folder / "images.npy")), names, tally)
        tally.close()
        report(own.folder, {str(i): reason for i, reason in done.failed.items()}, 0)
        for each, values in (("labels", own.labels), ("factors", own.factors)):
            if values is not None:
                np.save(folder / f"{each}.npy", values[:count])
        cache.sync(path)
        return {"digest": cache.joined(done.digests[i] for i in range(count)), "skipped": []}


def _first(own: Prepared, count: int) -> Prepared:
    labels, factors = (None if values is None else values[:count] for values in (own.labels, own.factors))
    return replace(own, images=own.images[:count], labels=labels, factors=factors)


def _digest(values: object) -> str:
    return hashlib.sha256(repr(values).encode(errors="surrogateescape")).hexdigest()
