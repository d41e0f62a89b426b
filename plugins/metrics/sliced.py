"""The sliced Wasserstein distance of images: Rabin, Peyre, Delon & Bernot 2011; Karras et al. 2018 for GANs."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from gankit import Metric, RandomStream, Seen, Selection
from gankit.evaluation import KEPT

DIRECTIONS = 256


class Projections(Selection):
    """The projections of at most ``KEPT`` images on fixed random directions, [n, DIRECTIONS]."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"{KEPT} on {DIRECTIONS} directions"

    def chosen(self, seen: Seen) -> Tensor:
        pixels = seen.images.flatten(1).float()
        return pixels @ directions(pixels.shape[1])


class SlicedWasserstein(Metric):
    """The root mean square, over random directions, of the Wasserstein-2 distance of the images' projections.

    In grey levels of 255: images that all became c levels brighter are at a distance of c, up to the choice of
    directions. On the pixels themselves, without the pyramid of patches that Karras et al. 2018 cut.
    """

    needs = "images"
    better = "lower"
    settings = {"kept": KEPT, "directions": DIRECTIONS}

    def start(self) -> Projections:
        return Projections()

    def value(self, fake: Projections, real: Projections) -> float:
        return float(squared_distances(fake.rows, real.rows).mean().sqrt())


@cache
def directions(pixels: int, count: int = DIRECTIONS) -> Tensor:
    """float32 [pixels, count], always the same: orthogonal within each block of up to ``pixels`` directions, all of
    length 1, which spreads them more evenly than independent ones (Rowland et al. 2019).
    """
    blocks = []
    for block, start in enumerate(range(0, count, pixels)):
        some = RandomStream("directions", pixels, block).normal(pixels, min(pixels, count - start))
        blocks.append(torch.linalg.qr(some).Q)
    return torch.cat(blocks, 1)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """x: [n,P], y: [m,P]. Returns [P]: the squared Wasserstein-2 distance of each column's points, exactly.

    The quantile functions are steps that change at i/n and at j/m; between two changes both are constant.
    """
    n, m = len(x), len(y)
    x, y = x.double().sort(0).values, y.double().sort(0).values
    if n == m:
        return (x - y).square().mean(0)
    changes = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n])
    ends = torch.unique(changes)  # in units of 1/(nm)
    widths = ends.diff(prepend=ends.new_zeros(1)).double() / (n * m)
    # The steps that end at e are number ceil(e/m) of x and ceil(e/n) of y.
    squared: Tensor = widths @ (x[(ends - 1) // m] - y[(ends - 1) // n]).square()
    return squared
