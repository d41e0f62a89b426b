"""The Inductor engine: each update traced once and compiled by PyTorch's compiler."""

from __future__ import annotations

from gankit.core.torch_private import inductor
from gankit.training.engines.traced import Code, TracedEngine
from gankit.training.engines.tracing import Piece


class InductorEngine(TracedEngine):
    """Updates as compiled code, each compiled when it first comes."""

    name = "compiled"

    def make(self, piece: Piece) -> Code:
        return inductor(piece.graph, piece.examples())
