"""Measures by the registered metrics, taken of a finished run."""

from __future__ import annotations

import dataclasses

from gankit.build import load_images
from gankit.core.errors import UsageError
from gankit.evaluation import evaluate
from gankit.evaluation.judge import Judge
from gankit.evaluation.reference import comparable
from gankit.evaluation.samples import Asked, of_run
from gankit.evaluation.score import Score
from gankit.inference.class_grids import coded, conditional
from gankit.lab.measures.measure import AtLeastTwo, Count, Figure, MetricName
from gankit.lab.measures.pictures import check_labels
from gankit.runs.folder import RunFolder
from gankit.runs.images import place_of


def scores(run: RunFolder, metric: str, images: int, checkpoint: str, shares: str | None = None) -> list[Score]:
    """The scores of the run's samples by ``metric``, of each direction where it translates. Nothing is recorded."""
    return evaluate.scores_of(
        run.root, metric, images=images, checkpoint=checkpoint, class_shares=shares, data=run.data, device="cpu"
    )


def judged(
    run: RunFolder,
    *,
    metric: MetricName,
    images: AtLeastTwo = 2000,
    checkpoint: str = "last",
    held_out: Count | None = None,
) -> Figure:
    """The score of a finished run's samples by a metric; of a run that translates, each direction's. With `held_out`
    against so many images of the test split, whatever the run was trained on.
    """
    if held_out is None:
        found = scores(run, metric, images, checkpoint)
    else:
        found = against_held_out(run, metric, images, checkpoint, held_out)
    if len(found) == 1:
        return found[0].value
    return {score.metric.removeprefix(metric).strip(): score.value for score in found}


def against_held_out(run: RunFolder, metric: str, images: int, checkpoint: str, real: int) -> list[Score]:
    """The scores of the run's samples against ``real`` images of the test split; an extractor that is trained sees as
    many of the training split. UsageError where the run's images have no name.
    """
    if run.recorded.get("images given"):
        raise UsageError(
            f"{run.root}: its images came from a program; held out are images of a data set that has a name"
        )
    options = dataclasses.replace(place_of(run), split="test", limit=real)
    pictures = load_images(dataclasses.replace(run.config, data=options))
    found: list[Score] = []
    for samples in of_run(run.root, Asked(images=images, checkpoint=checkpoint, device="cpu")):
        judge = Judge([metric], comparable(pictures, samples.size, samples.domain), options)
        found += evaluate.judged(judge, dataclasses.replace(samples, data=options))
    return found


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
