"""gather in Triton: one program a block of one output sample, one launch."""

# Triton compiles these functions itself; their arguments have no Python type.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from gankit.kernels.tuning import block_for, blocks, launch

# 1 / 127.5 in two parts, of which the first is short enough for an exact product with a byte less 127.5.
PARTS = {
    torch.float64: (float.fromhex("0x1.0101010101p-7"), float.fromhex("0x1.010101010101p-55")),
    torch.float32: (float.fromhex("0x1.0102p-7"), float.fromhex("-0x1.fdfdfep-24")),
}


@triton.jit
def gather_fwd(
    images,
    index,
    flip,
    offset,
    out,
    count,
    channels,
    height,
    width,
    rows,
    columns,
    per_sample,
    FLIP: tl.constexpr,
    OFFSET: tl.constexpr,
    WHOLE: tl.constexpr,
    LAST: tl.constexpr,
    HIGH: tl.constexpr,
    LOW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    program = tl.program_id(0)
    sample = (program // per_sample).to(tl.int64)
    inside = (program % per_sample) * BLOCK + tl.arange(0, BLOCK)
    size = channels * rows * columns
    mask = inside < size
    image = tl.load(index + sample)
    valid = (image >= 0) & (image < count)
    if WHOLE:
        source = inside
    else:
        if LAST:
            channel, pixel = inside % channels, inside // channels
        else:
            channel, pixel = inside // (rows * columns), inside % (rows * columns)
        y, x = pixel // columns, pixel % columns
        if FLIP:
            x = tl.where(tl.load(flip + sample) != 0, columns - 1 - x, x)
        if OFFSET:
            top, left = tl.load(offset + 2 * sample), tl.load(offset + 2 * sample + 1)
            valid &= (top >= 0) & (left >= 0) & (top + rows <= height) & (left + columns <= width)
            y, x = y + top, x + left
        source = (channel * height + y) * width + x
    start = tl.where(valid, image, 0) * (channels * height * width).to(tl.int64)
    byte = tl.load(images + start + source, mask=mask & valid, other=0)
    less = byte.to(WIDE) - 127.5
    # What a CPU would raise for, a GPU can only mark: a sample out of range is NaN.
    value = tl.where(valid, less * HIGH + less * LOW, float("nan"))
    tl.store(out + sample * size + inside, value, mask=mask)


def gather_triton(
    images: Tensor, index: Tensor, flip: Tensor | None, offset: Tensor | None, out: Tensor, channels_last: bool
) -> None:
    """images: uint8 [N,C,H,W]; index: [B]; flip: [B]; offset: [B,2]; all contiguous. Fills out, [B,C,h,w]."""
    if out.numel() == 0:
        return
    row, elements = blocks(out.device), out.numel() // len(out)
    block = block_for(row, out, elements)
    per_sample = triton.cdiv(elements, block)
    last = channels_last and out.shape[1] > 1
    wide = torch.float64 if out.dtype == torch.float64 else torch.float32
    high, low = PARTS[wide]
    launch(
        gather_fwd,
        len(out) * per_sample,
        row.warps,
        out.device,
        images,
        index,
        index if flip is None else flip.view(torch.uint8),
        index if offset is None else offset,
        out,
        *images.shape,
        out.shape[2],
        out.shape[3],
        per_sample,
        FLIP=flip is not None,
        OFFSET=offset is not None,
        WHOLE=flip is None and offset is None and not last and out.shape[2:] == images.shape[2:],
        LAST=last,
        HIGH=high,
        LOW=low,
        WIDE=tl.float64 if wide == torch.float64 else tl.float32,
        BLOCK=block,
    )
