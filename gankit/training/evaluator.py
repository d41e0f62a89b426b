"""The evaluations of a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gankit.core.errors import UsageError
from gankit.core.rng import RandomStream
from gankit.evaluation.evaluate import SEED, append, best, judged
from gankit.evaluation.judge import Judge, Samples, make_metric, metric_names
from gankit.evaluation.reference import comparable
from gankit.evaluation.samples import SampleSource, categorical, generated
from gankit.runs.folder import RunFolder
from gankit.training.trainer import Trainer


class Evaluator:
    """The evaluations of a training: they read the model and nothing of it changes, so a run with them and one without
    end with the same bits.
    """

    def __init__(self, trainer: Trainer, *, given: bool) -> None:
        """``given``: the images came from a program. UsageError where the metrics do not fit the run."""
        options = trainer.options
        self.count = options.evaluate_images
        names = metric_names(options.metric)
        for name in names:
            noise = trainer.model.noise("sample", 1, RandomStream(SEED, "evaluate", 0))
            metric = make_metric(name)
            if metric.reads_labels and "labels" not in noise:
                raise UsageError(f"--metric {name}: {trainer.config.variant} draws samples of no class asked for")
            if metric.reads_codes and categorical(trainer.model, noise) is None:
                raise UsageError(f"--metric {name}: {trainer.config.variant} has no categorical code; infogan has one")
        self.judge = Judge(
            names,
            comparable(trainer.images, trainer.spec.sides),
            None if given else trainer.config.data,
            extractor=options.extractor,
            weights=Path(options.extractor_weights) if options.extractor_weights else None,
            device=trainer.device,
        )

    def evaluate(self, trainer: Trainer, run: RunFolder) -> bool:
        """Judge the model as it is now, with averaged weights where there are any, and record the scores. Returns
        whether the first is the best so far, so that the checkpoint of this step is to be kept.
        """
        model = trainer.sampling_model
        images = trainer.images if model.reads_images else None
        size = trainer.spec.sides

        def batches(classes: tuple[str, ...]) -> Iterator[Samples]:
            return generated(model, self.count, SEED, trainer.device, trainer.dtype, images, size)

        averaged = trainer.ema is not None
        samples = SampleSource(
            str(run.root), self.count, size, trainer.spec.channels, batches, None, SEED, averaged, trainer.done
        )
        scores = judged(self.judge, samples, by="training")
        append(run.root, scores)
        so_far = best(run, like=scores[0])
        return so_far is None or scores[0].beats(so_far)


def evaluator(trainer: Trainer, *, given: bool) -> Evaluator | None:
    """The evaluations that the options ask for, or None."""
    return Evaluator(trainer, given=given) if trainer.options.evaluate_every else None
