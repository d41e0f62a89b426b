"""The training loop: steps, records, samples, checkpoints, and an orderly end."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from gankit.config import Config, configure, read_base
from gankit.core import files
from gankit.core.errors import GankitError, UsageError
from gankit.core.images import save
from gankit.core.progress import Clock, Progress, show
from gankit.core.ranks import RankLost, Ranks, joined, keep_run, kept_run, restarts
from gankit.core.signals import caught
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import ImageSet
from gankit.evaluation.evaluate import FILE as EVALUATIONS
from gankit.evaluation.evaluate import mark_best, recorded_at
from gankit.kernels import implementations, prefer_impl
from gankit.runs.folder import RunFolder, check_new, claim, locked
from gankit.runs.images import absolute, described, run_images
from gankit.runs.legs import extended, rates
from gankit.training import initial
from gankit.training.changes import changed, check_length, halved, lowered
from gankit.training.evaluator import Evaluator, evaluator
from gankit.training.health_monitor import Collapsed, Watch
from gankit.training.records import check_ranks, pinned, record, recorded, warn_of_another_machine
from gankit.training.threads import HeldUp
from gankit.training.trainer import NotFinite, Trainer

COLLAPSED = 1000
"""Why ranks stop where it is no signal, whose numbers are lower."""


class Interrupted(GankitError):
    """Training was stopped by a signal, after a checkpoint was written."""

    everywhere = True

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
    with joined(settings.train.rank_timeout) as ranks:
        if begun := ranks.agreed(_begun(ranks, out)):
            return resume(begun, images=images, quiet=quiet)
        return _train_anew(settings, out, images, ranks, quiet=quiet)


def _begun(ranks: Ranks, out: str | Path | None) -> str | None:
    """The run that these ranks trained before `torchrun` started them again, if they came to make its folder."""
    if ranks.alone or not ranks.first or not restarts():
        return None
    root = kept_run(ranks) if out is None else str(out)
    return root if root is not None and (Path(root) / "config.json").exists() else None


def _train_anew(
    settings: Config, out: str | Path | None, images: ImageSet | None, ranks: Ranks, *, quiet: bool
) -> RunFolder:
    if out is not None and ranks.first:
        check_new(Path(out))
    with _ops(settings.train.impl):
        start = initial.load(settings.train.init_from) if settings.train.init_from else None
        trainer = Trainer(settings, images, start)
        check_ranks(trainer)
        place = settings.data if images is None else None
        judging = evaluator(trainer, place)
        # Only now, when nothing can be wrong with the options any more, is something written.
        if not ranks.first:
            return _until_finite(Going(RunFolder(ranks.agreed("")), trainer, judging, place), quiet=True)
        root = Path(out) if out is not None else claim(settings.variant, settings.data.name)
        with locked(root):
            run = RunFolder.create(root, pinned(settings, trainer), recorded(trainer, root, place, start))
            keep_run(ranks, str(root))
            if start is not None and trainer.taken is not None:
                run.save_checkpoint(trainer.tensors(), 0, 0)  # what it starts from may be gone when it is resumed
                if not quiet:
                    show("\n".join([f"from {start.source}:", *trainer.taken.table()]))
            ranks.agreed(str(root))
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
    with joined(run.config.train.rank_timeout) as ranks, locked(run.root) if ranks.first else nullcontext():
        quiet = quiet or not ranks.first
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
    ranks = trainer.ranks
    check_ranks(trainer)
    check_length(run, trainer.steps, done, f"--epochs {settings.train.epochs}")
    settings = pinned(settings, trainer) if settings != run.config else settings
    again = not rolled_back and (settings.train.steps != run.config.train.steps or rates(settings) != rates(run.config))
    last = max((leg.schedule for leg in run.legs), default=0)
    trainer.schedule = done if again else min(done, last)
    if ranks.first:
        warn_of_another_machine(run, trainer)
    judging = evaluator(trainer, place, resumed=True)
    if state is not None:
        trainer.restore(state[0], done, state[1]["drawn"])
    going = Going(run, trainer, judging, place)
    ranks.wait()  # all have read what rank 0 is about to change
    if ranks.first:
        going = _written(going, settings, done, undone, again=again, rolled_back=rolled_back, given=state is not None)
    ranks.wait()
    return going if ranks.first else going._replace(run=RunFolder(run.root, run.data))


def _written(
    going: Going, settings: Config, done: int, undone: str, *, again: bool, rolled_back: bool, given: bool
) -> Going:
    """``going`` with its folder as it was at step ``done``; what was written after that is cut off or set aside."""
    run, trainer, judging, place = going
    if given:
        run.set_aside(done, undone)
    values = run.recorded
    goes_on = done < trainer.steps or settings.train.steps != run.config.train.steps
    if goes_on and (settings != run.config or any(leg.start > done for leg in run.legs)):
        values = extended(values, run.root / "config.json", done, settings, restarts=again, rolled_back=rolled_back)
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
        except RankLost as error:
            last = run.checkpoints()[-1].name if run.checkpoints() else "none, so it starts anew"
            raise RankLost(
                f"{error} after step {trainer.done}; the last checkpoint is {last}; `gankit resume {run.root}`, under "
                "the same launcher, goes on from it"
            ) from error
        except NotFinite as error:
            often, most = sum(leg.rolled_back for leg in run.legs) + 1, trainer.options.roll_back
            last = run.checkpoints()[-1].name if run.checkpoints() else "none, so it starts anew"
            if often > most:
                raise NotFinite(
                    f"{error}; the last checkpoint is {last}; lower the learning rates: {lowered(run.config, run.root)}"
                    ", or train in fp32 if this was bf16"
                ) from error
            if trainer.ranks.first:
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


def _train(trainer: Trainer, run: RunFolder, judging: Evaluator | None, *, quiet: bool) -> RunFolder:
    options, progress, clock, ranks = trainer.options, Progress(trainer.steps), Clock(), trainer.ranks
    if trainer.done >= trainer.steps:
        if ranks.first:
            progress.note(f"{run.root} is at step {trainer.done} of {trainer.steps} already; --steps takes it further")
        return run
    watch, held_up = Watch(run, trainer, progress.note) if ranks.first else None, HeldUp()
    with caught(lasting=not ranks.alone) as signals:
        stop = Stop(ranks, signals)
        while trainer.done < trainer.steps:
            trainer.step()
            collapsed = options.stop_on_collapse and watch is not None and watch.collapse is not None
            # Asked once: a signal from here on ends the step after.
            stopping = stop.asked(COLLAPSED if collapsed else 0)
            checkpoint_due = trainer.done == trainer.steps or stopping or trainer.done % options.checkpoint_every == 0
            sample_due = trainer.done == trainer.steps or trainer.done % options.sample_every == 0
            every = options.evaluate_every or trainer.steps
            evaluation_due = judging is not None and (trainer.done % every == 0 or trainer.done == trainer.steps)
            if checkpoint_due or sample_due or evaluation_due or trainer.done % options.log_every == 0:
                rows = trainer.take_rows()
                if watch is not None:
                    watch.rows(rows)  # before the record, which ends a run whose losses are not finite
                record(run, trainer, rows, sync=bool(checkpoint_due or evaluation_due))
                seconds = clock.lap() / len(rows)
                rate = options.batch_size * trainer.drawn / trainer.done / seconds
                if ranks.first:
                    timing = {"step": trainer.done, "seconds per step": seconds, "images per second": rate}
                    files.append_lines(run.root / "timing.jsonl", [json.dumps(timing)])
                    if not quiet:
                        progress.update(rows[-1], rate, seconds)
                    if line := held_up.told(remedy(run, trainer)):
                        progress.note(f"Warning: {line}")
            if sample_due and watch is not None:
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
                if ranks.first:
                    run.save_checkpoint(trainer.tensors(), trainer.done, trainer.drawn)
                    if is_best:
                        mark_best(run)
                ranks.wait()  # all know that it is there
                clock.lap()
            if stopping and trainer.done < trainer.steps:
                progress.close()
                if stopping == COLLAPSED:
                    raise watch.collapsed() if watch is not None else Collapsed("learns no longer")
                raise Interrupted(
                    stopping, f"stopped after step {trainer.done}; a checkpoint was written: `gankit resume {run.root}`"
                )
        stop.end()
    if not quiet:
        progress.close()
    return run


class Stop:
    """Whether a training is to end before its last step, which its ranks have to agree on: a signal may reach one of
    them alone, or each at another step.
    """

    def __init__(self, ranks: Ranks, signals: list[int]) -> None:
        self.ranks, self.signals = ranks, signals
        self.asking: Callable[[], int] | None = None

    def asked(self, why: int) -> int:
        """The signal that came, or ``why``; 0: go on. Of several ranks what any of them found at the step before: they
        ask one another while this step is computed.
        """
        own = self.signals[0] if self.signals else why
        if self.ranks.alone:
            return own
        before = self.end()
        self.asking = self.ranks.greatest_later(own)
        return before

    def end(self) -> int:
        """What the ranks asked one another last."""
        asking, self.asking = self.asking, None
        return 0 if asking is None else asking()


def remedy(run: RunFolder, trainer: Trainer) -> str:
    """What to do where other processes want the same cores."""
    if trainer.threads == 1 or not trainer.engine.waits_for_threads:
        return "it goes faster where they end, or where it is started with more priority (nice)"
    return f"one thread waits for no other: stop it (Ctrl-C), and `gankit resume {run.root} --threads 1`"
