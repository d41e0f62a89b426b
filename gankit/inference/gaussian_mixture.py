"""Principal components and Gaussian mixtures, in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gankit.core.rng import RandomStream

FLOOR = 1e-6
"""Added to every variance of a component, as a share of the data's mean variance: none may shrink to a point."""

SPARE, POWERS = 32, 6
"""Directions held besides those wanted, and rounds, when principal components are looked for."""


@dataclass(frozen=True)
class Components:
    """Principal components: mean [d], directions [k, d] of unit length."""

    mean: Tensor
    directions: Tensor

    def project(self, x: Tensor) -> Tensor:
        """x: [n, d] -> [n, k]."""
        return (x - self.mean) @ self.directions.T

    def back(self, y: Tensor) -> Tensor:
        """y: [n, k] -> [n, d]."""
        return y @ self.directions + self.mean


def principal(x: Tensor, dims: int, draws: RandomStream, powers: int = POWERS) -> Components:
    """The ``dims`` directions in which x [n, d] varies most, or as many as it has.

    By ``powers`` rounds of subspace iteration from random directions: all singular vectors of 5,000 wide latents take a
    minute. Exact where ``dims`` + SPARE directions are all that there are; else the closer, the more rounds.
    """
    with torch.random.fork_rng(devices=[]):  # pca_lowrank draws from PyTorch's global generator
        torch.default_generator.manual_seed(int(draws.integers(1 << 31)))
        _, _, directions = torch.pca_lowrank(x, min(*x.shape, dims + SPARE), niter=powers)
    return Components(x.mean(0), directions.T[:dims])


@dataclass(frozen=True)
class Mixture:
    """Weights [K], means [K, d] and the lower Cholesky factors [K, d, d] of the covariances."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def log_densities(self, x: Tensor) -> Tensor:
        """log(weight_k N(x; mean_k, covariance_k)) of x [n, d]: [n, K]."""
        found = []
        for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True):
            scaled = torch.linalg.solve_triangular(factor, (x - mean).T, upper=False)
            volume = factor.diagonal().log().sum() + 0.5 * x.shape[1] * math.log(2 * math.pi)
            found.append(weight.log() - 0.5 * scaled.square().sum(0) - volume)
        return torch.stack(found, 1)

    def draw(self, n: int, draws: RandomStream) -> Tensor:
        """N points [n, d]."""
        edges = self.weights.cumsum(0)[:-1].contiguous()
        component = torch.bucketize(draws.uniform(n).double(), edges, right=True)
        epsilon = draws.normal(n, self.means.shape[1]).double()
        points = torch.empty_like(epsilon)
        for k, factor in enumerate(self.factors):  # one at a time: a factor for each point fills the memory
            mine = component == k
            points[mine] = self.means[k] + epsilon[mine] @ factor.T
        return points


def fit(
    x: Tensor, components: int, draws: RandomStream, rounds: int = 200, tolerance: float = 1e-3
) -> tuple[Mixture, float]:
    """A mixture of ``components`` fitted to x [n, d], and its mean log likelihood.

    By expectation maximisation (Dempster, Laird & Rubin 1977) from k-means, until a round gains under ``tolerance``.
    """
    centres = k_means(x, components, draws)
    resp = F.one_hot(torch.cdist(x, centres).argmin(1), components).to(x.dtype)
    before = -math.inf
    for _ in range(rounds):
        mixture = _maximised(x, resp)
        joint = mixture.log_densities(x)
        likelihood = joint.logsumexp(1)
        resp = (joint - likelihood[:, None]).exp()
        now = float(likelihood.mean())
        if now - before < tolerance:
            break
        before = now
    return mixture, now


def _maximised(x: Tensor, resp: Tensor) -> Mixture:
    """The likeliest mixture for the responsibilities [n, K]."""
    share = resp.sum(0).clamp(min=1e-10)
    means = (resp.T @ x) / share[:, None]
    floor = FLOOR * float(x.var(0, correction=0).mean()) + torch.finfo(x.dtype).tiny
    factors = []
    for k, mean in enumerate(means):
        off = x - mean
        covariance = (off * resp[:, k, None]).T @ off / share[k]
        factors.append(torch.linalg.cholesky(covariance + floor * torch.eye(x.shape[1], dtype=x.dtype)))
    return Mixture(share / share.sum(), means, torch.stack(factors))


def k_means(x: Tensor, k: int, draws: RandomStream, rounds: int = 20) -> Tensor:
    """The centres [k, d] of x [n, d] after Lloyd's rounds, from the start of Arthur & Vassilvitskii 2007 (k-means++):
    each next centre is a point drawn by its squared distance from the centres before.
    """
    chosen = [int(draws.integers(len(x)))]
    distance = torch.full((len(x),), math.inf, dtype=x.dtype)
    for _ in range(k - 1):
        distance = torch.minimum(distance, (x - x[chosen[-1]]).square().sum(1))
        edges = distance.cumsum(0)
        place = torch.searchsorted(edges, draws.uniform(1).to(x.dtype) * edges[-1], right=True)
        chosen.append(min(int(place), len(x) - 1))
    centres = x[chosen]
    for _ in range(rounds):
        nearest = torch.cdist(x, centres).argmin(1)
        counts = nearest.bincount(minlength=k)
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        moved = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres
