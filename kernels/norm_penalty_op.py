"""How far the norms of per-sample gradients are from a target."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from gankit.kernels.cpu import norm_penalty_cpu, norm_penalty_grad_cpu
from gankit.kernels.dispatch import FLOATS, choose
from gankit.kernels.layout import dense
from gankit.kernels.norm_penalty_ref import norm_penalty_ref
from gankit.kernels.once import once, sealed


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
    chosen = choose(impl, grad)
    if chosen == "ref":
        (marked,) = once("norm_penalty", (grad,))
        return norm_penalty_ref(marked, target, one_sided)
    if torch.is_grad_enabled() and grad.requires_grad:
        applied = _NormPenalty.apply(grad, target, one_sided, chosen)  # type: ignore[no-untyped-call]
        return cast("tuple[Tensor, Tensor]", applied)
    return _norm_penalty_fwd(grad, target, one_sided, chosen)


class _NormPenalty(torch.autograd.Function):
    """Saves the gradient and its norms; the backward is one pass that scales each sample."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, target: float, one_sided: bool, impl: str) -> tuple[Tensor, Tensor]:
        penalty, norms = _norm_penalty_fwd(grad, target, one_sided, impl)
        ctx.mark_non_differentiable(norms)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(grad, norms)
        ctx.call = target, one_sided, impl
        return penalty, norms

    @staticmethod
    def backward(ctx: Any, slope: Tensor | None, unused: None) -> tuple[Tensor | None, None, None, None]:
        if slope is None:
            return None, None, None, None
        grad, norms = ctx.saved_tensors
        result = _norm_penalty_bwd(grad.detach(), norms, slope.detach(), *ctx.call)
        (marked,) = sealed("norm_penalty", (result,), (slope, grad))
        return marked, None, None, None


def _norm_penalty_fwd(grad: Tensor, target: float, one_sided: bool, impl: str) -> tuple[Tensor, Tensor]:
    (grad,) = dense(grad)
    if impl == "cpu":
        return norm_penalty_cpu(grad, target, one_sided)
    from gankit.kernels.norm_penalty_triton import norm_penalty_triton

    return norm_penalty_triton(grad, target, one_sided)


def _norm_penalty_bwd(grad: Tensor, norms: Tensor, slope: Tensor, target: float, one_sided: bool, impl: str) -> Tensor:
    (grad,) = dense(grad)
    if impl == "cpu":
        return norm_penalty_grad_cpu(grad, norms, slope, target, one_sided)
    from gankit.kernels.norm_penalty_triton import norm_penalty_grad_triton

    return norm_penalty_grad_triton(grad, norms, slope, target, one_sided)
