"""Measures of the time that training took, on the machine that it ran on."""

from __future__ import annotations

import numpy as np

from gankit.lab.measures.measure import Number
from gankit.report.records import timing
from gankit.runs.folder import RunFolder


def seconds_per_step(run: RunFolder) -> Number:
    """Seconds that a step took: the median over the intervals that were timed, without the first, which warms up."""
    seconds, _, _ = timing(run.root / "timing.jsonl")
    values = seconds.values[1:] if len(seconds) > 1 else seconds.values
    return float(np.median(values)) if len(values) else None


def seconds_per_epoch(run: RunFolder) -> Number:
    """Seconds in which the training drew as many real images as the data set has: the median over the intervals, as of
    a step.

    Of the steps alone: samples, evaluations and checkpoints do not count. An image that several updates look at counts
    each time, so an epoch of a critic with five updates a step has a fifth of the steps.
    """
    _, clock, images = timing(run.root / "timing.jsonl")
    if not len(clock) or not run.spec.count:
        return None
    seconds, drawn = (np.diff(values, prepend=0.0) for values in (clock.values, np.rint(images.values)))
    rates = seconds[1:] / drawn[1:] if len(seconds) > 1 else seconds / drawn
    return float(np.median(rates)) * run.spec.count
