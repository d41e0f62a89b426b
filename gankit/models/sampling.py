"""Images from a model."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.core.rng import RandomStream
from gankit.core.types import Batch, Noise, placed
from gankit.models.interface import Model

CHUNK = 500
"""Images sampled at once: a million in one pass would fill the memory."""


@torch.no_grad()
def sample(
    model: Model,
    n: int,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    batch: Batch | None = None,
    *,
    preview: bool = False,
) -> Tensor:
    """N images [n,C,H,W] from ``model`` in eval mode; the mode it had is put back. ``batch``: for a model that reads
    images; ``preview``: those to look at while training.
    """
    noise = model.noise("sample", n, RandomStream(seed, "sample"))
    noise = placed(noise, device, dtype)
    if batch is not None:
        other = None if batch.other is None else batch.other.to(device, dtype)
        batch = Batch(batch.images.to(device, dtype), other=other)
    training = model.training
    model.eval()
    try:
        if preview:
            return model.preview(noise, batch)
        return in_parts(model, noise, n, batch)
    finally:
        model.train(training)


def in_parts(model: Model, noise: Noise, n: int, batch: Batch | None = None) -> Tensor:
    """The N images [n,C,H,W] of ``noise``, made in parts that fit into memory."""
    chunks = []
    for i in range(0, n, CHUNK):
        some = slice(i, i + CHUNK)
        chunks.append(model.sample({k: v[some] for k, v in noise.items()}, batch and batch.part(some)))
    return torch.cat(chunks)
