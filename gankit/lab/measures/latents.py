"""Measures of what latents do: how evenly images change along a path, what each of a model's codes changes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.inference.class_grids import coded, latents, made, sweep
from gankit.inference.interpolate import interpolate
from gankit.lab.measures.measure import AtLeastTwo, Count, Number
from gankit.lab.measures.pictures import Look, classes_in, classifier_of, features
from gankit.models.interface import Conditional
from gankit.runs.folder import RunFolder

Mode = Literal["spherical", "linear"]


def smoothness(
    run: RunFolder, *, rows: Count = 16, steps: AtLeastTwo = 16, mode: Mode = "spherical", look: Look = "pixels"
) -> Number:
    """The largest step over the mean step along paths between two latents, on average over paths: 1 where images change
    evenly, ``steps`` - 1 where all of the change comes at once.

    None where nothing changes.
    """
    images = interpolate(run, rows, steps, mode)
    return largest_over_mean(features(run, images, look).view(rows, steps, -1))


def largest_over_mean(paths: Tensor) -> float | None:
    """paths: [rows, steps, F] -> the mean over rows of the largest step over the mean step; rows in which nothing
    changes do not count.
    """
    size = paths.diff(dim=1).norm(dim=2)
    size = size[size.mean(1) > 0]
    return float((size.amax(1) / size.mean(1)).mean()) if len(size) else None


def code_effect(
    run: RunFolder, *, code: str | None = None, rows: AtLeastTwo = 10, columns: AtLeastTwo = 9
) -> dict[str, Number]:
    """What sweeping a continuous code from -1 to 1 does: its "change" over that of another category at the same latent,
    how "alike" the change is for all latents (cosine), and in how many images the "class kept" is the middle one's.

    Of every continuous code of the model, as "continuous0 change", unless one ``code`` is named. A classifier of the
    run's data set sees the classes.
    """
    model = coded(run, code)
    continuous = [name for name, count in model.conditions.items() if not count]
    categories = [name for name, count in model.conditions.items() if count]
    if not continuous or not categories or (code is not None and code not in continuous):
        kinds = (
            "a categorical and a continuous code" if code is None else f"a continuous code '{code}' beside a category"
        )
        raise UsageError(f"{run.root}: code effect compares {kinds}; take a run of infogan")
    network = classifier_of(run)
    by_category = pixels(run, model, categories[0], rows, model.conditions[categories[0]])
    usual = mean_distance(by_category)
    found: dict[str, Number] = {}
    for name in continuous if code is None else [code]:
        images = swept(model, name, rows, columns)
        ends = features(run, images, "pixels").view(rows, columns, -1)[:, [0, -1]]
        changes = ends[:, 1] - ends[:, 0]
        classes = classes_in(network, torch.split(images, 500)).view(rows, columns)
        middle = columns // 2
        others = torch.arange(columns) != middle
        prefix = f"{name} " if code is None else ""
        found[f"{prefix}change"] = float(changes.norm(dim=1).mean()) / usual if usual else None
        found[f"{prefix}alike"] = mean_cosine(changes)
        found[f"{prefix}class kept"] = float((classes[:, others] == classes[:, middle, None]).double().mean())
    return found


def swept(model: Conditional, name: str, rows: int, columns: int) -> Tensor:
    """Images [rows * columns,C,H,W] in [-1, 1]: each row one latent, along which code ``name`` is swept."""
    values = sweep(model.conditions[name], columns).repeat(rows)
    return made(model, model.with_condition(latents(model, rows, columns, 0), name, values))


def pixels(run: RunFolder, model: Conditional, name: str, rows: int, columns: int) -> Tensor:
    """The images of ``swept`` as features [rows, columns, F]."""
    return features(run, swept(model, name, rows, columns), "pixels").view(rows, columns, -1)


def mean_distance(found: Tensor) -> float:
    """found: [rows, columns, F] -> the mean distance of two columns of one row."""
    return float(torch.stack([torch.pdist(row).mean() for row in found]).mean())


def mean_cosine(changes: Tensor) -> float | None:
    """changes: [rows, F] -> the mean cosine of the angle between two of them; None where fewer than two are not 0."""
    sizes = changes.norm(dim=1, keepdim=True)
    units = (changes / sizes.clamp(min=torch.finfo(changes.dtype).tiny))[sizes[:, 0] > 0]
    n = len(units)
    return float((units.sum(0).square().sum() - n) / (n * (n - 1))) if n > 1 else None
