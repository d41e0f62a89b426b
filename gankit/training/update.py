"""One update of one phase: its loss, the gradients of its own parameters, and what is recorded of it.

The engines differ in how they run this; what is computed stands here once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gankit.core.errors import UsageError
from gankit.core.torch_private import foreach_norm
from gankit.core.types import Batch, Carry, Noise
from gankit.data.batches import UpdateKey
from gankit.models.interface import Model, Phase
from gankit.training import optimizers
from gankit.training.reduction import Reduction
from gankit.training.rules import blamed, check_terms, unused

Vector = Tensor


@dataclass
class PhaseState:
    """A phase with what is kept for it: its parameters by network, its optimizer, the names of what it records."""

    phase: Phase
    names: list[str]
    parameters: list[nn.Parameter]
    spans: list[tuple[str, int, int]]
    optimizer: optimizers.Optimizer
    recorded: tuple[str, ...] = ()
    reduction: Reduction | None = None
    """What sums its gradients over the ranks, where there are several."""

    @classmethod
    def of(cls, phase: Phase, model: Model) -> PhaseState:
        """The state of ``phase`` in ``model``. UsageError where a network of it has nothing to move."""
        spans: list[tuple[str, int, int]] = []
        names: list[str] = []
        parameters: list[nn.Parameter] = []
        for network in phase.networks:
            # A parameter that two networks share is moved once, with the first of them.
            some = [(name, p) for name, p in parameters_of(model, network) if all(p is not q for q in parameters)]
            if not some:
                raise UsageError(f"phase '{phase.name}': network '{network}' has no parameters of its own to train")
            spans.append((network, len(parameters), len(parameters) + len(some)))
            names += [name for name, _ in some]
            parameters += [p for _, p in some]
        return cls(phase, names, parameters, spans, optimizers.make(phase.optimizer, parameters))


class Update(NamedTuple):
    """An update that is due: the ``repeat``-th of a phase in ``step``, on real batch number ``draw`` of the run."""

    state: PhaseState
    step: int
    repeat: int
    draw: int

    @property
    def key(self) -> UpdateKey:
        """What its inputs follow from."""
        phase = self.state.phase
        return UpdateKey(phase.name, self.step, self.repeat, self.draw if phase.data else None)


class Computed(NamedTuple):
    """Gradients of the phase's parameters in their order, what is recorded as one vector, and what is carried on."""

    grads: Sequence[Tensor]
    values: Vector
    carry: Carry


@dataclass(frozen=True)
class Arithmetic:
    """The type that weights and figures are held in, and whether the networks run in bfloat16."""

    device: str
    dtype: torch.dtype
    autocast: bool


def compute(
    model: Model,
    state: PhaseState,
    parameters: Sequence[Tensor],
    arithmetic: Arithmetic,
    batch: Batch,
    noise: Noise,
    carry: Carry,
) -> Computed:
    """The loss of ``state`` and its gradients by ``parameters``, which are those of ``state`` or stand for them.

    Of several ranks each computes its share of the gradients; ``summed`` adds them up.
    """
    dtype, reduction = arithmetic.dtype, state.reduction
    phase, first = state.phase.name, not state.recorded
    with (
        torch.autocast(arithmetic.device, torch.bfloat16, enabled=arithmetic.autocast),
        blamed(model, phase, first),
    ):
        terms = model.terms(phase, batch, noise, carry)
    if first:
        check_terms(model, phase, terms)
    loss = torch.stack([value.to(dtype) for value in terms.losses.values()]).sum()
    weighted = loss if reduction is None else loss * reduction.share
    found = reached(model, state, torch.autograd.grad(weighted, parameters, allow_unused=True))
    grads = [in_strides_of(parameter, grad) for parameter, grad in zip(parameters, found, strict=True)]
    watched = {**terms.losses, "loss": loss, **terms.watch, **norms_of(state, grads)}
    state.recorded = tuple(f"{state.phase.name}/{name}" for name in watched)
    values = torch.stack([value.detach().to(dtype) for value in watched.values()])
    return Computed(grads, values, dict(terms.carry))


def reached(model: Model, state: PhaseState, grads: Sequence[Tensor | None]) -> list[Tensor]:
    """``grads``, all there. PluginError naming the parameters that have none."""
    found = [grad for grad in grads if grad is not None]
    if len(found) < len(grads):
        raise unused(model, state.phase.name, [name for name, g in zip(state.names, grads, strict=True) if g is None])
    return found


def norms_of(state: PhaseState, grads: Sequence[Tensor]) -> dict[str, Tensor]:
    """The norms of ``grads``, of each network of ``state`` and of its first layer, under their names."""
    norms, found = foreach_norm(list(grads)), {}
    for network, start, end in state.spans:
        found[f"grad norm {network}"] = torch.stack(norms[start:end]).norm()
        first = next((i for i in range(start, end) if grads[i].dim() > 1), start)  # a weight, not a bias
        found[f"first layer grad norm {network}"] = norms[first]
    return found


def parameters_of(model: nn.Module, network: str) -> list[tuple[str, nn.Parameter]]:
    """(name, parameter) of the submodule ``network``, each parameter once."""
    return [(f"{network}.{name}", parameter) for name, parameter in model.get_submodule(network).named_parameters()]


def in_strides_of(parameter: Tensor, grad: Tensor) -> Tensor:
    """``grad`` in memory as ``parameter`` is: fused optimizers walk through memory and do not look at strides, and the
    gradient penalty's gradients of convolutions come transposed.
    """
    return grad if grad.stride() == parameter.stride() else torch.empty_like(parameter).copy_(grad)


def summed(state: PhaseState, grads: Sequence[Tensor], values: Vector) -> tuple[Sequence[Tensor], Vector]:
    """``grads`` summed over the ranks, and the recorded ``values`` with the norms of the sums in place of this rank's;
    as they are where there is one.
    """
    if state.reduction is None:
        return grads, values
    grads = state.reduction.finish(grads)
    norms = [norm.to(values.dtype) for norm in norms_of(state, grads).values()]
    return grads, torch.cat([values[: -len(norms)], torch.stack(norms)])


def apply_gradients(model: Model, state: PhaseState, grads: Sequence[Tensor]) -> None:
    """One step of the state's optimizer along ``grads``, and what the model does after it."""
    state.optimizer.step(grads)
    with torch.no_grad():
        model.after(state.phase.name)
