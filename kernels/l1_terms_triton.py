"""l1_terms in Triton: all pairs share one grid of partial sums; the gradients of all pairs are one launch."""

# Triton compiles these functions itself; their arguments have no Python type.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import triton
import triton.language as tl
from torch import Tensor

from gankit.kernels.tuning import bits, block_for, blocks, launch, steps_for


@triton.jit
def l1_terms_sums(a, b, sizes, firsts, partial, WIDE: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr):
    program = tl.program_id(0)
    for k in tl.static_range(len(a)):
        if (program >= firsts[k]) & (program < firsts[k + 1]):
            start = (program - firsts[k]).to(tl.int64) * (BLOCK * STEPS)
            total = tl.zeros([BLOCK], WIDE)
            left = tl.minimum(sizes[k] - start, BLOCK * STEPS).to(tl.int32)
            for step in range(STEPS):
                at = step * BLOCK + tl.arange(0, BLOCK)  # 64 bits of offset are in `start`, not in every lane
                x = tl.load(a[k] + start + at, mask=at < left, other=0).to(WIDE)
                y = tl.load(b[k] + start + at, mask=at < left, other=0).to(WIDE)
                total += tl.abs(x - y)
            tl.store(partial + program, tl.sum(total, 0))


@triton.jit
def l1_terms_finish(partial, out, firsts, factors, BLOCK: tl.constexpr):
    pair = tl.program_id(0)
    for k in tl.static_range(len(factors)):
        if pair == k:
            total = tl.zeros([BLOCK], tl.float64)
            for start in range(firsts[k], firsts[k + 1], BLOCK):
                at = start + tl.arange(0, BLOCK)
                total += tl.load(partial + at, mask=at < firsts[k + 1], other=0)
            factor = factors[k].to(tl.int64).to(tl.float64, bitcast=True)
            tl.store(out + k, tl.sum(total, 0) * factor)


@triton.jit
def widened(x):
    if x.dtype != tl.float64:
        x = x.to(tl.float32)
    return x


@triton.jit
def l1_terms_bwd(
    a,
    b,
    to_a,
    to_b,
    sizes,
    firsts,
    factors,
    slopes,
    WANT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    program = tl.program_id(0)
    for k in tl.static_range(len(a)):
        if (program >= firsts[k]) & (program < firsts[k + 1]):
            at = (program - firsts[k]).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
            mask = at < sizes[k]
            x = widened(tl.load(a[k] + at, mask=mask))
            y = widened(tl.load(b[k] + at, mask=mask))
            outer = tl.load(slopes + k).to(tl.float64)
            scale = (outer * factors[k].to(tl.int64).to(tl.float64, bitcast=True)).to(x.dtype)
            signed = tl.where(x > y, scale, 0.0) - tl.where(x < y, scale, 0.0)
            if (WANT >> (2 * k)) & 1:
                tl.store(to_a[k] + at, signed, mask=mask)
            if (WANT >> (2 * k + 1)) & 1:
                tl.store(to_b[k] + at, -signed, mask=mask)


def l1_terms_triton(tensors: Sequence[Tensor], factors: Sequence[float], kind: torch.dtype) -> Tensor:
    """tensors: a and b in turn, each pair dense in one order. Returns factor * sum |a - b|, [k], of type `kind`."""
    row, a, b = blocks(tensors[0].device), tuple(tensors[::2]), tuple(tensors[1::2])
    sizes = tuple(tensor.numel() for tensor in a)
    block = max(block_for(row, tensor, tensor.numel()) for tensor in a)
    steps = steps_for(row, max(sizes), block)
    firsts = _firsts(sizes, block * steps)
    out = a[0].new_empty(len(a), dtype=kind)
    partial = a[0].new_empty(max(firsts[-1], 1), dtype=kind)
    wide = tl.float64 if kind == torch.float64 else tl.float32
    if firsts[-1]:
        sums = a, b, sizes, firsts, partial, wide, block, steps
        launch(l1_terms_sums, firsts[-1], row.warps, out.device, *sums)
    launch(l1_terms_finish, len(a), 4, out.device, partial, out, firsts, tuple(map(bits, factors)), 1024)
    return out


def l1_terms_grad_triton(
    tensors: Sequence[Tensor], factors: Sequence[float], slopes: Tensor, wanted: Sequence[bool]
) -> list[Tensor | None]:
    """tensors, factors: as above; slopes: [k], the outer gradients. Returns the gradient of each wanted tensor."""
    row, a, b = blocks(tensors[0].device), tuple(tensors[::2]), tuple(tensors[1::2])
    outs = [torch.empty_like(tensor) if want else None for tensor, want in zip(tensors, wanted, strict=True)]
    sizes = tuple(tensor.numel() for tensor in a)
    block = max(block_for(row, tensor, tensor.numel()) for tensor in a)
    firsts = _firsts(sizes, block)
    # An unwanted gradient's place is taken by its input, which the kernel then leaves alone.
    to = [tensor if out is None else out for tensor, out in zip(tensors, outs, strict=True)]
    want = sum(1 << place for place, want in enumerate(wanted) if want)
    coded = tuple(map(bits, factors))
    args = a, b, tuple(to[::2]), tuple(to[1::2]), sizes, firsts, coded, slopes, want, block
    if firsts[-1]:
        launch(l1_terms_bwd, firsts[-1], row.warps, slopes.device, *args)
    return outs


def _firsts(sizes: tuple[int, ...], chunk: int) -> tuple[int, ...]:
    """The number of the first program of each pair, and that of all of them."""
    return tuple(accumulate((triton.cdiv(size, chunk) for size in sizes), initial=0))
