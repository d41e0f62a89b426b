"""Memory that fast convolutions use again and again."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

LINE = 16
"""Numbers in a line of the cache."""


class Scratch(threading.local):
    """Memory that each product uses again, one for each thread. Freed after each, it would be taken up by what a step
    keeps, and the peak of CycleGAN at 128 pixels would be a tenth higher.
    """

    def __init__(self) -> None:
        self.held: dict[str, Tensor] = {}

    def take(self, use: str, size: int) -> Tensor:
        """``size`` numbers of float32, not cleared, to be used until the next of the same ``use``."""
        if use not in self.held or self.held[use].numel() < size:
            self.held.pop(use, None)  # first, so that two are never held
            with torch.inference_mode(False):  # else it could not be written to outside of that mode
                self.held[use] = torch.empty(size, dtype=torch.float32)
        return self.held[use][:size]


_scratch = Scratch()


def matrices(use: str, count: int, rows: int, columns: int) -> Tensor:
    """[count, rows, columns] of float32, not cleared, to be used until the next of the same ``use``. Each matrix begins
    a line of the cache further than it has to: not at a power of two, where all of them would meet in one of its sets.
    """
    apart = -(-rows * columns // LINE) * LINE + LINE
    return _scratch.take(use, count * apart).as_strided((count, rows, columns), (apart, columns, 1))


def cut(n: int, parts: int) -> list[slice]:
    """0 .. n in ``parts`` parts of about the same size, none of them empty but where n is 0."""
    parts = max(1, min(n, parts))
    return [slice(n * part // parts, n * (part + 1) // parts) for part in range(parts)]
