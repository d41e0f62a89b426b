"""A run folder: what a training leaves behind, and what everything after the training reads."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from gankit.build import DTYPES, build_model
from gankit.config import Config, TrainOptions, read
from gankit.core import checkpoint, files
from gankit.core.errors import DamagedFile, GankitError, UsageError
from gankit.core.lock import hold
from gankit.core.options import fields
from gankit.core.progress import warn
from gankit.core.types import Spec
from gankit.core.version import __version__
from gankit.cpu.malloc import keep_freed
from gankit.data.dataset import ImageSet
from gankit.models.interface import Model

KEEP = 2
"""Checkpoints kept besides milestones: one may turn out to be damaged."""


class RunFolder:
    """A run folder: config.json, environment.json, metrics.jsonl, timing.jsonl, samples/ and checkpoints/."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not (self.root / "config.json").is_file():
            raise UsageError(
                f"{self.root}: not a run folder (it has no config.json); name one that `gankit train` made"
            )

    @classmethod
    def create(cls, root: Path, config: Config, recorded: Mapping[str, Any]) -> RunFolder:
        """Make the folder ``root`` for ``config``. UsageError where it holds something already."""
        check_new(root)
        with files.explained(root):
            (root / "samples").mkdir(parents=True, exist_ok=True)
            (root / "checkpoints").mkdir(exist_ok=True)
        files.write_json(root / "environment.json", environment())
        # config.json makes the folder a run, so it comes last.
        files.write_json(root / "config.json", {**config.as_dict(), **recorded})
        return cls(root)

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """config.json as it is."""
        values = files.read_json(self.root / "config.json")
        if not isinstance(values, dict):
            raise DamagedFile(f"{self.root / 'config.json'}: not the configuration of a run")
        return values

    @cached_property
    def config(self) -> Config:
        """The configuration the run was started with."""
        return Config.from_dict(read(self.root / "config.json"))

    @cached_property
    def spec(self) -> Spec:
        """The images the run was trained on."""
        try:
            values = self.recorded["spec"]
            lists = {name: tuple(values.get(name, ())) for name in ("names", "class_counts")}
            return Spec(**{**values, **lists})
        except (KeyError, TypeError) as error:
            raise DamagedFile(
                f"{self.root / 'config.json'}: its 'spec' is missing or not what gankit writes"
            ) from error

    def check_images(self, images: ImageSet) -> None:
        """UsageError where ``images`` are not those that the run was started with."""
        if images.digest() != self.recorded.get("images"):
            raise UsageError(
                f"{self.root}: {self.config.data.data} now holds other images than the run was trained on "
                f"({len(images)} of them; there were {self.spec.count}); put them back"
            )

    def metrics(self) -> list[dict[str, Any]]:
        """What was recorded, one mapping a step: "step" (1-based), then "phase/term"."""
        return files.read_lines(self.root / "metrics.jsonl")

    def checkpoints(self) -> list[Path]:
        """The checkpoint files, oldest first."""
        found = (self.root / "checkpoints").glob("*.pt")
        return sorted((path for path in found if re.fullmatch(r"\d{6,}", path.stem)), key=lambda path: int(path.stem))

    def fingerprint(self) -> str:
        """A digest of the options that a checkpoint belongs to: all but how long to train and what to put out."""
        values = {name: self.recorded.get(name) for name in ("variant", "data", "train", "options")}
        train = values["train"]
        if isinstance(train, dict):
            free = {field.name for field in fields(TrainOptions) if field.described.neutral}
            if train.get("decay_start") == 1.0:  # else the schedule depends on it
                free.add("steps")
            values["train"] = {name: value for name, value in train.items() if name not in free}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def save_checkpoint(self, tensors: Mapping[str, Tensor], done: int, drawn: int) -> Path:
        """Write the checkpoint of step ``done`` and delete those no longer kept."""
        path = self.root / "checkpoints" / f"{done:06d}.pt"
        checkpoint.save(path, tensors, {"step": done, "drawn": drawn, "options": self.fingerprint()})
        self.rotate()
        return path

    def rotate(self) -> None:
        """Delete the checkpoints that are neither among the last, nor milestones, nor the best."""
        milestone, best = self.config.train.milestone_every, self.best_step()
        for old in self.checkpoints()[:-KEEP]:
            if not (milestone and int(old.stem) % milestone == 0) and int(old.stem) != best:
                old.unlink()

    def latest(self, note: Callable[[str], None] = warn) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """(tensors, meta) of the newest checkpoint that is whole; each damaged one is named to ``note``. None where
        there is none; GankitError where there are some but all are damaged. UsageError where it was made with other
        options than config.json now holds.
        """
        found = self.checkpoints()
        for path in reversed(found):
            try:
                tensors, meta = checkpoint.load(path)
            except DamagedFile as error:
                note(f"{error}; using the one before")
                continue
            if meta["options"] != self.fingerprint():
                raise UsageError(
                    f"{self.root / 'config.json'} was changed since {path.name} was made; undo that, "
                    "or start a new run with `gankit train --config`"
                )
            return tensors, meta
        if found:
            raise GankitError(
                f"{self.root}: none of {len(found)} checkpoints can be read; restore one, or delete them to start over"
            )
        return None

    def set_aside(self, step: int) -> None:
        """Rename the checkpoints after ``step``, which could not be read, so that they count no more."""
        for path in self.checkpoints():
            if int(path.stem) > step:
                path.rename(path.with_suffix(".pt.damaged"))

    def best_step(self) -> int | None:
        """The step of the best checkpoint, by the first metric of the run's evaluations. None where there is none."""
        path = self.root / "checkpoints" / "index.json"
        best = files.read_json(path)["best"] if path.exists() else None
        return None if best is None else int(best["step"])

    def chosen(self, which: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """(tensors, meta) of checkpoint "last", "best" or a step. UsageError where there is no such one."""
        if which == "last":
            latest = self.latest()
            if latest is None:
                raise GankitError(f"{self.root}: no checkpoint yet; train it further with `gankit resume {self.root}`")
            return latest
        step = self.best_step() if which == "best" else int(which) if which.isdecimal() else None
        if step is None and which == "best":
            raise UsageError(f"{self.root}: no best checkpoint; `gankit train --evaluate-every N` chooses one")
        path = self.root / "checkpoints" / f"{step or 0:06d}.pt"
        if not path.is_file():
            steps = ", ".join(str(int(path.stem)) for path in self.checkpoints())
            raise UsageError(f"--checkpoint {which}: {self.root} has those of steps {steps or '(none)'}; or best, last")
        return checkpoint.load(path)

    def load(self, *, average: bool = True, checkpoint: str = "last") -> Model:
        """The trained model in eval mode on the CPU, with averaged weights where the run has them.

        ``checkpoint``: "last", "best" or a step. GankitError where there is no whole checkpoint yet.
        """
        return self.load_at(checkpoint, average=average)[0]

    def load_at(self, which: str, *, average: bool = True) -> tuple[Model, int]:
        """The model of ``load``, and the step it is at."""
        keep_freed()
        model = build_model(self.config, self.spec).to(DTYPES[self.config.train.precision])
        tensors, meta = self.chosen(which)
        model.load_state_dict(checkpoint.under(tensors, "model/"))
        averaged = checkpoint.under(tensors, "average/")
        if average and averaged:
            model.load_state_dict(averaged, strict=False)
        return model.eval().requires_grad_(False).to(torch.device("cpu")), int(meta["step"])


def locked(root: Path) -> AbstractContextManager[None]:
    """Hold run folder ``root`` for training. UsageError where another process does."""
    return hold(root / ".lock", busy=f"{root}: another process is training this run; wait for it or stop it")


def check_new(root: Path) -> None:
    """UsageError where ``root`` cannot become a new run folder. One that was killed while it was made can."""
    if (root / "config.json").exists():
        raise UsageError(f"{root}: holds a run already; go on with `gankit resume {root}`, or choose another --out")
    if root.exists() and (not root.is_dir() or not all(map(_is_leftover, root.iterdir()))):
        raise UsageError(f"{root}: exists and is not empty; choose another --out")


def _is_leftover(path: Path) -> bool:
    """Whether ``path`` is what a run that was killed before it had a config.json leaves."""
    if path.name in ("samples", "checkpoints"):
        return path.is_dir() and not any(path.iterdir())
    return path.name in (".lock", "environment.json", ".environment.json.tmp", ".config.json.tmp")


def claim(variant: str, data: str, parent: Path = Path("runs")) -> Path:
    """Make the first unused folder runs/VARIANT-DATA-NNN; no other process can be given the same."""
    stem = f"{variant}-{data}-"
    numbers = [int(p.name[len(stem) :]) for p in parent.glob(f"{stem}*") if p.name[len(stem) :].isdigit()]
    number = max(numbers, default=0) + 1
    while True:
        root = parent / f"{stem}{number:03d}"
        with files.explained(root):
            try:
                root.mkdir(parents=True)
            except FileExistsError:
                number += 1
                continue
        return root


def environment() -> dict[str, Any]:
    """What a run was made on, as far as it can change its figures."""
    return {
        "gankit": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "simd": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def processor() -> str:
    """The processor's name, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
