"""The three products of a 4x4 convolution with stride 2 by Winograd's minimal filtering, phase by phase.

Every second row and column of the input, from the first or the second on, is one of four phases, and the convolution
is the sum of four with windows of 2x2, one over each phase. F(4x4,2x2) makes tiles of 4x4 outputs from 5x5 pixels of a
phase with 25 products in place of 64 (Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", has the
scheme). With x, w and y a phase of the input's window, of a filter and a tile of the output, and matrices B, G and A,

    y = AT (sum over phases and channels of (G w GT) * (BT x B)) A

so 25 products of matrices are left, over four times the channels. The gradients are the same maps transposed, as in
winograd.py. Images are worked on some at a time, so that what is made of them stays in the caches. The transforms are
in C (kernels/csrc/winograd/), with channels last; docs/engine.md says what is gained, and what is lost in precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gankit.cpu.scratch import cut, matrices
from gankit.kernels.cpu import PHASE_LINE, PHASE_POINTS, PHASE_TILE, Transform, gemm_batch, multiplies_well, polyphase
from gankit.kernels.dispatch import choose

TILES = 16
"""Of all images. With fewer the filters' transforms cost more than the products that they save."""
USEFUL = 0.7
"""Of the pixels in whole tiles of 4x4; the others are computed, and belong to no output."""
LARGEST = 1 << 24
"""Numbers in the transformed images or filters, whichever is less, 64 MiB. What is larger is left to PyTorch."""
CHUNK = 3 << 20
"""Bytes of transformed images that are worked on at a time."""
SLICE = 6 << 20
"""The same of filters."""


def fits(a: Tensor, b: Tensor, channels: Sequence[int], size: Sequence[int]) -> bool:
    """Whether the product of ``a`` and ``b`` is to run here, by shapes and types alone: one of a convolution of 4x4
    windows with stride 2, of ``channels`` out and in, to ``size`` = n, height and width.
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


def convolved(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """x: [n,in,h,w]; weight: [out,in,4,4]; channels last, as all here. Returns [n,out,h',w'],
    h' = (h - 4 + 2 padding) // 2 + 1.
    """
    n, into, *size = x.shape
    y = _empty(x, n, len(weight), *((side - 4 + 2 * padding) // 2 + 1 for side in size))
    work = _Work(y, into)
    filters = work.filters(weight)
    for images in work.images:
        points = work.points(Transform.INPUT, x[images], padding)
        made = matrices("OUTPUT", PHASE_POINTS, points.shape[1], len(weight))
        for some in work.slices:
            gemm_batch(points, filters(some).transpose(1, 2), made[:, :, some])
        polyphase(Transform.OUTPUT, y[images], made, 0, work.grid)
    return y


def by_input(grad: Tensor, weight: Tensor, size: Sequence[int], padding: int) -> Tensor:
    """grad: [n,out,h',w']; weight: [out,in,4,4]. Returns the gradient by the input, [n,in,*size]."""
    into = weight.shape[1]
    x = _empty(grad, len(grad), into, *size)
    work = _Work(grad, into)
    filters = work.filters(weight)
    for images in work.images:
        outer = work.points(Transform.OUTPUT_TRANSPOSED, grad[images], 0)
        points = matrices("INPUT", PHASE_POINTS, outer.shape[1], 4 * into)
        for some in work.slices:
            gemm_batch(outer[:, :, some], filters(some), points, accumulate=some.start > 0)
        polyphase(Transform.INPUT_TRANSPOSED, x[images], points, padding, work.grid)
    return x


def by_weight(grad: Tensor, x: Tensor, padding: int) -> Tensor:
    """grad: [n,out,h',w']; x: [n,in,h,w]. Returns the gradient by the weight, [out,in,4,4]."""
    out, into = grad.shape[1], x.shape[1]
    weight = _empty(grad, out, into, 4, 4)
    work = _Work(grad, into)
    for images in work.images:
        outer = work.points(Transform.OUTPUT_TRANSPOSED, grad[images], 0)
        points = work.points(Transform.INPUT, x[images], padding)
        for some in work.slices:
            made = matrices("FILTER", PHASE_POINTS, some.stop - some.start, 4 * into)
            gemm_batch(outer.transpose(1, 2)[:, some], points, made, accumulate=images.start > 0)
            if images.stop == len(x):
                polyphase(Transform.FILTER_TRANSPOSED, weight[some], made, 0, (1, 1))
    return weight


class _Work:
    """How a product is cut so that what is made of images and filters stays in the caches: the images, some at a time,
    with all filters, or all images with some filters at a time, where those take more memory.

    y: [n,out,h,w], the output or its gradient; into: the input's channels.
    """

    def __init__(self, y: Tensor, into: int) -> None:
        n, out, height, width = y.shape
        self.grid = _tiles(height), _tiles(width)
        each = 4 * PHASE_POINTS * 4 * into
        images, filters = each * n * self.grid[0] * self.grid[1], each * out
        turns = round(images / max(CHUNK, filters / 2)) if images > filters else 1
        self.images = cut(n, turns)
        self.slices = cut(out, 1 if images > filters else round(filters / SLICE))

    def points(self, transform: Transform, plain: Tensor, padding: int) -> Tensor:
        """plain: [n,c,h,w]. Returns its tiles transformed, [25, n tiles, c], or 4 c for the four phases."""
        width = plain.shape[1] * (4 if transform == Transform.INPUT else 1)
        points = matrices(transform.name, PHASE_POINTS, len(plain) * self.grid[0] * self.grid[1], width)
        polyphase(transform, plain, points, padding, self.grid)
        return points

    def filters(self, weight: Tensor) -> Callable[[slice], Tensor]:
        """weight: [out,in,4,4]. Returns what gives some of its filters transformed, [25, some, 4 in]."""

        def made(some: slice) -> Tensor:
            points = matrices("FILTER", PHASE_POINTS, some.stop - some.start, 4 * weight.shape[1])
            polyphase(Transform.FILTER, weight[some], points, 0, (1, 1))
            return points

        if len(self.slices) > 1:
            return made
        whole = made(self.slices[0])
        return lambda some: whole


def _empty(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, memory_format=torch.channels_last)


def _tiles(side: int) -> int:
    return -(-side // PHASE_TILE)
