"""Weights to start from: those of another run, or of a .safetensors file, as far as they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gankit.core import checkpoint
from gankit.core.errors import GankitError, UsageError
from gankit.models.image_pool import ImagePool
from gankit.models.interface import Model
from gankit.runs.export import tensors_in
from gankit.runs.folder import RunFolder


@dataclass(frozen=True)
class Initial:
    """Trained ``tensors`` by name, from ``source``."""

    source: str
    tensors: Mapping[str, Tensor]

    @property
    def digest(self) -> str:
        """A sha256 over names, types, shapes and bytes."""
        return checkpoint.digest(self.tensors, "")


@dataclass(frozen=True)
class Taken:
    """What a model took of trained tensors: names, and of those not taken why."""

    taken: tuple[str, ...]
    left: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as config.json holds them."""
        return {"taken": len(self.taken), "not taken": dict(self.left)}

    def table(self) -> list[str]:
        """A line for each network: how many of its tensors were taken, and which were not."""
        names = (*self.taken, *self.left)
        networks = list(dict.fromkeys(name.partition(".")[0] for name in names))
        width = max(map(len, networks))
        lines = []
        for network in networks:
            own = [name for name in names if name.partition(".")[0] == network]
            left = [f"{name} ({self.left[name]})" for name in own if name in self.left]
            not_taken = f"; not taken: {', '.join(left)}" if left else ""
            lines.append(f"  {network:<{width}}  {len(own) - len(left)} of {len(own)} tensors taken{not_taken}")
        return lines


def load(source: str) -> Initial:
    """The weights in ``source``, a run folder (its last checkpoint's) or a .safetensors file.

    UsageError where it is neither.
    """
    path = Path(source).expanduser()
    if (path / "config.json").is_file():
        latest = RunFolder(path).latest()
        if latest is None:
            raise GankitError(f"--init-from {source}: the run has no checkpoint yet")
        return Initial(source, checkpoint.under(latest[0], "model/"))
    if path.suffix == ".safetensors" and path.is_file():
        return Initial(source, tensors_in(path))
    raise UsageError(f"--init-from {source}: neither a run folder nor a .safetensors file")


@torch.no_grad()
def take(model: Model, initial: Initial) -> Taken:
    """Copy into ``model`` the tensors that it has by the same name and shape. Images that a pool remembers are not
    weights, and stay behind. UsageError where it can take none.
    """
    pools = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, ImagePool))
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(pools)}
    taken: list[str] = []
    left: dict[str, str] = {}
    for name, tensor in own.items():
        there = initial.tensors.get(name)
        if there is None:
            left[name] = "not there"
        elif there.shape != tensor.shape:
            left[name] = f"{list(there.shape)} there, {list(tensor.shape)} here"
        else:
            tensor.copy_(there)
            taken.append(name)
    if not taken:
        raise UsageError(f"--init-from {initial.source}: none of its tensors has a name and shape that this model has")
    return Taken(tuple(taken), left)
