"""Circles, squares and triangles, drawn from a seed: a labelled data set that needs no network and no file."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gankit import DataOptions, Dataset, ImageSet, UsageError
from gankit.core.rng import key
from gankit.core.sides import Sides
from gankit.data import check_eight_bits
from gankit.plugins.datasets.about import SHAPES

COUNT = 10_000
SPLITS = ("train", "test")
TILT = np.pi / 18
CLASSES = ("circle", "square", "triangle")
_BLOCK = 500  # images drawn at once, to bound memory

Array = NDArray[np.float32]


class Shapes(Dataset):
    """One bright filled shape on a dark ground: large, nearly upright, near the middle, in colour of any hue."""

    about = SHAPES

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        check_eight_bits(options)
        if options.path:
            raise UsageError(f"--data {options.data}: shapes are drawn, they have no path")
        if options.split not in SPLITS:
            raise UsageError(f"--split {options.split}: shapes have {' and '.join(SPLITS)}")
        count = options.limit or COUNT
        sides, channels = options.sides(32), options.channels or 3
        # The pictures depend on the split but not on the run's seed, so that runs of several seeds see one data set.
        rng = np.random.Generator(np.random.Philox(key=key("shapes", options.split)))
        labels = rng.integers(len(CLASSES), size=count)
        images = np.concatenate([draw(labels[i : i + _BLOCK], sides, channels, rng) for i in range(0, count, _BLOCK)])
        return ImageSet(torch.from_numpy(images), torch.from_numpy(labels), CLASSES)


def draw(labels: NDArray[np.int64], sides: Sides, channels: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 [n, channels, *sides]: shape ``labels[i]`` with a random place, size, tilt and colour."""
    n, short = len(labels), min(sides)
    radius = rng.uniform(0.65, 0.85, n).astype(np.float32)
    edge = np.array([0.95 * sides[1] / short, 0.95 * sides[0] / short], np.float32)
    centre = (rng.uniform(-1, 1, (n, 2)) * (edge - radius[:, None])).astype(np.float32)
    distance = signed_distance(labels, sides, centre, radius, rng.uniform(-TILT, TILT, n).astype(np.float32))
    cover = np.clip(0.5 - distance * (short / 2), 0, 1)[:, None]  # one pixel of antialiasing
    colour, ground = colours(n, channels, rng)
    pixels = ground + (colour - ground) * cover
    return np.asarray(np.rint(pixels * 255), dtype=np.uint8)


def signed_distance(labels: NDArray[np.int64], sides: Sides, centre: Array, radius: Array, turn: Array) -> Array:
    """[n, *sides]: each pixel's distance to the shape's edge, negative inside; the shorter side spans -1 to 1."""
    y, x = (((np.arange(n) + 0.5) * (2 / min(sides)) - n / min(sides)).astype(np.float32) for n in sides)
    dx, dy = x[None, None, :] - centre[:, 0, None, None], y[None, :, None] - centre[:, 1, None, None]
    cos, sin, r = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None], radius[:, None, None]
    x, y = cos * dx + sin * dy, cos * dy - sin * dx
    circle = np.hypot(x, y) - 0.9 * r
    square = np.maximum(np.abs(x), np.abs(y)) - 0.75 * r
    third = np.float32(np.sqrt(3) / 2)
    triangle = np.maximum(np.abs(third * x) - 0.5 * y, y) - 0.5 * r
    which = labels[:, None, None]
    return np.asarray(np.where(which == 0, circle, np.where(which == 1, square, triangle)), dtype=np.float32)


def colours(n: int, channels: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Shape and ground colours, [n, channels, 1, 1] in [0, 1]: the shape bright and, in colour, of any hue."""
    hue = rng.uniform(0, 1, n)
    bright = rng.uniform(0.8, 1.0, n)
    dark = rng.uniform(0.0, 0.1, n)
    if channels == 3:
        wheel = np.abs((hue[:, None] + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1
        shape = bright[:, None] * (0.25 + 0.75 * np.clip(wheel, 0, 1))
    else:
        shape = np.repeat(bright[:, None], channels, 1)
    ground = np.repeat(dark[:, None], channels, 1)
    return shape[:, :, None, None].astype(np.float32), ground[:, :, None, None].astype(np.float32)
