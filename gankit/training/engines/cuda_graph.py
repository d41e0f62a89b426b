"""The graph engine: each update captured once as a CUDA graph and replayed, so that a GPU never waits for Python.

Inputs are drawn on the CPU while the GPU is busy, and copied into the graph's own tensors before a replay. A carried
tensor may keep its autograd graph from one captured update to the next: both lie in one memory pool and are always
replayed in the order they were captured in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from gankit.core.checkpoint import flatten
from gankit.core.types import Batch, Carry, Noise
from gankit.training.engines.base import Engine
from gankit.training.engines.tracing import Source, given_to, state_of
from gankit.training.update import Computed, PhaseState, Update, Vector, apply_gradients, compute, summed

Outputs = tuple[Vector, Carry]

WARM_UPS = 3
"""Runs before a capture, in which libraries choose their algorithms and allocate what they keep."""


class Recorder(Protocol):
    """Captures what a function launches: the function runs once, ``replay`` repeats it on the same memory."""

    def capture(self, run: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Run and record ``run``. Returns what replays it, and its outputs, which a replay writes anew."""

    def aside(self) -> AbstractContextManager[Any]:
        """Where warm-ups run."""


class CudaRecorder:
    """CUDA graphs in one memory pool."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        self.stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def capture(self, run: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            outputs = run()
        graph.replay()  # a capture computes nothing
        return graph.replay, outputs

    @contextmanager
    def aside(self) -> Iterator[None]:
        """On a stream of its own, between what was queued before and what will be after."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            yield
        torch.cuda.current_stream().wait_stream(self.stream)


@dataclass
class Captured:
    """A captured update: the tensors its inputs are put into, what replays it, and the tensors its outputs are in."""

    given: dict[Source, Tensor]
    replay: Callable[[], None]
    values: Vector
    carry: Carry
    recorded: tuple[str, ...]


class CudaGraphEngine(Engine):
    """Updates as captured graphs, each captured when it first comes."""

    name = "graph"

    def __init__(self, *args: Any, recorder: Recorder | None = None) -> None:
        super().__init__(*args)
        self.recorder = recorder or CudaRecorder()
        self.captured: dict[object, Captured] = {}

    def update(self, update: Update, carry: Carry, later: Sequence[Update] = ()) -> tuple[Vector, Carry]:
        batch, noise = self.inputs(update.key)
        given = given_to(0, batch, noise, carry)
        # A carried tensor of another capture is read where it lies, so which one it is belongs to the key.
        ours = {id(tensor) for captured in self.captured.values() for tensor in captured.carry.values()}
        known = tuple((source, id(t) if id(t) in ours else t.shape) for source, t in given.items())
        key = (update.state.phase.name, known)
        if key not in self.captured:
            self.captured[key] = self.capture(update.state, batch, noise, carry, ours)
        else:
            for source, static in self.captured[key].given.items():
                if static is not given[source]:
                    static.copy_(given[source], non_blocking=True)
            self.captured[key].replay()
        found = self.captured[key]
        update.state.recorded = found.recorded
        return found.values.clone(), found.carry

    def capture(self, state: PhaseState, batch: Batch, noise: Noise, carry: Carry, ours: set[int]) -> Captured:
        """``state``'s update of these inputs, done once and recorded."""

        def own(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor if id(tensor) in ours else tensor.clone() for name, tensor in tensors.items()}

        kinds = ("images", "labels", "other")
        batch = Batch(**own({kind: t for kind in kinds if (t := getattr(batch, kind)) is not None}))
        noise, carry = own(noise), own(carry)
        self.warm_up(state, batch, noise, carry)

        computed: list[Computed] = []

        def run() -> Outputs:
            computed.append(compute(self.model, state, state.parameters, self.arithmetic, batch, noise, carry))
            if state.reduction is None:
                apply_gradients(self.model, state, computed[-1].grads)
            return computed[-1].values, computed[-1].carry

        replay, (values, carried) = self.recorder.capture(run)
        given = given_to(0, batch, noise, carry)
        if state.reduction is None:
            return Captured(given, replay, values, carried, state.recorded)
        return Captured(given, *self.capture_apart(state, computed, replay), carried, state.recorded)

    def capture_apart(
        self, state: PhaseState, computed: Sequence[Computed], replay: Callable[[], None]
    ) -> tuple[Callable[[], None], Vector]:
        """What replays an update of several ranks: ``replay``, which gives the last of ``computed``, then the sum over
        ranks, which is in no graph, then a captured step of the optimizer. And the tensor that its values are then in.
        """
        grads, values = summed(state, computed[-1].grads, computed[-1].values)
        values = values.clone()

        def apply() -> Outputs:
            apply_gradients(self.model, state, grads)
            return values, {}

        apply_again, _ = self.recorder.capture(apply)

        def whole() -> None:
            replay()
            values.copy_(summed(state, computed[-1].grads, computed[-1].values)[1])
            apply_again()

        return whole, values

    def warm_up(self, state: PhaseState, batch: Batch, noise: Noise, carry: Carry) -> None:
        """Run the update a few times, and put the model and the optimizer back."""
        linked = any(tensor.requires_grad for tensor in carry.values())
        tensors = state_of(self.model)
        before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        moments = {name: tensor.clone() for name, tensor in flatten(state.optimizer.tensors()).items()}
        with self.recorder.aside():
            for _ in range(WARM_UPS):
                # The graph of a carried tensor serves once: only its values take part here.
                still = {name: t.detach().requires_grad_(t.requires_grad) for name, t in carry.items()}
                if linked:
                    self.model.terms(state.phase.name, batch, noise, still)
                    grads: Sequence[Tensor] = [torch.zeros_like(p) for p in state.parameters]
                else:
                    computed = compute(self.model, state, state.parameters, self.arithmetic, batch, noise, still)
                    grads, _ = summed(state, computed.grads, computed.values)
                apply_gradients(self.model, state, grads)
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(before[name])
            state.optimizer.restore(moments)
