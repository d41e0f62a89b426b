"""The planned engine: each update traced once, and run by the C extension as one plan, without a compiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from gankit.core.progress import warn
from gankit.core.types import Carry
from gankit.cpu import Plan, Unsupported, yielding
from gankit.training.engines.traced import Code, TracedEngine
from gankit.training.engines.tracing import Piece
from gankit.training.update import PhaseState, Update, Vector


class PlannedEngine(TracedEngine):
    """Updates as plans, each made when it first comes."""

    name = "planned"
    waits_for_threads = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.moves: Counter[str] = Counter()

    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        found = super().update(update, carry, later)
        self.moves.update(update.state.names)
        return found

    def threads(self) -> AbstractContextManager[None]:
        """Where others use the cores PyTorch's own ops, the optimizer's, have one thread, which nothing holds up."""
        return yielding()

    def make(self, piece: Piece) -> Code:
        parameters = {name for name, _ in self.model.named_parameters()} - set(piece.state.names)
        still = {i: name for i, (_, kind, name) in enumerate(piece.takes) if kind == "state" and name in parameters}
        try:
            return Plan(piece.graph, [len(piece.state.names)], still, self.moves)
        except Unsupported as reason:
            name = piece.state.phase.name
            warn(f"phase '{name}' runs op by op, since a plan cannot hold {reason}")
            code: Code = piece.graph
            return code

    def plans(self, state: PhaseState) -> Sequence[Plan]:
        segments = [segment for groups in self.groups.values() for group in groups for segment in group]
        found = [segment.code for segment in segments if segment.piece.state is state]
        return [code for code in found if isinstance(code, Plan)][-1:]
