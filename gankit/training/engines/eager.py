"""The eager engine: each update op by op."""

from __future__ import annotations

from collections.abc import Sequence

from gankit.core.types import Carry
from gankit.training.engines.base import Engine
from gankit.training.update import Update, Vector, apply_gradients, compute, summed


class EagerEngine(Engine):
    """Op by op, as PyTorch runs any program."""

    name = "eager"

    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        state = update.state
        if state.reduction is not None:
            state.reduction.start()
        computed = compute(self.model, state, state.parameters, self.arithmetic, *self.inputs(update.key), carry)
        grads, values = summed(state, computed.grads, computed.values)
        apply_gradients(self.model, state, grads)
        return values, computed.carry
