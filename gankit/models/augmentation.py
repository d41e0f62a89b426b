"""Differentiable augmentation: Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training",
arXiv:2006.10738, section 3.2, with the colour, translation and cutout of its experiments.

All that a discriminator is shown is changed, real images and fakes, in its own phase and in the generator's. So it
cannot tell the two apart by the changes, and hardly sees a real image twice as it is; the generator's gradient passes
through. Every operation is twice differentiable in the images, so that penalties on slopes go with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.core.rng import RandomStream
from gankit.core.sides import Sides
from gankit.core.types import Noise

POLICIES = ("none", "diffaug")
SHIFT = 0.125
"""How far an image may be moved, in sides."""
HOLE = 0.5
"""The sides of what is cut out, in sides of the image."""


def draw_augmentation(name: str, n: int, sides: Sides, draws: RandomStream) -> Noise:
    """What ``augmented`` needs for n images of ``sides`` that are called ``name``.

    "augment_colour_NAME" [n, 3]: brightness in [-.5, .5] on the [-1, 1] scale, saturation in [0, 2], contrast in
    [.5, 1.5]. "augment_place_NAME" [n, 4], int64 pixels: the shift down and to the right, of at most an eighth of the
    side; the first row and column of the hole, whose centre lies anywhere in the image, so that it may reach over
    the edge.
    """
    colour = draws.uniform(n, 3) * torch.tensor([1.0, 2.0, 1.0]) + torch.tensor([-0.5, 0.0, 0.5])
    reach, hole = [whole(side, SHIFT) for side in sides], [whole(side, HOLE) for side in sides]
    shifts = [draws.integers(2 * far + 1, n) - far for far in reach]
    corners = [draws.integers(side + 1 - cut % 2, n) - cut // 2 for side, cut in zip(sides, hole, strict=True)]
    return {f"augment_colour_{name}": colour, f"augment_place_{name}": torch.stack(shifts + corners, 1)}


def augmented(images: Tensor, name: str, noise: Noise) -> Tensor:
    """``images`` [n,C,H,W] in [-1, 1], called ``name``, changed as ``noise`` says; where it says nothing, as they are.

    Colour, translation, cutout, in this order. What is moved in or cut out is 0, which is mid-grey. Returns images of
    the same shape and type, whose values may leave [-1, 1].
    """
    if f"augment_place_{name}" not in noise:
        return images
    place = noise[f"augment_place_{name}"]
    return cut_out(translated(recoloured(images, noise[f"augment_colour_{name}"]), place[:, :2]), place[:, 2:])


def recoloured(images: Tensor, colour: Tensor) -> Tensor:
    """``images`` [n,C,H,W] with ``colour`` [n, 3], brightness b, saturation s and contrast c of each.

    x + b, then s times the distance from the pixel's mean over the channels (a grey image has none), then c times the
    distance from the image's mean.
    """
    brightness, saturation, contrast = colour[:, :, None, None, None].unbind(1)
    images = images + brightness
    if images.shape[1] > 1:
        grey = images.mean(1, keepdim=True)
        images = (images - grey) * saturation + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean


def translated(images: Tensor, shift: Tensor) -> Tensor:
    """``images`` [n,C,H,W] moved by ``shift`` [n, 2] int64 pixels, down and to the right; 0 where nothing came from."""
    height, width = images.shape[2:]
    # Taken round the edge and then hidden: no two pixels come from one, so the gradient is no sum whose order counts.
    rows, columns = places(height, shift[:, :1]), places(width, shift[:, 1:])
    sources = (rows % height)[:, :, None] * width + (columns % width)[:, None, :]
    index = sources.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    moved = images.flatten(2).gather(2, index).view(images.shape)
    return moved * rectangle(rows, columns, height, width).to(images.dtype)


def cut_out(images: Tensor, corner: Tensor) -> Tensor:
    """``images`` [n,C,H,W] with 0 in a rectangle of half the sides that begins at ``corner`` [n, 2], int64 pixels."""
    height, width = images.shape[2:]
    rows, columns = places(height, corner[:, :1]), places(width, corner[:, 1:])
    hole = rectangle(rows, columns, whole(height, HOLE), whole(width, HOLE))
    return images * (~hole).to(images.dtype)


def places(side: int, start: Tensor) -> Tensor:
    """The distance of each of ``side`` rows or columns from ``start`` [n, 1]: [n, side]."""
    return torch.arange(side, device=start.device) - start


def rectangle(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """True [n,1,H,W] where 0 <= ``rows`` [n,H] < ``height`` and 0 <= ``columns`` [n,W] < ``width``."""
    down, across = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    return down[:, None, :, None] & across[:, None, None, :]


def whole(side: int, share: float) -> int:
    """``share`` of ``side`` in whole pixels, half a pixel rounded up, as in the authors' code."""
    return int(side * share + 0.5)
