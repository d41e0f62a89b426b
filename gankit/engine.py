"""How updates are run: as they are written, as plans, as compiled code, or as captured CUDA graphs."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import nn

from gankit.errors import UsageError
from gankit.kernels import cpu
from gankit.model import Batch, Carry, Model, Noise
from gankit.update import Arithmetic, Part, Update, Vector, compute, move

if TYPE_CHECKING:
    from gankit.plan.run import Plan

Inputs = Callable[[Update], tuple[Batch, Noise]]


class Engine(ABC):
    """Runs a model's updates. ``inputs`` draws what an update needs; it may be asked for later ones, too."""

    name: str

    def __init__(self, model: Model, arithmetic: Arithmetic, inputs: Inputs) -> None:
        self.model, self.arithmetic, self.inputs = model, arithmetic, inputs

    @abstractmethod
    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        """Move the networks of ``update`` once. Returns what is recorded, as one vector, and what is carried on.

        ``later``: the updates that follow in the same step.
        """

    def plans(self, part: Part) -> Sequence[Plan]:
        """The plans that updates of ``part`` run, where this engine makes some."""
        return []


class Eager(Engine):
    """Op by op, as PyTorch runs any program."""

    name = "eager"

    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        part = update.part
        computed = compute(self.model, part, part.parameters, self.arithmetic, *self.inputs(update), carry)
        move(self.model, part, computed.grads)
        return computed.values, computed.carry


PLAN_UPDATES = 300
"""Updates from which an MLP on a CPU gains by plans what tracing costs; docs/engine.md has the figures."""
COMPILE_UPDATES = 20_000
"""The same for compiled code, which is for machines without the C extension."""
CAPTURE_UPDATES = 100


def make(name: str, model: Model, arithmetic: Arithmetic, inputs: Inputs) -> Engine:
    """The engine ``name``. UsageError where it cannot run here."""
    if name == "graph":
        if arithmetic.device != "cuda":
            raise UsageError("--engine graph captures CUDA graphs, and this run is on the CPU; use compiled or eager")
        from gankit.graphed import Graphed

        return Graphed(model, arithmetic, inputs)
    if name == "compiled":
        if arithmetic.device == "cpu" and not has_compiler():
            raise UsageError("--engine compiled needs a C++ compiler, g++ or what CXX names; install one, or use eager")
        from gankit.compiled import Compiled

        return Compiled(model, arithmetic, inputs)
    if name == "planned":
        if arithmetic.device != "cpu":
            raise UsageError("--engine planned runs on the CPU, and this run is on a GPU; use graph, compiled or eager")
        if cpu.REASON:
            raise UsageError(f"--engine planned: {cpu.REASON}; use compiled or eager")
        from gankit.planned import Planned

        return Planned(model, arithmetic, inputs)
    return Eager(model, arithmetic, inputs)


def choose(device: str, updates: int, model: nn.Module) -> str:
    """The engine of a run of ``updates`` updates of ``model`` on ``device``, where none was asked for.

    On a CPU gankit's own convolutions, which run eagerly, are faster than those of plans and of the compiler.
    """
    if device == "cuda":
        return "graph" if updates >= CAPTURE_UPDATES else "eager"
    if any(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in model.modules()):
        return "eager"
    if cpu.multiplies_well():
        return "planned" if updates >= PLAN_UPDATES else "eager"
    return "compiled" if updates >= COMPILE_UPDATES and has_compiler() else "eager"


def has_compiler() -> bool:
    """Whether Inductor finds a C++ compiler."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
