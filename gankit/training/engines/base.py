"""How updates are run: as they are written, as plans, as compiled code, or as captured CUDA graphs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from gankit.core.types import Batch, Carry, Noise
from gankit.data.batches import UpdateKey
from gankit.models.interface import Model
from gankit.training.update import Arithmetic, PhaseState, Update, Vector

if TYPE_CHECKING:
    from gankit.cpu import Plan

Inputs = Callable[[UpdateKey], tuple[Batch, Noise]]


class Engine(ABC):
    """Runs a model's updates. ``inputs`` draws what an update needs; it may be asked for later ones, too."""

    name: str
    waits_for_threads: bool = True
    """Whether a step waits for a thread that another process keeps off its core."""

    def __init__(self, model: Model, arithmetic: Arithmetic, inputs: Inputs) -> None:
        self.model, self.arithmetic, self.inputs = model, arithmetic, inputs

    @abstractmethod
    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        """Move the networks of ``update`` once. Returns what is recorded, as one vector, and what is carried on.

        ``later``: the updates that follow in the same step.
        """

    def threads(self) -> AbstractContextManager[None]:
        """The block in which a step runs: how its work is spread over the threads."""
        return nullcontext()

    def plans(self, state: PhaseState) -> Sequence[Plan]:
        """The plans that updates of ``state`` run, where this engine makes some."""
        return []
