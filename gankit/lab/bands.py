"""Curves of several seeds as one line with a band around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gankit.report.curves import POINTS, RUNS, Line
from gankit.report.records import Floats

READING = (
    "Lines are means over the seeds, bands reach from the lowest seed to the highest; recorded terms are smoothed seed "
    "by seed over 1/25 of the run before that. They end where the first finished seed does; one that failed before "
    "drops out."
)


def band(group: int, curves: Sequence[tuple[Floats, Floats, bool]]) -> list[Line]:
    """The line of the mean over the seeds' ``curves`` (x [n], y [n], whether the run has finished), with their least
    and most, as far as all finished ones go; each on straight lines between its own points.

    ``group`` says the colour and, after the last colour, the style. Of one seed there is no band, of none no line.
    """
    kept = [(x[ok], y[ok], done) for x, y, done in curves if (ok := np.isfinite(x) & np.isfinite(y)).any()]
    if not kept:
        return []
    end = min(x[-1] for x, _, done in kept if done or not any(done for *_, done in kept))
    at = np.unique(np.concatenate([x for x, *_ in kept]))
    if len(at) > POINTS:  # smoothed curves of runs of different lengths
        at = max((x for x, *_ in kept), key=lambda x: float(x[-1]))
    at = at[(at >= max(x[0] for x, *_ in kept)) & (at <= end)]
    if not len(at):
        return []
    values = np.array([np.interp(at, x, y, left=np.nan, right=np.nan) for x, y, _ in kept])
    mean, style = np.nanmean(values, 0), group // RUNS
    if len(kept) == 1:
        return [Line(group % RUNS, at, mean, style)]
    return [Line(group % RUNS, at, mean, style, np.nanmin(values, 0), np.nanmax(values, 0))]
