"""A variant with tiny networks and what its phases are handed, for checks to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from gankit.config import configure, variant_class
from gankit.core.errors import UsageError
from gankit.core.options import fields
from gankit.core.torch_private import TorchDispatchMode, local_scalar
from gankit.core.types import Batch, Carry, Noise
from gankit.testing.checks import CheckFailed
from gankit.training.engines.inductor import InductorEngine
from gankit.training.trainer import Trainer
from gankit.training.update import PhaseState

TINY: Mapping[str, Any] = {
    "size": 8, "channels": 1, "limit": 40, "batch_size": 8, "samples": 4, "steps": 6, "threads": 1, "device": "cpu",
    "preset": "paper", "engine": "eager",
}  # fmt: skip
NETWORKS: Mapping[str, Any] = {"arch": "mlp", "ngf": 2, "ndf": 2, "nz": 4}
"""Options that make a variant small, of those that it has."""
DATA = ("shapes", "stripes")
"""Data sets with one domain and with two; the first that a variant can be built for is taken."""


class Subject:
    """The variant called ``name`` with tiny networks."""

    def __init__(self, name: str, flags: Mapping[str, Any]) -> None:
        self.name = name
        own = {field.name for field in fields(variant_class(name).Options)}
        self.flags = {**TINY, **{key: value for key, value in NETWORKS.items() if key in own}, **flags}

    def trainer(self, **more: Any) -> Trainer:
        """Ready for its first step. UsageError where it can be built for neither kind of data."""
        said: UsageError | None = None
        for data in [more["data"]] if "data" in more else DATA:
            try:
                return Trainer(configure(self.name, {**self.flags, "data": data, **more}))
            except UsageError as error:
                said = said or error
        assert said is not None
        raise said

    def phases(self, trainer: Trainer) -> Iterator[tuple[PhaseState, Batch, Noise, Carry]]:
        """Each phase with its inputs, those of its first repeat, and what the ones before carried on."""
        carry: Carry = {}
        for state in trainer.phases:
            batch = trainer.batches.batch(0 if state.phase.data else None)
            noise = trainer.batches.noise(state.phase.name, 0, 0)
            yield state, batch, noise, dict(carry)
            with saved(trainer):
                carry |= trainer.model.terms(state.phase.name, batch, noise, carry).carry


@contextmanager
def saved(trainer: Trainer) -> Iterator[None]:
    """Put the model's tensors back: batch norm counts, and an image pool fills."""
    before = {name: tensor.detach().clone() for name, tensor in trainer.model.state_dict().items()}
    yield
    with torch.no_grad():
        for name, tensor in trainer.model.state_dict().items():
            if not torch.equal(tensor, before[name]):
                tensor.data.copy_(before[name])


class NoReadBack(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """CheckFailed for an operation that reads a value back from the device, or whose shape depends on values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is local_scalar:
            raise CheckFailed("a phase reads a value back from the device (.item(), float(), if on a tensor)")
        chosen = args[1] if func is torch.ops.aten.index.Tensor else ()
        masks = any(index is not None and index.dtype == torch.bool for index in chosen)
        if masks or func in (torch.ops.aten.nonzero.default, torch.ops.aten.masked_select.default):
            raise CheckFailed(f"a phase has a shape that depends on values ({func})")
        return func(*args, **(kwargs or {}))


class Retraced(InductorEngine):
    """Updates as they were traced: in a moment, where a compiler takes half a minute."""

    def make(self, piece: Any) -> Any:
        return piece.graph


def plainly(subject: Subject) -> dict[str, Any]:
    """Flags that take batch norm out of the networks, of those that the variant has."""
    own = {field.name for field in fields(variant_class(subject.name).Options)}
    return {name: "none" for name in ("generator_norm", "discriminator_norm") if name in own}
