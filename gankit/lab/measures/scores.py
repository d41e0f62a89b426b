"""Measures of the scores that a training took: how good it got, when, and whether it went on getting better."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np

from gankit.core.errors import UsageError, closest
from gankit.evaluation.evaluate import recorded
from gankit.evaluation.score import Score, differences
from gankit.lab.measures.measure import Count, Number, Share
from gankit.lab.measures.parts import images_at, record_of
from gankit.report.records import timing
from gankit.runs.folder import RunFolder

At = Literal["last", "best", "late", "first"]


def scores_of(run: RunFolder, metric: str | None) -> list[Score]:
    """The finite scores of ``metric`` (of the first one where it is None) that the training took, under the protocol of
    the last, by their steps. UsageError for a metric it did not take, and for a run that was not evaluated.
    """
    scores = [score for score in recorded(run) if score.by == "training" and score.step is not None]
    if not scores:
        if run.config.train.evaluate_every is None:
            raise UsageError(f"{run.root}: has no scores; train it with --evaluate-every N")
        return []
    metric = metric or scores[0].metric
    known = dict.fromkeys(score.metric for score in scores)
    if metric not in known:
        raise UsageError(f"{run.root}: was not judged by metric '{metric}': {closest(metric, known)}")
    scores = [score for score in scores if score.metric == metric]
    return [score for score in scores if score.finite and not differences(score, scores[-1])]


def best(scores: list[Score]) -> Score:
    """The best of ``scores``, the first of several as good."""
    found = scores[0]
    for score in scores:
        found = score if score.beats(found) else found
    return found


def score(
    run: RunFolder, *, metric: str | None = None, at: At = "last", images: Count | None = None, share: Share = 1.0
) -> Number:
    """The last score of the training (or the best, the first, or the mean of the last third: "late").

    ``images``, ``share``: of those taken before so many real images were drawn, or in this share of the run's steps;
    None where there is none. ``metric``: by default the first of the run's.
    """
    record = record_of(run)
    limit = share * max(record.done, 1)
    found = [each for each in scores_of(run, metric) if (each.step or 0) <= limit]
    if images is not None:
        found = [each for each in found if (drawn := images_at(record, each.step or 0)) is not None and drawn <= images]
    if not found:
        return None
    if at == "late":
        return float(np.mean([each.value for each in found[-math.ceil(len(found) / 3) :]]))
    return {"last": found[-1], "first": found[0], "best": best(found)}[at].value


def first_as_good(run: RunFolder, metric: str | None, reach: float) -> int | None:
    """The step of the first score that is ``reach`` or better."""
    for each in scores_of(run, metric):
        if each.value <= reach if each.better == "lower" else each.value >= reach:
            return each.step
    return None


def images_to_score(run: RunFolder, *, reach: float, metric: str | None = None) -> Number:
    """Real images drawn until an evaluation gave this score or a better one; none where none did."""
    step = first_as_good(run, metric, reach)
    return None if step is None else images_at(record_of(run), step)


def seconds_to_score(run: RunFolder, *, reach: float, metric: str | None = None) -> Number:
    """Seconds trained until an evaluation gave this score or a better one; none where none did.

    Of the steps alone: samples, evaluations and checkpoints do not count.
    """
    step = first_as_good(run, metric, reach)
    _, clock, _ = timing(run.root / "timing.jsonl")
    if step is None or not len(clock):
        return None
    return float(np.interp(step, [0.0, *clock.steps], [0.0, *clock.values]))


def score_slope(run: RunFolder, *, metric: str | None = None, start: Share = 0.5, end: Share = 1.0) -> Number:
    """By how much a doubling of the steps betters the score, between two shares of the run.

    The slope of the least squares line over log2(step), positive where scores get better. None of fewer than two.
    """
    done = max(record_of(run).done, 1)
    found = [each for each in scores_of(run, metric) if start * done < (each.step or 0) <= end * done]
    if len(found) < 2:
        return None
    x = np.log2([each.step or 1 for each in found])
    x -= x.mean()
    slope = float((x * [each.value for each in found]).sum() / np.square(x).sum())
    return -slope if found[0].better == "lower" else slope


def stalled(run: RunFolder, *, metric: str | None = None, start: Share = 0.67) -> Number:
    """1 where no score after this share of the run's steps is better than the best before, else 0.

    None where one of the two parts has no score.
    """
    border = start * record_of(run).done
    found = scores_of(run, metric)
    before = [each for each in found if (each.step or 0) <= border]
    after = [each for each in found if (each.step or 0) > border]
    return float(not best(after).beats(best(before))) if before and after else None


def steadily_better(run: RunFolder, *, metric: str | None = None, start: Share = 0.0, end: Share = 1.0) -> Number:
    """The share of evaluations that gave a better score than the one before, between two shares of the run.

    None of fewer than two.
    """
    done = record_of(run).done
    found = [each for each in scores_of(run, metric) if start * done < (each.step or 0) <= end * done]
    better = [later.beats(earlier) for earlier, later in itertools.pairwise(found)]
    return sum(better) / len(better) if better else None
