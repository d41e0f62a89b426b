"""Measures of what was recorded step by step: loss terms, what was watched, norms of gradients."""

from __future__ import annotations

from typing import Literal

import numpy as np

from gankit.core.errors import UsageError
from gankit.lab.measures.measure import AtLeastTwo, Count, Number
from gankit.lab.measures.parts import Part, images_at, record_of, recorded_term, term_in
from gankit.report.records import Floats
from gankit.runs.folder import RunFolder
from gankit.training.health import WINDOW, LossSpikes

Take = Literal["mean", "sd", "median", "min", "max", "first", "last"]


def taken(values: Floats, take: str) -> Number:
    """``take`` of ``values``: "sd" with n - 1. None of too few."""
    if len(values) < (2 if take == "sd" else 1):
        return None
    match take:
        case "first":
            return float(values[0])
        case "last":
            return float(values[-1])
        case "sd":
            return float(np.std(values, ddof=1))
        case "median":
            return float(np.median(values))
    return float(values.min() if take == "min" else values.max() if take == "max" else values.mean())


def term(run: RunFolder, *, term: str, part: Part, take: Take = "mean") -> Number:
    """The mean (or sd, median, min, max, first, last) of a recorded term in a part of the run."""
    return taken(term_in(run, term, part), take)


def ratio_of_terms(run: RunFolder, *, term: str, other: str, part: Part, take: Take = "mean") -> Number:
    """A term's mean (or what is taken of it) over that of another one, in a part of the run."""
    one, two = (taken(term_in(run, each, part), take) for each in (term, other))
    return None if one is None or not two else one / two


def unsteadiness(
    run: RunFolder, *, term: str, part: Part, window: AtLeastTwo = 50, relative: Literal["level", "none"] = "level"
) -> Number:
    """How much a term shakes: the sd of its distance from its own running mean, over its mean size.

    The mean runs over ``window`` values (half of what there is where that is fewer), centred, and is looked at where it
    has all of them, so a term that changes evenly does not shake. ``relative`` = "none": in the term's own unit. None
    of fewer than six values.
    """
    values = term_in(run, term, part)
    width = min(window, len(values) // 2)
    width -= width % 2 == 0
    if width < 3:
        return None
    means = np.convolve(values, np.full(width, 1 / width), "valid")
    shaking = float(np.sqrt(np.mean(np.square(values[width // 2 : -(width // 2)] - means))))
    level = float(np.mean(np.abs(values)))
    return shaking if relative == "none" else None if level == 0 else shaking / level


def trend(run: RunFolder, *, term: str, part: Part, relative: bool = True) -> Number:
    """How far a term went: its mean in the last third less that in the first, over the size of the first.

    -0.5: it fell to half. ``relative`` = false: in the term's own unit. None of fewer than three values.
    """
    values = term_in(run, term, part)
    third = len(values) // 3
    if not third:
        return None
    before, after = float(np.mean(values[:third])), float(np.mean(values[-third:]))
    return after - before if not relative else None if before == 0 else (after - before) / abs(before)


def spikes(run: RunFolder, *, term: str, part: Part, take: Literal["share", "count"] = "share") -> Number:
    """The share of steps (or how many) in which a term jumps far from what is usual around them.

    As the health of a run has it: further from the median of the 100 values around it than 8 times their
    interquartile range, and than half the median. None of fewer than 8 values.
    """
    record = record_of(run)
    steps, values = recorded_term(record, term)
    within = part.within(steps, record.done)
    if len(values) < 8 or not within.any():
        return None
    found = spiking(values)[within]
    return float(found.mean() if take == "share" else found.sum())


def spiking(values: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of ``values`` are spikes of their window; windows follow one another, the last one ends with the values."""
    found = np.zeros(len(values), dtype=np.bool_)
    for first in range(0, len(values), WINDOW):
        window = values[max(0, min(first, len(values) - WINDOW)) :][:WINDOW]
        middle, far = LossSpikes.limits(window.tolist())
        found[first : first + WINDOW] = np.abs(values[first : first + WINDOW] - middle) > far
    return found


def share_of_terms(run: RunFolder, *, terms: list[str], part: Part) -> dict[str, Number]:
    """What share each of some terms has of their sizes together, in a part of the run."""
    sizes = {name: taken(np.abs(term_in(run, name, part)), "mean") or 0.0 for name in _several(terms)}
    total = sum(sizes.values())
    return {name: size / total if total else None for name, size in sizes.items()}


def largest_of_terms(run: RunFolder, *, terms: list[str], part: Part, window: Count = 50) -> dict[str, Number]:
    """How long each of some terms is the largest: the share of windows in which its mean size is.

    Windows of ``window`` steps follow one another; a last one of fewer than half as many is left out, if it is not the
    only one.
    """
    record = record_of(run)
    terms = _several(terms)
    found = [recorded_term(record, name) for name in terms]
    steps = found[0][0]
    for some, _ in found[1:]:
        steps = np.intersect1d(steps, some)
    steps = steps[part.within(steps, record.done)]
    sizes = np.stack([np.abs(values)[np.searchsorted(at, steps)] for at, values in found])
    windows = [sizes[:, first : first + window] for first in range(0, len(steps), window)]
    windows = [each for each in windows if 2 * each.shape[1] >= window] or windows
    largest = [int(each.mean(1).argmax()) for each in windows]
    return {name: largest.count(i) / len(windows) if windows else None for i, name in enumerate(terms)}


def _several(terms: list[str]) -> list[str]:
    if len(set(terms)) < 2:
        raise UsageError(f"terms = {terms}: name two different ones or more, to have something to compare")
    return list(dict.fromkeys(terms))


def epochs_until(
    run: RunFolder, *, term: str, above: float | None = None, below: float | None = None, window: Count = 50
) -> Number:
    """Epochs until a term, on average over the last ``window`` values, is above or below a limit; none if it never is.

    An epoch is as many real images drawn as the data set has. A run of fewer values than ``window`` is looked at with
    the mean of all so far.
    """
    if (above is None) == (below is None):
        raise UsageError("epochs until: say above = LIMIT or below = LIMIT, one of the two")
    record = record_of(run)
    steps, values = recorded_term(record, term)
    width = min(window, len(values))
    means = np.convolve(values, np.full(width, 1 / width), "valid") if width else values
    passed = means > above if above is not None else means < (below or 0.0)
    if not passed.any():
        return None
    images = images_at(record, float(steps[int(passed.argmax()) + width - 1]))
    return None if images is None or not run.spec.count else images / run.spec.count
