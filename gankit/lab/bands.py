"""Curves of several seeds as one line with a band around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gankit.report.curves import POINTS, RUNS, STYLES, Line
from gankit.report.records import Floats


def band(group: int, curves: Sequence[tuple[Floats, Floats]]) -> Line | None:
    """Mean, least and most over the seeds' ``curves`` (x [n], y [n]) at every x of any of them, each on straight lines
    between its own points and absent outside them. None where there is nothing to draw; no band of one seed.

    ``group`` says the colour and, after the last colour, the style.
    """
    kept = [(x[ok], y[ok]) for x, y in curves if (ok := np.isfinite(x) & np.isfinite(y)).any()]
    if not kept:
        return None
    at = np.unique(np.concatenate([x for x, _ in kept]))
    if len(at) > POINTS:  # smoothed curves of runs of different lengths
        at = np.linspace(at[0], at[-1], POINTS)
    values = np.array([np.interp(at, x, y, left=np.nan, right=np.nan) for x, y in kept])
    some = np.isfinite(values).any(0)
    at, values = at[some], values[:, some]
    mean, style = np.nanmean(values, 0), group // RUNS % len(STYLES)
    if len(kept) == 1:
        return Line(group % RUNS, at, mean, style)
    return Line(group % RUNS, at, mean, style, np.nanmin(values, 0), np.nanmax(values, 0))
