"""What a run folder holds, as a report needs it: read as it lies there, whether or not the run goes on or its plugins
are installed, and with a last line that may be torn.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gankit.core import files
from gankit.core.errors import GankitError
from gankit.evaluation.score import compared
from gankit.runs.folder import RunFolder
from gankit.runs.legs import Leg

Floats = NDArray[np.float64]


class Series:
    """Numbers over steps."""

    def __init__(self) -> None:
        self._steps, self._values = array("d"), array("d")

    def add(self, step: float, value: float) -> None:
        """One more."""
        self._steps.append(step)
        self._values.append(value)

    @property
    def steps(self) -> Floats:
        """Steps [n]."""
        return np.array(self._steps)

    @property
    def values(self) -> Floats:
        """Values [n]."""
        return np.array(self._values)

    def __len__(self) -> int:
        return len(self._steps)


@dataclass
class Judged:
    """The figures of one metric under one protocol."""

    metric: str
    protocol: dict[str, Any]
    series: Series = field(default_factory=Series)

    @property
    def key(self) -> str:
        """What decides whether figures may be compared."""
        return f"{self.metric} {list(map(str, compared(self.protocol)))}"


@dataclass
class Record:
    """A run as it lies in its folder. ``events`` is None where nobody watched its health; ``clock`` is the time trained
    in seconds, ``images`` the real images drawn, both over steps.
    """

    name: str
    root: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    rows: dict[str, Series]
    seconds: Series
    clock: Series
    images: Series
    diversity: Series
    judged: list[Judged]
    events: list[dict[str, Any]] | None
    grids: list[tuple[int, Path]]
    done: int = 0
    legs: tuple[Leg, ...] = ()

    def section(self, name: str) -> dict[str, Any]:
        """A section of config.json."""
        found = self.config.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def planned(self) -> int | None:
        """Steps that the run was made for."""
        steps = self.section("train").get("steps")
        return steps if isinstance(steps, int) else None


def read(root: str | Path, name: str) -> Record:
    """The record of the run folder ``root``, which a report calls ``name``. UsageError where it is no run folder."""
    run = RunFolder(root)
    rows = _rows(run.root / "metrics.jsonl")
    seconds, clock, images = timing(run.root / "timing.jsonl")
    return Record(
        name, run.root, run.recorded, _environment(run.root / "environment.json"), rows, seconds, clock, images,
        diversity=_one(run.root / "samples.jsonl", "diversity"),
        judged=_judged(run.root / "evaluations.jsonl"),
        events=list(files.lines(health, strict=False)) if (health := run.root / "health.jsonl").exists() else None,
        grids=run.grids(),
        legs=run.legs,
        done=int(max((series.steps[-1] for series in rows.values() if len(series)), default=0)),
    )  # fmt: skip


def names(roots: list[Path]) -> list[str]:
    """What to call each run: its folder's name, or its whole path where two have one name."""
    short = [root.resolve().name for root in roots]
    return [str(root) if short.count(name) > 1 else name for root, name in zip(roots, short, strict=True)]


def number(value: object) -> float | None:
    """``value`` as a float, None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _rows(path: Path) -> dict[str, Series]:
    """Every recorded name, in the order of the rows: a phase's loss terms, "loss", then what is only watched."""
    found: dict[str, Series] = {}
    for row in files.lines(path, strict=False):
        step = number(row.pop("step", None))
        for name, value in row.items() if step is not None else ():
            if (finite := number(value)) is not None:
                found.setdefault(name, Series()).add(step or 0.0, finite)
    return found


def timing(path: Path) -> tuple[Series, Series, Series]:
    """(seconds per step, seconds trained, images drawn) over steps, of a run's timing.jsonl."""
    seconds, clock, images = Series(), Series(), Series()
    passed, last = 0.0, 0.0
    for row in files.lines(path, strict=False):
        step, each, rate = (number(row.get(name)) for name in ("step", "seconds per step", "images per second"))
        if step is not None and each is not None and rate is not None:
            passed, last = passed + (step - last) * each, step
            seconds.add(step, each)
            clock.add(step, passed)
            images.add(step, step * rate * each)  # the rate is that of the images a step has drawn so far on average
    return seconds, clock, images


def _one(path: Path, name: str) -> Series:
    found = Series()
    for row in files.lines(path, strict=False):
        step, value = number(row.get("step")), number(row.get(name))
        if step is not None and value is not None:
            found.add(step, value)
    return found


def _judged(path: Path) -> list[Judged]:
    found: dict[str, Judged] = {}
    for row in files.lines(path, strict=False):
        step, value, protocol = number(row.get("step")), number(row.get("value")), row.get("protocol")
        if step is not None and value is not None:
            one = Judged(str(row.get("metric")), protocol if isinstance(protocol, dict) else {})
            found.setdefault(one.key, one).series.add(step, value)
    return list(found.values())


def _environment(path: Path) -> dict[str, Any]:
    try:
        values = files.read_json(path)
    except GankitError:
        return {}
    return values if isinstance(values, dict) else {}
