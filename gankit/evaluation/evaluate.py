"""`gankit evaluate`, and the evaluations of a training: scores, their record in the run, and the best checkpoint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gankit.build import pick_device
from gankit.core import files
from gankit.core.errors import UsageError
from gankit.core.sides import as_size
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import Dataset, ImageSet
from gankit.evaluation.judge import Judge, metric_names
from gankit.evaluation.reference import comparable
from gankit.evaluation.samples import SampleSource, sample_source
from gankit.evaluation.score import Score, differences
from gankit.registry import registry
from gankit.runs.folder import RunFolder

FILE = "evaluations.jsonl"
SEED = 0
"""Of the latents: one for all runs and both ways of evaluating, so that their scores can be compared."""


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
) -> list[Score]:
    """Judge the samples at each of ``paths``, run folders, folders of images or .npy files, by ``metrics``.

    ``data``: NAME or NAME:PATH of the real images, by default what a run was trained on; they are brought to the size
    and channels of the samples. The scores of a run are added to its evaluations.jsonl.
    """
    names = metric_names(metrics)
    found: list[Score] = []
    judges: dict[tuple[Any, ...], Judge] = {}
    for path in [paths] if isinstance(paths, str | Path) else paths:
        samples = sample_source(path, images, seed=seed, checkpoint=checkpoint, device=device)
        options = _reference_options(samples, data, split, data_root)
        place = (options, samples.size)
        if place not in judges:
            real = comparable(_load(options), samples.size)
            file = Path(weights) if weights is not None else None
            judges[place] = Judge(names, real, options, extractor=extractor, weights=file, device=pick_device(device))
        scores = judged(judges[place], samples)
        if samples.step is not None:
            append(Path(samples.name), scores)
        found += scores
    return found


def _reference_options(samples: SampleSource, data: str | None, split: str | None, root: str | None) -> DataOptions:
    """Which images ``samples`` are compared with. UsageError where nothing says so."""
    options = samples.data
    if data is not None and (options is None or data != options.data):
        options = DataOptions(data=data, size=as_size(samples.size), channels=samples.channels)
    if options is None:
        raise UsageError(f"{samples.name}: say what to compare it with: --data NAME (see `gankit data list`)")
    return dataclasses.replace(options, split=split or options.split, data_root=root or options.data_root)


def _load(options: DataOptions) -> ImageSet:
    dataset: Dataset = registry().get("datasets", options.name)()
    return dataset.load(options, 0)


def judged(judge: Judge, samples: SampleSource, by: str = "evaluate") -> list[Score]:
    """The scores that ``judge`` gives ``samples``. UsageError where they have another shape than the real images."""
    channels, size = judge.real.images.shape[1], judge.real.sides
    if (samples.channels, samples.size) != (channels, size):
        raise UsageError(
            f"{samples.name}: {samples.channels} channels of {as_size(samples.size)} pixels, but the real images have "
            f"{channels} of {as_size(size)}; name images of that shape with --data"
        )
    of_samples = {"fake": samples.count, "seed": samples.seed, "averaged": samples.averaged}
    return [
        Score(metric.name, value, metric.better, {**protocol, **of_samples}, samples.name, samples.step, by)
        for metric, value, protocol in judge.judge(samples.batches(judge.real.classes))
    ]


def append(root: Path, scores: list[Score]) -> None:
    """Add ``scores`` to the record of the run in ``root``."""
    files.append_lines(root / FILE, [json.dumps(score.as_dict()) for score in scores], sync=True)


def recorded(run: RunFolder) -> list[Score]:
    """The scores in the run's evaluations.jsonl, oldest first."""
    return [Score.from_dict(row, str(run.root)) for row in files.read_lines(run.root / FILE)]


def recorded_at(run: RunFolder, step: int) -> str:
    """What the training found at ``step``, in one line."""
    some = [score for score in recorded(run) if score.step == step and score.by == "training"]
    return f"step {step}: {', '.join(f'{score.metric} {score.value:.4g}' for score in some)}"


def best(run: RunFolder, like: Score | None = None) -> Score | None:
    """The best score that the run's training took, of those whose checkpoint is there: by the first of its metrics,
    and under the protocol of ``like``, by default of the last such score. None where there is none.
    """
    name = metric_names(run.config.train.metric)[0]
    scores = [score for score in recorded(run) if score.by == "training" and score.metric == name]
    kept = {int(path.stem) for path in run.checkpoints()}
    found: Score | None = None
    for score in scores:
        if score.step in kept and not differences(score, like or scores[-1]):
            found = score if found is None or score.beats(found) else found
    return found


def mark_best(run: RunFolder) -> None:
    """Write into the index of the checkpoints which is the best, by which it is kept and found.

    It follows from evaluations.jsonl and the checkpoints that are there, so a run killed at any moment is put right
    when it is resumed.
    """
    found = best(run)
    entry = None if found is None else {"step": found.step, "metric": found.metric, "value": found.value}
    files.write_json(run.root / "checkpoints" / "index.json", {"best": entry})
    run.rotate()
