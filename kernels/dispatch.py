"""Which implementation of an op runs on which tensors, and why another one cannot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

IMPLS = ("triton", "cpu", "ref")
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
BUILD_LOG = Path(__file__).with_name("_build_log.txt")


@dataclass(frozen=True)
class Implementation:
    """One way to run the ops here: `reason` says why it is not available, `detail` what it would use."""

    name: str
    available: bool
    reason: str
    detail: str


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type that sums and products of `dtype` are made in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def choose(impl: str, *tensors: Tensor) -> str:
    """The implementation that runs on `tensors`. RuntimeError says why a named one cannot."""
    if impl == "auto":
        return _automatic(tensors)
    if impl not in IMPLS:
        raise ValueError(f"impl={impl!r}: expected auto, triton, cpu or ref")
    reason = why_not(impl, tensors)
    if reason:
        raise RuntimeError(f"impl={impl!r} cannot run here: {reason}")
    return impl


def _automatic(tensors: tuple[Tensor, ...]) -> str:
    wanted = os.environ.get("GANKIT_IMPL", "auto") or "auto"
    if wanted not in ("auto", *IMPLS):
        raise ValueError(f"GANKIT_IMPL={wanted!r}: expected auto, triton, cpu or ref")
    if wanted != "auto" and not why_not(wanted, tensors):
        return wanted
    natural = "cpu" if tensors[0].device.type == "cpu" else "triton"
    return "ref" if why_not(natural, tensors) else natural


def why_not(impl: str, tensors: tuple[Tensor, ...]) -> str:
    """The reason `impl` cannot run on `tensors`, or an empty string."""
    if impl == "ref":
        return ""
    return f"the {impl} kernels are not built yet"


def implementations() -> tuple[Implementation, ...]:
    """What can run on this machine, for `gankit doctor`."""
    return (
        Implementation("triton", False, "not built yet", ""),
        Implementation("cpu", False, "not built yet", ""),
        Implementation("ref", True, "", f"PyTorch {torch.__version__}"),
    )


def build_log() -> str:
    """Why the C extension was not built, as the compiler said it; empty where it was."""
    return BUILD_LOG.read_text(encoding="utf-8") if BUILD_LOG.exists() else ""
