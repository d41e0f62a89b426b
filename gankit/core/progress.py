"""Progress on standard error: one line rewritten in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO


def show(text: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Write ``text`` for the person watching, to standard error by default. Where that is closed, full or broken nobody
    watches, and what was being done goes on.
    """
    stream = stream or sys.stderr
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            print(text, end=end, file=stream, flush=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether ``stream`` is a terminal; a closed one, or none at all, is not."""
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False


class Progress:
    """Shows step, images per second, losses and time left."""

    def __init__(self, steps: int, stream: TextIO | None = None) -> None:
        self.steps, self.stream = steps, stream or sys.stderr
        self.live = is_terminal(self.stream)

    def update(self, row: Mapping[str, Any], images_per_second: float, seconds_per_step: float) -> None:
        """Show the last recorded step."""
        losses = {name.removesuffix("/loss"): value for name, value in row.items() if name.endswith("/loss")}
        shown = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
        left = duration((self.steps - row["step"]) * seconds_per_step)
        text = f"step {row['step']}/{self.steps}  {images_per_second:,.0f} images/s  {shown}  {left} left"
        show(f"\r\x1b[K{text}" if self.live else text, self.stream, end="" if self.live else "\n")

    def note(self, text: str) -> None:
        """A line of its own."""
        show(f"\r\x1b[K{text}" if self.live else text, self.stream)

    def close(self) -> None:
        """Leave the cursor on a fresh line."""
        if self.live:
            show("", self.stream)


class ProgressBar:
    """Shows how much of a job is done: at once on a terminal, else a line each ten seconds; nothing of a short one.

    ``total`` counts in units of ``1 / scale``; None where it is not known.
    """

    def __init__(
        self, what: str, total: int | None, unit: str, *, scale: float = 1, stream: TextIO | None = None
    ) -> None:
        self.what, self.total, self.unit, self.scale = what, total, unit, scale
        self.stream = stream or sys.stderr
        self.live = is_terminal(self.stream)
        self._start = time.monotonic()
        self._next, self._shown = self._start + (0.2 if self.live else 2), False

    def update(self, done: int) -> None:
        """Say that ``done`` of the total is done."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next, self._shown = now + (0.2 if self.live else 10), True
        rate = done / (now - self._start)
        left = f"  {duration((self.total - done) / rate)} left" if self.total and rate else ""
        of = f" of {self._number(self.total)}" if self.total else ""
        text = f"{self.what}: {self._number(done)}{of} {self.unit}  {self._number(rate)} {self.unit}/s{left}"
        show(f"\r\x1b[K{text}" if self.live else text, self.stream, end="" if self.live else "\n")

    def close(self) -> None:
        """Leave the cursor on a fresh line."""
        if self.live and self._shown:
            show("", self.stream)

    def _number(self, value: float) -> str:
        return f"{value / self.scale:,.0f}" if self.scale == 1 else f"{value / self.scale:,.1f}"


class JobsProgress:
    """Shows how many of several jobs are done, running and failed, and the time left: one line on a terminal, else a
    line where a job ends, and each minute.
    """

    def __init__(self, what: str, total: int, stream: TextIO | None = None) -> None:
        self.what, self.total, self.stream = what, total, stream or sys.stderr
        self.live = is_terminal(self.stream)
        self._next = time.monotonic() + 60

    def update(self, done: int, running: int, failed: int, left: float | None = None, ended: str = "") -> None:
        """Say where the jobs are. ``left``: seconds; ``ended``: the job that ended, for those who read lines."""
        now = time.monotonic()
        if not (self.live or ended or now >= self._next):
            return
        self._next = now + 60
        text = f"{self.what}: {done} of {self.total} done, {running} running, {failed} failed"
        if left is not None and done + failed < self.total:
            text += f", {duration(left)} left"
        if self.live:
            show(f"\r\x1b[K{text}", self.stream, end="")
        else:
            show(f"{text}  ({ended})" if ended else text, self.stream)

    def note(self, text: str) -> None:
        """A line of its own."""
        show(f"\r\x1b[K{text}" if self.live else text, self.stream)

    def close(self) -> None:
        """Leave the cursor on a fresh line."""
        if self.live:
            show("", self.stream)


class Clock:
    """Wall-clock time since the last ``lap``."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = time.perf_counter()
        self._since, passed = now, now - self._since
        return passed


def duration(seconds: float) -> str:
    """4 s, 3 min 20 s, 2 h 05 min."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def warn(text: str) -> None:
    """A line for the person watching, on standard error; of several ranks the first of each host writes it."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        show(f"Warning: {text}")
