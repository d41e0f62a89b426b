"""MAT-files of level 5, as far as SVHN needs them: numeric arrays, compressed or not, read as a stream.

The format is in "MAT-File Format" (The MathWorks). A file is a header of 128 bytes and then elements: a tag (type,
number of bytes), the data, padding to 8 bytes. An array is an element of others: flags, dimensions, name, values.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gankit import DamagedFile
from gankit.data import checked_shape, plain_file

MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_PIECE = 1 << 20
MOST_DIMENSIONS = 8
MOST_NAME = 64

Read = Callable[[int], bytes]


@dataclass(frozen=True)
class Array:
    """An array in the file: its name, its dimensions, and ``read(n)``, which gives its next n values' bytes, the first
    dimension running fastest (as Fortran has it).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    read: Read

    def values(self) -> NDArray[np.generic]:
        """All of it, flat."""
        return np.frombuffer(self.read(math.prod(self.shape) * self.dtype.itemsize), self.dtype)


def arrays(path: Path) -> Iterator[Array]:
    """The arrays in ``path``, one after the other; each must be read before the next is asked for, or is skipped.

    DamagedFile where the file is of another kind, or ends before what its tags promise.
    """
    with plain_file(path) as file:
        head = file.read(128)
        if len(head) < 128 or head[124:128] != b"\x00\x01IM":
            raise DamagedFile(f"{path}: not a MAT-file of level 5 (little-endian); check that it is the published file")
        while tag := file.read(8):
            try:
                kind, size = np.frombuffer(tag, "<u4").tolist()
                start = file.tell()
                if kind == COMPRESSED:
                    inner = _exactly(path, _inflating(file, size))
                    kind, _ = np.frombuffer(inner(8), "<u4").tolist()
                else:
                    inner = _exactly(path, _within(file, size))
                if kind == MATRIX:
                    yield _array(inner)
                file.seek(start + size)
            except (ValueError, KeyError) as error:
                raise DamagedFile(f"{path}: broken at byte {file.tell()} ({error}); fetch it again") from error


def _array(read: Read) -> Array:
    _, flags = _element(read, 8)
    complex_or_worse = flags[1] & 0x08
    _, dimensions = _element(read, 4 * MOST_DIMENSIONS)
    _, name = _element(read, MOST_NAME)
    kind, size, small = _tag(read)
    shape = tuple(np.frombuffer(dimensions, "<i4").tolist())
    dtype = np.dtype(TYPES[kind])
    if complex_or_worse or min(shape) < 0 or size != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name!r} has {size} bytes, not those of {shape} real numbers of type {dtype}")
    checked_shape(shape, dtype.itemsize)
    if small is not None:
        rest = iter([small])
        return Array(name.decode("ascii"), shape, dtype, lambda n: next(rest)[:n])
    return Array(name.decode("ascii"), shape, dtype, read)


def _element(read: Read, most: int) -> tuple[int, bytes]:
    """(type, data) of the next element. ValueError where it has more than ``most`` bytes."""
    kind, size, small = _tag(read)
    if small is not None:
        return kind, small
    if size > most:
        raise ValueError(f"an element of {size} bytes where at most {most} belong")
    return kind, read(-(-size // 8) * 8)[:size]


def _tag(read: Read) -> tuple[int, int, bytes | None]:
    """(type, bytes, the data itself where it is small enough to lie in the tag)."""
    tag = read(8)
    word = int.from_bytes(tag[:4], "little")
    if word >> 16:
        size = word >> 16
        if size > 4:
            raise ValueError(f"a short element of {size} bytes")
        return word & 0xFFFF, size, tag[4 : 4 + size]
    return word, int.from_bytes(tag[4:], "little"), None


def _exactly(path: Path, read: Read) -> Read:
    """``read``, with a DamagedFile where it cannot, or gives less than was asked for."""

    def exactly(n: int) -> bytes:
        try:
            found = read(n)
        except zlib.error as error:
            raise DamagedFile(f"{path}: cannot be unpacked ({error}); fetch it again") from error
        if len(found) < n:
            raise DamagedFile(f"{path}: ends {n - len(found)} bytes before it should; fetch it again")
        return found

    return exactly


def _within(file: IO[bytes], size: int) -> Read:
    """Read ``file``, but no more than ``size`` bytes of it."""
    left = size

    def read(n: int) -> bytes:
        nonlocal left
        found = file.read(min(n, left))
        left -= len(found)
        return found

    return read


def _inflating(file: IO[bytes], size: int) -> Read:
    """Read what ``size`` bytes of ``file`` unpack to, never more at once than is asked for."""
    raw, unpack = _within(file, size), zlib.decompressobj()

    def read(n: int) -> bytes:
        found = bytearray()
        while len(found) < n and not unpack.eof:
            packed = unpack.unconsumed_tail or raw(_PIECE)
            more = unpack.decompress(packed, n - len(found))
            if not packed and not more:
                break
            found += more
        return bytes(found)

    return read
