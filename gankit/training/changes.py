"""What may change of a run that is taken up again: how long it is, its learning rates, the machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from gankit.build import pick_device
from gankit.config import Config, TrainOptions
from gankit.core.errors import UsageError
from gankit.core.options import build
from gankit.core.progress import show
from gankit.runs.folder import RunFolder
from gankit.runs.legs import rates

MOVED = {"engine": "auto", "threads": None}
"""Options that are chosen anew on another device."""


def changed(run: RunFolder, done: int, changes: Mapping[str, Any]) -> Config:
    """The configuration of ``run``, which is at step ``done``, with ``changes``: steps or epochs, device, threads,
    roll_back, and the variant's learning rates; None: as it is. A run made on a GPU goes on on the CPU where there is
    no GPU, which is said.

    UsageError for an option that cannot change, or that the variant does not have.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    own = rates(run.config)
    known = {"steps", "epochs", "device", "threads", "roll_back", *own}
    if unknown := [name for name in given if name not in known]:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in own)
        raise UsageError(
            f"--{unknown[0].replace('_', '-')}: {run.config.variant} does not have this option, or a run cannot be "
            f"taken up with another value of it; its learning rates are {flags or 'fixed'}"
        )
    if "steps" in given and "epochs" in given:
        raise UsageError("--steps and --epochs both say how long to train; give one of them")
    train = dataclasses.asdict(run.config.train)
    options = {name: value for name, value in given.items() if name in own}
    train |= {name: value for name, value in given.items() if name not in own and name != "device"}
    if "steps" in given or "epochs" in given:
        train |= {"steps": given.get("steps"), "epochs": given.get("epochs")}
    device = device_of(run, given.get("device"))
    if device != run.config.train.device:
        train |= {**MOVED, "device": device, **({"threads": given["threads"]} if "threads" in given else {})}
        if device == "cpu" and train["impl"] == "triton":
            train["impl"] = "auto"
    settings = dataclasses.replace(
        run.config,
        train=build(TrainOptions, train),
        options=build(type(run.config.options), {**dataclasses.asdict(run.config.options), **options}),
    )
    check_length(run, settings.train.steps, done, f"--steps {settings.train.steps}")
    return settings


def check_length(run: RunFolder, steps: int | None, done: int, asked: str) -> None:
    """UsageError where a run that is at step ``done`` was ``asked`` to end before."""
    if steps is not None and steps < done:
        raise UsageError(f"{asked}: {run.root} is at step {done} already")


def device_of(run: RunFolder, asked: str | None) -> str:
    """Where ``run`` goes on: where it was ``asked`` to, else where it was, else on the CPU."""
    was = run.config.train.device
    if asked is not None:
        return pick_device(asked).type
    if (was == "cuda" and not torch.cuda.is_available()) or (was == "mps" and not torch.backends.mps.is_available()):
        show(
            f"{run.root} was trained on a GPU, and PyTorch sees none here: it goes on on the CPU. Its figures are then "
            "not bit for bit those it would have had there."
        )
        return "cpu"
    return was


def halved(config: Config) -> Config:
    """``config`` with half the learning rates."""
    lower = {name: rate / 2 for name, rate in rates(config).items()}
    return dataclasses.replace(config, options=dataclasses.replace(config.options, **lower))


def lowered(config: Config, root: object) -> str:
    """The command that goes on with half the learning rates, for a message."""
    flags = " ".join(f"--{name.replace('_', '-')} {rate:g}" for name, rate in rates(halved(config)).items())
    return f"`gankit resume {root} {flags}`".replace(" `", "`")
