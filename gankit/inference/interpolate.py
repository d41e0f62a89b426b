"""Paths between latents."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.rng import RandomStream
from gankit.core.types import placed
from gankit.models.sampling import in_parts
from gankit.runs.folder import RunFolder


def interpolate(run: RunFolder, rows: int = 8, steps: int = 10, mode: str = "spherical", seed: int = 0) -> Tensor:
    """Images [rows * steps, C, H, W] in [-1, 1]: each row a path between two latents, ends included.

    ``mode`` is linear or spherical (White 2016, arXiv:1609.04468). UsageError for a model without a latent z.
    """
    model = run.load()
    ends = [model.noise("sample", rows, RandomStream(seed, "interpolate", end)) for end in ("from", "to")]
    if "z" not in ends[0]:
        raise UsageError(f"{run.root}: {run.config.variant} has no latent z to interpolate")
    path = between(ends[0]["z"], ends[1]["z"], steps, mode)
    # Everything else random stays as it is along a row, so that only the latent moves.
    noise = {name: value.repeat_interleave(steps, 0) for name, value in ends[0].items()}
    dtype = next(model.parameters()).dtype
    noise = placed({**noise, "z": path}, torch.device("cpu"), dtype)
    with torch.no_grad():
        return in_parts(model, noise, len(path))


def between(a: Tensor, b: Tensor, steps: int, mode: str) -> Tensor:
    """a, b: [n, d] -> [n * steps, d], each path from one of a to its like in b, ends included; ``mode`` is linear or
    spherical.
    """
    return (linear if mode == "linear" else spherical)(a, b, steps).flatten(0, 1)


def linear(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """a, b: [n, d] -> [n, steps, d], straight from a to b."""
    t = torch.linspace(0, 1, steps, dtype=a.dtype)[None, :, None]
    return a[:, None] + t * (b - a)[:, None]


def spherical(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """a, b: [n, d] -> [n, steps, d] along the great circle; where a and b are parallel, straight."""
    angle = torch.acos(torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1))[:, None, None]
    t = torch.linspace(0, 1, steps, dtype=a.dtype)[None, :, None]
    sine = angle.sin()
    curved = (((1 - t) * angle).sin() * a[:, None] + (t * angle).sin() * b[:, None]) / sine
    return torch.where(sine.abs() < 1e-6, linear(a, b, steps), curved)
