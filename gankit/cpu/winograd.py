"""The three products of a 3x3 convolution by Winograd's minimal filtering, with a quarter of the multiplications.

Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks": F(4x4,3x3) makes tiles of 4x4 outputs from 6x6
inputs. With a tile x of the input, a filter w, a tile y of the output, and constant matrices B, G and A,

    y = AT ((G w GT) * (BT x B)) A

where * multiplies each of 36 points and sums over the channels: 36 matrix products. The gradients are the transposed
maps: dx = B ((G w GT) * (A dy AT)) BT, summed where tiles overlap, and dw = GT ((A dy AT) * (BT x B)) G. The transforms
are in C; docs/engine.md states the gain in speed and the loss of precision.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from gankit.cpu.scratch import matrices, split_evenly
from gankit.kernels.cpu import POINTS, TILE, Transform, gemm_batch, multiplies_well, winograd
from gankit.kernels.dispatch import choose

CHANNELS = 64
"""The least number of channels, in and out. With fewer the transforms cost what the saved products would."""
TILES = 64
"""The least number of tiles in a batch. With fewer the transforms of the filters cost more than they save."""
TILES_PER_IMAGE = 16
"""The least number of tiles in an image, 13 x 13 pixels. PyTorch is as fast with smaller ones."""
CHUNK = 3 << 20
"""Bytes of transformed images that are processed at a time, so that they stay in the caches."""
LARGEST = 1 << 24
"""Numbers in a transformed image or in the transformed filters, 64 MiB. PyTorch computes larger layers."""


def fits(a: Tensor, b: Tensor, channels: Sequence[int], size: Sequence[int]) -> bool:
    """Whether this algorithm is to multiply ``a`` and ``b``, decided by shapes and types alone. They belong to a 3x3
    convolution with stride 1 and padding 0 or 1. channels: out, in; size: n, height, width of the output.
    """
    if a.dtype != b.dtype or not (a.dtype == torch.float32 or (a.dtype == torch.bfloat16 and not _has_amx())):
        return False
    if min(channels) < CHANNELS:
        return False
    n, height, width = size
    each = _tiles(height) * _tiles(width)
    if each < TILES_PER_IMAGE or n * each < TILES or POINTS * max(channels) * max(each, *channels) > LARGEST:
        return False
    return multiplies_well() and choose("auto", a, b) == "cpu"


def convolve(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """x: [n,in,h,w]; weight: [out,in,3,3]; both contiguous. Returns [n,out,h',w'], h' = h - 2 + 2 padding."""
    n, into, height, width = x.shape
    y = _empty(n, len(weight), height - 2 + 2 * padding, width - 2 + 2 * padding)
    grid = _grid(y.shape[2:])
    filters = _transform_filters(weight)
    for images in _chunks(n, into, grid):
        points = _transform_pixels(Transform.INPUT, x[images], padding, grid)
        products = matrices("products", POINTS, len(weight), points.shape[2])
        winograd(Transform.OUTPUT, y[images], gemm_batch(filters, points, products), 0, grid)
    return y.to(x.dtype)


def input_gradient(grad: Tensor, weight: Tensor, size: Sequence[int], padding: int) -> Tensor:
    """grad: [n,out,h',w']; weight: [out,in,3,3]; both contiguous. Returns the gradient by the input, [n,in,*size]."""
    into, grid = weight.shape[1], _grid(grad.shape[2:])
    x = _empty(len(grad), into, *size)
    filters = _transform_filters(weight).transpose(1, 2)
    for images in _chunks(len(x), into, grid):
        outer = _transform_pixels(Transform.OUTPUT_TRANSPOSED, grad[images], 0, grid)
        products = matrices("products", POINTS, into, outer.shape[2])
        winograd(Transform.INPUT_TRANSPOSED, x[images], gemm_batch(filters, outer, products), padding, grid)
    return x.to(grad.dtype)


def weight_gradient(grad: Tensor, x: Tensor, padding: int) -> Tensor:
    """grad: [n,out,h',w']; x: [n,in,h,w]; both contiguous. Returns the gradient by the weight, [out,in,3,3]."""
    out, into, grid = grad.shape[1], x.shape[1], _grid(grad.shape[2:])
    products = matrices(Transform.FILTER.name, POINTS, out, into)
    for images in _chunks(len(x), into, grid, out):
        outer = _transform_pixels(Transform.OUTPUT_TRANSPOSED, grad[images], 0, grid)
        points = _transform_pixels(Transform.INPUT, x[images], padding, grid)
        gemm_batch(outer, points.transpose(1, 2), products, accumulate=images.start > 0)
    weight = _empty(out, into, 3, 3)
    winograd(Transform.FILTER_TRANSPOSED, weight, products, 0, (1, 1))
    return weight.to(grad.dtype)


def _chunks(n: int, into: int, grid: tuple[int, int], accumulated: int = 0) -> list[slice]:
    """Slices of the images, larger where a large result accumulates over them; ``accumulated``: its channels or 0."""
    each = 4 * POINTS * into
    return split_evenly(n, round(each * n * grid[0] * grid[1] / max(CHUNK, each * accumulated)))


def _transform_pixels(transform: Transform, pixels: Tensor, padding: int, grid: tuple[int, int]) -> Tensor:
    """pixels: [n,c,h,w]. Returns its transformed tiles, [36, c, n tiles]."""
    points = matrices(transform.name, POINTS, pixels.shape[1], len(pixels) * grid[0] * grid[1])
    winograd(transform, pixels.float(), points, padding, grid)
    return points


def _transform_filters(weight: Tensor) -> Tensor:
    """weight: [out,in,3,3]. Returns [36, out, in]."""
    points = matrices(Transform.FILTER.name, POINTS, *weight.shape[:2])
    winograd(Transform.FILTER, weight.float(), points, 0, (1, 1))
    return points


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32)


@functools.cache
def _has_amx() -> bool:
    """Whether the processor has AMX for bfloat16, which is faster than a detour through float32."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def _grid(size: Sequence[int]) -> tuple[int, int]:
    """The rows and columns of tiles that cover an output of ``size``."""
    return _tiles(size[0]), _tiles(size[1])


def _tiles(side: int) -> int:
    return -(-side // TILE)
