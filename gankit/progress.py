"""Progress on standard error: one line rewritten in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO


class Progress:
    """Shows step, images per second, losses and time left."""

    def __init__(self, steps: int, stream: TextIO | None = None) -> None:
        self.steps, self.stream = steps, stream or sys.stderr
        self.live = self.stream.isatty()

    def update(self, row: Mapping[str, Any], images_per_second: float, seconds_per_step: float) -> None:
        """Show the last recorded step."""
        losses = {name.removesuffix("/loss"): value for name, value in row.items() if name.endswith("/loss")}
        shown = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
        left = duration((self.steps - row["step"]) * seconds_per_step)
        text = f"step {row['step']}/{self.steps}  {images_per_second:,.0f} images/s  {shown}  {left} left"
        print(f"\r\x1b[K{text}" if self.live else text, end="" if self.live else "\n", file=self.stream, flush=True)

    def note(self, text: str) -> None:
        """A line of its own."""
        print(f"\r\x1b[K{text}" if self.live else text, file=self.stream, flush=True)

    def close(self) -> None:
        """Leave the cursor on a fresh line."""
        if self.live:
            print(file=self.stream, flush=True)


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
