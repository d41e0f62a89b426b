"""What a phase of a variant must give: looked at when it first comes, so that a plugin that breaks a rule is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from gankit.core.progress import warn
from gankit.core.torch_private import dispatch_modes
from gankit.models.interface import Model, Terms
from gankit.registry import PluginError, blame

CHECK = "`gankit plugins check NAME` looks at all rules"


def whose(model: Model) -> str:
    """Which plugin ``model`` is of, in words."""
    return str(getattr(model, "plugin", type(model).__qualname__))


@contextmanager
def blamed(model: Model, phase: str, first: bool) -> Iterator[None]:
    """Within it `terms` of ``phase`` runs: what it raises names the plugin, and so does a draw from PyTorch's own
    generator, the first time.
    """
    looks = first and not dispatch_modes()
    before = torch.random.get_rng_state() if looks else None
    with blame(whose(model), f"terms('{phase}')"):
        yield
    if before is not None and not torch.equal(before, torch.random.get_rng_state()):
        warn(
            f"{whose(model)}: terms('{phase}') draws from PyTorch's own generator, so that a resumed run ends as "
            "another; draw in `noise`"
        )


def check_terms(model: Model, phase: str, terms: Terms) -> None:
    """PluginError naming the first thing in ``terms`` that no phase may give."""

    def ensure(holds: object, wrong: str) -> None:
        if not holds:
            raise PluginError(f"{whose(model)}: terms('{phase}') {wrong}; {CHECK}")

    ensure(isinstance(terms, Terms), f"returns {type(terms).__name__}, not Terms")
    ensure(terms.losses, "gives no loss")
    for name, value in {**terms.losses, **terms.watch}.items():
        ensure(isinstance(value, Tensor), f"gives '{name}' as {type(value).__name__}, not as a tensor")
        ensure(value.dim() == 0, f"gives '{name}' of shape {list(value.shape)}, not a scalar")
    ensure(any(value.requires_grad for value in terms.losses.values()), "gives losses that depend on no parameter")
    for name, value in terms.carry.items():
        ensure(isinstance(value, Tensor), f"carries '{name}' as {type(value).__name__}, not as a tensor")


def unused(model: Model, phase: str, names: Sequence[str]) -> PluginError:
    """The error for parameters of ``phase`` called ``names`` that its losses do not reach."""
    return PluginError(
        f"{whose(model)}: the losses of terms('{phase}') do not reach {', '.join(names)}, which it trains; {CHECK}"
    )
