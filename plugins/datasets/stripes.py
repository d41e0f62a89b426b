"""Two unpaired sets of pictures drawn from a seed, and the true mapping between them: what a CycleGAN should find.

Set a: plain shapes, as in the data set `shapes`. Set b: other such shapes under horizontal stripes. The stripes lie on
the picture's own grid, so the mapping is known for every image, either way; they outlast --flip, but not --crop.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gankit import DataOptions, Dataset, ImageSet
from gankit.core.rng import key
from gankit.data import check_eight_bits
from gankit.plugins.datasets import shapes
from gankit.plugins.datasets.about import STRIPES

COUNT = 2_000
PERIOD = 4
"""Rows from stripe to stripe: half of them dark."""
DARK = 0.25
"""What is left of the brightness in a dark row."""


class Stripes(Dataset):
    """Plain shapes, and others striped."""

    about = STRIPES

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        check_eight_bits(options)
        plain, other = (self._shapes(options, domain) for domain in "ab")
        return ImageSet(plain, other=to_pixels(true_mapping(to_unit(other), "a2b")))

    def true_mapping(self, images: Tensor, direction: str) -> Tensor:
        return true_mapping(images, direction)

    @staticmethod
    def _shapes(options: DataOptions, domain: str) -> Tensor:
        rng = np.random.Generator(np.random.Philox(key=key("stripes", options.split, domain)))
        labels = rng.integers(len(shapes.CLASSES), size=options.limit or COUNT)
        return torch.from_numpy(shapes.draw(labels, options.sides(32), options.channels or 3, rng))


def true_mapping(images: Tensor, direction: str = "a2b") -> Tensor:
    """images: [n,C,H,W] in [-1, 1], plain for "a2b", striped for "b2a". Returns them striped, or plain."""
    dark = torch.arange(images.shape[2], device=images.device) % PERIOD >= PERIOD // 2
    left = torch.where(dark, DARK, 1.0).to(images.dtype)[:, None]
    brightness = (images + 1) / 2
    return 2 * (brightness * left if direction == "a2b" else (brightness / left).clamp(max=1)) - 1


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 -> [-1, 1]."""
    return pixels.double() / 127.5 - 1


def to_pixels(images: Tensor) -> Tensor:
    """[-1, 1] -> uint8, rounded to the nearest."""
    return ((images + 1) * 127.5).round().to(torch.uint8)
