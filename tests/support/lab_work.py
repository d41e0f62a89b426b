"""Work that the lab's tests have done by its worker processes, and what they compare of sweeps."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from gankit.core import checkpoint
from gankit.core.lock import hold
from gankit.runs.folder import RunFolder


def whoami():
    return os.getpid()


def environment(name):
    return os.environ.get(name)


def kill_oneself():
    os.kill(os.getpid(), signal.SIGKILL)


def chatter():
    print("to standard output, which is the answers' no more")
    os.write(1, b"and past Python\n")
    return sys.stdin.read()


def overlap(folder, seconds):
    """How many calls of this function ran in ``folder`` while this one did."""
    mine = Path(folder) / str(os.getpid())
    mine.touch()
    time.sleep(seconds)
    seen = len(list(Path(folder).iterdir()))
    mine.unlink()
    return seen


def announce_and_wait(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def refuse(word):
    raise KeyError(word)


def last_step(root, bonus=0):
    """Made of a run after its training."""
    with (root / "called").open("a") as calls:
        calls.write("x")
    return RunFolder(root).metrics()[-1]["step"] + bonus


def bits(out):
    """What must not depend on kills: records and the last weights of each run of a sweep, by folder."""
    found = {}
    for root in sorted(path.parent for path in Path(out).glob("*/seed-*/config.json")):
        tensors, meta = checkpoint.load(RunFolder(root).checkpoints()[-1])
        weights = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
        found[root.relative_to(out).as_posix()] = ((root / "metrics.jsonl").read_bytes(), meta["step"], weights)
    return found


def workers_of(pid):
    """The process ids of the children of process ``pid``."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []


def until(condition, seconds=60.0):
    """Wait until ``condition()`` holds and return what it gave."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.02)
    return found


def die(root):
    kill_oneself()


def die_the_first_time(root):
    if not (root / "died").exists():
        (root / "died").touch()
        kill_oneself()


def hold_and_wait(out):
    with hold(Path(out) / ".lock"):
        print("held", flush=True)
        time.sleep(60)
