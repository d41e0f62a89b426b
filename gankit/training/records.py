"""What a training writes down of itself: what it was decided to be, what it runs on, and the rows of its steps."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy
import torch

from gankit.config import Config
from gankit.core import files
from gankit.core.errors import UsageError
from gankit.core.progress import warn
from gankit.core.version import __version__
from gankit.data.catalogue import DataOptions
from gankit.kernels import selected
from gankit.models.networks import uses_batch_statistics
from gankit.registry import registry
from gankit.runs.folder import RunFolder
from gankit.runs.images import whereabouts
from gankit.training import initial
from gankit.training.trainer import NotFinite, Trainer


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
        **({} if trainer.ranks.alone else {"ranks": trainer.ranks.world}),
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


def warn_of_another_machine(run: RunFolder, trainer: Trainer) -> None:
    """Warn where the figures of ``run`` may differ from here on from what they would have been where it was made."""
    path = run.root / "config.json"
    was, now = files.value_of(run.recorded, "machine", dict, path), machine(trainer)
    other = [f"{name} {was.get(name)}, now {value}" for name, value in now.items() if was.get(name) != value]
    before = files.value_of(run.recorded, "ranks", int, path) if "ranks" in run.recorded else 1
    if before != trainer.ranks.world:
        other.append(f"{before} ranks, now {trainer.ranks.world}")
        if not run.config.train.sync_batchnorm and uses_batch_statistics(trainer.model):
            warn(
                f"batch norm now sees a rank's part of {trainer.ranks.world}, not of {before}: the run goes on as "
                "another one would; --sync-batchnorm, from the start, makes it independent of the number of ranks"
            )
    if other:
        warn(f"the run was made with {'; '.join(other)}: figures may differ in the last bits from here on")


def check_ranks(trainer: Trainer) -> None:
    """UsageError where the ranks do not train on the same images; a warning where their machines differ."""
    ranks = trainer.ranks
    if ranks.alone:
        return
    found = ranks.all_of((trainer.images.digest(), machine(trainer)))
    for rank, (images, of_rank) in enumerate(found):
        where = f"rank {rank} on {ranks.hosts[rank]}"
        if images != found[0][0]:
            raise UsageError(f"{where} has other images than rank 0 on {ranks.hosts[0]}; put the same on every host")
        other = [
            f"{name} {value}, not {found[0][1][name]}" for name, value in of_rank.items() if value != found[0][1][name]
        ]
        if other and ranks.first:
            warn(f"{where} has {'; '.join(other)}: its weights may come apart from the others' in their last bits")


def record(run: RunFolder, trainer: Trainer, rows: list[dict[str, Any]], *, sync: bool) -> None:
    """Append ``rows`` to metrics.jsonl. NotFinite naming the first step and term that is not finite, and of several
    ranks those it began on, after the steps before it were written.
    """
    for i, row in enumerate(rows):
        bad = [name for name, value in row.items() if not math.isfinite(value)]
        if bad:
            rows, step = rows[:i], row["step"]
            break
    if trainer.ranks.first:
        _append(run, rows, sync=sync)
    if bad:
        raise NotFinite(f"{bad[0]} stopped being finite at step {step}{trainer.not_finite_on}")


def _append(run: RunFolder, rows: list[dict[str, Any]], *, sync: bool) -> None:
    lines = [json.dumps(row, allow_nan=False) for row in rows]
    files.append_lines(run.root / "metrics.jsonl", lines, sync=sync)
    for row in rows:
        registry().log(str(run.root), row["step"], row)
