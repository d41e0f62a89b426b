"""Measures by the registered metrics, taken of a finished run."""

from __future__ import annotations

from gankit.core.errors import UsageError
from gankit.evaluation import evaluate
from gankit.evaluation.score import Score
from gankit.inference.class_grids import coded, conditional
from gankit.lab.measures.measure import AtLeastTwo, Figure, MetricName
from gankit.lab.measures.pictures import check_labels
from gankit.runs.folder import RunFolder


def scores(run: RunFolder, metric: str, images: int, checkpoint: str, shares: str | None = None) -> list[Score]:
    """The scores of the run's samples by ``metric``, of each direction where it translates. Nothing is recorded."""
    return evaluate.scores_of(
        run.root, metric, images=images, checkpoint=checkpoint, class_shares=shares, data=run.data, device="cpu"
    )


def judged(run: RunFolder, *, metric: MetricName, images: AtLeastTwo = 2000, checkpoint: str = "last") -> Figure:
    """The score of a finished run's samples by a metric; of a run that translates, each direction's."""
    found = scores(run, metric, images, checkpoint)
    if len(found) == 1:
        return found[0].value
    return {score.metric.removeprefix(metric).strip(): score.value for score in found}


def class_accuracy(run: RunFolder, *, images: AtLeastTwo = 1000, checkpoint: str = "last") -> Figure:
    """The share of samples in which a classifier sees the class they were asked for; by chance it is 1 / classes.

    All classes are asked for alike. The classifier is the default extractor, trained on the run's data set.
    """
    conditional(run, checkpoint)  # says what to train where the run was not told the classes
    return scores(run, "class-accuracy", images, checkpoint, "even")[0].value


def purity(run: RunFolder, *, images: AtLeastTwo = 1000, checkpoint: str = "last") -> Figure:
    """How well a categorical code that no label taught determines the class: the share of samples of the class that
    their code's value stands for, each value standing for another class.
    """
    check_labels(run)
    if not any(count for name, count in coded(run).conditions.items() if name != "class"):
        raise UsageError(f"{run.root}: {run.config.variant} has no categorical code; take a run of infogan")
    return scores(run, "code-purity", images, checkpoint)[0].value
