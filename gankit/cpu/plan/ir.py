"""The intermediate representation of a plan: values in buffers, and the steps that read and write them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

SIZES = {torch.float64: 8, torch.float32: 4, torch.bfloat16: 2, torch.int64: 8, torch.bool: 1}
TYPES = {torch.float64: 0, torch.float32: 1, torch.bfloat16: 2, torch.int64: 4, torch.bool: 5}
"""Type codes, as the C sources number them."""


class Unsupported(Exception):
    """A plan cannot represent something; the message says what."""


@dataclass(eq=False)
class Buffer:
    """Memory of ``count`` elements. ``slot``: from 0 on the number of the input that owns the memory; -1, -2, ... for
    constants; None where the plan owns it.
    """

    count: int
    dtype: torch.dtype
    slot: int | None = None
    parent: tuple[Buffer, int] | None = None
    """The buffer that contains this one, and the element at which this one begins. Only addresses depend on it."""
    byte_offset: int = -1
    """Where it begins in the plan's memory, in bytes."""

    @property
    def root(self) -> Buffer:
        """The buffer that is allocated: this one, or the one that contains it."""
        return self if self.parent is None else self.parent[0]

    @property
    def start(self) -> int:
        """The element of ``root`` at which this buffer begins."""
        return 0 if self.parent is None else self.parent[1]

    @property
    def constant(self) -> bool:
        """Whether the contents are the same in every run."""
        return self.slot is not None and self.slot < 0


@dataclass(frozen=True)
class Value:
    """A strided view of ``buffer``; ``offset`` and ``strides`` count elements."""

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """The element type."""
        return self.buffer.dtype

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def covers(self) -> bool:
        """Whether the view covers its whole buffer, each element once."""
        return self.offset == 0 and self.count == self.buffer.count and dense(self.shape, self.strides)

    def expanded(self, shape: Sequence[int]) -> Value:
        """The same data, broadcast to ``shape``."""
        missing = len(shape) - len(self.shape)
        strides = [0] * missing + [0 if n == 1 else s for n, s in zip(self.shape, self.strides, strict=True)]
        return Value(self.buffer, self.offset, tuple(shape), tuple(strides))

    def transposed(self) -> Value:
        """[m,n] -> [n,m], the same data."""
        return Value(self.buffer, self.offset, self.shape[::-1], self.strides[::-1])


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a tensor of ``shape`` in C order."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements fill memory without gaps or overlaps, in any order of the dimensions."""
    expected = 1
    for stride, n in sorted((s, n) for s, n in zip(strides, shape, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= n
    return True


@dataclass(eq=False)
class Elementwise:
    """Apply the instruction ``name`` to ``ins``, each broadcast to the shape of ``out``, element by element."""

    name: str
    out: Value
    ins: list[Value]


@dataclass(eq=False)
class Reduce:
    """Reduce ``source`` over ``dims`` by ``name``, "sum" or "max". ``out`` lacks these dimensions or has 1 there."""

    name: str
    out: Value
    source: Value
    dims: frozenset[int]


@dataclass(eq=False)
class Gemm:
    """``out`` [m,n] = a [m,k] b [k,n] (+ bias [n]). ``accumulate``: add to ``out``; ``bf16``: multiply in bfloat16.

    ``pieces``: the values that were concatenated into ``a`` and ``b`` along k, where they were.
    """

    out: Value
    a: Value
    b: Value
    bias: Value | None = None
    accumulate: bool = False
    bf16: bool = False
    pieces: tuple[Value, ...] = ()


@dataclass(eq=False)
class Call:
    """Call ``target``, an op of PyTorch that has no instruction, and copy its results to ``outs``. ``args`` hold Values
    in place of tensors. ``mutated``: the Value that the op writes in place.
    """

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: list[Value | None]
    mutated: Value | None = None
    reads: list[Value] = field(default_factory=list)


Fusible = Elementwise | Reduce
Step = Fusible | Gemm | Call


def reads(step: Step) -> list[Value]:
    """The values that ``step`` reads."""
    match step:
        case Elementwise():
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
        return found if step.mutated is None else [*found, step.mutated]
    return [step.out]
