"""`gankit evaluate`, and the evaluations of a training: scores, their record in the run, and the best checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from gankit.build import pick_device
from gankit.core import files
from gankit.core.errors import GankitError, UsageError
from gankit.core.progress import warn
from gankit.core.ranks import current
from gankit.core.sides import as_size
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import Dataset, ImageSet
from gankit.evaluation.judge import Judge, default_metrics, metric_names
from gankit.evaluation.moments_file import MomentsFile, check_npz, read_moments, write_moments
from gankit.evaluation.reference import comparable
from gankit.evaluation.samples import Asked, SampleSource, reference_options, sample_sources
from gankit.evaluation.score import Score, differences
from gankit.registry import registry
from gankit.runs.folder import RunFolder

FILE = "evaluations.jsonl"


def evaluate(
    paths: str | Path | Iterable[str | Path], metrics: str | Iterable[str] | None = None, **options: Any
) -> list[Score]:
    """The scores of ``scores_of``, those of a run added to its evaluations.jsonl, or a warning where it cannot be."""
    scores = scores_of(paths, metrics, **options)
    record(scores)
    return scores


def scores_of(
    paths: str | Path | Iterable[str | Path],
    metrics: str | Iterable[str] | None = None,
    *,
    data: str | None = None,
    extractor: str | None = None,
    weights: str | Path | None = None,
    images: int | None = None,
    seed: int | None = None,
    checkpoint: str | None = None,
    split: str | None = None,
    data_root: str | None = None,
    class_shares: str | None = None,
    save_statistics: str | Path | None = None,
    device: str = "auto",
) -> list[Score]:
    """Judge the samples at each of ``paths``, run folders, folders of images or .npy files, by ``metrics``.

    ``metrics``: by default fid, or swd where the real images have no labels, by which the default extractor is trained.
    ``data``: NAME or NAME:PATH of the real images, by default what a run was trained on; they are brought to the size
    and channels of the samples; or an .npz file of their mean and covariance. ``images``: by default 10,000 of a run's,
    and all of files; fewer of files are an even choice. ``class_shares``: of a conditional run's samples, "data" (the
    default) or "even". ``save_statistics``: an .npz file that takes the real images' mean and covariance; it may be
    asked for without samples. UsageError for an option that has no effect.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    names = None if metrics is None else metric_names(metrics)
    asked = Asked(data, split, data_root, images, seed, checkpoint, class_shares, device)
    given = None if data is None or not data.endswith(".npz") else read_moments(Path(data).expanduser())
    check_effects(paths, asked, given)
    saved = None if save_statistics is None else Path(save_statistics)
    if saved is not None:
        check_npz(saved)
        if extractor is None:
            raise UsageError("--save-statistics: say of whose features: pytorch-fid reads --extractor inception")
        if given is not None:
            raise UsageError(f"--save-statistics: {given.path} holds statistics already; name real images with --data")
    judges: dict[tuple[Any, ...], Judge] = {}
    file = None if weights is None else Path(weights)

    def judge_of(key: tuple[Any, ...], real: ImageSet, options: DataOptions | None) -> Judge:
        if key not in judges:
            by = names or chosen_metrics(real, extractor or given or saved, say=not judges)
            judges[key] = Judge(
                by, real, options, extractor=extractor, weights=file, device=pick_device(device), given=given
            )
        return judges[key]

    found: list[Score] = []
    for path in paths:
        for samples in sample_sources(path, asked):
            if given is not None:
                shape = (1, samples.channels, *samples.size)
                judge = judge_of(shape, ImageSet(torch.zeros(shape, dtype=torch.uint8)), None)
            else:
                judge = _judge_of_images(samples, judges, judge_of)
            found += judged(judge, samples)
    if not paths:
        assert data is not None
        options = reference_options(None, asked, None, None)
        assert options is not None
        judge_of((), comparable(_load(options)), options)
    if saved is not None:
        if len(judges) > 1:
            raise UsageError("--save-statistics: the samples are compared with several sets of images; name one")
        moments = next(iter(judges.values())).real_moments()
        if current().first:
            write_moments(moments, saved)
    return found


def _judge_of_images(
    samples: SampleSource,
    judges: dict[tuple[Any, ...], Judge],
    judge_of: Callable[[tuple[Any, ...], ImageSet, DataOptions | None], Judge],
) -> Judge:
    """The judge that compares ``samples`` with the images of their data set, loaded where there is none yet."""
    if samples.data is None:
        raise UsageError(f"{samples.name}: say what to compare it with: --data NAME (see `gankit data list`)")
    key = (samples.data, samples.size, samples.domain)
    return judges.get(key) or judge_of(key, comparable(_load(samples.data), samples.size, samples.domain), samples.data)


def check_effects(paths: list[str | Path], asked: Asked, given: MomentsFile | None) -> None:
    """UsageError naming the first option that has no effect in this call."""
    runs = [path for path in paths if (Path(path) / "config.json").is_file()]
    if not paths and (asked.data is None or given is not None):
        raise UsageError("name samples to judge: a run folder, a folder of images or a .npy file")
    of_runs: dict[str, object] = {"--checkpoint": asked.checkpoint, "--class-shares": asked.shares}
    of_runs |= {"--seed": asked.seed} if asked.images is None else {}
    for flag, value in of_runs.items():
        if value is not None and not runs:
            raise UsageError(f"{flag}: has no effect on samples that are files; leave it out")
    if not paths and asked.images is not None:
        raise UsageError("--images: has no effect without samples; leave it out")
    for flag, text in (("--split", asked.split), ("--data-root", asked.data_root)):
        if text is not None and given is not None:
            raise UsageError(f"{flag}: has no effect beside the statistics in {given.path}; leave it out")


def chosen_metrics(real: ImageSet, looked: object, *, say: bool = True) -> list[str]:
    """What to judge by where nobody said; ``looked``: something that only features have a use for, or None;
    ``say``: whether to say that it is not fid.
    """
    names = ["fid"] if looked is not None else default_metrics(real)
    if names == ["swd"] and say:
        warn(
            "the real images have no labels to train the default extractor on, so they are compared by swd; "
            "for fid name --extractor inception or efficientnet"
        )
    return names


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
    of_samples: dict[str, object] = {"fake": samples.count, "seed": samples.seed, "averaged": samples.averaged}
    of_samples |= {"class shares": samples.shares}
    way = "" if samples.direction is None else f" {samples.direction}"
    found = []
    for metric, value, protocol, note in judge.judge(samples.batches(judge.real.classes)):
        name, whole = metric.name + way, {**protocol, **of_samples}
        found.append(Score(name, value, metric.better, whole, samples.name, samples.step, by, note))
    return found


def record(scores: Iterable[Score]) -> None:
    """Add the scores of runs to their records; a warning where one cannot be written to: the scores stand."""
    of_runs: dict[str, list[Score]] = {}
    for score in scores:
        if score.step is not None:
            of_runs.setdefault(score.subject, []).append(score)
    for root, some in of_runs.items():
        try:
            append(Path(root), some)
        except GankitError as error:
            warn(f"the scores were not recorded: {error}")


def append(root: Path, scores: list[Score]) -> None:
    """Add ``scores`` to the record of the run in ``root``."""
    files.append_lines(root / FILE, [json.dumps(score.as_dict()) for score in scores], sync=True)


def recorded(run: RunFolder) -> list[Score]:
    """The scores in the run's evaluations.jsonl, oldest first."""
    path, found = run.root / FILE, []
    for row in files.lines(path):
        for name, kind in (("metric", str), ("value", float), ("better", str), ("protocol", dict)):
            none = name == "value" and name in row and row[name] is None  # a score that is not finite
            if not none and not isinstance(row.get(name), kind):
                files.value_of(row, name, kind, path)
        if row.get("step") is not None:
            files.value_of(row, "step", int, path)
        found.append(Score.from_dict(row, str(run.root)))
    return found


def recorded_at(run: RunFolder, step: int) -> str:
    """What the training found at ``step``, in one line."""
    some = [score for score in recorded(run) if score.step == step and score.by == "training"]
    return f"step {step}: {', '.join(f'{score.metric} {score.value:.4g}' for score in some)}"


def best(run: RunFolder, like: Score | None = None) -> Score | None:
    """The best finite score that the run's training took, of those whose checkpoint is there: by the metric and under
    the protocol of ``like``, by default of the first score at the last step. None where there is none.
    """
    scores = [score for score in recorded(run) if score.by == "training"]
    if not scores:
        return None
    like = like or next(score for score in scores if score.step == scores[-1].step)
    kept = {int(path.stem) for path in run.checkpoints()}
    found: Score | None = None
    for score in scores:
        if score.step in kept and score.finite and not differences(score, like):
            found = score if found is None or score.beats(found) else found
    return found


def mark_best(run: RunFolder) -> None:
    """Write into the index of the checkpoints which is the best, by which it is kept and found.

    It follows from evaluations.jsonl and the checkpoints that are there, so a run killed at any moment is put right
    when it is resumed.
    """
    files.write_json(run.root / "checkpoints" / "index.json", index_of(run))
    run.rotate()


def index_of(run: RunFolder) -> dict[str, Any]:
    """What the index of the run's checkpoints should hold."""
    found = best(run)
    return {"best": None if found is None else {"step": found.step, "metric": found.metric, "value": found.value}}
