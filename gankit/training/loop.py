"""The training loop: steps, records, samples, checkpoints, and an orderly end."""

from __future__ import annotations

import dataclasses
import json
import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

from gankit.config import Config, configure, read_base
from gankit.core import files
from gankit.core.errors import GankitError, UsageError
from gankit.core.images import save
from gankit.core.progress import Clock, Progress, show, warn
from gankit.core.signals import caught
from gankit.core.version import __version__
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import ImageSet
from gankit.evaluation.evaluate import FILE as EVALUATIONS
from gankit.evaluation.evaluate import mark_best, recorded_at
from gankit.kernels import implementations, prefer_impl, selected
from gankit.registry import registry
from gankit.runs.folder import RunFolder, check_new, claim, locked
from gankit.runs.images import absolute, described, run_images, whereabouts
from gankit.runs.legs import extended, rates
from gankit.training import initial
from gankit.training.changes import changed, check_length, halved, lowered
from gankit.training.evaluator import Evaluator, evaluator
from gankit.training.health_monitor import Watch
from gankit.training.threads import HeldUp
from gankit.training.trainer import NotFinite, Trainer


class Interrupted(GankitError):
    """Training was stopped by a signal, after a checkpoint was written."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


def train(
    variant: str,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    images: ImageSet | None = None,
    quiet: bool = False,
    **flags: Any,
) -> RunFolder:
    """Train ``variant`` and return its run folder: ``train("wgan-gp", data="shapes", steps=500)``.

    ``flags`` are the options of `gankit train VARIANT --help` with underscores. ``images`` takes the place of a
    registered data set. UsageError for options that do not exist or do not fit, before anything is written; GankitError
    where a loss stops being finite.
    """
    settings = configure(variant, flags, read_base(Path(config)) if config else None)
    if out is not None:
        check_new(Path(out))
    with _ops(settings.train.impl):
        start = initial.load(settings.train.init_from) if settings.train.init_from else None
        trainer = Trainer(settings, images, start)
        place = settings.data if images is None else None
        judging = evaluator(trainer, place)
        # Only now, when nothing can be wrong with the options any more, is something written.
        root = Path(out) if out is not None else claim(settings.variant, settings.data.name)
        with locked(root):
            run = RunFolder.create(root, pinned(settings, trainer), recorded(trainer, root, place, start))
            if start is not None and trainer.taken is not None:
                run.save_checkpoint(trainer.tensors(), 0, 0)  # what it starts from may be gone when it is resumed
                if not quiet:
                    show("\n".join([f"from {start.source}:", *trainer.taken.table()]))
            return _until_finite(Going(run, trainer, judging, place), quiet=quiet)


def resume(
    root: str | Path,
    *,
    steps: int | None = None,
    data: str | None = None,
    checkpoint: str = "last",
    images: ImageSet | None = None,
    quiet: bool = False,
    **changes: Any,
) -> RunFolder:
    """Go on with the run in folder ``root`` from its last whole checkpoint, to ``steps`` if given.

    ``data``: where its images are now, NAME:PATH; ``checkpoint``: the step of an earlier one to go back to.
    ``changes``: epochs, device, threads, roll_back and the variant's learning rates; one that decides figures begins a
    new leg of the run (docs/runs.md). A run killed before its first checkpoint starts again at step 0. On a CPU with
    the recorded number of threads and vector width a leg ends as one that was never interrupted, bit for bit.
    """
    run = RunFolder(root, data)
    if images is None and run.recorded.get("images given"):
        raise UsageError(
            f"{run.root}: was trained on images that a program gave; gankit.resume(run, images=...) them again"
        )
    with locked(run.root):
        if checkpoint == "last":
            state = run.latest()
        else:
            state = run.chosen(checkpoint)
            run.check_options(run.root / "checkpoints" / f"{state[1]['step']:06d}.pt", state[1])
        settings = changed(run, state[1]["step"] if state else 0, {"steps": steps, **changes})
        with _ops(settings.train.impl):
            place = None
            if images is None:
                images, place = run_images(run)
            else:
                images = described(run, images)
                run.check_images(images)
            going = _taken_up(
                run, state, settings, images, place, undone="damaged" if checkpoint == "last" else "undone"
            )
            return _until_finite(going, quiet=quiet)


class Going(NamedTuple):
    """A run that can go on. ``place``: where its images are, None where a program gave them."""

    run: RunFolder
    trainer: Trainer
    judging: Evaluator | None
    place: DataOptions | None


def _taken_up(
    run: RunFolder,
    state: tuple[dict[str, Tensor], dict[str, Any]] | None,
    settings: Config,
    images: ImageSet,
    place: DataOptions | None,
    *,
    undone: str = "damaged",
    rolled_back: bool = False,
) -> Going:
    """``run`` at checkpoint ``state``, None at its start, to go on with ``settings``; where they differ from what made
    the checkpoint that is written down as a new leg, whose schedule of rates is a new one unless it was rolled back.
    """
    done = state[1]["step"] if state else 0
    trainer = Trainer(settings, images, None if state else _initial(run))
    check_length(run, trainer.steps, done, f"--epochs {settings.train.epochs}")
    settings = pinned(settings, trainer) if settings != run.config else settings
    restarts = not rolled_back and (
        settings.train.steps != run.config.train.steps or rates(settings) != rates(run.config)
    )
    last = max((leg.schedule for leg in run.legs), default=0)
    trainer.schedule = done if restarts else min(done, last)
    _warn_of_another_machine(run, trainer)
    judging = evaluator(trainer, place, resumed=True)
    if state is not None:
        trainer.restore(state[0], done, state[1]["drawn"])
        run.set_aside(done, undone)
    values = run.recorded
    goes_on = done < trainer.steps or settings.train.steps != run.config.train.steps
    if goes_on and (settings != run.config or any(leg.start > done for leg in run.legs)):
        values = extended(values, run.root / "config.json", done, settings, restarts=restarts, rolled_back=rolled_back)
    if run.data is not None and place is not None:
        values = {**values, "data at": absolute(place)}
    if values is not run.recorded:
        files.write_json(run.root / "config.json", values)
        run = RunFolder(run.root, run.data)
    for name in ("metrics.jsonl", "timing.jsonl", "samples.jsonl", EVALUATIONS):
        files.cut_lines(run.root / name, done)
    for step, grid in run.grids():
        if step > done:
            grid.unlink()
    if judging is not None:
        mark_best(run)
    return Going(run, trainer, judging, place)


def _until_finite(going: Going, *, quiet: bool) -> RunFolder:
    """Train to the end; where a loss stops being finite go back to the last checkpoint and on with half the learning
    rates, as often as --roll-back allows over the whole run.
    """
    while True:
        run, trainer, judging, place = going
        try:
            return _train(trainer, run, judging, quiet=quiet)
        except NotFinite as error:
            often, most = sum(leg.rolled_back for leg in run.legs) + 1, trainer.options.roll_back
            last = run.checkpoints()[-1].name if run.checkpoints() else "none, so it starts anew"
            if often > most:
                raise GankitError(
                    f"{error}; the last checkpoint is {last}; lower the learning rates: {lowered(run.config, run.root)}"
                    ", or train in fp32 if this was bf16"
                ) from error
            show(f"{error}; back to the last checkpoint ({last}), on with half the rates: {often} of {most} times")
        images = trainer.images
        del trainer, going
        going = _taken_up(run, run.latest(), halved(run.config), images, place, rolled_back=True)


def _initial(run: RunFolder) -> initial.Initial | None:
    """The weights that ``run`` starts from, if it was killed before its first checkpoint and started from some."""
    about, source = run.recorded.get("initial"), run.config.train.init_from
    if source is None or not isinstance(about, dict):
        return None
    found = initial.load(source)
    if found.digest != about.get("digest"):
        raise UsageError(f"{run.root}: {source} no longer holds the weights that the run started from; start a new run")
    return found


def _ops(impl: str) -> AbstractContextManager[None]:
    """The fused ops run as ``impl`` in this block. UsageError where it was asked for by name and cannot run here."""
    for each in implementations():
        if each.name == impl and not each.available:
            raise UsageError(f"--impl {impl}: {each.reason}; see `gankit doctor`")
    return prefer_impl(impl)


def pinned(settings: Config, trainer: Trainer) -> Config:
    """``settings`` with what was decided before the first step: steps, device, threads, engine."""
    train = dataclasses.replace(
        settings.train,
        steps=trainer.steps,
        epochs=None,
        device=trainer.device.type,
        threads=trainer.threads,
        engine=trainer.engine.name,
    )
    return dataclasses.replace(settings, train=train)


def recorded(trainer: Trainer, root: Path, place: DataOptions | None, start: initial.Initial | None) -> dict[str, Any]:
    """What config.json holds besides the options. ``place``: where the images are, None where a program gave them;
    ``start``: trained weights that it starts from.
    """
    found = {
        "gankit": __version__,
        "spec": trainer.spec.as_dict(),
        "classes": list(trainer.images.classes),
        "images": trainer.images.digest(),
        "images given": place is None,
        "machine": machine(trainer),
        **whereabouts(root, place),
    }
    if start is not None and trainer.taken is not None:
        found["initial"] = {"from": start.source, "digest": start.digest, **trainer.taken.as_dict()}
    return found


def machine(trainer: Trainer) -> dict[str, str]:
    """What else the bits of a run's figures depend on, besides its options."""
    return {
        "ops": selected(trainer.device),
        "simd": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def _warn_of_another_machine(run: RunFolder, trainer: Trainer) -> None:
    was, now = files.value_of(run.recorded, "machine", dict, run.root / "config.json"), machine(trainer)
    other = [f"{name} {was.get(name)}, now {value}" for name, value in now.items() if was.get(name) != value]
    if other:
        warn(f"the run was made with {'; '.join(other)}: figures may differ in the last bits from here on")


def _train(trainer: Trainer, run: RunFolder, judging: Evaluator | None, *, quiet: bool) -> RunFolder:
    options, progress, clock = trainer.options, Progress(trainer.steps), Clock()
    if trainer.done >= trainer.steps:
        progress.note(f"{run.root} is at step {trainer.done} of {trainer.steps} already; --steps takes it further")
        return run
    watch, held_up = Watch(run, trainer, progress.note), HeldUp()
    with caught() as stop:
        while trainer.done < trainer.steps:
            trainer.step()
            collapsed = options.stop_on_collapse and watch.collapse is not None
            stopping = bool(stop) or collapsed  # asked once: a signal from here on ends the step after
            checkpoint_due = trainer.done == trainer.steps or stopping or trainer.done % options.checkpoint_every == 0
            sample_due = trainer.done == trainer.steps or trainer.done % options.sample_every == 0
            every = options.evaluate_every or trainer.steps
            evaluation_due = judging is not None and (trainer.done % every == 0 or trainer.done == trainer.steps)
            if checkpoint_due or sample_due or evaluation_due or trainer.done % options.log_every == 0:
                rows = trainer.take_rows()
                watch.rows(rows)  # before the record, which ends a run whose losses are not finite
                record(run, rows, sync=checkpoint_due or evaluation_due)
                seconds = clock.lap() / len(rows)
                rate = options.batch_size * trainer.drawn / trainer.done / seconds
                timing = {"step": trainer.done, "seconds per step": seconds, "images per second": rate}
                files.append_lines(run.root / "timing.jsonl", [json.dumps(timing)])
                if not quiet:
                    progress.update(rows[-1], rate, seconds)
                if line := held_up.told(remedy(run, trainer)):
                    progress.note(f"Warning: {line}")
            if sample_due:
                samples = trainer.sample(options.samples)
                save(samples, run.root / "samples" / f"{trainer.done:06d}.png")
                watch.samples(samples)
                clock.lap()  # what it took is not the step's
            is_best = False
            if judging is not None and evaluation_due:
                is_best = judging.evaluate(trainer, run)
                if not quiet:
                    progress.note(recorded_at(run, trainer.done))
                clock.lap()
            # The checkpoint comes last: a run killed before it does this step's records and samples again.
            if checkpoint_due or is_best:
                trainer.check_finite()
                run.save_checkpoint(trainer.tensors(), trainer.done, trainer.drawn)
                if is_best:
                    mark_best(run)
                clock.lap()
            if stopping and trainer.done < trainer.steps:
                progress.close()
                if not stop:
                    raise watch.collapsed()
                raise Interrupted(
                    stop[0], f"stopped after step {trainer.done}; a checkpoint was written: `gankit resume {run.root}`"
                )
    if not quiet:
        progress.close()
    return run


def remedy(run: RunFolder, trainer: Trainer) -> str:
    """What to do where other processes want the same cores."""
    if trainer.threads == 1 or not trainer.engine.waits_for_threads:
        return "it goes faster where they end, or where it is started with more priority (nice)"
    return f"one thread waits for no other: stop it (Ctrl-C), and `gankit resume {run.root} --threads 1`"


def record(run: RunFolder, rows: list[dict[str, Any]], *, sync: bool) -> None:
    """Append ``rows`` to metrics.jsonl. NotFinite naming the first step and term that is not finite, after the steps
    before it were written.
    """
    for i, row in enumerate(rows):
        bad = [name for name, value in row.items() if not math.isfinite(value)]
        if bad:
            rows, step = rows[:i], row["step"]
            break
    lines = [json.dumps(row, allow_nan=False) for row in rows]
    files.append_lines(run.root / "metrics.jsonl", lines, sync=sync)
    for row in rows:
        registry().log(str(run.root), row["step"], row)
    if bad:
        raise NotFinite(f"{bad[0]} stopped being finite at step {step}")
