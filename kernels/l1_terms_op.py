"""Weighted mean absolute differences of several pairs at once, as cycle and identity losses need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, is_grad_enabled

from gankit.kernels.cpu import l1_terms_cpu, l1_terms_grad_cpu, l1_terms_quick
from gankit.kernels.dispatch import FLOATS, choose, quick, same_device
from gankit.kernels.l1_terms_ref import l1_terms_ref
from gankit.kernels.layout import dense
from gankit.kernels.once import once, sealed

MOST_PAIRS = 8


def l1_terms(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float], *, impl: str = "auto") -> Tensor:
    """pairs: 1 to 8 of (a, b), each of one shape and type; weights: one a pair. Returns weight * mean |a - b|, [k].

    float32, or float64 if any pair is. Differentiable once, to every a and b, with sign(0) = 0; twice raises
    RuntimeError. A pair without elements gives 0.
    Source: the cycle and identity terms of Zhu et al. 2017, arXiv 1703.10593, equation 2 and section 5.2.
    """
    tracked = is_grad_enabled() and any(a.requires_grad or b.requires_grad for a, b in pairs)
    terms = l1_terms_quick(pairs, weights) if impl == "auto" and quick() else None
    if terms is not None and not tracked:
        return terms
    tensors = [tensor for pair in pairs for tensor in pair]
    if terms is None:
        _check(pairs, weights)
        chosen = choose(impl, *tensors)
    else:
        chosen = "cpu"
    if chosen == "ref":
        marked = once("l1_terms", tuple(tensors))
        return l1_terms_ref(list(zip(marked[::2], marked[1::2], strict=True)), weights)
    factors = [weight / max(a.numel(), 1) for (a, _), weight in zip(pairs, weights, strict=True)]
    if tracked:
        return cast("Tensor", _L1Terms.apply(chosen, factors, [terms], *tensors))  # type: ignore[no-untyped-call]
    return _l1_terms_fwd(_dense_pairs(tensors), factors, chosen)


class _L1Terms(torch.autograd.Function):
    """Saves the pairs; the backward writes the gradients of all of them in one go."""

    @staticmethod
    def forward(ctx: Any, impl: str, factors: list[float], ready: list[Tensor | None], *tensors: Tensor) -> Tensor:
        ctx.impl, ctx.factors = impl, factors
        ctx.save_for_backward(*tensors)
        (terms,) = ready
        return _l1_terms_fwd(_dense_pairs(tensors), factors, impl) if terms is None else terms

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        grads = _l1_terms_bwd(
            _dense_pairs(tensors), ctx.factors, slopes.contiguous(), ctx.needs_input_grad[3:], ctx.impl
        )
        return (None, None, None, *sealed("l1_terms", tuple(grads), (slopes, *tensors)))


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
