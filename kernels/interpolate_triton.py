"""interpolate in Triton: one program a block of one sample; each input read once, the output written once."""

# Triton compiles these functions itself; their arguments have no Python type.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from gankit.kernels.tuning import block_for, blocks, launch


@triton.jit
def interpolate_fwd(real, fake, t, out, elements, per_sample, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    program = tl.program_id(0)
    sample = (program // per_sample).to(tl.int64)
    inside = (program % per_sample).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = inside < elements
    at = sample * elements + inside
    weight = tl.load(t + sample)
    base = tl.load(fake + at, mask=mask).to(WIDE)
    mixed = base + weight * (tl.load(real + at, mask=mask).to(WIDE) - base)
    tl.store(out + at, mixed, mask=mask)


def interpolate_triton(real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
    """real, fake: [N,...], dense in one order; t: [N], contiguous, in the wide type. Returns [N,...]."""
    out = torch.empty_like(real)
    if out.numel() == 0:
        return out
    row, elements = blocks(real.device), real.numel() // len(real)
    block = block_for(row, real, elements)
    per_sample = triton.cdiv(elements, block)
    wide = tl.float64 if t.dtype == torch.float64 else tl.float32
    args = real, fake, t, out, elements, per_sample, wide, block
    launch(interpolate_fwd, len(real) * per_sample, row.warps, real.device, *args)
    return out
