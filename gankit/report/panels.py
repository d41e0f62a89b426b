"""Which curves a report draws, from the names that runs recorded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gankit.report.curves import Line, Panel
from gankit.report.events import Named
from gankit.report.records import Record

MARKS = 12
"""Events marked in one panel: more lines than that would hide the curve."""


class Panels:
    """The panels of some runs, drawn with the same axes and each run in its colour."""

    def __init__(self, records: Sequence[Record], events: Sequence[Named]) -> None:
        self.records, self.events = records, events
        self.legs = [(i, float(leg.start)) for i, record in enumerate(records) for leg in record.legs][:MARKS]
        self.end = max((record.done for record in records), default=0) or None
        self.names = list(dict.fromkeys(name for record in records for name in record.rows))
        self.phases = list(dict.fromkeys(name.partition("/")[0] for name in self.names))

    def terms(self, phase: str) -> tuple[list[str], list[str], list[str]]:
        """(losses, watched, gradient norms) of a phase. A row holds the loss terms, "loss", then all else."""
        own = [name for name in self.names if name.partition("/")[0] == phase]
        total = f"{phase}/loss"
        losses = own[: own.index(total) + 1] if total in own else []
        norms = [name for name in own if name not in losses and "grad norm " in name]
        return losses, [name for name in own if name not in losses and name not in norms], norms

    def losses(self) -> list[Panel]:
        """The loss of each phase and its terms."""
        found = []
        for phase in self.phases:
            losses, _, _ = self.terms(phase)
            if len(losses) == 2:  # one term is the whole loss
                alone = losses[0].partition("/")[2]
                found.append(self.panel(f"{losses[1]}: {alone} alone", losses[1:], phase, y="loss"))
                continue
            for name in losses[-1:] + losses[:-1]:
                title = f"{name}: sum of {len(losses) - 1} terms" if name == losses[-1] else name
                found.append(self.panel(title, [name], phase, y="loss"))
        return found

    def scores(self) -> list[Panel]:
        """What the discriminator says, D(x) and D(G(z)), and everything else that is only watched."""
        found = []
        for phase in self.phases:
            _, watched, _ = self.terms(phase)
            scores = [name for name in watched if name.partition("/")[2].startswith(("D(", "D_"))]
            if scores:
                found.append(self.panel(f"{phase}: what the discriminator says", scores, phase, y="score"))
            for name in watched:
                if name not in scores:
                    slope = name.endswith("/slope")
                    note = "the penalty holds it to 1" if slope else ""
                    found.append(self.panel(name, [name], phase, level=1.0 if slope else None, note=note))
        return found

    def gradients(self) -> list[Panel]:
        """The gradient norm of each network, and that of its first layer."""
        found = []
        for phase in self.phases:
            _, _, norms = self.terms(phase)
            for name in norms:
                first = name.replace("/grad norm ", "/first layer grad norm ", 1)
                if "/grad norm " in name:
                    both = [name, first] if first in norms else [name]
                    found.append(self.panel(name, both, phase, y="L2 norm", log=True, keys=["network", "first layer"]))
        return found

    def diversity(self) -> list[Panel]:
        """How far the saved samples differ from one another, against real images."""
        lines = [Line.of(i, record.diversity) for i, record in enumerate(self.records) if len(record.diversity)]
        if not lines:
            return []
        note = "mean distance of samples from one another, over that of real images"
        marks = self.marks("samples")
        return [
            Panel(
                "sample diversity",
                lines,
                "share",
                note=note,
                smooth=False,
                level=1.0,
                marks=marks,
                end=self.end,
                legs=self.legs,
            )
        ]

    def metrics(self) -> list[tuple[str, dict[str, object], list[Panel]]]:
        """(metric, protocol, its panels) for each metric and protocol: against images drawn and against time."""
        found = []
        keys = {one.key: one for record in self.records for one in record.judged}
        for key, one in sorted(keys.items()):
            panels = []
            for x, source, size in self._axes():
                lines = []
                for i, record in enumerate(self.records):
                    base = getattr(record, source)
                    for same in (same for same in record.judged if same.key == key and len(base)):
                        at = np.interp(same.series.steps, [0, *base.steps], [0, *base.values])
                        lines.append(Line(i, at / size, same.series.values))
                if lines:
                    panels.append(Panel(one.metric, lines, one.metric, x, smooth=False))
            found.append((one.metric, one.protocol, panels))
        return found

    def _axes(self) -> list[tuple[str, str, float]]:
        """(label, the record's series, what one unit of it is)."""
        longest = max((record.clock.values[-1] for record in self.records if len(record.clock)), default=0.0)
        unit, size = ("h", 3600.0) if longest > 3 * 3600 else ("min", 60.0) if longest > 180 else ("s", 1.0)
        return [("real images drawn", "images", 1.0), (f"time trained ({unit})", "clock", size)]

    def time(self) -> list[Panel]:
        """Seconds per step."""
        lines = [Line.of(i, record.seconds) for i, record in enumerate(self.records) if len(record.seconds)]
        return [Panel("time per step", lines, "seconds", end=self.end, smooth=False, legs=self.legs)] if lines else []

    def panel(
        self, title: str, names: Sequence[str], phase: str, *, y: str = "", log: bool = False, note: str = "",
        level: float | None = None, keys: Sequence[str] = (),
    ) -> Panel:  # fmt: skip
        """A panel of the recorded ``names`` of all runs that have them, with the events of ``phase``."""
        lines = [
            Line.of(i, record.rows[name], style)
            for style, name in enumerate(names)
            for i, record in enumerate(self.records)
            if name in record.rows
        ]
        shown = list(keys or (name.partition("/")[2] or name for name in names))
        return Panel(
            title, lines, y, keys=shown, note=note, log=log, level=level, marks=self.marks(phase), end=self.end,
            legs=self.legs,
        )  # fmt: skip

    def marks(self, phase: str) -> list[tuple[float, str]]:
        """Where events of ``phase`` start, by their number."""
        return [(event.start, str(event.number)) for event in self.events if event.phase == phase][:MARKS]
