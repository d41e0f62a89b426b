"""What a plan is made of: values in buffers, and the steps that read and write them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

SIZES = {torch.float64: 8, torch.float32: 4, torch.bfloat16: 2, torch.int64: 8, torch.bool: 1}
TYPES = {torch.float64: 0, torch.float32: 1, torch.bfloat16: 2, torch.int64: 4, torch.bool: 5}
"""The codes of kernels/csrc/common/numbers.h."""


class Unsupported(Exception):
    """What a plan cannot hold, and why."""


@dataclass(eq=False)
class Buffer:
    """Memory of ``count`` elements. ``slot``: the number of the input whose memory it is, from 0 on; -1, -2, ... for
    constants; None where it is the plan's own.
    """

    count: int
    dtype: torch.dtype
    slot: int | None = None
    part_of: tuple[Buffer, int] | None = None
    """The buffer in whose memory it lies, and at which element; nothing but its place depends on that."""
    place: int = -1
    """The byte of the plan's memory at which it begins."""

    @property
    def root(self) -> Buffer:
        """The buffer that has memory of its own."""
        return self if self.part_of is None else self.part_of[0]

    @property
    def start(self) -> int:
        """The element of ``root`` at which it begins."""
        return 0 if self.part_of is None else self.part_of[1]

    @property
    def constant(self) -> bool:
        """Whether it is the same at every run."""
        return self.slot is not None and self.slot < 0


@dataclass(frozen=True)
class Value:
    """A tensor: elements of ``buffer`` from ``offset`` on, by ``strides``."""

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """The type of its elements."""
        return self.buffer.dtype

    @property
    def count(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def covers(self) -> bool:
        """Whether it is all of its buffer, each element once."""
        return self.offset == 0 and self.count == self.buffer.count and dense(self.shape, self.strides)

    def expanded(self, shape: Sequence[int]) -> Value:
        """Broadcast to ``shape``."""
        missing = len(shape) - len(self.shape)
        strides = [0] * missing + [0 if n == 1 else s for n, s in zip(self.shape, self.strides, strict=True)]
        return Value(self.buffer, self.offset, tuple(shape), tuple(strides))


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a tensor of ``shape`` in C order."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements lie without gaps or repetitions, in any order of the dimensions."""
    expected = 1
    for stride, n in sorted((s, n) for s, n in zip(strides, shape, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= n
    return True


@dataclass(eq=False)
class Point:
    """``out`` is the instruction ``name`` of ``ins``, which are broadcast to it, element by element."""

    name: str
    out: Value
    ins: list[Value]


@dataclass(eq=False)
class Reduce:
    """``out`` is ``source`` summed ("sum") or its largest element ("max") over ``dims``, which it lacks or keeps."""

    name: str
    out: Value
    source: Value
    dims: frozenset[int]


@dataclass(eq=False)
class Gemm:
    """``out`` [m,n] = a [m,k] b [k,n] (+ bias [n]), or added to what is in ``out``. ``narrow``: in bfloat16.

    ``pieces``: the values that ``a`` and ``b`` consist of, where they were joined along k.
    """

    out: Value
    a: Value
    b: Value
    bias: Value | None = None
    accumulate: bool = False
    narrow: bool = False
    pieces: tuple[Value, ...] = ()


@dataclass(eq=False)
class Call:
    """PyTorch's own op, for what has no instruction. ``args`` hold Values where tensors belong; ``outs`` are copied to.
    ``into``: a Value that the op changes in place.
    """

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: list[Value | None]
    into: Value | None = None
    reads: list[Value] = field(default_factory=list)


Step = Point | Reduce | Gemm | Call


def reads(step: Step) -> list[Value]:
    """The values that ``step`` reads."""
    match step:
        case Point():
            return step.ins
        case Reduce():
            return [step.source]
        case Gemm():
            more = [value for value in (step.bias, step.out if step.accumulate else None) if value is not None]
            return [*(step.pieces or (step.a, step.b)), *more]
        case Call():
            return step.reads


def writes(step: Step) -> list[Value]:
    """The values that ``step`` writes."""
    if isinstance(step, Call):
        found = [out for out in step.outs if out is not None]
        return found if step.into is None else [*found, step.into]
    return [step.out]
