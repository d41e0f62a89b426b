"""norm_penalty in plain PyTorch: the truth for the tests, the fallback and the benchmark."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.kernels.dispatch import wide


def norm_penalty_ref(grad: Tensor, target: float = 1.0, one_sided: bool = False) -> tuple[Tensor, Tensor]:
    """grad: [N,...]. Returns the mean over samples of (norm2 - target)^2, [], and the norms, [N], detached."""
    samples = grad.flatten(1) if grad.dim() > 1 else grad.unsqueeze(1)
    norms = torch.linalg.vector_norm(samples, dim=1, dtype=wide(grad.dtype))
    excess = norms - target
    if one_sided:
        excess = excess.clamp(min=0)
    return excess.square().sum() / max(len(grad), 1), norms.detach()
