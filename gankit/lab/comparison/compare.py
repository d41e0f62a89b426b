"""`gankit compare`: groups of runs that differ by seed alone, and what their spread allows one to call different."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gankit.core.errors import UsageError, closest
from gankit.core.files import atomic_write, explained
from gankit.lab.comparison import text as text
from gankit.lab.comparison.findings import Findings, Health, Loss, finite, loss_terms
from gankit.lab.comparison.groups import Group, differing, find, written
from gankit.lab.comparison.rankings import Judging, finished, judgings, rankings, refusals
from gankit.lab.spread import spread
from gankit.report.events import named
from gankit.report.records import Record

BUSY = 1.5
"""Seeds of a group whose steps differ more than so many times in time ran beside something else."""
LATE = 0.1
"""Losses are summed up over this last share of a run's steps."""


class Comparison(Findings):
    """What ``compare`` found, as text, JSON, CSV, a page, and the tables that a notebook shows."""

    def to_json(self) -> str:
        """``as_dict`` as indented JSON."""
        return json.dumps(self.as_dict(), indent=2, default=str, allow_nan=False)

    def to_csv(self) -> str:
        """``table`` as CSV with a head."""
        return text.csv_of(self.table)

    def save(self, path: str | Path) -> Path:
        """Write the page to ``path``, which ends in .html; returns it. GankitError where matplotlib is missing."""
        target = Path(path)
        if target.suffix not in (".html", ".htm") or target.is_dir():
            raise UsageError(f"-o {target}: end it with .html")
        from gankit.lab.comparison.page import page

        made = page(self)
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(target, made.encode("utf-8", "replace"))
        return target

    def __str__(self) -> str:
        return "\n".join(text.lines(self))

    def _repr_html_(self) -> str:
        return str(text.notebook(self))


def compare(*paths: str | Path, metric: str | None = None, to: float | None = None) -> Comparison:
    """Compare the runs at ``paths``: run folders, folders of sweeps or studies, and glob patterns of both.

    ``metric``: only these, separated by commas; ``to``: the score of which is said what it took to get there, by
    default the best that all runs got to. Runs that differ by their seed alone are one group; scores between two
    evaluations lie on a straight line. UsageError where there is no run, no such metric, or several for one ``to``.
    """
    found = find(paths)
    groups = found.groups
    judged = _chosen(judgings(groups), metric)
    names = list(dict.fromkeys(each.metric for each in judged))
    if to is not None and len(names) != 1:
        raise UsageError(f"--to {to:g}: a score of which metric? add --metric with one of {', '.join(names) or 'none'}")
    options = [group.options for group in groups]
    machines = _machines([run for group in groups for run in group.runs])
    notes = [*found.notes, *_notes(groups, judged), *([machines] if machines else [])]
    return Comparison(
        groups,
        {name: tuple(some.get(name, "-") for some in options) for name in differing(options)},
        tuple(judged),
        tuple(rankings(judged, groups, {names[0]: to} if to is not None else {}, machines)),
        tuple(refusals(judged, groups)),
        tuple(each for group in groups for each in _health(group)),
        tuple(each for group in groups for each in _losses(group)),
        tuple(notes),
    )


def _chosen(judged: list[Judging], metric: str | None) -> list[Judging]:
    """Those of the metrics named in ``metric``; a direction of a translator's, "swd a2b", is one of "swd"."""
    if metric is None:
        return judged
    found: list[Judging] = []
    for name in (part.strip() for part in metric.split(",")):
        some = [each for each in judged if name in (each.metric, each.metric.partition(" ")[0])]
        if not some:
            known = {each.metric for each in judged}
            hint = closest(name, known) if known else "none was; add `--evaluate-every N` to the training"
            raise UsageError(f"--metric {name}: no run was judged by it: {hint}")
        found += [each for each in some if each not in found]
    return found


def _notes(groups: Sequence[Group], judged: Sequence[Judging]) -> list[str]:
    """What limits the comparison."""
    found = []
    for group in groups:
        for run, seed in zip(group.runs, group.seeds, strict=True):
            if not finished(run):
                found.append(f"{group.name}, seed {seed} is at step {run.done:,} of {run.planned:,}")
    single = [group.name for group in groups if len(group.runs) == 1]
    if single and len(groups) > 1:
        found.append(
            f"{', '.join(single)}: one seed has no spread, so nothing can be called a difference from it; train more "
            "with other --seed"
        )
    ends = {group.name: sorted({run.planned for run in group.runs if run.planned is not None}) for group in groups}
    if len({tuple(steps) for steps in ends.values()}) > 1:
        lengths = "; ".join(f"{name} {', '.join(f'{n:,}' for n in steps)}" for name, steps in ends.items())
        found.append(f"the runs were made for different numbers of steps: {lengths}")
    for group in groups:
        paces = [float(run.clock.values[-1] / run.clock.steps[-1]) for run in group.runs if len(run.clock)]
        if len(paces) > 1 and min(paces) > 0 and max(paces) > BUSY * min(paces):
            found.append(
                f"a step of {group.name} took {max(paces) / min(paces):.1f} times as long with one seed as with "
                "another: the machine had other work, and seconds say little"
            )
    if not judged:
        found.append(
            "no run was judged, so there are no scores to compare: `gankit train --evaluate-every N`, or "
            "`gankit evaluate RUN` for each"
        )
    return found


def _machines(runs: Sequence[Record]) -> str:
    """Why the seconds of the runs do not compare; "" where they were made alike."""
    facts: dict[str, set[str]] = {}
    for run in runs:
        train = run.section("train")
        own = {name: run.environment.get(name) for name in ("processor", "cores", "gpu", "torch")}
        for name, value in {**own, "device": train.get("device"), "threads": train.get("threads")}.items():
            facts.setdefault(name, set()).add(written(value))
    other = [f"{name} {', '.join(sorted(values))}" for name, values in facts.items() if len(values) > 1]
    return f"seconds do not compare: the runs were made on different machines ({'; '.join(other)})" if other else ""


def _health(group: Group) -> list[Health]:
    """The conditions named in the group's runs, the most frequent first."""
    watched = [run for run in group.runs if run.events is not None]
    events = named(watched)
    rows = []
    for condition in dict.fromkeys(event.condition for event in events):
        some = [event for event in events if event.condition == condition]
        runs = len({event.run for event in some})
        rows.append(
            Health(group.name, condition, runs, len(watched), len(some), int(min(event.start for event in some)))
        )
    return sorted(rows, key=lambda row: (-row.runs, row.first))


def _losses(group: Group) -> list[Loss]:
    """The loss of each phase and its terms, over the last tenth of each run."""
    found = []
    for term in loss_terms(group.runs):
        means, shakes = [], []
        for run in group.runs:
            if term in run.rows:
                series = run.rows[term]
                late = series.values[series.steps > (1 - LATE) * run.done]
                if len(late):
                    means.append(float(np.mean(late)))
                    shakes.append(float(np.std(late)))
        if means:
            of = spread(means)
            found.append(Loss(group.name, term, of.n, of.mean, finite(of.sd), float(np.mean(shakes))))
    return found
