"""What a comparison of groups of runs found, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gankit.lab.comparison.groups import Group
from gankit.lab.comparison.rankings import Judging, Ranking, finished
from gankit.lab.spread import ALPHA, LEVEL
from gankit.report.records import Record

TEST = (
    f"Welch's t-test, two-sided, at {ALPHA:.0%}, with Holm's correction over all pairs and metrics of a question; it "
    "assumes independent seeds and figures that are about normal within a group, and lets spreads differ"
)


@dataclass(frozen=True)
class Health:
    """In how many ``runs`` of those watched (``of``) a condition was named, ``events`` times, and the earliest step."""

    group: str
    condition: str
    runs: int
    of: int
    events: int
    first: int


@dataclass(frozen=True)
class Loss:
    """A loss term over the last tenth of the steps of ``n`` runs: the mean over them of its mean there, the standard
    deviation of that over the seeds (None of one), and the mean over them of its own deviation from step to step.
    """

    group: str
    term: str
    n: int
    mean: float
    sd: float | None
    shakes: float


@dataclass(frozen=True)
class Findings:
    """What ``compare`` found. ``options``: by name the groups' values where they differ,
    "-" where a variant has no such option; ``refused``: which figures are
    not ranked against each other, and why; ``notes``: what a reader must know of the runs.
    """

    groups: tuple[Group, ...]
    options: Mapping[str, tuple[Any, ...]]
    judged: tuple[Judging, ...]
    rankings: tuple[Ranking, ...]
    refused: tuple[str, ...]
    health: tuple[Health, ...]
    losses: tuple[Loss, ...]
    notes: tuple[str, ...]

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each question, metric and group: "metric", "protocol", "at", "x", "rank", "group", "n", "of",
        "mean", "sd", "low", "high", "best", "better than", and the options that differ.
        """
        values = {
            group.name: {f"option {name}": some[i] for name, some in self.options.items()}
            for i, group in enumerate(self.groups)
        }
        return [
            {
                "metric": ranking.metric, "better": ranking.better, "protocol": ranking.protocol, "at": ranking.at,
                "x": ranking.x, "rank": each.rank, "group": each.group, "n": each.n, "of": each.of, "mean": each.mean,
                "sd": each.sd, "low": each.low, "high": each.high, "best": each.best,
                "better than": list(each.better_than), **values[each.group],
            }
            for ranking in self.rankings
            for each in ranking.standings
        ]  # fmt: skip

    @property
    def differences(self) -> list[dict[str, Any]]:
        """A row for each question, metric and pair of groups: "difference" (of ``a`` less ``b``), its interval, "p" as
        tested and "p corrected", "called", and "why" nothing could be.
        """
        return [
            {
                "metric": ranking.metric, "protocol": ranking.protocol, "at": ranking.at, "x": ranking.x, "a": pair.a,
                "b": pair.b, "difference": finite(pair.of.difference), "low": finite(pair.of.low),
                "high": finite(pair.of.high), "p": finite(pair.of.p), "p corrected": finite(pair.p),
                "called": pair.called, "why": pair.why,
            }
            for ranking in self.rankings
            for pair in ranking.pairs
        ]  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known, or unbounded, is None."""
        groups = [
            {
                "name": group.name, "variant": group.variant, "options": dict(group.options),
                "runs": [
                    {"folder": str(run.root), "seed": seed, "steps": run.done, "finished": finished(run)}
                    for run, seed in zip(group.runs, group.seeds, strict=True)
                ],
            }
            for group in self.groups
        ]  # fmt: skip
        return {
            "test": TEST, "level": LEVEL, "groups": groups,
            "options that differ": {name: list(values) for name, values in self.options.items()},
            "table": self.table, "differences": self.differences, "refused": list(self.refused),
            "health": [asdict(each) for each in self.health], "losses": [asdict(each) for each in self.losses],
            "notes": list(self.notes),
        }  # fmt: skip


def finite(value: float) -> float | None:
    """The value, or None where it is not finite: JSON has no word for that."""
    return value if math.isfinite(value) else None


def loss_terms(runs: Sequence[Record]) -> list[str]:
    """The losses among the recorded names: of each phase the terms and "loss", which stand before all else of it."""
    names = list(dict.fromkeys(name for run in runs for name in run.rows))
    found = []
    for phase in dict.fromkeys(name.partition("/")[0] for name in names):
        own = [name for name in names if name.partition("/")[0] == phase]
        if f"{phase}/loss" in own:
            terms = own[: own.index(f"{phase}/loss") + 1]
            found += terms if len(terms) > 2 else terms[-1:]  # one term is the whole loss
    return found
