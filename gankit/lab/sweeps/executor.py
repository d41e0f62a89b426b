"""Where the cells of a sweep run: `concurrent.futures.Executor`s, local processes by default or a Dask cluster."""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from gankit.core.errors import GankitError, UsageError

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that a worker without work is given to end on its own."""


class WorkerDied(GankitError):
    """The process that did the work ended before it, whatever ended it."""


def write_frame(stream: IO[bytes], value: bytes) -> None:
    """Write ``value`` with its length before it."""
    stream.write(struct.pack(">Q", len(value)) + value)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes:
    """The next value that ``write_frame`` wrote. EOFError where the other end has gone, in the midst of one too."""
    (length,) = struct.unpack(">Q", _exactly(stream, 8))
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], length: int) -> bytes:
    found = stream.read(length)
    if len(found) < length:
        raise EOFError
    return found


def call(dotted: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call function "module:name", imported where it runs."""
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)(*args, **kwargs)


class Worker:
    """A process that runs one call after another; it ends when its standard input does, as when we die."""

    def __init__(self, environment: dict[str, str], log: Path | None) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from gankit.lab.sweeps.worker import main; main()"
        errors = log.open("ab") if log is not None else None
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment,
            )  # fmt: skip
        finally:
            if errors is not None:
                errors.close()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        self.leaving = False

    def ask(self, request: bytes) -> tuple[bool, Any]:
        """(whether it went well, result or exception) of a pickled call. WorkerDied where the process ended first."""
        try:
            write_frame(self.requests, request)
            went_well, value, self.leaving = pickle.loads(read_frame(self.answers))
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise WorkerDied(f"its process ended before it: {self.end()}") from error
        return went_well, value

    def end(self) -> str:
        """Let the process end, kill it where it does not, and say how it ended."""
        with contextlib.suppress(OSError):
            self.requests.close()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.answers.close()
        if status >= 0:
            return f"exit code {status}"
        name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
        return f"{name}, too little memory?" if name == "SIGKILL" else name


class LocalExecutor(Executor):
    """``jobs`` worker processes on this machine, of ``threads`` threads each.

    `ProcessPoolExecutor` would not do: a worker that is killed breaks that pool whole, where here it fails its own
    future alone and is replaced; its workers outlive a killed parent, where ours notice it, write a checkpoint and end;
    and it imports the user's main module again, which needs a main guard.

    A worker imports PyTorch once and runs one call after another. ``gpus``: CUDA_VISIBLE_DEVICES of each place in turn;
    ``log``: the file that takes what workers print, by default standard error.
    """

    def __init__(
        self, jobs: int, threads: int | None = None, gpus: Sequence[str] = (), log: str | Path | None = None
    ) -> None:
        self.places = jobs
        self.threads, self.gpus, self.log = threads, tuple(gpus), None if log is None else Path(log)
        self._calls: queue.SimpleQueue[tuple[Future[Any], bytes] | None] = queue.SimpleQueue()
        self._workers: dict[int, Worker] = {}
        self._lock = threading.Lock()
        self._closed = self._stopped = False
        self._feeders = [threading.Thread(target=self._feed, args=(place,), daemon=True) for place in range(jobs)]
        for feeder in self._feeders:
            feeder.start()

    def environment(self, place: int) -> dict[str, str]:
        """The environment of the worker in ``place``: it is read when PyTorch is imported."""
        found = dict(os.environ)
        if self.threads is not None:
            found |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(self.threads))
        if self.gpus:
            found["CUDA_VISIBLE_DEVICES"] = self.gpus[place % len(self.gpus)]
        return found

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a worker call ``fn``, which it must be able to import; arguments and result are pickled."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        self._calls.put((future, pickle.dumps((fn, args, kwargs))))
        return future

    def _feed(self, place: int) -> None:
        """Hand calls to the worker in ``place``, one after another, until None comes."""
        while (taken := self._calls.get()) is not None:
            future, request = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                worker = self._worker(place)
                went_well, value = worker.ask(request)
            except BaseException as error:
                self._drop(place)
                future.set_exception(error)
                continue
            if worker.leaving:
                self._drop(place)
            if went_well:
                future.set_result(value)
            else:
                future.set_exception(value)
        self._drop(place)

    def _worker(self, place: int) -> Worker:
        with self._lock:
            if self._stopped:
                raise WorkerDied("stopped before it began")
            if place not in self._workers:
                self._workers[place] = Worker(self.environment(place), self.log)
            return self._workers[place]

    def _drop(self, place: int) -> None:
        with self._lock:
            worker = self._workers.pop(place, None)
        if worker is not None:
            worker.end()

    def stop(self) -> None:
        """Ask what runs to stop as SIGTERM asks a training, with a checkpoint; nothing new is begun."""
        with self._lock:
            self._stopped = True
            for worker in self._workers.values():
                worker.process.terminate()

    def kill(self) -> None:
        """End the workers, whatever they do."""
        with self._lock:
            self._stopped = True
            for worker in self._workers.values():
                worker.process.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the workers end when they have none left."""
        if not self._closed:
            self._closed = True
            if cancel_futures:
                with contextlib.suppress(queue.Empty):
                    while (taken := self._calls.get_nowait()) is not None:
                        taken[0].cancel()
            for _ in self._feeders:
                self._calls.put(None)
        if wait:
            for feeder in self._feeders:
                feeder.join()


_OWN = threading.local()


def in_own_process(threads: int, dotted: str, /, *args: Any, **kwargs: Any) -> Any:
    """``call`` in a process that the calling thread has to itself: the threads of a Dask worker would share PyTorch's
    generator and number of threads, and could catch no signals. It ends in order where the Dask worker dies.
    """
    own: LocalExecutor | None = getattr(_OWN, "executor", None)
    if own is None or own.threads != threads:
        if own is not None:
            own.shutdown()
        own = _OWN.executor = LocalExecutor(1, threads)
    return own.submit(call, dotted, *args, **kwargs).result()


@contextlib.contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """(the executor, how many calls at a time) of the Dask cluster whose scheduler is at ``address``, in this block.

    UsageError where Dask is not installed, or nothing answers.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise UsageError("--cluster needs Dask: pip install 'gankit[cluster]'") from error
    try:
        client = distributed.Client(address, timeout=20, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"--cluster {address}: no Dask scheduler answers there ({error})") from error
    with client:
        yield client.get_executor(), max(1, sum(client.nthreads().values()))
