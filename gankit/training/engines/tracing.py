"""Updates as graphs of PyTorch's ops, gradients included.

The trace holds the loss, its gradients and, where a penalty asks for it, their gradients: autograd has done its work
when a compiler sees the graph. Optimizers stay outside, where PyTorch has one fused kernel for all parameters.

A carried tensor that keeps its graph links an update with the next (DCGAN's fakes are made once a step and used in both
phases). Linked updates are traced together and the graph is cut where each ends: what a later one needs of an earlier
one crosses the cut, as a tensor that autograd had saved would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from gankit.core.lazy import uncollected
from gankit.core.torch_private import FakeTensorMode, reparametrize
from gankit.core.types import Batch, Carry, Noise
from gankit.models.interface import Model
from gankit.training.update import Arithmetic, PhaseState, compute

Source = tuple[int, str, str]
"""Where a graph's input comes from: the number of the update that brought it, its kind, its name."""


@dataclass
class Piece:
    """One update as a graph: where its inputs come from, and what its outputs are, in their order: gradients, the
    recorded vector, what is carried on, and what later updates of its group need.
    """

    state: PhaseState
    graph: fx.GraphModule
    takes: list[Source]
    carried: tuple[str, ...]
    crossing: tuple[Source, ...]
    recorded: tuple[str, ...]

    def examples(self) -> list[Tensor]:
        """Tensors like the inputs, without memory."""
        metas = [node.meta["val"] for node in self.graph.graph.nodes if node.op == "placeholder"]
        with FakeTensorMode(shape_env=ShapeEnv()):  # without the ShapeEnv Inductor's cache on the disk is not used
            return [torch.empty_strided(m.shape, m.stride(), dtype=m.dtype, device=m.device) for m in metas]


@dataclass
class Traced:
    """Updates that were traced together. ``linked``: the next update of the step belongs to them, too."""

    pieces: list[Piece]
    linked: bool


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of ``model`` by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def given_to(number: int, batch: Batch, noise: Noise, carry: Carry) -> dict[Source, Tensor]:
    """What update ``number`` of a group is given besides the model's state."""
    images = {"images": batch.images, "labels": batch.labels, "other": batch.other}
    return {
        **{(number, "batch", name): tensor for name, tensor in images.items() if tensor is not None},
        **{(number, "noise", name): tensor for name, tensor in noise.items()},
        **{(number, "carry", name): tensor for name, tensor in carry.items()},
    }


def trace(
    model: Model,
    arithmetic: Arithmetic,
    states: Sequence[PhaseState],
    inputs: Sequence[tuple[Batch, Noise]],
    carry: Carry,
) -> Traced:
    """The updates of ``states``, the first of which is handed ``carry``, as one graph cut into one piece each."""
    tensors = state_of(model)
    given: dict[Source, Tensor] = {(0, "state", name): tensor.detach() for name, tensor in tensors.items()}
    for number, (batch, noise) in enumerate(inputs):
        moved = {name for state in states[:number] for name in state.names}
        given |= {(number, "state", name): tensors[name].detach() for name in tensors if name in moved}
        given |= given_to(number, batch, noise, {} if number else carry)
    found = _Found([], [])

    def run(tensors: list[Tensor]) -> list[Tensor]:
        return _run(model, arithmetic, states, dict(zip(given, tensors, strict=True)), carry, found)

    with uncollected():  # make_fx imports PyTorch's compiler, which makes as many objects as PyTorch does
        graph = make_fx(run, tracing_mode="fake")(list(given.values()))
    return Traced(_cut(graph, list(given), states, found), found.linked)


@dataclass
class _Found:
    """What only a run of the updates tells: the names of what each carries on and records."""

    carried: list[tuple[str, ...]]
    recorded: list[tuple[str, ...]]
    linked: bool = False


def _run(
    model: Model,
    arithmetic: Arithmetic,
    states: Sequence[PhaseState],
    given: Mapping[Source, Tensor],
    carry: Carry,
    to: _Found,
) -> list[Tensor]:
    """The outputs of all updates, one after the other, with ``given`` in place of the model's state and the inputs."""
    live: dict[str, Tensor] = {}
    parameters = {name for name, _ in model.named_parameters()}
    carry = {name: given[0, "carry", name] for name in carry}
    outputs: list[Tensor] = []
    for number, state in enumerate(states):
        for (at, kind, name), tensor in given.items():
            if (at, kind) == (number, "state"):
                live[name] = tensor.detach().requires_grad_() if name in parameters else tensor
        images = {name: tensor for (at, kind, name), tensor in given.items() if (at, kind) == (number, "batch")}
        noise = {name: tensor for (at, kind, name), tensor in given.items() if (at, kind) == (number, "noise")}
        with torch.enable_grad(), reparametrize(model, live):
            own = [live[name] for name in state.names]
            computed = compute(model, state, own, arithmetic, Batch(**images), noise, carry)
        carry |= computed.carry
        to.carried.append(tuple(computed.carry))
        to.recorded.append(state.recorded)
        outputs += [*computed.grads, computed.values, *computed.carry.values()]
        mode = get_proxy_mode()
        assert mode is not None
        for node in mode.tracer.graph.nodes:
            node.meta.setdefault("update", number)
    to.linked = any(tensor.requires_grad for tensor in carry.values())
    return outputs


def _cut(graph: fx.GraphModule, sources: list[Source], states: Sequence[PhaseState], found: _Found) -> list[Piece]:
    graph.graph.eliminate_dead_code()
    nodes = list(graph.graph.nodes)
    places = [node for node in nodes if node.op == "placeholder"]
    origin: dict[fx.Node, Source] = dict(zip(places, sources, strict=True))
    (results,) = nodes[-1].args
    assert isinstance(results, list | tuple)
    pieces: list[Piece] = []
    rest = list(results)
    for number, state in enumerate(states):
        own = [n for n in nodes if n.op == "call_function" and n.meta["update"] == number]
        later = [n for n in nodes if n.op == "call_function" and n.meta["update"] > number]
        wanted = dict.fromkeys(arg for node in later for arg in node.all_input_nodes)
        crossing = [node for node in own if node in wanted]
        count = len(state.names) + 1 + len(found.carried[number])
        outputs, rest = [*rest[:count], *crossing], rest[count:]
        piece, taken = _piece(graph, own, outputs)
        takes = [origin[node] for node in taken]
        origin |= {node: (number, "crossing", node.name) for node in crossing}
        names = tuple(origin[node] for node in crossing)
        pieces.append(Piece(state, piece, takes, found.carried[number], names, found.recorded[number]))
    return pieces


def _piece(root: fx.GraphModule, nodes: list[fx.Node], outputs: list[fx.Node]) -> tuple[fx.GraphModule, list[fx.Node]]:
    """The graph of ``nodes`` alone, and the nodes whose values it takes as inputs."""
    inside = set(nodes)
    needed = dict.fromkeys(arg for node in nodes for arg in node.all_input_nodes) | dict.fromkeys(outputs)
    taken = [node for node in needed if node not in inside and node.op != "get_attr"]
    graph = fx.Graph()
    env: dict[fx.Node, fx.Node] = {}
    for node in taken:
        env[node] = graph.placeholder(node.name)
        env[node].meta["val"] = node.meta["val"]
    for node in (*(n for n in needed if n.op == "get_attr"), *nodes):
        env[node] = graph.node_copy(node, env.__getitem__)
    graph.output([env[node] for node in outputs])
    return fx.GraphModule(root, graph), taken
