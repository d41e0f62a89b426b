"""The Inductor engine: each update traced once and compiled by PyTorch's compiler."""

from __future__ import annotations

from typing import Any

from torch._inductor import compile as inductor

from gankit.training.engines.traced import Code, TracedEngine
from gankit.training.engines.tracing import Piece


class InductorEngine(TracedEngine):
    """Updates as compiled code, each compiled when it first comes."""

    name = "compiled"

    def make(self, piece: Piece) -> Code:
        code: Code = inductor(piece.graph, list[Any](piece.examples()))
        return code
