"""Pictures decoded on all cores, by processes that import no PyTorch and write straight into the array's file.

A worker is a process of its own rather than one of `multiprocessing`, which would import the user's main module again.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from gankit.core.cores import cores
from gankit.core.errors import GankitError
from gankit.core.progress import ProgressBar
from gankit.data.decode_worker import Done, Job, Name, chunk, reader

FEW = 256
"""So many pictures are decoded sooner than workers start."""


def decode(job: Job, names: Sequence[Name], tally: ProgressBar) -> Done:
    """Decode all ``names``, the first to the first place. GankitError where a worker ends before its work."""
    done = Done()
    chunks = [(first, list(names[first : first + job.chunk])) for first in range(0, len(names), job.chunk)]
    count = min(cores(), len(chunks))
    if len(names) <= FEW or count == 1 or not sys.executable:
        reading = reader(job)
        with open(job.output, "r+b", buffering=0) as output:
            for first, some in chunks:
                done.merge(chunk(job, reading, output, first, some))
                tally.update(len(done.digests) + len(done.failed))
        return done
    waiting: queue.SimpleQueue[tuple[int, list[Name]]] = queue.SimpleQueue()
    for each in chunks:
        waiting.put(each)
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
                done.merge(answer)
                tally.update(len(done.digests) + len(done.failed))
        finally:
            for worker in workers:
                worker.stop()
    return done


class Worker:
    """A process that decodes. It is in a session of its own, so that Ctrl-C reaches only the one that started it."""

    def __init__(self, job: Job) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from gankit.data.decode_worker import main; main()"
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
                digests, failed, counts, extents = json.loads(line)
                digests, failed = ({int(place): what for place, what in each.items()} for each in (digests, failed))
                answers.put(Done(digests, failed, counts, {kind: (low, high) for kind, (low, high) in extents.items()}))
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
