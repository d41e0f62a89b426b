"""`gankit evaluate`, and the evaluations of a training: figures, their record in the run, and the best checkpoint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gankit import files
from gankit.data import DataOptions, Dataset, ImageSet
from gankit.errors import UsageError
from gankit.figure import Figure, differences
from gankit.judge import Judge, Samples, make_metric, metric_names
from gankit.keys import Draws
from gankit.reference import comparable
from gankit.registry import registry
from gankit.run import Run
from gankit.subjects import Subject, categorical, generated, subject
from gankit.trainer import Trainer, pick_device

FILE = "evaluations.jsonl"
SEED = 0
"""Of the latents: one for all runs and both ways of evaluating, so that their figures can be compared."""


def evaluate(
    paths: str | Path | Iterable[str | Path],
    metrics: str | Iterable[str] = "fid",
    *,
    data: str | None = None,
    extractor: str = "classifier",
    weights: str | Path | None = None,
    images: int = 10_000,
    seed: int = SEED,
    checkpoint: str = "last",
    split: str | None = None,
    data_root: str | None = None,
    device: str = "auto",
) -> list[Figure]:
    """Judge the samples at each of ``paths``, run folders, folders of images or .npy files, by ``metrics``.

    ``data``: NAME or NAME:PATH of the real images, by default what a run was trained on; they are brought to the size
    and channels of the samples. The figures of a run are added to its evaluations.jsonl.
    """
    names = metric_names(metrics)
    found: list[Figure] = []
    judges: dict[tuple[Any, ...], Judge] = {}
    for path in [paths] if isinstance(paths, str | Path) else paths:
        samples = subject(path, images, seed=seed, checkpoint=checkpoint, device=device)
        options = _reference_options(samples, data, split, data_root)
        place = (options, samples.size)
        if place not in judges:
            real = comparable(_load(options), samples.size)
            file = Path(weights) if weights is not None else None
            judges[place] = Judge(names, real, options, extractor=extractor, weights=file, device=pick_device(device))
        figures = _judged(judges[place], samples)
        if samples.step is not None:
            _append(Path(samples.name), figures)
        found += figures
    return found


def _reference_options(samples: Subject, data: str | None, split: str | None, root: str | None) -> DataOptions:
    """Which images ``samples`` are compared with. UsageError where nothing says so."""
    options = samples.data
    if data is not None and (options is None or data != options.data):
        options = DataOptions(data=data, size=samples.size, channels=samples.channels)
    if options is None:
        raise UsageError(f"{samples.name}: say what to compare it with: --data NAME (see `gankit data list`)")
    return dataclasses.replace(options, split=split or options.split, data_root=root or options.data_root)


def _load(options: DataOptions) -> ImageSet:
    dataset: Dataset = registry().get("datasets", options.name)()
    return dataset.load(options, 0)


def _judged(judge: Judge, samples: Subject, by: str = "evaluate") -> list[Figure]:
    channels, size = judge.real.images.shape[1:3]
    if (samples.channels, samples.size) != (channels, size):
        raise UsageError(
            f"{samples.name}: {samples.channels} channels of {samples.size} pixels, but the real images have "
            f"{channels} of {size}; name images of that shape with --data"
        )
    of_samples = {"fake": samples.count, "seed": samples.seed, "averaged": samples.averaged}
    return [
        Figure(metric.name, value, metric.better, {**protocol, **of_samples}, samples.name, samples.step, by)
        for metric, value, protocol in judge.judge(samples.batches(judge.real.classes))
    ]


def _append(root: Path, figures: list[Figure]) -> None:
    files.append_lines(root / FILE, [json.dumps(figure.as_dict()) for figure in figures], sync=True)


def recorded(run: Run) -> list[Figure]:
    """The figures in the run's evaluations.jsonl, oldest first."""
    return [Figure.from_dict(row, str(run.root)) for row in files.read_lines(run.root / FILE)]


def recorded_at(run: Run, step: int) -> str:
    """What the training found at ``step``, in one line."""
    some = [figure for figure in recorded(run) if figure.step == step and figure.by == "training"]
    return f"step {step}: {', '.join(f'{figure.metric} {figure.value:.4g}' for figure in some)}"


def best(run: Run, like: Figure | None = None) -> Figure | None:
    """The best figure that the run's training took, of those whose checkpoint is there: by the first of its metrics,
    and under the protocol of ``like``, by default of the last such figure. None where there is none.
    """
    name = metric_names(run.config.train.metric)[0]
    figures = [figure for figure in recorded(run) if figure.by == "training" and figure.metric == name]
    kept = {int(path.stem) for path in run.checkpoints()}
    found: Figure | None = None
    for figure in figures:
        if figure.step in kept and not differences(figure, like or figures[-1]):
            found = figure if found is None or figure.beats(found) else found
    return found


def mark_best(run: Run) -> None:
    """Write into the index of the checkpoints which is the best, by which it is kept and found.

    It follows from evaluations.jsonl and the checkpoints that are there, so a run killed at any moment is put right
    when it is resumed.
    """
    found = best(run)
    entry = None if found is None else {"step": found.step, "metric": found.metric, "value": found.value}
    files.write_json(run.root / "checkpoints" / "index.json", {"best": entry})
    run.rotate()


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
            noise = trainer.model.noise("sample", 1, Draws(SEED, "evaluate", 0))
            metric = make_metric(name)
            if metric.reads_labels and "labels" not in noise:
                raise UsageError(f"--metric {name}: {trainer.config.variant} draws samples of no class asked for")
            if metric.reads_codes and categorical(trainer.model, noise) is None:
                raise UsageError(f"--metric {name}: {trainer.config.variant} has no categorical code; infogan has one")
        self.judge = Judge(
            names,
            comparable(trainer.images, trainer.spec.size),
            None if given else trainer.config.data,
            extractor=options.extractor,
            weights=Path(options.extractor_weights) if options.extractor_weights else None,
            device=trainer.device,
        )

    def evaluate(self, trainer: Trainer, run: Run) -> bool:
        """Judge the model as it is now, with averaged weights where there are any, and record the figures. Returns
        whether the first is the best so far, so that the checkpoint of this step is to be kept.
        """
        model = trainer.average.model if trainer.average is not None else trainer.model
        images = trainer.images if model.reads_images else None
        size = trainer.spec.size

        def batches(classes: tuple[str, ...]) -> Iterator[Samples]:
            return generated(model, self.count, SEED, trainer.device, trainer.dtype, images, size)

        averaged = trainer.average is not None
        samples = Subject(
            str(run.root), self.count, size, trainer.spec.channels, batches, None, SEED, averaged, trainer.done
        )
        figures = _judged(self.judge, samples, by="training")
        _append(run.root, figures)
        so_far = best(run, like=figures[0])
        return so_far is None or figures[0].beats(so_far)


def evaluator(trainer: Trainer, *, given: bool) -> Evaluator | None:
    """The evaluations that the options ask for, or None."""
    return Evaluator(trainer, given=given) if trainer.options.evaluate_every else None
