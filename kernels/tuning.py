"""Block sizes of the Triton kernels: one table, looked up, never tuned at run time, so results repeat.

The sizes follow from each chip's bytes in flight; see docs/kernels.md for which were measured.
"""

from __future__ import annotations

import functools
import struct
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Blocks:
    """warps: of a program; vectors: of 16 bytes that each of its threads loads at once; steps: blocks a sum's
    program walks.
    """

    warps: int
    vectors: int
    steps: int
    lanes: int = 32

    def elements(self, size: int) -> int:
        """How many elements of `size` bytes a program holds at once."""
        vectors = self.vectors // 2 if size == 8 else self.vectors  # with more, float64 sums spilled on sm_90
        return self.warps * self.lanes * vectors * (16 // size)


TABLE = {
    "sm_75": Blocks(warps=4, vectors=2, steps=8),
    "sm_80": Blocks(warps=4, vectors=2, steps=8),
    "sm_90": Blocks(warps=4, vectors=4, steps=8),
    "sm_100": Blocks(warps=4, vectors=4, steps=8),
    "gfx942": Blocks(warps=4, vectors=2, steps=8, lanes=64),
}
MOST_CHUNKS = 1024  # of one sum: what the second launch reads in one go


@functools.cache
def blocks(device: torch.device) -> Blocks:
    """The row of the table for a device; the newest known one that it is not older than."""
    if device.type != "cuda":
        return TABLE["sm_75"]  # the interpreter: small blocks, so that small tensors have several
    if torch.version.hip:
        return TABLE["gfx942"]
    major, minor = torch.cuda.get_device_capability(device)
    known = [name for name in TABLE if name.startswith("sm_") and int(name[3:]) <= major * 10 + minor]
    return TABLE[known[-1] if known else "sm_75"]


def block_for(row: Blocks, tensor: Tensor, elements: int) -> int:
    """The block of a tensor whose samples have `elements`: no larger than one sample, rounded up to a power of two."""
    size = max(tensor.element_size(), 1)
    return min(row.elements(size), max(1 << max(elements - 1, 0).bit_length(), 16))


def steps_for(row: Blocks, elements: int, block: int) -> int:
    """How many blocks one program sums, so that no sum has more than MOST_CHUNKS partial ones."""
    return max(row.steps, 1 << max((elements - 1) // (block * MOST_CHUNKS), 0).bit_length())


def bits(value: float) -> int:
    """A float64 as an integer: Triton would round a plain float argument to float32."""
    return int(struct.unpack("q", struct.pack("d", value))[0])


def launch(kernel: Any, programs: int, warps: int, device: torch.device, *args: object, **sizes: object) -> None:
    """Runs `programs` of a Triton kernel on a device. Fusing a product into a sum is pinned off: Triton changes its
    default, and with it results would change.
    """
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        kernel[(programs,)](*args, **sizes, num_warps=warps, enable_fp_fusion=False)
