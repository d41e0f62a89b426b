"""Pictures decoded on all cores, by processes that import no PyTorch and write straight into the array's file.

A worker is told its job in one line of JSON and then one chunk of pictures a line; it answers each with a line. It is a
process of its own rather than one of `multiprocessing`, which would import the user's main module again. Where the
process that started it is killed its standard input ends, and so does it.
"""

from __future__ import annotations

import io
import json
import os
import queue
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gankit.cache import digest
from gankit.decoding import UNREADABLE, Frame, Source, framed, unwarned
from gankit.errors import GankitError
from gankit.progress import Tally

FEW = 256
"""So many pictures are decoded sooner than workers start."""
_CHUNK_BYTES = 1 << 23
_CHUNK = 64

Name = str | int


@dataclass(frozen=True)
class Job:
    """Pictures to decode into file ``output`` from byte ``start`` on, as uint8 [N,C,S,S].

    ``kind`` is "folder" (names are files below ``source``), "zip" (members of it), or "array" (rows of the .npy file,
    uint8 [N,C,H,W]).
    """

    output: str
    start: int
    frame: Frame
    kind: str
    source: str

    @property
    def image_bytes(self) -> int:
        """Bytes of one image in the output."""
        return self.frame.channels * self.frame.size**2

    @property
    def chunk(self) -> int:
        """How many pictures are handed out at once."""
        return max(1, min(_CHUNK, _CHUNK_BYTES // self.image_bytes))


@dataclass
class Done:
    """What became of some pictures: the sha256 of each, cut to 16 bytes; and why some could not be read, by place."""

    digests: dict[int, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode(job: Job, names: Sequence[Name], tally: Tally) -> Done:
    """Decode all ``names``, the first to the first place. GankitError where a worker ends before its work."""
    done = Done()
    chunks = [(first, list(names[first : first + job.chunk])) for first in range(0, len(names), job.chunk)]
    count = min(cores(), len(chunks))
    if len(names) <= FEW or count == 1 or not sys.executable:
        reading = reader(job)
        with open(job.output, "r+b", buffering=0) as output:
            for first, some in chunks:
                _merge(done, _chunk(job, reading, output, first, some))
                tally.update(len(done.digests) + len(done.failed))
        return done
    waiting: queue.SimpleQueue[tuple[int, list[Name]]] = queue.SimpleQueue()
    for chunk in chunks:
        waiting.put(chunk)
    answers: queue.SimpleQueue[Done | Exception] = queue.SimpleQueue()
    workers = [Worker(job) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        try:
            for worker in workers:
                pool.submit(worker.feed, waiting, answers)
            for _ in chunks:
                answer = answers.get()
                if isinstance(answer, Exception):
                    raise answer
                _merge(done, answer)
                tally.update(len(done.digests) + len(done.failed))
        finally:
            for worker in workers:
                worker.stop()
    return done


def _merge(done: Done, more: Done) -> None:
    done.digests |= more.digests
    done.failed |= more.failed


class Worker:
    """A process that decodes. It is in a session of its own, so that Ctrl-C reaches only the one that started it."""

    def __init__(self, job: Job) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from gankit.workers import main; main()"
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by stop
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True,
        )  # fmt: skip
        self.job = job

    def feed(
        self, waiting: queue.SimpleQueue[tuple[int, list[Name]]], answers: queue.SimpleQueue[Done | Exception]
    ) -> None:
        """Have chunks decoded until none is left."""
        some: list[Name] = []
        try:
            self._say(asdict(self.job))
            while True:
                try:
                    first, some = waiting.get_nowait()
                except queue.Empty:
                    return
                self._say([first, some])
                assert self.process.stdout is not None
                line = self.process.stdout.readline()
                if not line:
                    raise EOFError
                digests, failed = json.loads(line)
                answers.put(Done({int(k): v for k, v in digests.items()}, {int(k): v for k, v in failed.items()}))
        except (OSError, EOFError, ValueError):
            answers.put(GankitError(f"a process that decodes pictures ended ({self._why()}) at {_span(some)}"))

    def _say(self, value: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value).encode() + b"\n")
        self.process.stdin.flush()

    def _why(self) -> str:
        status = self.process.wait()
        self.errors.seek(0)
        last = self.errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return last[0] if last else f"signal {-status}: too little memory?" if status < 0 else f"status {status}"

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.errors):
            if stream is not None:
                stream.close()
        try:
            if self.process.stdin is not None:
                self.process.stdin.close()
        except BrokenPipeError:
            pass


def _span(names: list[Name]) -> str:
    return f"one of {names[0]} to {names[-1]}" if names else "its start"


def main() -> None:
    """What a worker does."""
    job = _job(json.loads(sys.stdin.buffer.readline()))
    reading = reader(job)
    try:
        with open(job.output, "r+b", buffering=0) as output:
            for line in sys.stdin.buffer:
                first, names = json.loads(line)
                done = _chunk(job, reading, output, first, names)
                print(json.dumps([done.digests, done.failed]), flush=True)
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
        return lambda name: io.BytesIO(archive.read(str(name)))
    rows = np.load(job.source, mmap_mode="r", allow_pickle=False)
    return lambda index: Image.fromarray(_last(rows[index]))


def _last(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[C,H,W] -> [H,W,C], or [H,W] of one channel."""
    return np.ascontiguousarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))


def _chunk(job: Job, reading: Callable[[Name], Source], output: IO[bytes], first: int, names: Sequence[Name]) -> Done:
    """Decode ``names`` and write them to the places from ``first`` on; what cannot be read leaves zeros."""
    frame, done = job.frame, Done()
    block = np.zeros((len(names), frame.channels, frame.size, frame.size), np.uint8)
    with unwarned():
        for i, name in enumerate(names):
            try:
                block[i] = framed(reading(name), frame).transpose(2, 0, 1)
            except UNREADABLE as error:
                done.failed[first + i] = f"{type(error).__name__}: {error}"
                continue
            done.digests[first + i] = digest(block[i])
    write_at(output.fileno(), block.data.cast("B"), job.start + first * job.image_bytes)
    return done


def write_at(file: int, data: memoryview, place: int) -> None:
    """Write all of ``data`` at byte ``place``: one call may write less."""
    while data:
        written = os.pwrite(file, data, place)
        data, place = data[written:], place + written
