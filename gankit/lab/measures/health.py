"""Measures of how the training went: what its health said, collapse, divergence, the diversity of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from gankit.core import files
from gankit.lab.measures.measure import Count, Number, OneOf, Positive
from gankit.lab.measures.parts import record_of
from gankit.runs.folder import RunFolder
from gankit.training.health import CONDITIONS, SETTLE

ConditionName = Annotated[str, OneOf(tuple(condition.name for condition in CONDITIONS))]
COLLAPSES = {condition.name for condition in CONDITIONS if condition.collapse}
NOT_FINITE = "stopped being finite"
"""What the error says that a training ends with where a loss or a weight is no number any more."""


def recorded_events(run: RunFolder) -> list[dict[str, Any]] | None:
    """The lines of health.jsonl; None where nobody watched the run's health."""
    path = run.root / "health.jsonl"
    return files.read_lines(path) if path.exists() else None


def events(run: RunFolder, *, condition: ConditionName | None = None) -> Number:
    """How often a condition of the run's health started; of all conditions where none is named."""
    found = recorded_events(run)
    if found is None:
        return None
    started = [event for event in found if not event.get("ended")]
    return float(sum(condition in (None, event.get("condition")) for event in started))


def collapsed(run: RunFolder) -> Number:
    """1 where a condition in which nothing is learnt any more was still on when the run ended, else 0."""
    found = recorded_events(run)
    if found is None:
        return None
    on = {(event.get("condition"), event.get("of")): not event.get("ended", False) for event in found}
    return float(any(lasts and name in COLLAPSES for (name, _), lasts in on.items()))


def diverged(run: RunFolder, *, limit: Positive = 1000.0, times: Positive = 100.0, window: Count = 50) -> Number:
    """1 where the run ended, or was taken back, because a loss was no number any more, or where one has exploded.

    Exploded: a network's loss was on average over the last ``window`` steps larger than ``limit``, and than ``times``
    its median size in the first 100 steps. A loss that is no number is told by the sweep that the run is of, in
    failures.jsonl two folders up, and by the run's own legs where it was taken back. 0 otherwise; None for a run that
    ended early and nothing says why: it may not be finished.
    """
    record = record_of(run)
    finished = record.planned is not None and any(int(path.stem) >= record.planned for path in run.checkpoints())
    reason = None if finished else failure(run.root)  # an older line may be of a try before this one
    if NOT_FINITE in (reason or "") or any(leg.rolled_back for leg in run.legs):
        return 1.0
    for name, series in record.rows.items():
        if name.endswith("/loss"):
            sizes = np.abs(series.values)
            early, late = np.median(sizes[:SETTLE]), np.mean(sizes[-window:])
            if late > max(limit, times * early):
                return 1.0
    return 0.0 if finished or reason is not None else None


def failure(root: Path) -> str | None:
    """Why the sweep that the run in ``root`` is a cell of says that it failed; None where it does not say so."""
    root = root.resolve()
    folder = f"{root.parent.name}/{root.name}"
    failures = files.read_lines(root.parent.parent / "failures.jsonl")
    found = [line for line in failures if str(line.get("folder")).strip("/") == folder]
    return str(found[-1].get("reason")) if found else None


def diversity(run: RunFolder, *, at: Literal["last", "lowest", "highest", "first"] = "last") -> Number:
    """How far the samples of the last grid (or of another) differ from one another, over how far real images do."""
    values = record_of(run).diversity.values
    if not len(values):
        return None
    return float({"last": values[-1], "first": values[0], "lowest": values.min(), "highest": values.max()}[at])
