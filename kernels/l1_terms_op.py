"""Weighted mean absolute differences of several pairs at once, as cycle and identity losses need."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gankit.kernels.dispatch import FLOATS, choose
from gankit.kernels.l1_terms_ref import l1_terms_ref
from gankit.kernels.once import once

MOST_PAIRS = 8


def l1_terms(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float], *, impl: str = "auto") -> Tensor:
    """pairs: 1 to 8 of (a, b), each of one shape and type; weights: one a pair. Returns weight * mean |a - b|, [k].

    float32, or float64 if any pair is. Differentiable once, to every a and b, with sign(0) = 0; twice raises
    RuntimeError. A pair without elements gives 0.
    Source: the cycle and identity terms of Zhu et al. 2017, arXiv 1703.10593, equation 2 and section 5.2.
    """
    _check(pairs, weights)
    tensors = [tensor for pair in pairs for tensor in pair]
    choose(impl, *tensors)
    marked = once("l1_terms", tuple(tensors))
    return l1_terms_ref(list(zip(marked[::2], marked[1::2], strict=True)), weights)


def _check(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> None:
    if not 1 <= len(pairs) <= MOST_PAIRS or len(weights) != len(pairs):
        raise ValueError(
            f"l1_terms: {len(pairs)} pairs and {len(weights)} weights; expected 1 to {MOST_PAIRS}, as many of each"
        )
    device = pairs[0][0].device
    for a, b in pairs:
        if a.shape != b.shape or a.dtype != b.dtype or a.dtype not in FLOATS:
            raise ValueError(
                f"l1_terms: a pair of {list(a.shape)} {a.dtype} and {list(b.shape)} {b.dtype}; "
                "both must have one shape and one floating type"
            )
        if a.device != device or b.device != device:
            raise ValueError(f"l1_terms: tensors on {device}, {a.device} and {b.device}; move them to one device")
