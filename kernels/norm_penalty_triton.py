"""norm_penalty in Triton: partial sums of squares, then one program for the norms; the gradient is one pass."""

# Triton compiles these functions itself; their arguments have no Python type.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from gankit.kernels.tuning import MOST_CHUNKS, bits, block_for, blocks, launch, steps_for


@triton.jit
def norm_penalty_sums(grad, partial, elements, chunks, WIDE: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr):
    program = tl.program_id(0)
    sample = (program // chunks).to(tl.int64)
    start = (program % chunks).to(tl.int64) * (BLOCK * STEPS)
    total = tl.zeros([BLOCK], WIDE)
    left = tl.minimum(elements - start, BLOCK * STEPS).to(tl.int32)
    for step in range(STEPS):
        at = step * BLOCK + tl.arange(0, BLOCK)  # 64 bits of offset are in `start`, not in every lane
        x = tl.load(grad + (sample * elements + start) + at, mask=at < left, other=0).to(WIDE)
        total += x * x
    tl.store(partial + program, tl.sum(total, 0))


@triton.jit
def excess(norm, target, ONE_SIDED: tl.constexpr):
    over = norm.to(tl.float64) - target.to(tl.int64).to(tl.float64, bitcast=True)
    if ONE_SIDED:
        over = tl.where(over < 0, 0.0, over)  # a NaN is not below 0 and stays
    return over


@triton.jit(do_not_specialize=["target"])
def norm_penalty_finish(
    partial,
    norms,
    penalty,
    samples,
    chunks,
    target,
    ONE_SIDED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    total = tl.zeros([ROWS], tl.float64)  # few values: float64 costs nothing here
    for first in range(0, samples, ROWS):
        sample = first + tl.arange(0, ROWS)
        column = tl.arange(0, COLUMNS)
        at = sample.to(tl.int64)[:, None] * chunks + column[None, :]
        inside = (sample < samples)[:, None] & (column < chunks)[None, :]
        norm = tl.sqrt(tl.sum(tl.load(partial + at, mask=inside, other=0).to(tl.float64), 1))
        tl.store(norms + sample, norm, mask=sample < samples)
        over = excess(norm, target, ONE_SIDED)
        total += tl.where(sample < samples, over * over, 0.0)
    tl.store(penalty, tl.sum(total, 0) / samples)


@triton.jit(do_not_specialize=["target"])
def norm_penalty_bwd(
    grad,
    norms,
    slope,
    out,
    samples,
    elements,
    per_sample,
    target,
    ONE_SIDED: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    program = tl.program_id(0)
    sample = (program // per_sample).to(tl.int64)
    inside = (program % per_sample).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = inside < elements
    at = sample * elements + inside
    norm = tl.load(norms + sample)
    share = tl.load(slope).to(tl.float64) * 2 * excess(norm, target, ONE_SIDED) / samples
    factor = tl.where(norm == 0, 0.0, share / tl.where(norm == 0, 1.0, norm.to(tl.float64))).to(WIDE)
    tl.store(out + at, tl.load(grad + at, mask=mask).to(WIDE) * factor, mask=mask)


def norm_penalty_triton(grad: Tensor, target: float, one_sided: bool) -> tuple[Tensor, Tensor]:
    """grad: [N,...], dense. Returns the penalty, [], and the norms, [N], in the wide type."""
    kind, wide = (torch.float64, tl.float64) if grad.dtype == torch.float64 else (torch.float32, tl.float32)
    penalty, norms = grad.new_empty((), dtype=kind), grad.new_empty(len(grad), dtype=kind)
    if len(grad) == 0:
        return penalty.zero_(), norms
    row, elements = blocks(grad.device), grad.numel() // len(grad)
    block = block_for(row, grad, elements)
    steps = steps_for(row, elements, block)
    chunks = max(triton.cdiv(elements, block * steps), 1)
    partial = grad.new_empty(len(grad) * chunks, dtype=kind)
    columns = triton.next_power_of_2(chunks)
    rows = min(MOST_CHUNKS // columns, triton.next_power_of_2(len(grad)))
    sums = grad, partial, elements, chunks, wide, block, steps
    launch(norm_penalty_sums, len(grad) * chunks, row.warps, grad.device, *sums)
    finish = partial, norms, penalty, len(grad), chunks, bits(target), one_sided, rows, columns
    launch(norm_penalty_finish, 1, 4, grad.device, *finish)
    return penalty, norms


def norm_penalty_grad_triton(grad: Tensor, norms: Tensor, slope: Tensor, target: float, one_sided: bool) -> Tensor:
    """grad: [N,...], dense; norms: [N]; slope: [], the outer gradient. Returns the gradient, as grad."""
    out = torch.empty_like(grad)
    if out.numel() == 0:
        return out
    row, elements = blocks(grad.device), grad.numel() // len(grad)
    block = block_for(row, grad, elements)
    per_sample = triton.cdiv(elements, block)
    wide = tl.float64 if norms.dtype == torch.float64 else tl.float32
    args = grad, norms, slope, out, len(grad), elements, per_sample, bits(target), one_sided, wide, block
    launch(norm_penalty_bwd, len(grad) * per_sample, row.warps, grad.device, *args)
    return out
