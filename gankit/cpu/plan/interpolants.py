"""Distribute linear layers over linear interpolation, which WGAN-GP's gradient penalty asks for.

W (y + t (x - y)) + b = y' + t (x' - y') with x' = W x + b and y' = W y + b. An output gradient d at the interpolant
adds to the gradient of W what t d at x and (1 - t) d at y would. Where the layer is applied to x and y anyway,
interpolants need no matrix product of their own, forward or backward. Results differ by rounding only: in bfloat16 x
and y are rounded, the interpolants are not, and the interpolation itself runs in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from gankit.cpu.plan.ir import Buffer, Elementwise, Gemm, Step, Value, contiguous, writes
from gankit.cpu.plan.lower import Lowering, compute_dtype


@dataclass
class Lerp:
    """The interpolants y + t (x - y), [n, k], in the buffer ``points``. The buffer ``endpoints`` holds n rows of x from
    row ``x_row`` on, and n rows of y from ``y_row`` on.
    """

    points: Buffer
    t: Value
    n: int
    endpoints: Buffer
    x_row: int
    y_row: int

    def rows(self, value: Value, begin: int) -> Value:
        """The n rows of ``value`` from row ``begin`` on."""
        offset = value.offset + begin * value.strides[0]
        return Value(value.buffer, offset, (self.n, value.shape[1]), value.strides)

    def t_expanded(self, width: int) -> Value:
        """t, broadcast along each row, [n, width]."""
        return Value(self.t.buffer, self.t.offset, (self.n, width), (self.t.strides[0], 0))


def distribute_gemms(low: Lowering) -> None:
    """Compute matrix products of interpolants from those of their endpoints."""
    definitions: dict[Buffer, list[Step]] = {}
    for step in low.steps:
        for value in writes(step):
            definitions.setdefault(value.buffer, []).append(step)
    found = [lerp for step in list(low.steps) for lerp in match_lerp(step, definitions)]
    for lerp in [*found, *(copy for whole in found for copy in bfloat16_copies(whole, low.steps))]:
        for product in [step for step in low.steps if isinstance(step, Gemm)]:
            if product.a.buffer is lerp.points:
                rewrite_forward(low, lerp, product)
            elif product.b.buffer is lerp.points:
                rewrite_weight_gradient(low, lerp, product)


def match_lerp(step: Step, definitions: dict[Buffer, list[Step]]) -> list[Lerp]:
    """The interpolation whose last operation is ``step``, once for each buffer that holds both endpoints."""
    if not isinstance(step, Elementwise) or step.name != "ADD" or not fills(step.out):
        return []
    for y, scaled in (step.ins, step.ins[::-1]):
        scale = sole_definition(scaled, "MUL", definitions)
        for t, span in () if scale is None else (scale.ins, scale.ins[::-1]):
            difference = sole_definition(span, "SUB", definitions)
            if difference is None or not same_view(difference.ins[1], y) or any(t.strides[1:]) or not t.strides[0]:
                continue
            x, n = difference.ins[0], step.out.shape[0]
            return [
                Lerp(step.out.buffer, t, n, buffer, at[0], at[1])
                for buffer, steps in definitions.items()
                if (at := endpoint_rows(steps, x, y)) is not None and buffer.count == 2 * step.out.count
            ]
    return []


def bfloat16_copies(lerp: Lerp, steps: list[Step]) -> Iterator[Lerp]:
    """``lerp`` with its points and endpoints in bfloat16, where products take them from such copies."""
    copies: dict[Buffer, list[Buffer]] = {lerp.points: [], lerp.endpoints: []}
    for step in steps:
        if not isinstance(step, Elementwise) or step.name != "COPY" or step.ins[0].buffer not in copies:
            continue
        if fills(step.out, step.ins[0]) and step.out.dtype == torch.bfloat16:
            copies[step.ins[0].buffer].append(step.out.buffer)
    for points in copies[lerp.points]:
        for endpoints in copies[lerp.endpoints]:
            yield replace(lerp, points=points, endpoints=endpoints)


def sole_definition(value: Value, name: str, definitions: dict[Buffer, list[Step]]) -> Elementwise | None:
    """The only step that writes ``value``, if that is the instruction ``name``."""
    steps = definitions.get(value.buffer, [])
    first = steps[0] if len(steps) == 1 else None
    return first if isinstance(first, Elementwise) and first.name == name and same_view(first.out, value) else None


def fills(*values: Value) -> bool:
    """Whether each of ``values`` covers its buffer in C order."""
    return all(value.covers and value.strides == contiguous(value.shape) for value in values)


def same_view(one: Value, other: Value) -> bool:
    """Whether two values have the same elements in the same order."""
    strides = zip(one.shape, one.strides, other.strides, strict=False)
    same_elements = (one.buffer, one.offset, one.shape) == (other.buffer, other.offset, other.shape)
    return same_elements and all(n == 1 or mine == theirs for n, mine, theirs in strides)


def endpoint_rows(steps: list[Step], x: Value, y: Value) -> tuple[int, int] | None:
    """The rows at which copies of ``x`` and ``y`` begin in the buffer that ``steps`` write, and nothing else does."""
    found = {}
    for step in steps:
        if not isinstance(step, Elementwise) or step.name != "COPY" or len(steps) != 2:
            return None
        for end, value in (("x", x), ("y", y)):
            if same_view(step.ins[0], value) and step.out.strides == contiguous(step.out.shape):
                found[end] = step.out.offset // step.out.strides[0]
    return (found["x"], found["y"]) if len(found) == 2 else None


def rewrite_forward(low: Lowering, lerp: Lerp, product: Gemm) -> None:
    """Replace ``product`` by the interpolation between the outputs of the endpoints."""
    at = low.steps.index(product)
    for other in low.steps[:at]:
        if not isinstance(other, Gemm) or other.a.buffer is not lerp.endpoints or not fills(other.a, product.a):
            continue
        same_operands = same_view(other.b, product.b) and other.bf16 == product.bf16 and not other.accumulate
        bias = (other.bias is None) == (product.bias is None)
        if other.bias is not None and product.bias is not None:
            bias = same_view(other.bias, product.bias)
        rounded = {other.out.dtype, product.out.dtype} != {compute_dtype(product.out.dtype)}
        if not same_operands or not bias or product.accumulate or rounded:
            continue
        x, y = lerp.rows(other.out, lerp.x_row), lerp.rows(other.out, lerp.y_row)
        difference, scaled = (low.new(x.shape, x.dtype) for _ in range(2))
        low.steps[at : at + 1] = [
            Elementwise("SUB", difference, [x, y]),
            Elementwise("MUL", scaled, [lerp.t_expanded(x.shape[1]), difference]),
            Elementwise("ADD", product.out, [y, scaled]),
        ]
        return


def rewrite_weight_gradient(low: Lowering, lerp: Lerp, product: Gemm) -> None:
    """Replace ``product``, the weight gradient of the interpolants: add it to the output gradients of the endpoints."""
    chain = [step for step in low.steps if isinstance(step, Gemm) and step.out.buffer is product.out.buffer]
    for other in chain:
        grad, points_grad = other.a.transposed(), product.a.transposed()
        fits = other.b.buffer is lerp.endpoints and fills(other.b, product.b, grad, points_grad)
        if not fits or other.bf16 != product.bf16 or grad.dtype != points_grad.dtype or other is product:
            continue
        if other.bias is not None or not same_view(other.out, product.out):
            continue
        new = low.new(grad.shape, grad.dtype)
        x_grad, y_grad = (low.new(points_grad.shape, compute_dtype(points_grad.dtype)) for _ in range(2))
        steps: list[Step] = [
            Elementwise("MUL", x_grad, [lerp.t_expanded(points_grad.shape[1]), points_grad]),
            Elementwise("SUB", y_grad, [points_grad, x_grad]),
            Elementwise("ADD", lerp.rows(new, lerp.x_row), [lerp.rows(grad, lerp.x_row), x_grad]),
            Elementwise("ADD", lerp.rows(new, lerp.y_row), [lerp.rows(grad, lerp.y_row), y_grad]),
        ]
        last = max(chain, key=low.steps.index)
        begun = not all(g.accumulate for g in chain)
        other.a = new.transposed()
        low.steps.insert(low.steps.index(last) + 1, other)
        low.steps.remove(other)
        at = low.steps.index(other)
        low.steps[at:at] = steps
        low.steps.remove(product)
        rest = [step for step in low.steps if isinstance(step, Gemm) and step.out.buffer is product.out.buffer]
        for i, g in enumerate(rest):
            g.accumulate = i > 0 or not begun
        return
