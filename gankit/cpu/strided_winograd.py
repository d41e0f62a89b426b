"""The three products of a 4x4 convolution with stride 2 by Winograd's minimal filtering, phase by phase.

Every second row and column of the input, from the first or the second on, form one of four phases (a polyphase
decomposition). The convolution is the sum of four 2x2 convolutions with stride 1, one per phase. F(4x4,2x2) makes tiles
of 4x4 outputs from 5x5 pixels of a phase with 25 multiplications in place of 64 (Lavin & Gray 2016, "Fast Algorithms
for Convolutional Neural Networks"). With x and w one phase of an input tile and of a filter, y a tile of the output,
and constant matrices B, G and A,

    y = AT (sum over phases and channels of (G w GT) * (BT x B)) A

which leaves 25 matrix products over four times the channels. The gradients are the transposed maps, as in winograd.py.
Memory is channels_last. The transforms are in C; docs/engine.md states the gain in speed and the loss of precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gankit.cpu.scratch import matrices, split_evenly
from gankit.kernels.cpu import PHASE_LINE, PHASE_POINTS, PHASE_TILE, Transform, gemm_batch, multiplies_well, polyphase
from gankit.kernels.dispatch import choose

TILES = 16
"""The least number of tiles in a batch. With fewer the transforms of the filters cost more than they save."""
USEFUL = 0.7
"""The least share of the pixels of all tiles that are outputs; the rest is computed for nothing."""
LARGEST = 1 << 24
"""Numbers in the transformed images or filters, whichever is less, 64 MiB. PyTorch computes larger layers."""
CHUNK = 3 << 20
"""Bytes of transformed images that are processed at a time, so that they stay in the caches."""
FILTER_CHUNK = 6 << 20
"""The same for filters."""


def fits(a: Tensor, b: Tensor, channels: Sequence[int], size: Sequence[int]) -> bool:
    """Whether this algorithm is to multiply ``a`` and ``b``, decided by shapes and types alone. They belong to a 4x4
    convolution with stride 2. channels: out, in; size: n, height, width of the output.
    """
    out, into = channels
    n, height, width = size
    tiles = n * _tiles(height) * _tiles(width)
    if a.dtype != torch.float32 or b.dtype != torch.float32 or into % PHASE_LINE or out % PHASE_LINE:
        return False
    if tiles < TILES or PHASE_POINTS * min(tiles, out) * max(4 * into, out) > LARGEST:
        return False
    useful = n * height * width >= USEFUL * PHASE_TILE**2 * tiles
    return useful and multiplies_well() and choose("auto", a, b) == "cpu"


def convolve(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """x: [n,in,h,w]; weight: [out,in,4,4]. Returns [n,out,h',w'], h' = (h - 4 + 2 padding) // 2 + 1."""
    n, into, *size = x.shape
    y = _empty(x, n, len(weight), *((side - 4 + 2 * padding) // 2 + 1 for side in size))
    blocking = _Blocking(y, into)
    filters = blocking.filters(weight)
    for images in blocking.images:
        points = blocking.points(Transform.INPUT, x[images], padding)
        products = matrices("OUTPUT", PHASE_POINTS, points.shape[1], len(weight))
        for chunk in blocking.filter_chunks:
            gemm_batch(points, filters(chunk).transpose(1, 2), products[:, :, chunk])
        polyphase(Transform.OUTPUT, y[images], products, 0, blocking.grid)
    return y


def input_gradient(grad: Tensor, weight: Tensor, size: Sequence[int], padding: int) -> Tensor:
    """grad: [n,out,h',w']; weight: [out,in,4,4]. Returns the gradient by the input, [n,in,*size]."""
    into = weight.shape[1]
    x = _empty(grad, len(grad), into, *size)
    blocking = _Blocking(grad, into)
    filters = blocking.filters(weight)
    for images in blocking.images:
        outer = blocking.points(Transform.OUTPUT_TRANSPOSED, grad[images], 0)
        points = matrices("INPUT", PHASE_POINTS, outer.shape[1], 4 * into)
        for chunk in blocking.filter_chunks:
            gemm_batch(outer[:, :, chunk], filters(chunk), points, accumulate=chunk.start > 0)
        polyphase(Transform.INPUT_TRANSPOSED, x[images], points, padding, blocking.grid)
    return x


def weight_gradient(grad: Tensor, x: Tensor, padding: int) -> Tensor:
    """grad: [n,out,h',w']; x: [n,in,h,w]. Returns the gradient by the weight, [out,in,4,4]."""
    out, into = grad.shape[1], x.shape[1]
    weight = _empty(grad, out, into, 4, 4)
    blocking = _Blocking(grad, into)
    for images in blocking.images:
        outer = blocking.points(Transform.OUTPUT_TRANSPOSED, grad[images], 0)
        points = blocking.points(Transform.INPUT, x[images], padding)
        for chunk in blocking.filter_chunks:
            products = matrices("FILTER", PHASE_POINTS, chunk.stop - chunk.start, 4 * into)
            gemm_batch(outer.transpose(1, 2)[:, chunk], points, products, accumulate=images.start > 0)
            if images.stop == len(x):
                polyphase(Transform.FILTER_TRANSPOSED, weight[chunk], products, 0, (1, 1))
    return weight


class _Blocking:
    """Cache blocking of a product: some images at a time with all filters, or all images with some filters at a time,
    where the filters take more memory.

    y: [n,out,h,w], the output or its gradient; into: the input's channels.
    """

    def __init__(self, y: Tensor, into: int) -> None:
        n, out, height, width = y.shape
        self.grid = _tiles(height), _tiles(width)
        each = 4 * PHASE_POINTS * 4 * into
        images, filters = each * n * self.grid[0] * self.grid[1], each * out
        turns = round(images / max(CHUNK, filters / 2)) if images > filters else 1
        self.images = split_evenly(n, turns)
        self.filter_chunks = split_evenly(out, 1 if images > filters else round(filters / FILTER_CHUNK))

    def points(self, transform: Transform, pixels: Tensor, padding: int) -> Tensor:
        """pixels: [n,c,h,w]. Returns its transformed tiles, [25, n tiles, c], or 4 c for the four phases."""
        width = pixels.shape[1] * (4 if transform == Transform.INPUT else 1)
        points = matrices(transform.name, PHASE_POINTS, len(pixels) * self.grid[0] * self.grid[1], width)
        polyphase(transform, pixels, points, padding, self.grid)
        return points

    def filters(self, weight: Tensor) -> Callable[[slice], Tensor]:
        """weight: [out,in,4,4]. Returns a function that transforms a slice of the filters, [25, some, 4 in]."""

        def transform(chunk: slice) -> Tensor:
            points = matrices("FILTER", PHASE_POINTS, chunk.stop - chunk.start, 4 * weight.shape[1])
            polyphase(Transform.FILTER, weight[chunk], points, 0, (1, 1))
            return points

        if len(self.filter_chunks) > 1:
            return transform
        whole = transform(self.filter_chunks[0])
        return lambda chunk: whole


def _empty(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, memory_format=torch.channels_last)


def _tiles(side: int) -> int:
    return -(-side // PHASE_TILE)
