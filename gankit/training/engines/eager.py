"""The eager engine: each update op by op."""

from __future__ import annotations

from collections.abc import Sequence

from gankit.core.types import Carry
from gankit.training.engines.base import Engine
from gankit.training.update import Update, Vector, apply_gradients, compute


class EagerEngine(Engine):
    """Op by op, as PyTorch runs any program."""

    name = "eager"

    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        state = update.state
        computed = compute(self.model, state, state.parameters, self.arithmetic, *self.inputs(update.key), carry)
        apply_gradients(self.model, state, computed.grads)
        return computed.values, computed.carry
