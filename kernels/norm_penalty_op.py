"""How far the norms of per-sample gradients are from a target."""

from __future__ import annotations

from torch import Tensor

from gankit.kernels.dispatch import FLOATS, choose
from gankit.kernels.norm_penalty_ref import norm_penalty_ref
from gankit.kernels.once import once


def norm_penalty(
    grad: Tensor, target: float = 1.0, one_sided: bool = False, *, impl: str = "auto"
) -> tuple[Tensor, Tensor]:
    """grad: [N,...]. Returns the mean over samples of (norm2 - target)^2, [], and the norms, [N].

    Both are float32 (float64 for float64). one_sided counts only norms above the target. The penalty can be
    differentiated once, with gradient 0 at a zero norm; twice raises RuntimeError. The norms carry no gradient.
    An empty batch gives 0. Source: equation 3 of Gulrajani et al. 2017, arXiv 1704.00028.
    """
    if grad.dtype not in FLOATS or grad.dim() == 0:
        raise ValueError(f"norm_penalty: {list(grad.shape)} {grad.dtype}; expected a floating [N,...]")
    choose(impl, grad)
    (marked,) = once("norm_penalty", (grad,))
    return norm_penalty_ref(marked, target, one_sided)
