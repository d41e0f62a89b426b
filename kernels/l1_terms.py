"""Weighted mean absolute differences of several pairs at once, as cycle and identity losses need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, is_grad_enabled

from gankit.kernels.cpu import TYPES, extension, team
from gankit.kernels.dispatch import FLOATS, choose, same_device, wide
from gankit.kernels.layout import dense
from gankit.kernels.single_backward import seal_gradients, single_backward

MOST_PAIRS = 8


def l1_terms(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float], *, impl: str = "auto") -> Tensor:
    """pairs: 1 to 8 of (a, b), each of one shape and type; weights: one a pair. Returns weight * mean |a - b|, [k].

    float32, or float64 if any pair is. Differentiable once, to every a and b, with sign(0) = 0; twice raises
    RuntimeError. A pair without elements gives 0.
    Source: the cycle and identity terms of Zhu et al. 2017, arXiv 1703.10593, equation 2 and section 5.2.
    """
    tracked = is_grad_enabled() and any(a.requires_grad or b.requires_grad for a, b in pairs)
    _check(pairs, weights)
    tensors = [tensor for pair in pairs for tensor in pair]
    chosen = choose(impl, *tensors)
    if chosen == "ref":
        marked = single_backward("l1_terms", tuple(tensors))
        return l1_terms_ref(list(zip(marked[::2], marked[1::2], strict=True)), weights)
    factors = [weight / max(a.numel(), 1) for (a, _), weight in zip(pairs, weights, strict=True)]
    if tracked:
        return cast("Tensor", _L1Terms.apply(chosen, factors, *tensors))  # type: ignore[no-untyped-call]
    return _l1_terms_fwd(_dense_pairs(tensors), factors, chosen)


class _L1Terms(torch.autograd.Function):
    """Saves the pairs; the backward writes the gradients of all of them in one go."""

    @staticmethod
    def forward(ctx: Any, impl: str, factors: list[float], *tensors: Tensor) -> Tensor:
        ctx.impl, ctx.factors = impl, factors
        ctx.save_for_backward(*tensors)
        return _l1_terms_fwd(_dense_pairs(tensors), factors, impl)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        grads = _l1_terms_bwd(
            _dense_pairs(tensors), ctx.factors, slopes.contiguous(), ctx.needs_input_grad[2:], ctx.impl
        )
        return (None, None, *seal_gradients("l1_terms", tuple(grads), (slopes, *tensors)))


def _dense_pairs(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor for a, b in zip(tensors[::2], tensors[1::2], strict=True) for tensor in dense(a, b)]


def _l1_terms_fwd(tensors: Sequence[Tensor], factors: Sequence[float], impl: str) -> Tensor:
    kind = torch.float64 if any(tensor.dtype is torch.float64 for tensor in tensors) else torch.float32
    if impl == "cpu":
        return l1_terms_cpu(tensors, factors, kind)
    from gankit.kernels.l1_terms_triton import l1_terms_triton

    return l1_terms_triton(tensors, factors, kind)


def _l1_terms_bwd(
    tensors: Sequence[Tensor], factors: Sequence[float], slopes: Tensor, wanted: Sequence[bool], impl: str
) -> list[Tensor | None]:
    if impl == "cpu":
        return l1_terms_grad_cpu(tensors, factors, slopes, wanted)
    from gankit.kernels.l1_terms_triton import l1_terms_grad_triton

    return l1_terms_grad_triton(tensors, factors, slopes, wanted)


def _check(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> None:
    if not 1 <= len(pairs) <= MOST_PAIRS or len(weights) != len(pairs):
        raise ValueError(
            f"l1_terms: {len(pairs)} pairs and {len(weights)} weights; expected 1 to {MOST_PAIRS}, as many of each"
        )
    first = pairs[0][0]
    for a, b in pairs:
        if a.shape != b.shape or a.dtype is not b.dtype or a.dtype not in FLOATS:
            raise ValueError(
                f"l1_terms: a pair of {list(a.shape)} {a.dtype} and {list(b.shape)} {b.dtype}; "
                "both must have one shape and one floating type"
            )
        if not (first.is_cpu and a.is_cpu and b.is_cpu) and not same_device(first, a, b):
            raise ValueError(f"l1_terms: tensors on {first.device}, {a.device} and {b.device}; move them to one device")


def l1_terms_cpu(tensors: Sequence[Tensor], factors: Sequence[float], kind: torch.dtype) -> Tensor:
    """tensors: a and b in turn, each pair dense in one order. Returns factor * sum |a - b|, [k], of type `kind`."""
    out = torch.empty(len(factors), dtype=kind)
    pairs: list[float] = []
    for a, b, factor in zip(tensors[::2], tensors[1::2], factors, strict=True):
        pairs += (a.data_ptr(), b.data_ptr(), a.numel(), TYPES[a.dtype], factor)
    extension().l1_terms(out.data_ptr(), kind == torch.float64, team(), *pairs)
    return out


def l1_terms_grad_cpu(
    tensors: Sequence[Tensor], factors: Sequence[float], slopes: Tensor, wanted: Sequence[bool]
) -> list[Tensor | None]:
    """tensors, factors: as above; slopes: [k], the outer gradients. Returns the gradient of each wanted tensor."""
    outs = [torch.empty_like(tensor) if want else None for tensor, want in zip(tensors, wanted, strict=True)]
    to = [0 if out is None else out.data_ptr() for out in outs]
    pairs: list[float] = []
    for k, factor in enumerate(factors):
        a, b = tensors[2 * k], tensors[2 * k + 1]
        pairs += (a.data_ptr(), b.data_ptr(), to[2 * k], to[2 * k + 1], a.numel(), TYPES[a.dtype], factor)
    extension().l1_terms_grad(slopes.data_ptr(), slopes.dtype == torch.float64, team(), *pairs)
    return outs


def l1_terms_ref(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> Tensor:
    """pairs: k of (a, b), each of one shape; weights: k. Returns weight * mean |a - b| of each, [k]."""
    terms = []
    for (a, b), weight in zip(pairs, weights, strict=True):
        dtype = wide(a.dtype)
        terms.append((a.to(dtype) - b.to(dtype)).abs().sum() * (weight / max(a.numel(), 1)))
    widest = torch.float64 if any(term.dtype == torch.float64 for term in terms) else torch.float32
    return torch.stack([term.to(widest) for term in terms])
