"""What makes training fast on a CPU: convolutions, plans of updates, freed memory that is kept. Skip it at first."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from gankit.cpu.convolution import ChannelsLast, Conv2d, ConvTranspose2d, to_channels_last
from gankit.cpu.malloc import keep_freed
from gankit.kernels import cpu
from gankit.kernels.cpu import yielding

if TYPE_CHECKING:
    from gankit.cpu.plan.ir import Unsupported
    from gankit.cpu.plan.plan import Plan

__all__ = [
    "ChannelsLast",
    "Conv2d",
    "ConvTranspose2d",
    "Plan",
    "Unsupported",
    "available",
    "keep_freed",
    "prepare",
    "yielding",
]

LAZY = {"Plan": "gankit.cpu.plan.plan", "Unsupported": "gankit.cpu.plan.ir"}
"""Imported when first asked for: a run without plans starts faster."""


class Availability(NamedTuple):
    """``reason``: why plans cannot run on this machine, empty where they can; ``fast``: whether they outrun PyTorch."""

    reason: str
    fast: bool


def available() -> Availability:
    """Whether plans can run on this machine, and whether they gain there."""
    return Availability(cpu.REASON, cpu.multiplies_well())


def prepare(model: nn.Module) -> None:
    """Prepare this process and ``model`` for training on a CPU. Freed memory is kept from now on, and convolution
    weights move to the memory order in which the convolutions read them. No result changes.
    """
    keep_freed()
    to_channels_last(model)


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return getattr(import_module(LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
