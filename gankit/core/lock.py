"""Locks between processes, by the package filelock, which PyTorch brings. A lock dies with its holder, where the system
has locks of files: a killed process leaves none behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gankit.core.errors import UsageError
from gankit.core.files import explained
from gankit.core.progress import show


@contextlib.contextmanager
def hold(path: Path, *, waiting: str = "", busy: str = "") -> Iterator[None]:
    """Hold lock file ``path`` in this block.

    Where another process holds it: UsageError ``busy`` if that is given, else wait for it, after saying ``waiting``.
    """
    from filelock import FileLock, Timeout  # which imports asyncio; the command line need not wait for it

    lock = FileLock(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if busy:
                raise UsageError(busy) from error
            if waiting:
                show(waiting)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def beside(path: Path) -> Path:
    """The lock file of the one process that makes ``path``."""
    return path.with_name(f".{path.name}.lock")
