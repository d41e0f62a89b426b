"""Images from a model, part by part: all of them in one pass would fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gankit.core.ranks import current
from gankit.core.rng import RandomStream
from gankit.core.types import Batch, Noise, placed
from gankit.models.interface import Model

CHUNK = 100
"""Images sampled at once: with default networks and 64x64x3 images they take about 100 MB on their way."""
NOISE_BYTES = 1 << 28
"""Random inputs of all images are drawn at once up to so many bytes; of more, those of each part by themselves."""

Sources = Callable[[int, int], Batch]
"""Gives images ``first`` to ``first + n`` of those that a model which reads images starts from."""


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
    if preview:
        return _preview(model, n, seed, device, dtype, batch)

    def part(first: int, count: int) -> Batch:
        assert batch is not None
        return batch.part(slice(first, first + count))

    return torch.cat(list(stream(model, n, seed, device, dtype, part if batch is not None else None)))


@torch.no_grad()
def _preview(model: Model, n: int, seed: int, device: torch.device, dtype: torch.dtype, batch: Batch | None) -> Tensor:
    training = model.training
    model.eval()
    try:
        noise = placed(model.noise("sample", n, RandomStream(seed, "sample")), device, dtype)
        return model.preview(noise, None if batch is None else moved(batch, device, dtype))
    finally:
        model.train(training)


@torch.no_grad()
def stream(
    model: Model, n: int, seed: int, device: torch.device, dtype: torch.dtype, sources: Sources | None = None
) -> Iterator[Tensor]:
    """The images of ``sample`` in parts [CHUNK,C,H,W], the last one shorter; of several ranks those of this one."""
    training = model.training
    model.eval()
    try:
        for first, noise in current().own(_drawn(model, n, seed)):
            batch = None
            if sources is not None:
                batch = moved(sources(first, min(CHUNK, n - first)), device, dtype)
            yield model.sample(placed(noise, device, dtype), batch)
    finally:
        model.train(training)


def _drawn(model: Model, n: int, seed: int) -> Iterator[tuple[int, Noise]]:
    """(number of the first image, what is random) of each part."""
    one = model.noise("sample", 1, RandomStream(seed, "sample"))
    whole: Noise | None = None
    if n * sum(value.nbytes for value in one.values()) <= NOISE_BYTES:
        whole = model.noise("sample", n, RandomStream(seed, "sample"))
    for first in range(0, n, CHUNK):
        if whole is None:
            yield first, model.noise("sample", min(CHUNK, n - first), RandomStream(seed, "sample", first))
        else:
            yield first, part_of(whole, first)


def part_of(noise: Noise, first: int) -> Noise:
    """What is random for ``CHUNK`` images from number ``first`` on."""
    return {name: value[first : first + CHUNK] for name, value in noise.items()}


def moved(batch: Batch, device: torch.device, dtype: torch.dtype) -> Batch:
    """The images of ``batch`` as a model takes them; it is asked for none of their labels."""
    other = None if batch.other is None else batch.other.to(device, dtype)
    return Batch(batch.images.to(device, dtype), other=other)


def in_parts(model: Model, noise: Noise, n: int) -> Tensor:
    """The N images [n,C,H,W] of ``noise``, made in parts that fit into memory."""
    return torch.cat(list(parts(model, noise, n)))


@torch.no_grad()
def parts(model: Model, noise: Noise, n: int) -> Iterator[Tensor]:
    """The N images of ``noise`` in parts [CHUNK,C,H,W], the last one shorter; of several ranks those of this one."""
    for first in current().own(range(0, n, CHUNK)):
        yield model.sample(part_of(noise, first))
