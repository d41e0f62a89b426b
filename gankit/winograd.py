"""The three products of a 3x3 convolution by Winograd's minimal filtering, with a quarter of the multiplications.

Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks": F(4x4,3x3) makes tiles of 4x4 outputs from 6x6
inputs. With x, w and y one tile of the input, a filter and a tile of the output, and matrices B, G and A,

    y = AT ((G w GT) * (BT x B)) A

with the products of each of the 36 places summed over the channels: 36 products of matrices. The gradients are the same
maps transposed: dx = B ((G w GT) * (A dy AT)) BT, added up where tiles overlap, and dw = GT ((A dy AT) * (BT x B)) G.
The transforms are in C (kernels/_cpu_winograd.h); docs/engine.md says what is gained, and what is lost in precision.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from gankit.kernels.cpu import POINTS, TILE, Transform, winograd
from gankit.kernels.dispatch import choose

CHANNELS = 64
"""In and out. With fewer the transforms cost about as much as the products that they save."""
TILES = 64
"""Of all images. With fewer the filters' transforms cost more than the products that they save."""
TILES_EACH = 16
"""Of one image, 13 x 13 pixels or more: PyTorch is as fast with smaller ones."""
LARGEST = 1 << 24
"""Numbers in the transformed input or output, 64 MiB. What is larger is left to PyTorch."""


def fits(a: Tensor, b: Tensor, channels: Sequence[int], size: Sequence[int]) -> bool:
    """Whether the product of ``a`` and ``b`` is to run here, by shapes and types alone: one of a convolution of 3x3
    windows with stride 1 and padding 0 or 1, of ``channels`` in and out, to ``size`` = n, height and width.
    """
    if a.dtype != torch.float32 or b.dtype != torch.float32 or min(channels) < CHANNELS:
        return False
    n, height, width = size
    each = _tiles(height) * _tiles(width)
    if each < TILES_EACH or n * each < TILES or POINTS * max(channels) * n * each > LARGEST:
        return False
    return choose("auto", a, b) == "cpu"


def convolved(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """x: [n,in,h,w]; weight: [out,in,3,3]; both contiguous. Returns [n,out,h',w'], h' = h - 2 + 2 padding."""
    n, _, height, width = x.shape
    y = x.new_empty(n, len(weight), height - 2 + 2 * padding, width - 2 + 2 * padding)
    made = _multiplied(_filters(weight), _pixels(Transform.INPUT, x, padding, y.shape[2:]))
    winograd(Transform.OUTPUT, y, made, 0, _grid(y.shape[2:]))
    return y


def by_input(grad: Tensor, weight: Tensor, size: Sequence[int], padding: int) -> Tensor:
    """grad: [n,out,h',w']; weight: [out,in,3,3]; both contiguous. Returns the gradient by the input, [n,in,*size]."""
    outer = _pixels(Transform.OUTPUT_TRANSPOSED, grad, 0, grad.shape[2:])
    made = _multiplied(_filters(weight).transpose(1, 2), outer)
    x = grad.new_empty(len(grad), weight.shape[1], *size)
    winograd(Transform.INPUT_TRANSPOSED, x, made, padding, _grid(grad.shape[2:]))
    return x


def by_weight(grad: Tensor, x: Tensor, padding: int) -> Tensor:
    """grad: [n,out,h',w']; x: [n,in,h,w]; both contiguous. Returns the gradient by the weight, [out,in,3,3]."""
    outer = _pixels(Transform.OUTPUT_TRANSPOSED, grad, 0, grad.shape[2:])
    made = _multiplied(outer, _pixels(Transform.INPUT, x, padding, grad.shape[2:]).transpose(1, 2))
    weight = grad.new_empty(grad.shape[1], x.shape[1], 3, 3)
    winograd(Transform.FILTER_TRANSPOSED, weight, made, 0, _grid(weight.shape[2:]))
    return weight


class _Scratch(threading.local):
    """Memory that each product uses again, one for each thread. Freed after each, it would be taken up by what a step
    keeps, and the peak of CycleGAN at 128 pixels would be a tenth higher.
    """

    def __init__(self) -> None:
        self.held: dict[str, Tensor] = {}

    def take(self, use: str, *shape: int) -> Tensor:
        """float32 of ``shape``, contiguous, not cleared, to be used until the next of the same ``use``."""
        size = torch.Size(shape).numel()
        if use not in self.held or self.held[use].numel() < size:
            self.held.pop(use, None)  # first, so that two are never held
            with torch.inference_mode(False):  # else it could not be written to outside of that mode
                self.held[use] = torch.empty(size)
        return self.held[use][:size].view(shape)


_scratch = _Scratch()


def _multiplied(a: Tensor, b: Tensor) -> Tensor:
    """a: [36, m, k]; b: [36, k, n]. Returns their products, [36, m, n]."""
    return torch.bmm(a, b, out=_scratch.take("products", POINTS, a.shape[1], b.shape[2]))


def _pixels(transform: Transform, plain: Tensor, padding: int, size: Sequence[int]) -> Tensor:
    """plain: [n,c,h,w]. Returns its tiles, of an output of ``size``, transformed: [36, c, n tiles]."""
    n, channels = plain.shape[:2]
    down, across = _grid(size)
    points = _scratch.take(transform.name, POINTS, channels, n * down * across)
    winograd(transform, plain, points, padding, (down, across))
    return points


def _filters(weight: Tensor) -> Tensor:
    """weight: [out,in,3,3]. Returns [36, out, in]."""
    points = _scratch.take(Transform.FILTER.name, POINTS, *weight.shape[:2])
    winograd(Transform.FILTER, weight, points, 0, (1, 1))
    return points


def _grid(size: Sequence[int]) -> tuple[int, int]:
    """Tiles down and across an output of ``size``."""
    return _tiles(size[0]), _tiles(size[1])


def _tiles(side: int) -> int:
    return -(-side // TILE)
