"""The process that trains cells: `executor.LocalExecutor` starts it and tells it what to do over pipes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import IO, Any

from gankit.core import files
from gankit.core.errors import GankitError
from gankit.core.lock import hold
from gankit.core.progress import show
from gankit.core.signals import STOPPING
from gankit.evaluation.evaluate import index_of
from gankit.lab.measures.health import failure
from gankit.lab.sweeps.cells import Cell
from gankit.lab.sweeps.executor import call, read_frame, write_frame
from gankit.runs.folder import RunFolder
from gankit.training.loop import Interrupted, resume, train
from gankit.training.trainer import NotFinite

FIGURES = "figures.json"
After = tuple[str, Mapping[str, Any]]
"""A function, "module:name", and its arguments besides the run folder: what is made of a run."""


class Stopped(BaseException):
    """A signal of STOPPING came outside a training's loop, which has its own way to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def train_cell(out: str, values: Mapping[str, Any], threads: int, after: After | None, folder: str) -> dict[str, Any]:
    """Train the cell of ``values`` below ``out``, or go on with it exactly where it was begun, and have ``after`` made
    of its run. ``folder``: the working folder that the cell's paths are seen from.

    Returns {"status": "done" | "failed" | "stopped", "reason", "diverged", "seconds"}. A cell that another process
    trains, as one does for a moment whose parent was killed, is waited for.
    """
    cell, began = Cell(**values), time.monotonic()
    root = Path(out) / cell.folder
    status, reason, diverged = "done", "", False
    try:
        os.chdir(folder)
        _train(root, cell, threads)
        make_figures(root, after)
    except (Interrupted, Stopped) as stop:
        status, reason = "stopped", str(stop) if isinstance(stop, Interrupted) else f"stopped by signal {stop.number}"
    except Exception as error:
        status, reason = "failed", one_line(error)
        diverged = isinstance(error, NotFinite) or isinstance(error.__cause__, NotFinite)
        show(f"{cell}: {reason}")
    if diverged:
        try:
            make_figures(root, after)  # that it diverged is a result; what can be measured of it is
        except Exception as error:
            reason += f"; and of what it left nothing could be made: {one_line(error)}"
    return {"status": status, "reason": reason, "diverged": diverged, "seconds": time.monotonic() - began}


def _train(root: Path, cell: Cell, threads: int) -> None:
    with hold(root / ".lock", waiting=f"{root}: waits for the process that trains it"):
        pass
    if not (root / "config.json").exists():
        train(cell.variant, out=root, quiet=True, **{"threads": threads, **cell.flags, "seed": cell.seed})
    elif not finished(root):
        resume(root, quiet=True)


def finished(root: Path) -> bool:
    """Whether run folder ``root`` holds a run that came to its end, index of its checkpoints and all."""
    try:
        run = RunFolder(root)
        checkpoints = root / "checkpoints"
        if not (checkpoints / f"{run.config.train.steps:06d}.pt").is_file():
            return False
        judged = run.config.train.evaluate_every is not None
        return not judged or files.read_object(checkpoints / "index.json") == index_of(run)
    except (GankitError, OSError):
        return False


def made_of(root: Path, after: After) -> str:
    """A digest of what figures.json is made of: the function, its arguments, how far the run is, and why it failed if
    it did: a run that diverged is measured once here and, once that is recorded, once more by the study that asks.
    """
    checkpoints = RunFolder(root).checkpoints()
    step = int(checkpoints[-1].stem) if checkpoints else 0
    text = json.dumps([after[0], dict(after[1]), step, failure(root)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def figures_made(root: Path, after: After | None) -> bool:
    """Whether figures.json of run ``root`` holds what ``after`` would make of it."""
    if after is None:
        return True
    try:
        return bool(files.read_object(root / FIGURES).get("made of") == made_of(root, after))
    except GankitError:
        return False


def make_figures(root: Path, after: After | None) -> None:
    """Write figures.json of run ``root``, where it does not hold already what ``after`` makes of it."""
    if after is None or figures_made(root, after):
        return
    value = call(after[0], root, **after[1])
    files.write_json(root / FIGURES, {"made of": made_of(root, after), "figures": value})


def one_line(error: BaseException) -> str:
    """What went wrong, in one line; the type of what is no error of ours stands before it."""
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, GankitError) else f"{type(error).__name__}: {text}" if text else type(error).__name__
    )


def main() -> None:
    """Run the calls that come on standard input, one after another, and answer on what was standard output.

    Standard output itself becomes standard error, so that nothing a call prints can come between the answers.
    """
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    told: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not told:
            told.append(number)
            raise Stopped(number)

    for name in STOPPING:
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            signal.signal(getattr(signal, name), stop)
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(requests, waiting, busy), daemon=True).start()
    with contextlib.suppress(Stopped, BrokenPipeError):
        while (request := waiting.get()) is not None:
            went_well, value = _answer(request)
            busy.clear()
            leaving = bool(told) or _was_stopped(value)
            write_frame(answers, _pickled(went_well, value, leaving))
            if leaving:
                break
    told.append(0)


def _listen(requests: IO[bytes], waiting: queue.SimpleQueue[bytes | None], busy: threading.Event) -> None:
    """Take requests as they come, one at a time. When the parent is done or dead, end in order what still runs."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            request = read_frame(requests)
            busy.set()
            waiting.put(request)
    waiting.put(None)
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _answer(request: bytes) -> tuple[bool, Any]:
    try:
        function, args, kwargs = pickle.loads(request)
        return True, function(*args, **kwargs)
    except Stopped as stop:
        return False, GankitError(f"stopped by signal {stop.number}")
    except SystemExit as error:
        return False, GankitError(f"the call ended its process: {error}")
    except Exception as error:
        return False, error


def _was_stopped(value: Any) -> bool:
    """Whether a signal came within a training, which tells us by its result alone."""
    return isinstance(value, Interrupted) or (isinstance(value, dict) and value.get("status") == "stopped")


def _pickled(went_well: bool, value: Any, leaving: bool) -> bytes:
    try:
        packed = pickle.dumps((went_well, value, leaving))
        pickle.loads(packed)  # an exception whose class takes other arguments than it keeps cannot be read back
        return packed
    except Exception as error:
        what = one_line(value) if isinstance(value, BaseException) else f"what it returned: {one_line(error)}"
        return pickle.dumps((False, GankitError(what), leaving))
