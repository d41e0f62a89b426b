"""What the engines share that trace an update once and make code of the trace."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gankit.core.types import Batch, Carry, Noise
from gankit.training.engines.base import Engine
from gankit.training.engines.tracing import Piece, Source, given_to, state_of, trace
from gankit.training.update import Update, Vector, apply_gradients, summed

Code = Callable[..., Sequence[Tensor]]


@dataclass
class Segment:
    """A traced update and the code that was made of it."""

    piece: Piece
    code: Code


class TracedEngine(Engine):
    """Updates as code made of their traces, each when it first comes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tensors = state_of(self.model)
        self.groups: dict[object, list[list[Segment]]] = {}
        self.begun: list[Segment] = []
        self.given: dict[Source, Tensor] = {}

    @torch.no_grad()
    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        batch, noise = self.inputs(update.key)
        if not self.begun:
            self.given = given_to(0, batch, noise, carry)
            self.begun = list(self.group([update, *later], (batch, noise), carry))
        else:
            self.given |= given_to(1 + max(at for at, _, _ in self.given), batch, noise, {})
        segment = self.begun.pop(0)
        grads, values, carried = self.run(segment)
        if not self.begun:
            self.given = {}
        update.state.recorded = segment.piece.recorded
        grads, values = summed(update.state, grads, values)
        apply_gradients(self.model, update.state, grads)
        return values, carried

    def run(self, segment: Segment) -> tuple[Sequence[Tensor], Vector, Carry]:
        """What ``segment`` computes of the weights as they are, and of what was given to it and to those before."""
        piece = segment.piece
        inputs = [self.tensors[source[2]] if source[1] == "state" else self.given[source] for source in piece.takes]
        outputs = segment.code(*inputs)
        n = len(piece.state.names)
        ends = n + 1 + len(piece.carried)
        self.given |= zip(piece.crossing, outputs[ends:], strict=True)
        return outputs[:n], outputs[n], dict(zip(piece.carried, outputs[n + 1 : ends], strict=True))

    @abstractmethod
    def make(self, piece: Piece) -> Code:
        """The code that runs ``piece``."""

    def group(self, updates: Sequence[Update], first: tuple[Batch, Noise], carry: Carry) -> list[Segment]:
        """The segments of the first of ``updates`` and of those linked to it, traced and compiled the first time."""
        shapes = tuple((source, tensor.shape, tensor.dtype) for source, tensor in self.given.items())
        known = self.groups.setdefault((updates[0].state.phase.name, shapes), [])
        for segments in known:
            if [s.piece.state for s in segments] == [u.state for u in updates[: len(segments)]]:
                return segments
        states, inputs = [updates[0].state], [first]
        traced = trace(self.model, self.arithmetic, states, inputs, carry)
        for update in updates[1:]:
            if not traced.linked:
                break
            states.append(update.state)
            inputs.append(self.inputs(update.key))
            traced = trace(self.model, self.arithmetic, states, inputs, carry)
        known.append([Segment(piece, self.make(piece)) for piece in traced.pieces])
        return known[-1]
