"""Samples of a trained model: from its prior, of classes, or from a density fitted to its latents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gankit.build import DTYPES
from gankit.core.errors import UsageError
from gankit.core.types import Batch
from gankit.inference import density as densities
from gankit.inference.class_grids import stream_classes
from gankit.models import sampling
from gankit.runs.folder import RunFolder
from gankit.runs.images import run_images


def sample(
    run: RunFolder,
    n: int = 64,
    seed: int = 0,
    checkpoint: str = "last",
    *,
    density: bool | None = None,
    classes: Sequence[str | int] = (),
) -> Tensor:
    """The images of ``stream`` in one tensor, [n,C,H,W] in [-1, 1]."""
    return torch.cat(list(stream(run, n, seed, checkpoint, density=density, classes=classes)))


def stream(
    run: RunFolder,
    n: int = 64,
    seed: int = 0,
    checkpoint: str = "last",
    *,
    density: bool | None = None,
    classes: Sequence[str | int] = (),
) -> Iterator[Tensor]:
    """N images in parts of a few hundred, in [-1, 1], from latents that ``seed`` gives, or from images of the run's
    data set that it chooses; of each of ``classes`` (names or numbers) in turn where there are any.

    ``checkpoint``: "last", "best" or a step. ``density``: whether to draw from the one that `gankit density` fitted to
    the last checkpoint; unset: where there is one. UsageError where the data set is no longer what the run was trained
    on, for a class it does not have, and for a density that was asked for beside classes.
    """
    if classes:
        if density:
            raise UsageError("--density: classes are asked of the generator itself; leave out --density or --class")
        return stream_classes(run, classes, n, seed, checkpoint)
    if density and checkpoint != "last":
        raise UsageError(f"--checkpoint {checkpoint}: a density belongs to the last checkpoint; leave one of them out")
    if density or (density is None and checkpoint == "last" and densities.exists(run)):
        return densities.stream(run, n, seed)
    model = run.load(checkpoint=checkpoint)
    dtype = DTYPES[run.config.train.precision]
    if not model.reads_images:
        return sampling.stream(model, n, seed, torch.device("cpu"), dtype)
    images, _ = run_images(run)

    def sources(first: int, count: int) -> Batch:
        return images.pick(count, seed, run.spec.sides, first)

    return sampling.stream(model, n, seed, torch.device("cpu"), dtype, sources)
