"""Samples of a trained model: from its prior, of classes, or from a density fitted to its latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gankit.build import DTYPES, load_images
from gankit.core.errors import UsageError
from gankit.inference import density as densities
from gankit.inference.class_grids import sample_classes
from gankit.models import sampling
from gankit.runs.folder import RunFolder


def sample(
    run: RunFolder,
    n: int = 64,
    seed: int = 0,
    checkpoint: str = "last",
    *,
    density: bool | None = None,
    classes: Sequence[str | int] = (),
) -> Tensor:
    """N images [n,C,H,W] in [-1, 1] from latents that ``seed`` gives, or from images of the run's data set that it
    chooses; of each of ``classes`` (names or numbers) in turn where there are any. ``checkpoint``: "last", "best" or a
    step. ``density``: whether to draw from the one that `gankit density` fitted to the last checkpoint; unset: where
    there is one. UsageError where the data set is no longer what the run was trained on, and for a class it does not
    have.
    """
    if classes:
        return sample_classes(run, classes, n, seed, checkpoint)
    if density and checkpoint != "last":
        raise UsageError(f"--checkpoint {checkpoint}: a density belongs to the last checkpoint; leave one of them out")
    if density or (density is None and checkpoint == "last" and densities.exists(run)):
        return densities.sample(run, n, seed)
    model, batch = run.load(checkpoint=checkpoint), None
    if model.reads_images:
        images = load_images(run.config)
        run.check_images(images)
        batch = images.pick(n, seed, run.spec.sides)
    return sampling.sample(model, n, seed, torch.device("cpu"), DTYPES[run.config.train.precision], batch)
