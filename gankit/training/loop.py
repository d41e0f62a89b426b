"""The training loop: steps, records, samples, checkpoints, and an orderly end."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy
import torch

from gankit.config import Config, TrainOptions, configure, read
from gankit.core import files
from gankit.core.errors import GankitError, UsageError
from gankit.core.images import save
from gankit.core.options import build
from gankit.core.progress import Clock, Progress, warn
from gankit.core.version import __version__
from gankit.data.dataset import ImageSet
from gankit.evaluation.evaluate import FILE as EVALUATIONS
from gankit.evaluation.evaluate import mark_best, recorded_at
from gankit.kernels import implementations, selected, steered
from gankit.registry import registry
from gankit.runs.folder import RunFolder, check_new, claim, locked
from gankit.training.evaluator import Evaluator, evaluator
from gankit.training.health_monitor import Watch
from gankit.training.trainer import Trainer


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
    settings = configure(variant, flags, read(Path(config)) if config else None)
    if out is not None:
        check_new(Path(out))
    with _ops(settings.train.impl):
        trainer = Trainer(settings, images)
        judging = evaluator(trainer, given=images is not None)
        # Only now, when nothing can be wrong with the options any more, is something written.
        root = Path(out) if out is not None else claim(settings.variant, settings.data.name)
        with locked(root):
            run = RunFolder.create(root, pinned(settings, trainer), recorded(trainer, given=images is not None))
            return _train(trainer, run, judging, quiet=quiet)


def resume(
    root: str | Path, *, steps: int | None = None, images: ImageSet | None = None, quiet: bool = False
) -> RunFolder:
    """Go on with the run in folder ``root`` from its last whole checkpoint, to ``steps`` if given.

    A run killed before its first checkpoint starts again at step 0. On a CPU with the recorded number of threads and
    vector width the result is that of a run that was never interrupted, bit for bit.
    """
    run = RunFolder(root)
    if images is None and run.recorded.get("images given"):
        raise UsageError(
            f"{run.root}: was trained on images that a program gave; gankit.resume(run, images=...) them again"
        )
    with _ops(run.config.train.impl), locked(run.root):
        latest = run.latest()
        settings = run.config if steps is None else _extended(run, steps, latest[1]["step"] if latest else 0)
        trainer = Trainer(settings, images)
        run.check_images(trainer.images)
        _warn_of_another_machine(run, trainer)
        judging = evaluator(trainer, given=images is not None)
        if latest is not None:
            tensors, meta = latest
            trainer.restore(tensors, meta["step"], meta["drawn"])
            run.set_aside(trainer.done)
        if steps is not None:
            files.write_json(run.root / "config.json", {**run.recorded, **settings.as_dict()})
            run = RunFolder(root)
        for name in ("metrics.jsonl", "timing.jsonl", "samples.jsonl", EVALUATIONS):
            files.cut_lines(run.root / name, trainer.done)
        if judging is not None:
            mark_best(run)
        return _train(trainer, run, judging, quiet=quiet)


def _ops(impl: str) -> AbstractContextManager[None]:
    """The fused ops run as ``impl`` in this block. UsageError where it was asked for by name and cannot run here."""
    for each in implementations():
        if each.name == impl and not each.available:
            raise UsageError(f"--impl {impl}: {each.reason}; see `gankit doctor`")
    return steered(impl)


def _extended(run: RunFolder, steps: int, done: int) -> Config:
    """The run's configuration with another number of steps. UsageError where it cannot be changed to that."""
    train = run.config.train
    if train.decay_start < 1 and steps != train.steps:
        raise UsageError(
            f"{run.root}: its learning rates fall to 0 at step {train.steps}, so --steps cannot be changed; "
            "start a new run"
        )
    if steps < done:
        raise UsageError(f"--steps {steps}: {run.root} is at step {done} already")
    train = build(TrainOptions, {**dataclasses.asdict(train), "steps": steps, "epochs": None})
    return dataclasses.replace(run.config, train=train)


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


def recorded(trainer: Trainer, *, given: bool) -> dict[str, Any]:
    """What config.json holds besides the options; ``given``: the images came from a program, not from a data set."""
    return {
        "gankit": __version__,
        "spec": trainer.spec.as_dict(),
        "classes": list(trainer.images.classes),
        "images": trainer.images.digest(),
        "images given": given,
        "machine": machine(trainer),
    }


def machine(trainer: Trainer) -> dict[str, str]:
    """What else the bits of a run's figures depend on, besides its options."""
    return {
        "ops": selected(trainer.device),
        "simd": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def _warn_of_another_machine(run: RunFolder, trainer: Trainer) -> None:
    was, now = run.recorded.get("machine", {}), machine(trainer)
    other = [f"{name} {was.get(name)}, now {value}" for name, value in now.items() if was.get(name) != value]
    if other:
        warn(f"the run was made with {'; '.join(other)}: figures may differ in the last bits from here on")


def _train(trainer: Trainer, run: RunFolder, judging: Evaluator | None, *, quiet: bool) -> RunFolder:
    options, progress, clock = trainer.options, Progress(trainer.steps), Clock()
    if trainer.done >= trainer.steps:
        progress.note(f"{run.root} is at step {trainer.done} of {trainer.steps} already; --steps takes it further")
        return run
    watch = Watch(run, trainer, progress.note)
    with _signals() as stop:
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


def record(run: RunFolder, rows: list[dict[str, Any]], *, sync: bool) -> None:
    """Append ``rows`` to metrics.jsonl. GankitError naming the first step and term that is not finite, after the steps
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
        kept = run.checkpoints()
        raise GankitError(
            f"{bad[0]} stopped being finite at step {step}; the last checkpoint is "
            f"{kept[-1].name if kept else 'none'}; lower the learning rates, or train in fp32 if this was bf16"
        )


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that Ctrl-C and SIGTERM put their number into; a second one ends the process as usual."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def catch(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        signal.signal(number, before[number])

    before: dict[int, Any] = {int(number): signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
