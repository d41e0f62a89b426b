"""The three products of a 3x3 convolution by Winograd's minimal filtering, with a quarter of the multiplications.

Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks": F(4x4,3x3) makes tiles of 4x4 outputs from 6x6
inputs. With x, w and y one tile of the input, a filter and a tile of the output, and matrices B, G and A,

    y = AT ((G w GT) * (BT x B)) A

with the products of each of the 36 places summed over the channels: 36 products of matrices. The gradients are the same
maps transposed: dx = B ((G w GT) * (A dy AT)) BT, added up where tiles overlap, and dw = GT ((A dy AT) * (BT x B)) G.
The transforms are in C (kernels/csrc/winograd/); docs/engine.md says what is gained, and what is lost in precision.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from gankit.cpu.scratch import cut, matrices
from gankit.kernels.cpu import POINTS, TILE, Transform, gemm_batch, multiplies_well, winograd
from gankit.kernels.dispatch import choose

CHANNELS = 64
"""In and out. With fewer the transforms cost about as much as the products that they save."""
TILES = 64
"""Of all images. With fewer the filters' transforms cost more than the products that they save."""
TILES_EACH = 16
"""Of one image, 13 x 13 pixels or more: PyTorch is as fast with smaller ones."""
CHUNK = 3 << 20
"""Bytes of transformed images that are worked on at a time, so that they stay in the caches."""
LARGEST = 1 << 24
"""Numbers in what is made of an image or of the filters, 64 MiB. What is larger is left to PyTorch."""


def fits(a: Tensor, b: Tensor, channels: Sequence[int], size: Sequence[int]) -> bool:
    """Whether the product of ``a`` and ``b`` is to run here, by shapes and types alone: one of a convolution of 3x3
    windows with stride 1 and padding 0 or 1, of ``channels`` out and in, to ``size`` = n, height and width.
    """
    if a.dtype != b.dtype or not (a.dtype == torch.float32 or (a.dtype == torch.bfloat16 and not _has_tiles())):
        return False
    if min(channels) < CHANNELS:
        return False
    n, height, width = size
    each = _tiles(height) * _tiles(width)
    if each < TILES_EACH or n * each < TILES or POINTS * max(channels) * max(each, *channels) > LARGEST:
        return False
    return multiplies_well() and choose("auto", a, b) == "cpu"


def convolved(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """x: [n,in,h,w]; weight: [out,in,3,3]; both contiguous. Returns [n,out,h',w'], h' = h - 2 + 2 padding."""
    n, into, height, width = x.shape
    y = _empty(n, len(weight), height - 2 + 2 * padding, width - 2 + 2 * padding)
    grid = _grid(y.shape[2:])
    filters = _filters(weight)
    for images in _parts(n, into, grid):
        points = _pixels(Transform.INPUT, x[images], padding, grid)
        made = matrices("products", POINTS, len(weight), points.shape[2])
        winograd(Transform.OUTPUT, y[images], gemm_batch(filters, points, made), 0, grid)
    return y.to(x.dtype)


def by_input(grad: Tensor, weight: Tensor, size: Sequence[int], padding: int) -> Tensor:
    """grad: [n,out,h',w']; weight: [out,in,3,3]; both contiguous. Returns the gradient by the input, [n,in,*size]."""
    into, grid = weight.shape[1], _grid(grad.shape[2:])
    x = _empty(len(grad), into, *size)
    filters = _filters(weight).transpose(1, 2)
    for images in _parts(len(x), into, grid):
        outer = _pixels(Transform.OUTPUT_TRANSPOSED, grad[images], 0, grid)
        made = matrices("products", POINTS, into, outer.shape[2])
        winograd(Transform.INPUT_TRANSPOSED, x[images], gemm_batch(filters, outer, made), padding, grid)
    return x.to(grad.dtype)


def by_weight(grad: Tensor, x: Tensor, padding: int) -> Tensor:
    """grad: [n,out,h',w']; x: [n,in,h,w]; both contiguous. Returns the gradient by the weight, [out,in,3,3]."""
    out, into, grid = grad.shape[1], x.shape[1], _grid(grad.shape[2:])
    made = matrices(Transform.FILTER.name, POINTS, out, into)
    for images in _parts(len(x), into, grid, out):
        outer = _pixels(Transform.OUTPUT_TRANSPOSED, grad[images], 0, grid)
        points = _pixels(Transform.INPUT, x[images], padding, grid)
        gemm_batch(outer, points.transpose(1, 2), made, accumulate=images.start > 0)
    weight = _empty(out, into, 3, 3)
    winograd(Transform.FILTER_TRANSPOSED, weight, made, 0, (1, 1))
    return weight.to(grad.dtype)


def _parts(n: int, into: int, grid: tuple[int, int], sums: int = 0) -> list[slice]:
    """The images, some at a time; more of them where what is added up over the parts is large itself."""
    each = 4 * POINTS * into
    return cut(n, round(each * n * grid[0] * grid[1] / max(CHUNK, each * sums)))


def _pixels(transform: Transform, plain: Tensor, padding: int, grid: tuple[int, int]) -> Tensor:
    """plain: [n,c,h,w]. Returns its tiles transformed, [36, c, n tiles]."""
    points = matrices(transform.name, POINTS, plain.shape[1], len(plain) * grid[0] * grid[1])
    winograd(transform, plain.float(), points, padding, grid)
    return points


def _filters(weight: Tensor) -> Tensor:
    """weight: [out,in,3,3]. Returns [36, out, in]."""
    points = matrices(Transform.FILTER.name, POINTS, *weight.shape[:2])
    winograd(Transform.FILTER, weight.float(), points, 0, (1, 1))
    return points


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32)


@functools.cache
def _has_tiles() -> bool:
    """Whether the processor multiplies whole tiles of bfloat16 (AMX), faster than any detour."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def _grid(size: Sequence[int]) -> tuple[int, int]:
    """Tiles down and across an output of ``size``."""
    return _tiles(size[0]), _tiles(size[1])


def _tiles(side: int) -> int:
    return -(-side // TILE)
