"""A linear layer at points between two batches, as WGAN-GP's penalty asks for, from what it makes of the two.

Between y and x at t, W (y + t (x - y)) + b is y' + t (x' - y') with x' = W x + b and y' = W y + b, and the gradient by
W of the point's share d is that of t d at x and of (1 - t) d at y. Where both batches pass the layer anyway, the points
take no product of their own, forwards or backwards: the same numbers but for rounding. In bfloat16 it is the ends that
are rounded and not the points, and what lies between them is taken in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from gankit.cpu.plan.ir import Buffer, Gemm, Point, Step, Value, contiguous, writes
from gankit.cpu.plan.lower import Lowering


@dataclass
class Line:
    """The points y + t (x - y), [n, k], in ``points``; ``both``: the buffer of n rows of x and n of y, which begin at
    rows ``at_x`` and ``at_y``.
    """

    points: Buffer
    t: Value
    n: int
    both: Buffer
    at_x: int
    at_y: int

    def rows(self, value: Value, begin: int) -> Value:
        """The n rows of ``value`` from ``begin`` on."""
        offset = value.offset + begin * value.strides[0]
        return Value(value.buffer, offset, (self.n, value.shape[1]), value.strides)

    def along(self, width: int) -> Value:
        """t, the same in each row, [n, width]."""
        return Value(self.t.buffer, self.t.offset, (self.n, width), (self.t.strides[0], 0))


def follow_lines(low: Lowering) -> None:
    """Let products at points on a line follow from those at its ends."""
    made: dict[Buffer, list[Step]] = {}
    for step in low.steps:
        for value in writes(step):
            made.setdefault(value.buffer, []).append(step)
    found = [line for step in list(low.steps) for line in lines_of(step, made)]
    for line in [*found, *(copy for whole in found for copy in rounded(whole, low.steps))]:
        for product in [step for step in low.steps if isinstance(step, Gemm)]:
            if product.a.buffer is line.points:
                follow_forwards(low, line, product)
            elif product.b.buffer is line.points:
                follow_backwards(low, line, product)


def lines_of(step: Step, made: dict[Buffer, list[Step]]) -> list[Line]:
    """The line that ``step`` ends in making, once for each buffer that holds both its ends."""
    if not isinstance(step, Point) or step.name != "ADD" or not flat(step.out):
        return []
    for y, scaled in (step.ins, step.ins[::-1]):
        scale = only(scaled, "MUL", made)
        for t, difference in () if scale is None else (scale.ins, scale.ins[::-1]):
            apart = only(difference, "SUB", made)
            if apart is None or not same(apart.ins[1], y) or any(t.strides[1:]) or not t.strides[0]:
                continue
            x, n = apart.ins[0], step.out.shape[0]
            return [
                Line(step.out.buffer, t, n, buffer, at[0], at[1])
                for buffer, steps in made.items()
                if (at := ends(steps, x, y)) is not None and buffer.count == 2 * step.out.count
            ]
    return []


def rounded(line: Line, steps: list[Step]) -> Iterator[Line]:
    """``line`` as bfloat16 products take it, where both its points and its ends are copied whole."""
    copies: dict[Buffer, list[Buffer]] = {line.points: [], line.both: []}
    for step in steps:
        if not isinstance(step, Point) or step.name != "COPY" or step.ins[0].buffer not in copies:
            continue
        if flat(step.out) and flat(step.ins[0]) and step.out.dtype == torch.bfloat16:
            copies[step.ins[0].buffer].append(step.out.buffer)
    for points in copies[line.points]:
        for both in copies[line.both]:
            yield replace(line, points=points, both=both)


def only(value: Value, name: str, made: dict[Buffer, list[Step]]) -> Point | None:
    """The instruction ``name`` that alone makes ``value``."""
    steps = made.get(value.buffer, [])
    first = steps[0] if len(steps) == 1 else None
    return first if isinstance(first, Point) and first.name == name and same(first.out, value) else None


def flat(value: Value) -> bool:
    """Whether ``value`` is all of its buffer in C order."""
    return value.covers and value.strides == contiguous(value.shape)


def same(one: Value, other: Value) -> bool:
    """Whether two values are the same elements in the same order."""
    places = zip(one.shape, one.strides, other.strides, strict=False)
    alike = (one.buffer, one.offset, one.shape) == (other.buffer, other.offset, other.shape)
    return alike and all(n == 1 or mine == theirs for n, mine, theirs in places)


def ends(steps: list[Step], x: Value, y: Value) -> tuple[int, int] | None:
    """The rows at which copies of ``x`` and ``y`` begin in the buffer that ``steps`` write."""
    found = {}
    for step in steps:
        if not isinstance(step, Point) or step.name != "COPY" or len(steps) != 2:
            return None
        for end, value in (("x", x), ("y", y)):
            if same(step.ins[0], value) and step.out.strides == contiguous(step.out.shape):
                found[end] = step.out.offset // step.out.strides[0]
    return (found["x"], found["y"]) if len(found) == 2 else None


def follow_forwards(low: Lowering, line: Line, product: Gemm) -> None:
    """Put points on the line between the outputs of both ends in place of ``product``."""
    at = low.steps.index(product)
    for other in low.steps[:at]:
        if not isinstance(other, Gemm) or other.a.buffer is not line.both or not (flat(other.a) and flat(product.a)):
            continue
        alike = same(other.b, product.b) and other.narrow == product.narrow and not other.accumulate
        bias = (other.bias is None) == (product.bias is None)
        if other.bias is not None and product.bias is not None:
            bias = same(other.bias, product.bias)
        if not alike or not bias or product.accumulate or {other.out.dtype, product.out.dtype} - {wide(product.out)}:
            continue
        x, y = line.rows(other.out, line.at_x), line.rows(other.out, line.at_y)
        apart, scaled = (low.new(x.shape, x.dtype) for _ in range(2))
        low.steps[at : at + 1] = [
            Point("SUB", apart, [x, y]),
            Point("MUL", scaled, [line.along(x.shape[1]), apart]),
            Point("ADD", product.out, [y, scaled]),
        ]
        return


def follow_backwards(low: Lowering, line: Line, product: Gemm) -> None:
    """Let the product that adds both ends' share of a weight's gradient carry that of the points, ``product``, too."""
    chain = [step for step in low.steps if isinstance(step, Gemm) and step.out.buffer is product.out.buffer]
    for other in chain:
        grad, share = turned(other.a), turned(product.a)
        fits = other.b.buffer is line.both and flat(other.b) and flat(product.b) and flat(grad) and flat(share)
        if not fits or other.narrow != product.narrow or grad.dtype != share.dtype or other is product:
            continue
        if other.bias is not None or not same(other.out, product.out):
            continue
        new = low.new(grad.shape, grad.dtype)
        to_x, to_y = (low.new(share.shape, wide(share)) for _ in range(2))
        steps: list[Step] = [
            Point("MUL", to_x, [line.along(share.shape[1]), share]),
            Point("SUB", to_y, [share, to_x]),
            Point("ADD", line.rows(new, line.at_x), [line.rows(grad, line.at_x), to_x]),
            Point("ADD", line.rows(new, line.at_y), [line.rows(grad, line.at_y), to_y]),
        ]
        last = max(chain, key=low.steps.index)
        begun = not all(g.accumulate for g in chain)
        other.a = turned(new)
        low.steps.insert(low.steps.index(last) + 1, other)
        low.steps.remove(other)
        at = low.steps.index(other)
        low.steps[at:at] = steps
        low.steps.remove(product)
        rest = [step for step in low.steps if isinstance(step, Gemm) and step.out.buffer is product.out.buffer]
        for i, g in enumerate(rest):
            g.accumulate = i > 0 or not begun
        return


def wide(value: Value) -> torch.dtype:
    """The type in which what ``value`` holds is added up."""
    return torch.float32 if value.dtype == torch.bfloat16 else value.dtype


def turned(value: Value) -> Value:
    """``value`` with its two dimensions exchanged."""
    return Value(value.buffer, value.offset, value.shape[::-1], value.strides[::-1])
