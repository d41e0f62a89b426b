"""Files of strangers, opened and unpacked within bounds: what a header promises is not believed, nor is what comes
without an end. Imports no PyTorch: the processes that decode pictures run this, too.
"""

from __future__ import annotations

import io
import math
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gankit.core.errors import DamagedFile, UsageError

VARIABLE = "GANKIT_MOST_BYTES"
DEFAULT = 4 * 2**30
PIECE = 1 << 20


def most_bytes() -> int:
    """How many bytes one file may unpack to: 4 GiB, or what the environment's GANKIT_MOST_BYTES says."""
    given = os.environ.get(VARIABLE, "")
    if given and not (given.isdecimal() and len(given) < 19):
        raise UsageError(f"{VARIABLE}={given}: must be a whole number of bytes")
    return int(given) if given else DEFAULT


def too_large(size: int) -> str:
    """What is wrong with a file that would become ``size`` bytes."""
    return f"unpacks to {size:,} bytes or more, over the {most_bytes():,} that {VARIABLE} allows"


def plain_file(path: Path) -> BinaryIO:
    """``path`` opened to be read. DamagedFile where it is no plain file: a pipe would be waited for for ever."""
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise DamagedFile(f"{path}: is a pipe, a device or a folder; name a plain file")
    return open(number, "rb")


def unpacked_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of file ``name`` in a zip. ValueError where its entry says more than may be; where there are more than
    it says these are left out, and the checksum fails.

    Piece by piece: `ZipFile.read` unpacks all there is before it looks at the entry.
    """
    size = archive.getinfo(name).file_size
    if size > most_bytes():
        raise ValueError(too_large(size))
    found = io.BytesIO()
    with archive.open(name) as file:
        while piece := file.read(PIECE):
            found.write(piece)
    return found.getvalue()


class Bounded(io.RawIOBase):
    """Of ``file`` no more than ``most`` bytes together; ValueError where more are asked for at once, or in all."""

    def __init__(self, file: IO[bytes] | io.BufferedIOBase, most: int) -> None:
        self.file, self.most, self.left = file, most, most

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0 or size > self.left:
            raise ValueError(f"unpacks to more than {self.most:,} bytes")
        found = self.file.read(size)
        self.left -= len(found)
        return found


def checked_shape(shape: Iterable[int], itemsize: int) -> int:
    """The bytes of an array whose header says ``shape``. ValueError where no array has it, or it is too large."""
    sides = tuple(shape)
    if any(n < 0 for n in sides):
        raise ValueError(f"its header says {sides}, which is no shape")
    size = math.prod(sides) * itemsize
    if size > most_bytes():
        raise ValueError(too_large(size))
    return size


@contextmanager
def npz_member(path: Path, name: str) -> Iterator[tuple[tuple[int, ...], bool, np.dtype[np.generic], IO[bytes]]]:
    """(shape, whether in Fortran's order, type, the file where its values begin) of array ``name`` in an .npz. Raises
    what NumPy and zipfile do.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        yield *header(file), file


def npz_array(path: Path, name: str) -> NDArray[np.generic]:
    """Array ``name`` of an .npz file. Raises what ``npz_member`` does; ValueError where its header is not to be
    believed, or its values are pickled.
    """
    with npz_member(path, name) as (shape, _, dtype, file):
        checked_shape(shape, dtype.itemsize)
        file.seek(0)
        found: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
        return found
