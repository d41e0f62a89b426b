"""Metrics of nearest neighbours: what of the samples looks real, and what of the real images is covered.

Precision and recall: Kynkaanniemi, Karras, Laine, Lehtinen & Aila 2019, arXiv:1904.06991. Density and coverage: Naeem,
Oh, Uh, Choi & Yoo 2020, arXiv:2002.09797. An image's ball reaches to its k-th neighbour of its own set.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gankit import Metric, Selection, UsageError
from gankit.evaluation import KEPT

_ROWS = 1000
"""Rows of the distance matrix at a time: the whole of it is 0.8 GB."""


def points(some: Selection) -> Tensor:
    """The features that were kept, [n,F] in float64: distances of equal images come out as 0 or nearly so."""
    return some.once("float64", lambda: some.rows.double())


def radii(some: Selection, k: int) -> Tensor:
    """[n]: each point's distance to its k-th neighbour, itself not counted. UsageError for k points or fewer."""
    if len(some) <= k:
        raise UsageError(f"{k} nearest neighbours need {k + 1} images or more; there are {len(some)}")

    def compute() -> Tensor:
        found = []
        for start, far in distances(points(some), points(some)):
            rows = torch.arange(len(far))
            far[rows, start + rows] = -1  # itself comes first, whatever the rounding
            found.append(far.kthvalue(k + 1, dim=1).values)
        return torch.cat(found)

    return some.once(f"radii {k}", compute)


def distances(x: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor]]:
    """x: [n,F], y: [m,F]. Yields (first row, Euclidean distances [some rows,m]) until all rows were there."""
    for start in range(0, len(x), _ROWS):
        yield start, torch.cdist(x[start : start + _ROWS], y)


def inside(x: Tensor, centres: Tensor, reach: Tensor) -> Tensor:
    """x: [n,F], centres: [m,F], reach: [m]. Returns int64 [n]: in how many of the balls each x lies."""
    return torch.cat([(far <= reach).sum(1) for _, far in distances(x, centres)])


class NeighbourMetric(Metric):
    """A metric of features and their ``k`` nearest neighbours."""

    needs = "features"
    better = "higher"
    k: int

    def start(self) -> Selection:
        return Selection()


class Precision(NeighbourMetric):
    """The share of samples that lie in the ball of some real image (Kynkaanniemi et al. 2019, eq. 2)."""

    k = 3
    settings = {"kept": KEPT, "k": k}

    def value(self, fake: Selection, real: Selection) -> float:
        return float((inside(points(fake), points(real), radii(real, self.k)) > 0).double().mean())


class Recall(NeighbourMetric):
    """The share of real images that lie in the ball of some sample (Kynkaanniemi et al. 2019, eq. 2)."""

    k = 3
    settings = {"kept": KEPT, "k": k}

    def value(self, fake: Selection, real: Selection) -> float:
        return float((inside(points(real), points(fake), radii(fake, self.k)) > 0).double().mean())


class Density(NeighbourMetric):
    """In how many real balls a sample lies, in k-ths (Naeem et al. 2020); about 1 for real images, no bound."""

    k = 5
    settings = {"kept": KEPT, "k": k}

    def value(self, fake: Selection, real: Selection) -> float:
        return float(inside(points(fake), points(real), radii(real, self.k)).double().mean() / self.k)


class Coverage(NeighbourMetric):
    """The share of real images whose ball holds a sample (Naeem et al. 2020)."""

    k = 5
    settings = {"kept": KEPT, "k": k}

    def value(self, fake: Selection, real: Selection) -> float:
        nearest = torch.cat([far.amin(1) for _, far in distances(points(real), points(fake))])
        return float((nearest <= radii(real, self.k)).double().mean())
