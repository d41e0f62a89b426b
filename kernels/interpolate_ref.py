"""interpolate in plain PyTorch: the truth for the tests, the fallback and the benchmark."""

from __future__ import annotations

from torch import Tensor

from gankit.kernels.dispatch import wide


def interpolate_ref(real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
    """real, fake: [N,...]; t: [N]. Returns fake + t (real - fake), [N,...], rounded once to real's type."""
    dtype = wide(real.dtype)
    base = fake.to(dtype)
    weight = t.to(dtype).view(-1, *[1] * (real.dim() - 1))
    return (base + weight * (real.to(dtype) - base)).to(real.dtype)
