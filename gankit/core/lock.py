"""Locks between processes. A lock dies with its holder, so a killed process leaves none behind."""

from __future__ import annotations

import contextlib
import fcntl
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
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if busy:
                raise UsageError(busy) from error
            if waiting:
                show(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def beside(path: Path) -> Path:
    """The lock file of the one process that makes ``path``."""
    return path.with_name(f".{path.name}.lock")
