"""Heusel, Ramsauer, Unterthiner, Nessler & Hochreiter 2017, "GANs trained by a two time-scale update rule"."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gankit import Metric, Moments


class FID(Metric):
    """The Frechet distance between Gaussians with the mean and covariance of the features."""

    needs = "features"
    better = "lower"

    def start(self) -> Moments:
        return Moments()

    def value(self, fake: Moments, real: Moments) -> float:
        return frechet(fake.mean, fake.covariance, real.mean, real.covariance)


def frechet(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """mean: [F], cov: [F,F], float64: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2), never negative.

    Dowson & Landau 1982. The trace of (C1 C2)^1/2 is taken as that of (C1^1/2 C2 C1^1/2)^1/2, which is
    symmetric: its eigenvalues are real, and those of singular covariances are 0 and not a little below. NaN where a
    number given is not finite.
    """
    if not all(bool(given.isfinite().all()) for given in (mean1, cov1, mean2, cov2)):
        return math.nan
    root = symmetric_root(cov1)
    inner = root @ cov2 @ root
    cross = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    gap = (mean1 - mean2).square().sum()
    return max(0.0, float(gap + cov1.trace() + cov2.trace() - 2 * cross))


def symmetric_root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a positive semidefinite [F,F]; what rounding put below 0 counts as 0."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
