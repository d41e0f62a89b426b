"""l1_terms in plain PyTorch: the truth for the tests, the fallback and the benchmark."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gankit.kernels.dispatch import wide


def l1_terms_ref(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> Tensor:
    """pairs: k of (a, b), each of one shape; weights: k. Returns weight * mean |a - b| of each, [k]."""
    terms = []
    for (a, b), weight in zip(pairs, weights, strict=True):
        dtype = wide(a.dtype)
        terms.append((a.to(dtype) - b.to(dtype)).abs().sum() * (weight / max(a.numel(), 1)))
    widest = torch.float64 if any(term.dtype == torch.float64 for term in terms) else torch.float32
    return torch.stack([term.to(widest) for term in terms])
