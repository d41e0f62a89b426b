"""Scores of groups of runs held against each other: at the end, at equal steps, images and seconds, and what it took to
get to a score. What the seeds' spread does not allow to be told apart has the same rank.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from gankit.evaluation.evaluate import recorded
from gankit.evaluation.score import Score, compared, described, differences
from gankit.lab.comparison.groups import Group
from gankit.lab.spread import ALPHA, Difference, holm, spread, welch
from gankit.report.records import Floats, Record
from gankit.runs.folder import RunFolder

AXES = ("steps", "images", "seconds")
_THERE = "has a score there: it was first judged later, stopped before, or its score is not finite"
LACKING = {"end": "has a finite score at its end", "reaching": "got there", **dict.fromkeys(AXES, _THERE)}
"""What a run that lacks a figure has not."""
Figures = Sequence[Sequence[float | None]]
"""Of each group its runs' figures, None where a run has none."""


@dataclass(frozen=True)
class Curve:
    """A run's scores [n] over the steps, real images drawn and seconds trained at which they were taken; those are NaN
    where the run has no timing.jsonl.
    """

    steps: Floats
    images: Floats
    seconds: Floats
    values: Floats

    def at(self, axis: str, x: float) -> float | None:
        """The score at ``x`` on a straight line between the evaluations around it; None outside them, or where one of
        the two is not finite.
        """
        along = getattr(self, axis)
        if not len(along) or not along[0] <= x <= along[-1]:
            return None
        i = int(np.searchsorted(along, x))
        value = float(self.values[i]) if along[i] == x else float(np.interp(x, along, self.values))
        return value if math.isfinite(value) else None

    def reached(self, axis: str, score: float, better: str) -> float | None:
        """Where the scores, joined by straight lines, are first as good as ``score``; None where they never are."""
        sign = 1 if better == "lower" else -1
        good = np.flatnonzero(sign * self.values <= sign * score)  # a NaN is not
        if not len(good):
            return None
        i, along = int(good[0]), getattr(self, axis)
        share = 1.0
        if i and math.isfinite(before := float(self.values[i - 1])):
            share = (before - score) / (before - float(self.values[i]))
        found = float(along[i] - (1 - share) * (along[i] - along[i - 1]) if i else along[i])
        return found if math.isfinite(found) else None


@dataclass(frozen=True)
class Judging:
    """One metric under one protocol. ``curves``: of each group, of each run, None where it has no such score."""

    metric: str
    better: str
    protocol: Mapping[str, Any]
    curves: tuple[tuple[Curve | None, ...], ...]
    first: Score

    @property
    def described(self) -> str:
        """The protocol in a line."""
        try:
            return described(self.protocol)
        except KeyError:  # of another version, or a plugin's own
            return ", ".join(f"{name} {value}" for name, value in self.protocol.items() if value is not None)

    def has(self, group: int) -> bool:
        """Whether a run of the group was judged so."""
        return any(curve is not None for curve in self.curves[group])


@dataclass(frozen=True)
class Standing:
    """A group in a ranking: how many ``of`` its runs have the figure (``n``), their mean, standard deviation, interval
    of the mean and best; None where there is none. ``rank``: one more than the number of groups called better, None
    where nothing could be called of it.
    """

    group: str
    n: int
    of: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    best: float | None
    rank: int | None = None
    better_than: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """The difference between two groups, and ``p`` as Holm's correction raises it for all pairs and metrics that answer
    one question; ``why`` says what keeps it from being called.
    """

    a: str
    b: str
    of: Difference
    p: float = math.nan
    why: str = ""

    @property
    def called(self) -> bool:
        """Whether it is called a difference."""
        return self.p <= ALPHA


@dataclass(frozen=True)
class Ranking:
    """Groups by one figure of judging number ``judging``. ``at``: "end"; "steps", "images" or "seconds", all being at
    ``x``; or "reaching images" ("reaching seconds"), what it took to get to score ``x``. ``better``: which figures are.
    ``same``: the question that has the same figures.
    """

    judging: int
    metric: str
    better: str
    protocol: str
    at: str
    x: float | None
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    figures: Figures
    same: str = ""


def judgings(groups: Sequence[Group]) -> list[Judging]:
    """The scores of all runs, those of one metric and protocol together, in the order of the first of each."""
    found: dict[str, dict[int, list[Score]]] = {}
    firsts: dict[str, Score] = {}
    for run in (run for group in groups for run in group.runs):
        for score in recorded(RunFolder(run.root)):
            if score.step is not None:
                key = json.dumps([score.metric, compared(score.protocol)], default=str)
                firsts.setdefault(key, score)
                found.setdefault(key, {}).setdefault(id(run), []).append(score)
    return [
        Judging(
            firsts[key].metric,
            firsts[key].better,
            firsts[key].protocol,
            tuple(tuple(_curve(run, scores.get(id(run), [])) for run in group.runs) for group in groups),
            firsts[key],
        )
        for key, scores in found.items()
    ]


def refusals(judged: Sequence[Judging], groups: Sequence[Group]) -> list[str]:
    """Why figures of one metric are not ranked against each other, a line each: whose, and which part differs."""
    found = []
    for one, other in combinations(judged, 2):
        if one.metric == other.metric:
            whose = [listed([g.name for i, g in enumerate(groups) if each.has(i)]) for each in (one, other)]
            found.append(
                f"{one.metric} of {whose[0]} and of {whose[1]} is not ranked against each other: the protocols differ "
                f"in {'; '.join(differences(one.first, other.first))}"
            )
    return found


def rankings(
    judged: Sequence[Judging], groups: Sequence[Group], to: Mapping[str, float], machines: str = ""
) -> list[Ranking]:
    """Every question answered for every metric and protocol. ``to``: by metric the score to get to, by default the best
    that all runs got to; ``machines``: why seconds of different runs do not compare, or "".
    """
    found: list[Ranking] = []
    for number, each in enumerate(judged):
        own: list[Ranking] = []
        for at, x, figures in _questions(each, groups, to):
            if any(figure is not None for some in figures for figure in some):
                better = "lower" if at.startswith("reaching") else each.better
                why = machines if at.endswith("seconds") else ""
                made = _ranked((number, each), groups, (at, x, better), figures, why)
                same = [old.at for old in own if not old.same and old.at in ("end", *AXES) and old.figures == figures]
                own.append(dataclasses.replace(made, same=same[0] if same and at in AXES else ""))
        found += own
    return _corrected(found)


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first few names and how many more there are; they may hold commas."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return "; ".join([*names[:most], *more])


def finished(run: Record) -> bool:
    """Whether the run has done all steps that it was made for."""
    return run.planned is None or run.done >= run.planned


def _curve(run: Record, scores: Sequence[Score]) -> Curve | None:
    """The scores of a run over its steps; of several at one step the last."""
    values = {score.step: score.value if score.finite else math.nan for score in scores if score.step is not None}
    if not values:
        return None
    steps = np.array(sorted(values), dtype=np.float64)
    images, seconds = (
        np.interp(steps, [0, *base.steps], [0, *base.values]) if len(base) else np.full(len(steps), math.nan)
        for base in (run.images, run.clock)
    )
    images = np.round(images)  # recorded as a rate
    return Curve(steps, images, seconds, np.array([values[int(step)] for step in steps], dtype=np.float64))


def _questions(
    judged: Judging, groups: Sequence[Group], to: Mapping[str, float]
) -> Iterable[tuple[str, float | None, Figures]]:
    """(at, x, figures) of each question that can be asked of these scores."""

    def of_all(figure: Callable[[Record, Curve], float | None]) -> Figures:
        return [
            [None if curve is None else figure(run, curve) for run, curve in zip(group.runs, curves, strict=True)]
            for group, curves in zip(groups, judged.curves, strict=True)
        ]

    def last(run: Record, curve: Curve) -> float | None:
        at_end = finished(run) and curve.steps[-1] == run.done and math.isfinite(curve.values[-1])
        return float(curve.values[-1]) if at_end else None

    yield "end", None, of_all(last)
    if all(len(curve.steps) < 2 for some in judged.curves for curve in some if curve is not None):
        return
    for axis in AXES:
        if (x := _reach(judged, groups, axis)) is not None:
            yield axis, x, of_all(lambda _, curve, axis=axis, x=x: curve.at(axis, x))  # type: ignore[misc]
    score = to.get(judged.metric, _reachable(judged, groups))
    if score is not None:
        for axis in AXES[1:]:
            yield (
                f"reaching {axis}",
                score,
                of_all(lambda _, curve, axis=axis: curve.reached(axis, score, judged.better)),  # type: ignore[misc]
            )


def _reach(judged: Judging, groups: Sequence[Group], axis: str) -> float | None:
    """How far all groups that were judged got: of each the least of its finished runs, or of all where none is."""
    found = []
    for group, curves in zip(groups, judged.curves, strict=True):
        ends = [
            (finished(run), float(getattr(curve, axis)[-1]))
            for run, curve in zip(group.runs, curves, strict=True)
            if curve is not None and math.isfinite(getattr(curve, axis)[-1])
        ]
        if ends:
            found.append(min(end for done, end in ends if done or not any(done for done, _ in ends)))
    return min(found, default=None)


def _reachable(judged: Judging, groups: Sequence[Group]) -> float | None:
    """The best score that all runs got to, as ``_reach`` counts them: the worst of their bests."""
    sign = 1 if judged.better == "lower" else -1
    found = []
    for group, curves in zip(groups, judged.curves, strict=True):
        bests = [
            (finished(run), float((sign * curve.values[np.isfinite(curve.values)]).min()))
            for run, curve in zip(group.runs, curves, strict=True)
            if curve is not None and np.isfinite(curve.values).any()
        ]
        found += [best for done, best in bests if done or not any(done for done, _ in bests)]
    return sign * max(found) if found else None


def _ranked(
    numbered: tuple[int, Judging],
    groups: Sequence[Group],
    question: tuple[str, float | None, str],
    figures: Figures,
    why: str,
) -> Ranking:
    """The ranking of groups by ``figures``, without the correction and the ranks that follow from it."""
    (number, judged), (at, x, better) = numbered, question
    present = [i for i in range(len(groups)) if judged.has(i)]
    standings = [_standing(groups[i].name, figures[i], better) for i in present]
    pairs = []
    for i, j in combinations(present, 2):
        a, b = ([figure for figure in figures[k] if figure is not None] for k in (i, j))
        lacking = [groups[k].name for k in (i, j) if None in figures[k]]
        reason = why or (
            f"not every run of {' and of '.join(lacking)} {LACKING[at.partition(' ')[0]]}" if lacking else ""
        )
        of = welch(a, b) if a and b else Difference(math.nan, -math.inf, math.inf, math.nan)
        pairs.append(Pair(groups[i].name, groups[j].name, of, math.nan if reason else of.p, reason or of.why))
    return Ranking(number, judged.metric, better, judged.described, at, x, tuple(standings), tuple(pairs), figures)


def _standing(name: str, figures: Sequence[float | None], better: str) -> Standing:
    values = [figure for figure in figures if figure is not None]
    if not values:
        return Standing(name, 0, len(figures), None, None, None, None, None)
    of, best = spread(values), min(values) if better == "lower" else max(values)
    sd, low, high = (each if math.isfinite(each) else None for each in (of.sd, of.low, of.high))
    return Standing(name, of.n, len(figures), of.mean, sd, low, high, best)


def _corrected(found: list[Ranking]) -> list[Ranking]:
    """``found`` with its p-values corrected within each question over all pairs and metrics, and ranks."""
    raised: dict[tuple[int, int], float] = {}
    for at in {ranking.at for ranking in found}:
        places = [
            (i, k)
            for i, ranking in enumerate(found)
            if ranking.at == at and not ranking.same
            for k in range(len(ranking.pairs))
        ]
        raised |= dict(zip(places, holm([found[i].pairs[k].p for i, k in places]), strict=True))
    whole: list[Ranking] = []
    for i, ranking in enumerate(found):
        if ranking.same:  # its twin stands before it
            twin = next(old for old in reversed(whole) if old.at == ranking.same)
            pairs = twin.pairs
        else:
            pairs = tuple(dataclasses.replace(pair, p=raised[i, k]) for k, pair in enumerate(ranking.pairs))
        whole.append(dataclasses.replace(ranking, pairs=pairs, standings=_placed(ranking, pairs)))
    return whole


def _placed(ranking: Ranking, pairs: Sequence[Pair]) -> tuple[Standing, ...]:
    """The standings, the best mean first, with the ranks of those that could be told from another at all."""
    sign = 1 if ranking.better == "lower" else -1
    beaten: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.called:
            winner, loser = (pair.a, pair.b) if sign * pair.of.difference < 0 else (pair.b, pair.a)
            beaten.setdefault(winner, []).append(loser)
    tested = {name for pair in pairs if not math.isnan(pair.p) for name in (pair.a, pair.b)}
    placed = [
        dataclasses.replace(
            each,
            rank=1 + sum(each.group in losers for losers in beaten.values()) if each.group in tested else None,
            better_than=tuple(beaten.get(each.group, ())),
        )
        for each in ranking.standings
    ]
    return tuple(sorted(placed, key=lambda each: (each.mean is None, sign * (each.mean or 0.0))))
