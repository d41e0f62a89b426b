"""The ops as tutorials write them in PyTorch: what a speed is compared with, and whose error is allowed twice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def interpolate(real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
    """real, fake: [N,...]; t: [N]. Returns t real + (1 - t) fake, [N,...]."""
    weight = t.to(real.dtype).view(-1, *[1] * (real.dim() - 1))
    return weight * real + (1 - weight) * fake


def norm_penalty(grad: Tensor, target: float = 1.0, one_sided: bool = False) -> tuple[Tensor, Tensor]:
    """grad: [N,...]. Returns the mean of (norm2 - target)^2, [], and the norms, [N]."""
    norms = grad.flatten(1).norm(2, dim=1)
    over = (norms - target).clamp(min=0) if one_sided else norms - target
    return ((over**2).mean() if len(grad) else over.sum()), norms


def l1_terms(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> Tensor:
    """pairs: k of (a, b); weights: k. Returns weight * mean |a - b|, [k]."""
    terms = [
        F.l1_loss(a, b) * weight if a.numel() else (a - b).sum() for (a, b), weight in zip(pairs, weights, strict=True)
    ]
    kind = torch.float64 if any(term.dtype == torch.float64 for term in terms) else torch.float32
    return torch.stack([term.to(kind) for term in terms])


def gather(images: Tensor, index: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """images: uint8 [N,C,H,W]; index: [B]. Returns x / 127.5 - 1, [B,C,H,W]."""
    return images[index].to(dtype) / 127.5 - 1
