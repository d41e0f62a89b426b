"""Signals that ask for an orderly end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Signals that ask for an end: Ctrl-C, a request, a terminal that was closed, a cluster that needs the machine soon."""


@contextmanager
def caught(tell: Callable[[int], None] | None = None, *, lasting: bool = False) -> Iterator[list[int]]:
    """A list that each of STOPPING puts its number into, and ``tell`` is called with it; a second one ends the process
    as usual, unless this is ``lasting``, for a process that gets each from its terminal and from its launcher.

    One that was ignored before, as `nohup` has SIGHUP ignored, stays so. Only the main thread can catch any.
    """
    numbers: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield numbers
        return

    def catch(number: int, frame: FrameType | None) -> None:
        numbers.append(number)
        if not lasting:
            signal.signal(number, before[number])
        if tell is not None:
            tell(number)

    known = [int(getattr(signal, name)) for name in STOPPING if hasattr(signal, name)]
    heeded = [number for number in known if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before: dict[int, Any] = {number: signal.signal(number, catch) for number in heeded}
    try:
        yield numbers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
