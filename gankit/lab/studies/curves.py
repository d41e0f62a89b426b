"""The panels of a study's page: what a recipe asks to see over steps, images or seconds, each cell with its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gankit.core.errors import UsageError
from gankit.lab.bands import band
from gankit.lab.comparison.rankings import finished
from gankit.lab.measures.parts import recorded_term
from gankit.lab.studies import recipe
from gankit.lab.studies.recipe import matches
from gankit.report.curves import POINTS, STYLES, Line, Panel, draw, smoothed
from gankit.report.markup import Child, Markup, tag
from gankit.report.records import Floats, Judged, Record
from gankit.report.tables import protocol

Curve = tuple[Floats, Floats, bool]
"""Steps, values, and whether the run has finished."""
UNITS = (("h", 3600.0, 3 * 3600), ("min", 60.0, 180), ("s", 1.0, 0))
"""(unit of time, its seconds, the time from which on axes have it)."""


class Curves:
    """The panels of ``cells``: name -> the records of its seeds, in the page's order."""

    def __init__(self, cells: Mapping[str, Sequence[Record]]) -> None:
        self.cells = cells
        longest = max((run.clock.values[-1] for runs in cells.values() for run in runs if len(run.clock)), default=0.0)
        self.unit, self.seconds = next((unit, size) for unit, size, least in UNITS if longest >= least)

    def drawn(self, panel: recipe.Panel) -> list[Markup]:
        """The figures of ``panel``: one, or of a metric judged by several protocols one for each. Of none, a word."""
        some = {i: runs for i, (name, runs) in enumerate(self.cells.items()) if matches(name, panel.of)}
        if panel.term:
            return [self._figure(panel, {i: [self._term(run, panel) for run in runs] for i, runs in some.items()}, "")]
        protocols = {
            one.key: one.protocol
            for runs in some.values()
            for run in runs
            for one in run.judged
            if one.metric == panel.metric
        }
        found = []
        for key, values in protocols.items():
            curves = {i: [self._scores(run, key) for run in runs] for i, runs in some.items()}
            found.append(self._figure(panel, curves, protocol(values) if len(protocols) > 1 else ""))
        return found or [self._figure(panel, {}, "")]

    def _term(self, run: Record, panel: recipe.Panel) -> Curve:
        """The recorded term of a run, smoothed; nothing where it has no such term."""
        try:
            steps, values = recorded_term(run, panel.term)
        except UsageError:
            return _NOTHING
        if panel.log:
            steps, values = steps[values > 0], values[values > 0]
        return (*smoothed(steps, values, POINTS // 2), finished(run)) if len(steps) else _NOTHING

    def _scores(self, run: Record, key: str) -> Curve:
        one: Judged | None = next((one for one in run.judged if one.key == key), None)
        if one is None:
            return _NOTHING
        order = np.argsort(one.series.steps, kind="stable")
        return one.series.steps[order], one.series.values[order], finished(run)

    def _over(self, line: Line, runs: Sequence[Record], over: str) -> Line:
        """``line`` over what its seeds ``runs`` had drawn of images, or trained of time, by each step on average."""
        if over == "steps":
            return line
        bases = [run.images if over == "images" else run.clock for run in runs]
        known = [base for base in bases if len(base) and base.steps[-1] >= line.x[-1]] or [b for b in bases if len(b)]
        if not known:
            return replace(line, x=np.full(len(line.x), np.nan))
        at = np.mean([np.interp(line.x, [0.0, *base.steps], [0.0, *base.values]) for base in known], 0)
        return replace(line, x=at / (self.seconds if over == "seconds" else 1.0))

    def _figure(self, panel: recipe.Panel, curves: Mapping[int, Sequence[Curve]], judged: str) -> Markup:
        names, found = list(self.cells), []
        for i, some in curves.items():
            lines = [self._over(line, self.cells[names[i]], panel.over) for line in band(i, some)]
            found += [(i, line) for line in lines if np.isfinite(line.x).all()]
        keys = [tag("span", _key(line), names[i], class_="key") for i, line in found]
        caption: list[Child] = [tag("b", panel.title), keys]
        caption += [tag("small", text) for text in (panel.says, judged) if text]
        axis = {"steps": "step", "images": "real images drawn", "seconds": f"time trained ({self.unit})"}[panel.over]
        lines = [line for _, line in found]
        drawing = draw(Panel(panel.title, lines, x=axis, log=panel.log, smooth=False)) if lines else _NONE
        return tag("figure", tag("figcaption", caption), drawing, class_="panel")


_NOTHING: Curve = (np.zeros(0), np.zeros(0), False)
_NONE = tag("p", "Nothing of it is recorded.", class_="missing")


def _key(line: Line) -> Markup:
    """The colour and style of a line."""
    return tag("i", class_=f"{STYLES[line.style % len(STYLES)]} ink{line.run}")
