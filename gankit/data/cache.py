"""Images decoded once: a folder with images.npy (uint8 [N,C,S,S]), mapped into memory by every run that uses it.

The folder is made under another name and renamed when it is whole. Processes that want the same one at once wait for
the first, by a lock that dies with its holder. It is made anew where what it was made from has changed.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gankit.core.errors import GankitError
from gankit.core.files import explained, sync_folder, write_json
from gankit.core.lock import hold
from gankit.data.catalogue import cache_folder
from gankit.data.decoding import digest

VERSION = 1
"""Of what is in the folder and of how pictures become pixels; another one is made anew."""
ELSEWHERE = "or set GANKIT_CACHE to a folder on another disk"
# A mapping that may be written to counts against the machine's memory unless it says that nobody will: without this one
# larger than the memory is refused. The module has no name for the flag.
_NORESERVE = 0x4000 if sys.platform == "linux" else 0


@dataclass(frozen=True)
class Prepared:
    """Images in the cache. ``images``: uint8 [N,C,H,W], mapped copy-on-write; ``labels``: int64 [N] and ``factors``:
    int64 [N,F] where the source has them; ``digest``: of all pixels; ``skipped``: (name, reason) of what was left out;
    ``counts``: how many of the pictures were grey, in colour, of each kind of more than eight bits, and of each ending,
    {} where that is not known; ``range``: the values that became 0 and 255 of those.
    """

    folder: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    factors: NDArray[np.int64] | None
    digest: str
    skipped: tuple[tuple[str, str], ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    range: tuple[float, float] | None = None


def kept(name: str, what: object, identity: str, build: Callable[[Path], dict[str, Any]]) -> Prepared:
    """The images of data set ``name`` that ``what`` (anything with a stable repr) tells from its others.

    Made by ``build``, which fills a folder and returns "digest" and "skipped", unless they are there and made from the
    same ``identity``. GankitError where the disk is full or cannot be written.
    """
    which = hashlib.blake2b(repr(what).encode(errors="surrogateescape"), digest_size=12).hexdigest()
    folder = cache_folder() / "prepared" / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name)}-{which}"
    here = opened(folder, identity)
    if here is not None:
        return here
    lock = folder.with_name(f".{folder.name}.lock")
    with hold(lock, waiting=f"{name} is being prepared by another process; waiting for it"):
        here = opened(folder, identity)
        if here is None:
            _make(folder, identity, build)
            here = opened(folder, identity)
    if here is None:
        raise GankitError(f"{folder}: was prepared, but cannot be opened now; try again, {ELSEWHERE}")
    return here


def _make(folder: Path, identity: str, build: Callable[[Path], dict[str, Any]]) -> None:
    """Make ``folder``; the lock on it is held. What killed processes left of earlier tries is removed."""
    for left in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    old = folder.with_name(f"{temporary.name}-old")
    try:
        with explained(temporary, then=ELSEWHERE):
            temporary.mkdir()
            about = build(temporary)
            write_json(temporary / "about.json", {"version": VERSION, "identity": identity, **about})
            if folder.exists():
                folder.rename(old)
            temporary.rename(folder)
            sync_folder(folder.parent)
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def opened(folder: Path, identity: str) -> Prepared | None:
    """What is in ``folder``; None where it is not there, not whole, or made from something else."""
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY) if os.open in os.supports_dir_fd else folder
    except OSError:
        return None
    try:  # all files of one folder, though another process may put a newer one in its place meanwhile
        with _open(at, "about.json") as file:
            about = json.load(file)
        if (about["version"], about["identity"]) != (VERSION, identity):
            return None
        optional: dict[str, Any] = dict.fromkeys(("labels", "factors"))
        for each in optional:
            with suppress(FileNotFoundError), _open(at, f"{each}.npy") as file:
                optional[each] = np.load(file, allow_pickle=False)
        with _open(at, "images.npy") as file:
            images = mapped(file)
        about = {"counts": {}, "range": None, **about}
        return Prepared(
            folder, images, **optional, digest=about["digest"], skipped=tuple(map(tuple, about["skipped"])),
            counts=dict(about["counts"]), range=None if about["range"] is None else tuple(about["range"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None
    finally:
        if isinstance(at, int):
            os.close(at)


def _open(at: int | Path, name: str) -> IO[bytes]:
    """The file ``name`` of the folder ``at``: an open one, where the system has that."""
    if isinstance(at, Path):
        return (at / name).open("rb")
    return open(name, "rb", opener=lambda path, flags: os.open(path, flags, dir_fd=at))


def mapped(file: IO[bytes]) -> NDArray[np.uint8]:
    """The uint8 array in .npy ``file``, mapped copy-on-write: it takes memory only as cache of the file, which the
    system may drop. ValueError where it is of another type or length.
    """
    shape, start = _header(file)
    if os.fstat(file.fileno()).st_size != start + math.prod(shape):
        raise ValueError("the file is shorter or longer than its header says")
    if hasattr(mmap, "MAP_PRIVATE"):
        flags, prot = mmap.MAP_PRIVATE | _NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE
        memory = mmap.mmap(file.fileno(), 0, flags=flags, prot=prot)
    else:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return np.frombuffer(memory, np.uint8, offset=start).reshape(shape)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], int]:
    """(shape, bytes before the data) of a .npy file of bytes."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("a .npy file of another version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran or dtype != np.uint8:
        raise ValueError(f"holds {dtype}, not uint8")
    return shape, file.tell()


def write_header(path: Path, shape: tuple[int, ...]) -> int:
    """Begin, or begin anew, .npy file ``path`` of bytes, with room for them on the disk; returns where they start.

    The header of any number of images has one length. OSError where the disk has too little room.
    """
    with path.open("r+b" if path.exists() else "w+b") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start, size = file.tell(), file.tell() + math.prod(shape)
        file.flush()
        if hasattr(os, "posix_fallocate") and size > os.fstat(file.fileno()).st_size:
            os.posix_fallocate(file.fileno(), 0, size)
        file.truncate(size)
    return start


def joined(digests: Iterable[str]) -> str:
    """The digest of all images, from those of each, in their order."""
    whole = hashlib.sha256()
    for each in digests:
        whole.update(each.encode())
    return whole.hexdigest()


def intact(prepared: Prepared) -> bool:
    """Whether the pixels in the cache are still those that were written; reads them all."""
    with (prepared.folder / "images.npy").open("rb") as file:
        return joined(digest(image) for image in mapped(file)) == prepared.digest


def sync(path: Path) -> None:
    """Flush file ``path`` to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
