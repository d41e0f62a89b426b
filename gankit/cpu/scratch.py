"""Scratch memory of the Winograd convolutions."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

CACHE_LINE = 16
"""Numbers of float32 in a cache line."""


class Scratch(threading.local):
    """Blocks of memory, by use and thread, that are kept from one product to the next. If they were freed, tensors that
    a step keeps would fragment the memory, and the peak of CycleGAN at 128 pixels would be a tenth higher.
    """

    def __init__(self) -> None:
        self.blocks: dict[str, Tensor] = {}

    def take(self, use: str, size: int) -> Tensor:
        """``size`` uninitialised numbers of float32, valid until the next call with the same ``use``."""
        if use not in self.blocks or self.blocks[use].numel() < size:
            self.blocks.pop(use, None)  # first, so that the old and the new block are never held together
            with torch.inference_mode(False):  # otherwise it could not be written to outside inference mode
                self.blocks[use] = torch.empty(size, dtype=torch.float32)
        return self.blocks[use][:size]


_scratch = Scratch()


def matrices(use: str, count: int, rows: int, columns: int) -> Tensor:
    """Uninitialised [count, rows, columns] of float32, valid until the next call with the same ``use``. One cache line
    of padding follows each matrix: at distances that are powers of two they would all map to the same cache set.
    """
    stride = -(-rows * columns // CACHE_LINE) * CACHE_LINE + CACHE_LINE
    return _scratch.take(use, count * stride).as_strided((count, rows, columns), (stride, columns, 1))


def split_evenly(n: int, parts: int) -> list[slice]:
    """Split 0 .. n into at most ``parts`` slices of about the same size, none of them empty unless n is 0."""
    parts = max(1, min(n, parts))
    return [slice(n * part // parts, n * (part + 1) // parts) for part in range(parts)]
