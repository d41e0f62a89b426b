"""The compiled engine: each update traced once and compiled by Inductor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gankit.engine import Engine
from gankit.model import Batch, Carry, Noise
from gankit.tracing import Piece, Source, given_to, state_of, trace
from gankit.update import Update, Vector, move

Code = Callable[..., Sequence[Tensor]]


@dataclass
class Segment:
    """A traced update and the code that was made of it."""

    piece: Piece
    code: Code


class Compiled(Engine):
    """Updates as compiled code, each compiled when it first comes."""

    name = "compiled"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.state = state_of(self.model)
        self.groups: dict[object, list[list[Segment]]] = {}
        self.begun: list[Segment] = []
        self.given: dict[Source, Tensor] = {}

    @torch.no_grad()
    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        batch, noise = self.inputs(update)
        if not self.begun:
            self.given = given_to(0, batch, noise, carry)
            self.begun = list(self.group([update, *later], (batch, noise), carry))
        else:
            self.given |= given_to(1 + max(at for at, _, _ in self.given), batch, noise, {})
        segment = self.begun.pop(0)
        grads, values, carried = self.run(segment)
        if not self.begun:
            self.given = {}
        update.part.recorded = segment.piece.recorded
        move(self.model, update.part, grads)
        return values, carried

    def run(self, segment: Segment) -> tuple[Sequence[Tensor], Vector, Carry]:
        """What ``segment`` computes of the weights as they are, and of what was given to it and to those before."""
        piece = segment.piece
        inputs = [self.state[source[2]] if source[1] == "state" else self.given[source] for source in piece.takes]
        outputs = segment.code(*inputs)
        n = len(piece.part.names)
        ends = n + 1 + len(piece.carried)
        self.given |= zip(piece.crossing, outputs[ends:], strict=True)
        return outputs[:n], outputs[n], dict(zip(piece.carried, outputs[n + 1 : ends], strict=True))

    def make(self, piece: Piece) -> Code:
        """The code that runs ``piece``."""
        return compiled(piece)

    def group(self, updates: Sequence[Update], first: tuple[Batch, Noise], carry: Carry) -> list[Segment]:
        """The segments of the first of ``updates`` and of those linked to it, traced and compiled the first time."""
        shapes = tuple((source, tensor.shape, tensor.dtype) for source, tensor in self.given.items())
        known = self.groups.setdefault((updates[0].part.phase.name, shapes), [])
        for segments in known:
            if [s.piece.part for s in segments] == [u.part for u in updates[: len(segments)]]:
                return segments
        parts, inputs = [updates[0].part], [first]
        traced = trace(self.model, self.arithmetic, parts, inputs, carry)
        for update in updates[1:]:
            if not traced.linked:
                break
            parts.append(update.part)
            inputs.append(self.inputs(update))
            traced = trace(self.model, self.arithmetic, parts, inputs, carry)
        known.append([Segment(piece, self.make(piece)) for piece in traced.pieces])
        return known[-1]


def compiled(piece: Piece) -> Code:
    """The code that Inductor makes of ``piece``."""
    from torch._inductor import compile as inductor

    code: Code = inductor(piece.graph, list[Any](piece.examples()))
    return code
