"""Linear classifiers of features: multinomial logistic regression and linear support vector machines."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gankit.core.rng import RandomStream
from gankit.inference.gaussian_mixture import principal

HELD, ROUNDS = 128, 1
"""Directions that are narrowed, and rounds in which they are looked for: they need not be exact."""
PRODUCTS, FEWEST, MOST = 1.5e10, 50, 300
"""A minimisation has as many iterations as so many products allow, but at least FEWEST and at most MOST."""


class LinearProbe:
    """Linear classifiers of features [n, d] with ``labels`` [n], which are standardised first: see ``scores``.

    Wide features vary thousands of times as much in a few directions as in most others, which is what makes
    minimisation slow. So the widest directions are looked for once, for all classifiers.
    """

    def __init__(self, features: Tensor, labels: Tensor, classes: int) -> None:
        self.labels, self.classes = labels, classes
        self.mean = features.mean(0)
        deviation = features.std(0, correction=0)
        self.scale = torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0)
        self.features = self.standardised(features)
        self.directions = principal(self.features, HELD, RandomStream("widest directions"), ROUNDS).directions
        spread = 1 + (self.features @ self.directions.T).square().sum(0)
        self.narrowing = (spread.min() / spread).sqrt()

    def standardised(self, features: Tensor) -> Tensor:
        """``features`` [m, d] with the mean taken off and divided by the deviation of those that are learned from; one
        that is constant in these becomes 0.
        """
        return (features - self.mean) * self.scale

    def logistic(self, features: Tensor) -> Tensor:
        """The classes [m] that multinomial logistic regression with C = 1 gives ``features`` [m, d]."""
        return self.scores(features, lambda s: F.cross_entropy(s, self.labels, reduction="sum")).argmax(1)

    def svm(self, features: Tensor) -> Tensor:
        """The classes [m] by linear support vector machines, one class against the rest, with C = 1 and the squared
        hinge: unlike the hinge it is smooth (Fan et al. 2008, the default of LIBLINEAR).
        """
        side = 2.0 * F.one_hot(self.labels, self.classes) - 1
        return self.scores(features, lambda s: F.relu(1 - side * s).square().sum()).argmax(1)

    def scores(self, features: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """The scores [m, classes] of ``features`` [m, d], linear in them: those whose like on the standardised features
        learned from minimise ``loss`` + half the squared weights; the bias is free.

        By L-BFGS, in variables in which the widest directions are as narrow as the narrowest of them. Wide features
        are stopped short of the minimum: see the constants.
        """
        n, width = self.features.shape
        free = torch.zeros(self.classes, width, requires_grad=True)
        bias = torch.zeros(self.classes, requires_grad=True)
        iterations = min(MOST, max(FEWEST, int(PRODUCTS / (2 * n * free.numel()))))
        optimizer = torch.optim.LBFGS([free, bias], max_iter=iterations, line_search_fn="strong_wolfe")

        def weight() -> Tensor:
            return free + ((free @ self.directions.T) * (self.narrowing - 1)) @ self.directions

        def closure() -> Tensor:
            optimizer.zero_grad()
            weights = weight()
            total = (loss(F.linear(self.features, weights, bias)) + 0.5 * weights.square().sum()) / n
            total.backward()  # type: ignore[no-untyped-call]
            return total

        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[no-untyped-call]
        return F.linear(self.standardised(features), weight().detach(), bias.detach())
