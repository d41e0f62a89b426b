"""Measures of models that map images from one domain to another and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.rng import RandomStream
from gankit.inference import mapping
from gankit.inference.reconstruct import batches_of
from gankit.lab.measures.measure import Count, Number
from gankit.lab.measures.pictures import held_out
from gankit.models.interface import Translator
from gankit.runs.folder import RunFolder


def translator(run: RunFolder) -> Translator:
    """The run's model. UsageError where it does not translate."""
    model = run.load()
    if not isinstance(model, Translator):
        raise UsageError(f"{run.root}: {run.config.variant} does not translate; take a run of cyclegan")
    return model


def domains(run: RunFolder, model: Translator, images: int) -> dict[str, list[Tensor]]:
    """Parts of the first ``images`` of domain "a" and of "b", in [-1, 1]: held out where the data set has such."""
    found, _ = held_out(run, images)
    assert found.other is not None
    like, size = next(model.parameters()).dtype, run.spec.sides
    return {"a": batches_of(found.images, size, like), "b": batches_of(found.other, size, like)}


@torch.no_grad()
def through(model: Translator, parts: list[Tensor], *directions: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Each part with what is left of it after ``directions``, one after the other."""
    draws = RandomStream("measures", *directions)
    for part in parts:
        made = part
        for direction in directions:
            made = model.translate(made, direction, draws)
        yield part, made


def mean_distance(pairs: Iterator[tuple[Tensor, Tensor]], of: str) -> float:
    """The mean absolute distance of two images, on the [-1, 1] scale: of their pixels, or of their mean colours."""
    total, count = 0.0, 0
    for one, other in pairs:
        apart = (other - one).double()
        apart = apart.mean((2, 3)) if of == "colour" else apart
        total, count = total + float(apart.abs().sum()), count + apart.numel()
    return total / count


def identity_error(
    run: RunFolder, *, images: Count = 64, what: Literal["pixels", "colour"] = "pixels"
) -> dict[str, Number]:
    """How far a translator changes images that are in its target domain already: of each direction, the mean absolute
    distance of pixels, or of the images' mean colours, on the [-1, 1] scale.
    """
    model = translator(run)
    parts = domains(run, model, images)
    return {each: mean_distance(through(model, parts[each[-1]], each), what) for each in model.directions}


def cycle_error(run: RunFolder, *, images: Count = 64) -> dict[str, Number]:
    """How far images of "a", and of "b", are from what comes back of them from the other domain: the mean absolute
    distance of pixels, on the [-1, 1] scale.
    """
    model = translator(run)
    parts = domains(run, model, images)
    there, back = model.directions
    return {
        there[0]: mean_distance(through(model, parts[there[0]], there, back), "pixels"),
        back[0]: mean_distance(through(model, parts[back[0]], back, there), "pixels"),
    }


def mapping_error(run: RunFolder, *, images: Count = 256) -> dict[str, Number]:
    """How far translations are from the true ones where these are known, as of stripes; beside "a2b" the "a2b
    unchanged" of leaving the images as they are.
    """
    found: dict[str, Number] = {}
    for direction in translator(run).directions:
        error = mapping.mapping_error(run, direction, images)
        found |= {direction: error.learned, f"{direction} unchanged": error.unchanged}
    return found
