"""A run folder: what a training leaves behind, and what everything after the training reads."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from gankit.build import DTYPES, build_model
from gankit.config import Config, read
from gankit.core import checkpoint, files
from gankit.core.errors import DamagedFile, GankitError, UsageError
from gankit.core.lock import hold
from gankit.core.progress import warn
from gankit.core.types import Spec
from gankit.core.version import __version__
from gankit.cpu import keep_freed
from gankit.data.dataset import ImageSet
from gankit.models.interface import Model
from gankit.runs.legs import Leg, fingerprints, legs_of

KEEP = 2
"""Checkpoints kept besides milestones: one may turn out to be damaged."""


class RunFolder:
    """A run folder: config.json, environment.json, metrics.jsonl, timing.jsonl, samples/ and checkpoints/."""

    def __init__(self, root: str | Path, data: str | None = None) -> None:
        """``data``: NAME:PATH of its images, where they lie elsewhere than when it was trained."""
        self.root, self.data = Path(root), data
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
        return files.read_object(self.root / "config.json")

    @cached_property
    def config(self) -> Config:
        """The configuration the run was started with."""
        return Config.from_dict(read(self.root / "config.json"))

    @cached_property
    def spec(self) -> Spec:
        """The images the run was trained on."""
        path = self.root / "config.json"
        values = files.value_of(self.recorded, "spec", dict, path)
        kinds = {field.name: type(field.default) for field in dataclasses.fields(Spec)} | {"channels": int, "size": int}
        known: dict[str, Any] = {
            name: files.value_of(values, name, kinds[name], path)
            for name in values
            if kinds.get(name) in (int, float, bool)
        }
        names = files.value_of(values, "names", list, path) if "names" in values else []
        counts = files.value_of(values, "class_counts", list, path) if "class_counts" in values else []
        wrong = set(values) - set(kinds) or not all(map(_is_text, names)) or not all(type(n) is int for n in counts)
        if not {"channels", "size"} <= set(known) or wrong:
            raise DamagedFile(f"{path}: its 'spec' is not what gankit writes")
        captions = files.value_of(values, "captions", list, path) if "captions" in values else []
        if not (all(map(_is_text, captions)) or all(map(_is_vector, captions))):
            raise DamagedFile(f"{path}: its 'spec' has captions that are not what gankit writes")
        said: Any = tuple(each if isinstance(each, str) else tuple(each) for each in captions)
        return Spec(**known, names=tuple(names), class_counts=tuple(counts), captions=said)

    def check(self) -> None:
        """UsageError or DamagedFile naming the key of config.json that is not what gankit writes."""
        for part in ("config", "spec", "legs"):
            getattr(self, part)

    @cached_property
    def legs(self) -> tuple[Leg, ...]:
        """The run's legs after its first."""
        return legs_of(self.recorded, self.root / "config.json")

    def check_images(self, images: ImageSet, name: str | None = None) -> None:
        """UsageError where ``images``, called ``name``, are not those that the run was started with."""
        if images.digest() != self.recorded.get("images"):
            raise UsageError(
                f"{self.root}: {name or self.config.data.data} {'' if name else 'now '}holds other images than the "
                f"run was trained on ({len(images)} of them; there were {self.spec.count}); put them back"
            )

    def metrics(self) -> list[dict[str, Any]]:
        """What was recorded, one mapping a step: "step" (1-based), then "phase/term"."""
        return files.read_lines(self.root / "metrics.jsonl")

    def checkpoints(self) -> list[Path]:
        """The checkpoint files, oldest first."""
        return [path for _, path in numbered(self.root / "checkpoints", ".pt")]

    def grids(self) -> list[tuple[int, Path]]:
        """(step, file) of each saved grid of samples, oldest first."""
        return numbered(self.root / "samples", ".png")

    def fingerprint(self) -> str:
        """A digest of the options that a checkpoint of the last leg belongs to: all but how long to train, what to put
        out, and where the images are.
        """
        return fingerprints(self.recorded, self.legs, sys.maxsize)[0]

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
        self.check()
        found = self.checkpoints()
        for path in reversed(found):
            try:
                tensors, meta = checkpoint.load(path)
            except DamagedFile as error:
                note(f"{error}; using the one before")
                continue
            self.check_options(path, meta)
            return tensors, meta
        if found:
            raise GankitError(
                f"{self.root}: none of {len(found)} checkpoints can be read; restore one, or delete them to start over"
            )
        return None

    def check_options(self, path: Path, meta: Mapping[str, Any]) -> None:
        """UsageError where checkpoint ``path`` was made with other options than config.json holds for its step."""
        if meta["options"] not in fingerprints(self.recorded, self.legs, meta["step"]):
            raise UsageError(
                f"{self.root / 'config.json'} was changed since {path.name} was made; undo that, "
                "or start a new run with `gankit train --config` (`gankit resume` takes other rates, steps and devices)"
            )

    def set_aside(self, step: int, why: str = "damaged") -> None:
        """Rename the checkpoints after ``step``, so that they count no more: they could not be read, or are undone."""
        for path in self.checkpoints():
            if int(path.stem) > step:
                path.rename(path.with_suffix(f".pt.{why}"))

    def best_step(self) -> int | None:
        """The step of the best checkpoint, by the first metric of the run's evaluations. None where there is none."""
        path = self.root / "checkpoints" / "index.json"
        index = files.read_object(path) if path.exists() else {}
        if index.get("best") is None:
            return None
        return files.value_of(files.value_of(index, "best", dict, path), "step", int, path)

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


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and all(type(number) is float for number in value)


def numbered(folder: Path, ending: str) -> list[tuple[int, Path]]:
    """(step, file) of the files of a run in ``folder``, in the order of their steps. Others, such as ._000500.png,
    which a Mac leaves beside 000500.png, are none of its.
    """
    names = re.compile(rf"[0-9]{{6,18}}{re.escape(ending)}")
    return sorted((int(path.stem), path) for path in folder.glob(f"*{ending}") if names.fullmatch(path.name))


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
    numbers = [
        int(p.name[len(stem) :]) for p in parent.glob(f"{stem}*") if re.fullmatch(r"[0-9]{1,18}", p.name[len(stem) :])
    ]
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
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
