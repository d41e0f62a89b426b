"""Points between real and fake samples, one weight a sample."""

from __future__ import annotations

from torch import Tensor

from gankit.kernels.dispatch import FLOATS, choose
from gankit.kernels.interpolate_ref import interpolate_ref


def interpolate(real: Tensor, fake: Tensor, t: Tensor, *, impl: str = "auto") -> Tensor:
    """real, fake: [N,...] of one floating type; t: [N] in [0,1]. Returns fake + t (real - fake), [N,...].

    Differentiable to all three at any order. Sums are made in float32 (float64 for float64).
    Raises ValueError for shapes, types or devices that do not match.
    Source: algorithm 1, line 6 of Gulrajani et al. 2017, arXiv 1704.00028, with t for its epsilon.
    """
    _check(real, fake, t)
    choose(impl, real, fake, t)
    return interpolate_ref(real, fake, t)


def _check(real: Tensor, fake: Tensor, t: Tensor) -> None:
    if real.shape != fake.shape or real.dtype != fake.dtype:
        raise ValueError(
            f"interpolate: real is {list(real.shape)} {real.dtype}, fake is {list(fake.shape)} {fake.dtype}; "
            "they must match"
        )
    if real.dim() == 0 or t.shape != real.shape[:1]:
        raise ValueError(f"interpolate: t is {list(t.shape)}, expected one weight a sample of {list(real.shape)}")
    if real.dtype not in FLOATS or t.dtype not in FLOATS:
        raise ValueError(f"interpolate: {real.dtype} and t of {t.dtype}; expected floating types")
    if not (real.device == fake.device == t.device):
        raise ValueError(
            f"interpolate: tensors on {real.device}, {fake.device} and {t.device}; move them to one device"
        )
