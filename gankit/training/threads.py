"""How many threads a training takes on a CPU, and whether others keep them off the cores."""

from __future__ import annotations

import os
import time

import torch

from gankit.core.cores import Load, cores, waited

SETTINGS = (
    "OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC", "OMP_PLACES", "OMP_PROC_BIND", "MKL_NUM_THREADS",
    "GOMP_CPU_AFFINITY", "KMP_AFFINITY",
)  # fmt: skip
"""A user who set one of these has decided; PyTorch's number follows from it."""
LOOK = 0.1
"""Seconds over which the load is looked at, at least."""
HELD_UP = 0.25
"""Share of the time that the threads of a run waited for a core, from which the run says so."""
LONG = 5.0

_set: tuple[int, int] | None = None


def choose_threads(since: Load | None) -> int:
    """The threads of a run that did not ask for a number: as many as PyTorch would take, at most the cores that the
    process may use, without those that others have kept busy ``since`` then.

    A thread whose core another process uses holds up all the others, at the end of each of PyTorch's loops. A run
    that cannot be held up gives no ``since``.
    """
    found = _set[1] if _set is not None and torch.get_num_threads() == _set[0] else torch.get_num_threads()
    if any(os.environ.get(name) for name in SETTINGS):
        return found
    free = cores()
    if since is not None and min(found, free) > 1:
        time.sleep(max(0.0, since.wall + LOOK - time.monotonic()))
        free -= int(since.others() + 0.5)
    return max(1, min(found, free))


def set_threads(threads: int) -> None:
    """PyTorch's own ops use ``threads`` from now on. What they used before is remembered for `choose_threads`."""
    global _set
    before = torch.get_num_threads()
    _set = threads, _set[1] if _set is not None and before == _set[0] else before
    torch.set_num_threads(threads)


class HeldUp:
    """Tells once that other processes keep the threads of a run off the cores."""

    def __init__(self) -> None:
        self._since, self._waited, self._told = time.monotonic(), waited(), False

    def told(self, remedy: str) -> str | None:
        """A line with the ``remedy``, the first time that the threads waited long since the last call; else None."""
        now = time.monotonic()
        if self._told or now - self._since < LONG:
            return None
        delay, passed = waited(), now - self._since
        share = max(0.0, delay - self._waited) / passed
        self._since, self._waited = now, delay
        if share < HELD_UP:
            return None
        self._told = True
        return (
            f"other processes use the same cores: for {share * passed:.0f} of the last {passed:.0f} s threads of this "
            f"run were ready and had none; {remedy}"
        )
