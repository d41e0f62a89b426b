"""Which implementation of an op runs on which tensors, and why another one cannot."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.nn import Parameter

from gankit.core.torch_private import dispatch_modes, functorch_transforms_active
from gankit.kernels import cpu

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
    """Returns the type in which sums and products of `dtype` are computed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def same_device(*tensors: Tensor) -> bool:
    """Returns whether the tensors are on one device."""
    first = tensors[0].device
    return all(tensor.device == first for tensor in tensors)


# Read once: looking it up costs as much as a small op.
_wanted = os.environ.get("GANKIT_IMPL") or "auto"
if _wanted not in ("auto", *IMPLS):
    raise ValueError(f"GANKIT_IMPL={_wanted!r}: expected auto, triton, cpu or ref")


@contextlib.contextmanager
def prefer_impl(impl: str) -> Iterator[None]:
    """Makes "auto" prefer `impl` inside this block, as GANKIT_IMPL does for a whole process; "auto" changes nothing."""
    global _wanted
    before = _wanted
    _wanted = before if impl == "auto" else impl
    try:
        yield
    finally:
        _wanted = before


def watched() -> bool:
    """Returns whether something traces or transforms PyTorch's ops; it would not see what a C or Triton kernel does."""
    return is_compiling() or functorch_transforms_active() or dispatch_modes() > 0


def choose(impl: str, *tensors: Tensor) -> str:
    """Returns the implementation that runs on `tensors`. Raises RuntimeError with the reason if a named one cannot."""
    if impl == "auto":
        natural = "cpu" if tensors[0].is_cpu else "triton"
        for name in (natural,) if _wanted == "auto" else (_wanted, natural):
            if not why_not(name, tensors):
                return name
        return "ref"
    if impl not in IMPLS:
        raise ValueError(f"impl={impl!r}: expected auto, triton, cpu or ref")
    reason = why_not(impl, tensors)
    if reason:
        raise RuntimeError(f"impl={impl!r} cannot run here: {reason}")
    return impl


def selected(device: torch.device) -> str:
    """Returns the implementation that "auto" chooses for tensors on `device` now."""
    return choose("auto", torch.empty(1, device=device))


def why_not(impl: str, tensors: tuple[Tensor, ...]) -> str:
    """Returns the reason why `impl` cannot run on `tensors`, or an empty string."""
    if impl == "ref":
        return ""
    if watched():
        return "torch.compile, torch.func and dispatch modes need the reference, whose ops they see"
    for tensor in tensors:
        if type(tensor) is not Tensor and type(tensor) is not Parameter:
            return f"a {type(tensor).__name__} may have no memory of its own; the reference takes it"
    first = tensors[0]
    if impl == "cpu":
        return cpu.REASON or ("" if first.is_cpu else f"the tensors are on {first.device}")
    return triton_reason() or ("" if first.is_cuda or interpreting() else f"the tensors are on {first.device}")


def interpreting() -> bool:
    """Returns whether Triton runs its kernels in Python, on tensors of any device."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def triton_reason() -> str:
    """Returns the reason why Triton cannot run here, or an empty string."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    if interpreting() or torch.cuda.is_available():
        return ""
    return "no GPU was found; TRITON_INTERPRET=1 runs the kernels in Python, for tests"


def implementations() -> tuple[Implementation, ...]:
    """Returns which implementations run on this machine, and why the others do not."""
    no_triton = triton_reason()
    way = "its interpreter" if interpreting() else "the GPU"
    return (
        Implementation("triton", not no_triton, no_triton, "" if no_triton else f"on {way}"),
        Implementation("cpu", not cpu.REASON, cpu.REASON, cpu.detail()),
        Implementation("ref", True, "", f"PyTorch {torch.__version__}"),
    )


def build_log() -> str:
    """Returns what the compiler printed if it could not build the C extension, else an empty string."""
    return BUILD_LOG.read_text(encoding="utf-8") if BUILD_LOG.exists() else ""
