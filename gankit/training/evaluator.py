"""The evaluations of a training."""

from __future__ import annotations

from pathlib import Path

from gankit.core.errors import UsageError
from gankit.core.rng import RandomStream
from gankit.data.catalogue import DataOptions
from gankit.evaluation.evaluate import append, best, chosen_metrics, judged
from gankit.evaluation.judge import Judge, make_metric, metric_names
from gankit.evaluation.reference import comparable
from gankit.evaluation.samples import SEED, Drawn, SampleSource, asks_for_classes, categorical, directed
from gankit.runs.folder import RunFolder
from gankit.training.trainer import Trainer

OLD_DEFAULTS = {"metric": "fid", "extractor": "classifier"}
"""What older versions recorded of runs that named none."""


class Evaluator:
    """The evaluations of a training: they read the model and nothing of it changes, so a run with them and one without
    end with the same bits.
    """

    def __init__(self, trainer: Trainer, data: DataOptions | None, *, resumed: bool = False) -> None:
        """``data``: where the images are, None where they came from a program; scores say what they were called when
        the run was started. ``resumed``: the run was begun before. UsageError where the metrics do not fit the run, and
        for an extractor that none of them needs.
        """
        options = trainer.options
        self.count = options.evaluate_images
        self.data = data
        self.device = trainer.device
        self.weights = Path(options.extractor_weights) if options.extractor_weights else None
        real = comparable(trainer.images, trainer.spec.sides)
        names = metric_names(options.metric) if options.metric else chosen_metrics(real, options.extractor)
        extractor = options.extractor
        if resumed or extractor == OLD_DEFAULTS["extractor"]:  # it may stand there without an effect
            extractor = extractor if any(make_metric(name).needs != "images" for name in names) else None
        noise = trainer.model.noise("sample", 1, RandomStream(SEED, "evaluate", 0))
        for name in names:
            metric = make_metric(name)
            if metric.reads_labels and "labels" not in noise:
                raise UsageError(f"--metric {name}: {trainer.config.variant} draws samples of no class asked for")
            if metric.reads_codes and categorical(trainer.model, noise) is None:
                raise UsageError(f"--metric {name}: {trainer.config.variant} has no categorical code; infogan has one")
        self.judges = {
            domain: Judge(
                names,
                comparable(trainer.images, trainer.spec.sides, domain),
                self.data,
                extractor=extractor,
                weights=self.weights,
                device=self.device,
            )
            for domain in dict.fromkeys(source.domain for source in self.sources(trainer, ""))
        }
        for judge in self.judges.values() if data is not None else ():
            judge.name = trainer.config.data.data

    def sources(self, trainer: Trainer, name: str) -> list[SampleSource]:
        """The samples of the model as it is now, with averaged weights where there are any; as `gankit evaluate` has
        them of a checkpoint: classes as often as in the data, and each direction of a model that maps images.
        """
        model, spec = trainer.sampling_model, trainer.spec
        images = trainer.images if model.reads_images else None
        asks = asks_for_classes(model)
        counts = spec.class_counts if asks else ()
        shares = ("data" if counts else "even") if asks else None
        drawn = Drawn(model, self.count, SEED, trainer.device, trainer.dtype, spec.sides)
        source = SampleSource(
            name, self.count, spec.sides, spec.channels, lambda _: drawn.batches(images, counts), self.data, SEED,
            trainer.ema is not None, trainer.done, shares,
        )  # fmt: skip
        return directed(source, drawn, images)

    def evaluate(self, trainer: Trainer, run: RunFolder) -> bool:
        """Judge the model as it is now and record the scores. Returns whether the first is the best so far, so that the
        checkpoint of this step is to be kept.
        """
        scores = []
        for samples in self.sources(trainer, str(run.root)):
            scores += judged(self.judges[samples.domain], samples, by="training")
        if not trainer.ranks.first:
            return trainer.ranks.agreed(False)
        append(run.root, scores)
        so_far = best(run, like=scores[0])
        return trainer.ranks.agreed(scores[0].finite if so_far is None else scores[0].beats(so_far))


def evaluator(trainer: Trainer, data: DataOptions | None, *, resumed: bool = False) -> Evaluator | None:
    """The evaluations that the options ask for, or None. UsageError for options that have no effect, but for a run that
    is ``resumed``: it was begun with them.
    """
    options = trainer.options
    if options.evaluate_every:
        return Evaluator(trainer, data, resumed=resumed)
    if resumed:
        return None
    for name in ("metric", "extractor", "extractor_weights"):
        value = getattr(options, name)
        if value is not None and value != OLD_DEFAULTS.get(name):
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} {value}: nothing is judged without --evaluate-every; add that, or leave it out")
    return None
