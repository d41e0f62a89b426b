"""How updates are run: as they are written, as compiled code, or as captured CUDA graphs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from gankit.model import Batch, Carry, Model, Noise
from gankit.update import Arithmetic, Update, Vector, compute, move

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


class Eager(Engine):
    """Op by op, as PyTorch runs any program."""

    name = "eager"

    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        part = update.part
        computed = compute(self.model, part, part.parameters, self.arithmetic, *self.inputs(update), carry)
        move(self.model, part, computed.grads)
        return computed.values, computed.carry


def make(name: str, model: Model, arithmetic: Arithmetic, inputs: Inputs) -> Engine:
    """The engine ``name``. UsageError where it cannot run here."""
    if name == "compiled":
        from gankit.compiled import Compiled

        return Compiled(model, arithmetic, inputs)
    return Eager(model, arithmetic, inputs)


def choose(trainer: object) -> str:
    return "eager"
