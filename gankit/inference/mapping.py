"""How far a run's translation is from the true mapping, where the data set knows that."""

from __future__ import annotations

from typing import NamedTuple

import torch

from gankit.core.errors import UsageError
from gankit.core.rng import RandomStream
from gankit.core.sides import as_size
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import Dataset
from gankit.models.interface import Translator
from gankit.registry import registry
from gankit.runs.folder import RunFolder

AT_ONCE = 64
"""Images translated in one pass."""


class MappingError(NamedTuple):
    """Mean absolute distances from the true mapping, on the [-1, 1] scale: of the learned one, of changing nothing."""

    learned: float
    unchanged: float


@torch.no_grad()
def mapping_error(run: RunFolder, direction: str = "a2b", count: int = 256) -> MappingError:
    """How far a run's translation is from the true mapping, on ``count`` held-out images of its size.

    UsageError for a run that does not translate, or whose data set knows no true mapping.
    """
    data = run.config.data
    dataset: Dataset = registry().get("datasets", data.name)()
    if type(dataset).true_mapping is Dataset.true_mapping:
        raise UsageError(
            f"{run.root}: was trained on {data.data}, which knows no true mapping; train it on --data stripes"
        )
    model = run.load()
    if not isinstance(model, Translator) or direction not in model.directions:
        raise UsageError(f"{run.root}: {run.config.variant} does not translate {direction}")
    size = as_size(run.spec.sides)
    asked = DataOptions(data=data.data, split="test", size=size, channels=run.spec.channels, limit=count)
    held_out = dataset.load(asked, 0)
    assert held_out.other is not None
    pixels = held_out.images if direction == "a2b" else held_out.other
    images = (pixels.double() / 127.5 - 1).to(next(model.parameters()).dtype)
    draws = RandomStream("mapping error")
    learned = torch.cat([model.translate(some, direction, draws) for some in torch.split(images, AT_ONCE)])
    truth = dataset.true_mapping(images, direction)
    assert truth is not None
    return MappingError(float((learned - truth).abs().mean()), float((images - truth).abs().mean()))
