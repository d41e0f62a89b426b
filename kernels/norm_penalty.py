"""How far the norms of per-sample gradients are from a target."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from gankit.kernels.cpu import TYPES, extension, team
from gankit.kernels.dispatch import FLOATS, choose, wide
from gankit.kernels.layout import dense
from gankit.kernels.single_backward import seal_gradients, single_backward


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
        (marked,) = single_backward("norm_penalty", (grad,))
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
        (marked,) = seal_gradients("norm_penalty", (result,), (slope, grad))
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


def norm_penalty_cpu(grad: Tensor, target: float, one_sided: bool) -> tuple[Tensor, Tensor]:
    """grad: [N,...], dense. Returns the penalty, [], and the norms, [N], in the wide type."""
    kind = torch.float64 if grad.dtype == torch.float64 else torch.float32
    n = grad.shape[0]
    penalty, norms = torch.empty((), dtype=kind), torch.empty(n, dtype=kind)
    extension().norm_penalty(
        grad.data_ptr(),
        norms.data_ptr(),
        penalty.data_ptr(),
        n,
        grad.numel() // n if n else 0,
        target,
        one_sided,
        TYPES[grad.dtype],
        team(),
    )
    return penalty, norms


def norm_penalty_grad_cpu(grad: Tensor, norms: Tensor, slope: Tensor, target: float, one_sided: bool) -> Tensor:
    """grad: [N,...], dense; norms: [N]; slope: [], the outer gradient. Returns the gradient, as grad."""
    out = torch.empty_like(grad)
    n = grad.shape[0]
    extension().norm_penalty_grad(
        grad.data_ptr(),
        norms.data_ptr(),
        slope.data_ptr(),
        out.data_ptr(),
        n,
        grad.numel() // n if n else 0,
        target,
        one_sided,
        TYPES[grad.dtype],
        team(),
    )
    return out


def norm_penalty_ref(grad: Tensor, target: float = 1.0, one_sided: bool = False) -> tuple[Tensor, Tensor]:
    """grad: [N,...]. Returns the mean over samples of (norm2 - target)^2, [], and the norms, [N], detached."""
    samples = grad.flatten(1) if grad.dim() > 1 else grad.unsqueeze(1)
    norms = torch.linalg.vector_norm(samples, dim=1, dtype=wide(grad.dtype))
    excess = norms - target
    if one_sided:
        excess = excess.clamp(min=0)
    return excess.square().sum() / max(len(grad), 1), norms.detach()
