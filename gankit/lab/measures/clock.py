"""Measures of the time that training took, on the machine that it ran on."""

from __future__ import annotations

import numpy as np

from gankit.lab.measures.measure import Number
from gankit.lab.measures.parts import record_of
from gankit.report.records import timing
from gankit.runs.folder import RunFolder


def seconds_per_step(run: RunFolder) -> Number:
    """Seconds that a step took: the median over the intervals that were timed, without the first, which warms up."""
    seconds, _, _ = timing(run.root / "timing.jsonl")
    values = seconds.values[1:] if len(seconds) > 1 else seconds.values
    return float(np.median(values)) if len(values) else None


def seconds_per_epoch(run: RunFolder) -> Number:
    """Seconds in which the training drew as many real images as the data set has: the steps alone, without samples,
    evaluations and checkpoints.
    """
    each, record = seconds_per_step(run), record_of(run)
    if each is None or not run.spec.count:
        return None
    per_step = float(np.rint(record.images.values[-1])) / float(record.images.steps[-1])
    return each * run.spec.count / per_step
