"""The adversarial losses, each once, on logits or scores [n]."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def bce_real(logits: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log D(x), the mean over logits [n]; with one-sided label smoothing the target is 1 - ``smoothing``.

    Goodfellow et al. 2014, eq. 1; smoothing: Salimans et al. 2016, section 3.4.
    """
    if smoothing == 0.0:
        return F.softplus(-logits).mean()
    return ((1 - smoothing) * F.softplus(-logits) + smoothing * F.softplus(logits)).mean()


def bce_fake(logits: Tensor) -> Tensor:
    """-log(1 - D(G(z))), the mean over logits [n]. Goodfellow et al. 2014, eq. 1."""
    return F.softplus(logits).mean()


def hinge_real(scores: Tensor) -> Tensor:
    """max(0, 1 - D(x)), the mean over scores [n]. Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, eq. 16."""
    return F.relu(1 - scores).mean()


def hinge_fake(scores: Tensor) -> Tensor:
    """max(0, 1 + D(G(z))), the mean over scores [n]. Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, eq. 16."""
    return F.relu(1 + scores).mean()


def least_squares(scores: Tensor, target: float) -> Tensor:
    """The mean of (score - target)^2 over scores of any shape. Mao et al. 2017, arXiv:1611.04076, eq. 2 without 1/2."""
    return (scores - target).square().mean()


def generator_loss(logits: Tensor, kind: str) -> Tensor:
    """What the generator minimises, for logits [n] of its samples. Goodfellow et al. 2014, section 3.

    "non-saturating": -log D(G(z)). "saturating": log(1 - D(G(z))), whose gradient vanishes where D is sure.
    """
    return F.softplus(-logits).mean() if kind == "non-saturating" else -F.softplus(logits).mean()
