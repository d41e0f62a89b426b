"""What a process that decodes pictures does; it imports no more than that needs, so that it starts at once.

It is told its job in one line of JSON and then one chunk of pictures a line; it answers each with a line. Where the
process that started it is killed its standard input ends, and so does it.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
import tarfile
import traceback
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image

from gankit.data.decoding import UNREADABLE, Frame, Range, Source, depth, digest, extent, framed, is_grey, unwarned
from gankit.data.unpacking import unpacked_member

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_BYTES = 1 << 23
CHUNK = 64
"""Pictures that are handed out at once, and at most how many bytes they become."""

Name = str | int


@dataclass(frozen=True)
class Job:
    """Pictures to decode into file ``output`` from byte ``start`` on, as uint8 [N,C,H,W].

    ``kind`` is "folder" (names are files below ``source``), "zip" or "tar" (members of it), or "array" (rows of the
    .npy file, uint8 [N,C,H,W]).
    """

    output: str
    start: int
    frame: Frame
    kind: str
    source: str

    @property
    def image_bytes(self) -> int:
        """Bytes of one image in the output."""
        return math.prod(self.frame.shape)

    @property
    def chunk(self) -> int:
        """How many pictures are handed out at once."""
        return max(1, min(CHUNK, CHUNK_BYTES // self.image_bytes))


@dataclass
class Done:
    """What became of some pictures: the sha256 of each, cut to 16 bytes; and why some could not be read, by place.

    ``counts``: how many were "grey" and "colour" as they lay there, how many of each kind of more than eight bits;
    ``extents``: of each such kind the least and the greatest value.
    """

    digests: dict[int, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    extents: dict[str, Range] = field(default_factory=dict)

    def note(self, image: Image.Image) -> None:
        """Count ``image``, a picture as it lies there."""
        kind, tint = depth(image), "grey" if is_grey(image) else "colour"
        self.counts[tint] = self.counts.get(tint, 0) + 1
        if kind is not None:
            found = extent(image)
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self._widen(kind, *([found] if found else []))

    def merge(self, more: Done) -> None:
        """Add what became of other pictures."""
        self.digests |= more.digests
        self.failed |= more.failed
        for what, count in more.counts.items():
            self.counts[what] = self.counts.get(what, 0) + count
        for kind, found in more.extents.items():
            self._widen(kind, found)

    def _widen(self, kind: str, *found: Range) -> None:
        both = [*([self.extents[kind]] if kind in self.extents else []), *found]
        if both:
            self.extents[kind] = min(low for low, _ in both), max(high for _, high in both)


def main() -> None:
    """What a worker does."""
    job = _job(json.loads(sys.stdin.buffer.readline()))
    reading = reader(job)
    try:
        with open(job.output, "r+b", buffering=0) as output:
            for line in sys.stdin.buffer:
                first, names = json.loads(line)
                done = chunk(job, reading, output, first, names)
                print(json.dumps([done.digests, done.failed, done.counts, done.extents]), flush=True)
    except BrokenPipeError:
        os._exit(1)
    except Exception:
        traceback.print_exc()
        os._exit(1)


def _job(values: dict[str, object]) -> Job:
    frame = values.pop("frame")
    assert isinstance(frame, dict)
    return Job(frame=Frame(**frame), **values)  # type: ignore[arg-type]


def reader(job: Job) -> Callable[[Name], Source]:
    """A function from a picture's name to something ``framed`` takes."""
    if job.kind == "folder":
        return lambda name: os.path.join(job.source, str(name))
    if job.kind == "zip":
        archive = zipfile.ZipFile(job.source)
        return lambda name: io.BytesIO(unpacked_member(archive, str(name)))
    if job.kind == "tar":
        with tarfile.open(job.source, "r:") as tar:
            places = {member.name: (member.offset_data, member.size) for member in tar}
        return lambda name: _cut(job.source, *places[str(name)])
    rows = np.load(job.source, mmap_mode="r", allow_pickle=False)
    return lambda index: Image.fromarray(_last(rows[index]))


def _cut(path: str, start: int, size: int) -> io.BytesIO:
    """The bytes of a file in a tar, which lie there as they are."""
    with open(path, "rb") as file:
        file.seek(start)
        return io.BytesIO(file.read(size))


def _last(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[C,H,W] -> [H,W,C], or [H,W] of one channel."""
    return np.ascontiguousarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))


def chunk(job: Job, reading: Callable[[Name], Source], output: IO[bytes], first: int, names: Sequence[Name]) -> Done:
    """Decode ``names`` and write them to the places from ``first`` on; what cannot be read leaves zeros."""
    frame, done = job.frame, Done()
    block = np.zeros((len(names), *frame.shape), np.uint8)
    with unwarned():
        for i, name in enumerate(names):
            seen = Done()
            try:
                block[i] = framed(reading(name), frame, seen.note).transpose(2, 0, 1)
            except UNREADABLE as error:
                done.failed[first + i] = f"{type(error).__name__}: {error}"
                continue
            done.merge(seen)
            done.digests[first + i] = digest(block[i])
    write_at(output.fileno(), block.data.cast("B"), job.start + first * job.image_bytes)
    return done


def write_at(file: int, data: memoryview, place: int) -> None:
    """Write all of ``data`` at byte ``place``: one call may write less."""
    while data:
        written = os.pwrite(file, data, place)
        data, place = data[written:], place + written
