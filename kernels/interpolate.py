"""Points between real and fake samples, one weight a sample."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, is_grad_enabled

from gankit.kernels.cpu import TYPES, extension, team
from gankit.kernels.dispatch import FLOATS, choose, same_device, wide
from gankit.kernels.layout import dense


def interpolate(real: Tensor, fake: Tensor, t: Tensor, *, impl: str = "auto") -> Tensor:
    """real, fake: [N,...] of one floating type; t: [N] in [0,1]. Returns fake + t (real - fake), [N,...].

    Differentiable to all three at any order. Sums are made in float32 (float64 for float64).
    Raises ValueError for shapes, types or devices that do not match.
    Source: algorithm 1, line 6 of Gulrajani et al. 2017, arXiv 1704.00028, with t for its epsilon.
    """
    _check(real, fake, t)
    chosen = choose(impl, real, fake, t)
    if chosen == "ref":
        return interpolate_ref(real, fake, t)
    kind = wide(real.dtype)
    weight = t if t.dtype is kind else t.to(kind)
    if is_grad_enabled() and (real.requires_grad or fake.requires_grad or t.requires_grad):
        return cast("Tensor", _Interpolate.apply(real, fake, weight, chosen))  # type: ignore[no-untyped-call]
    return _interpolate_fwd(real, fake, weight, chosen)


class _Interpolate(torch.autograd.Function):
    """Saves what t's gradient needs; the backward is made of PyTorch's own ops, so any order follows from it."""

    @staticmethod
    def forward(ctx: Any, real: Tensor, fake: Tensor, t: Tensor, impl: str) -> Tensor:
        ctx.dtype = wide(real.dtype)
        ctx.save_for_backward(t, *((real, fake) if ctx.needs_input_grad[2] else ()))
        return _interpolate_fwd(real, fake, t, impl)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        t, *ends = ctx.saved_tensors
        outer = grad.to(ctx.dtype)
        to_real = outer * t.view(-1, *[1] * (grad.dim() - 1))
        to_t = None
        if ends:
            real, fake = ends
            product = (real.to(ctx.dtype) - fake.to(ctx.dtype)) * outer
            to_t = product.flatten(1).sum(1) if grad.dim() > 1 else product
        return (
            to_real.to(grad.dtype) if ctx.needs_input_grad[0] else None,
            (outer - to_real).to(grad.dtype) if ctx.needs_input_grad[1] else None,
            to_t,
            None,
        )


def _interpolate_fwd(real: Tensor, fake: Tensor, t: Tensor, impl: str) -> Tensor:
    real, fake = dense(real, fake)
    if impl == "cpu":
        return interpolate_cpu(real, fake, t.contiguous())
    from gankit.kernels.interpolate_triton import interpolate_triton

    return interpolate_triton(real, fake, t.contiguous())


def _check(real: Tensor, fake: Tensor, t: Tensor) -> None:
    # The order and the repetition are for speed: a good call is through after the fewest attribute reads.
    shape, dtype = real.shape, real.dtype
    if fake.shape != shape or fake.dtype is not dtype:
        raise ValueError(
            f"interpolate: real is {list(shape)} {dtype}, fake is {list(fake.shape)} {fake.dtype}; they must match"
        )
    if t.dim() != 1 or not shape or t.numel() != shape[0]:
        raise ValueError(f"interpolate: t is {list(t.shape)}, expected one weight a sample of {list(shape)}")
    if dtype not in FLOATS or t.dtype not in FLOATS:
        raise ValueError(f"interpolate: {dtype} and t of {t.dtype}; expected floating types")
    if not (real.is_cpu and fake.is_cpu and t.is_cpu) and not same_device(real, fake, t):
        raise ValueError(
            f"interpolate: tensors on {real.device}, {fake.device} and {t.device}; move them to one device"
        )


def interpolate_cpu(real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
    """real, fake: [N,...], dense in one order; t: [N], contiguous, in the wide type. Returns [N,...]."""
    out = torch.empty_like(real)
    n = real.shape[0]
    extension().interpolate(
        real.data_ptr(),
        fake.data_ptr(),
        t.data_ptr(),
        out.data_ptr(),
        n,
        real.numel() // n if n else 0,
        TYPES[real.dtype],
        team(),
    )
    return out


def interpolate_ref(real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
    """real, fake: [N,...]; t: [N]. Returns fake + t (real - fake), [N,...], rounded once to real's type."""
    dtype = wide(real.dtype)
    base = fake.to(dtype)
    weight = t.to(dtype).view(-1, *[1] * (real.dim() - 1))
    return (base + weight * (real.to(dtype) - base)).to(real.dtype)
