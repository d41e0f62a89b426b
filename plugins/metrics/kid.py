"""Binkowski, Sutherland, Arbel & Gretton 2018, "Demystifying MMD GANs", section 4."""

from __future__ import annotations

from torch import Tensor

from gankit import Metric, RandomStream, Selection, UsageError
from gankit.evaluation import KEPT

SUBSETS = 100
SIZE = 1000


class KID(Metric):
    """The squared maximum mean discrepancy under the cubic kernel, unbiased: the mean over random subsets."""

    needs = "features"
    better = "lower"
    settings = {"kept": KEPT, "subsets": SUBSETS, "subset": SIZE}

    def start(self) -> Selection:
        return Selection()

    def value(self, fake: Selection, real: Selection) -> float:
        return mean_mmd(fake.rows.double(), real.rows.double())


def mean_mmd(x: Tensor, y: Tensor, subsets: int = SUBSETS, size: int = SIZE) -> float:
    """x: [n,F], y: [m,F]. Returns the mean of ``mmd2`` over ``subsets`` pairs of random subsets of ``size``, or all."""
    size = min(size, len(x), len(y))
    if size < 2:
        raise UsageError("kid needs 2 images or more on either side")
    total = 0.0
    for i in range(subsets):
        one, other = (
            RandomStream("kid", i, "fake").permutation(len(x)),
            RandomStream("kid", i, "real").permutation(len(y)),
        )
        total += mmd2(x[one[:size]], y[other[:size]])
    return total / subsets


def mmd2(x: Tensor, y: Tensor) -> float:
    """x: [n,F], y: [m,F]: the unbiased squared MMD under k(a, b) = (a.b / F + 1)^3; it may be negative.

    Gretton et al. 2012, lemma 6: the means of k over pairs of different x and of different y, less twice that of
    k(x, y).
    """
    n, m = len(x), len(y)
    xx, yy, xy = cubic(x, x), cubic(y, y), cubic(x, y)
    within_x = (xx.sum() - xx.trace()) / (n * (n - 1))
    within_y = (yy.sum() - yy.trace()) / (m * (m - 1))
    return float(within_x + within_y - 2 * xy.mean())


def cubic(x: Tensor, y: Tensor) -> Tensor:
    """[n,m]: (x.y / F + 1)^3."""
    base = x @ y.T / x.shape[1] + 1
    return base * base * base
