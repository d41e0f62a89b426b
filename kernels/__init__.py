"""The fused ops. Each has Triton kernels for GPUs, C code for CPUs and one reference in plain PyTorch.

Every op takes impl="auto" | "triton" | "cpu" | "ref". "auto" picks by device and falls back to the
reference; a named one runs or raises the reason. GANKIT_IMPL names the one that "auto" prefers where it
supports the input.
"""

if not __name__.startswith("gankit."):
    raise ImportError(
        "import this package as gankit.kernels; a bare import from the source folder would make a second copy"
    )

from gankit.kernels.dispatch import build_log, implementations, prefer_impl, selected

# Each function is bound after its module of the same name, so `gankit.kernels.gather` is the function.
from gankit.kernels.gather import gather
from gankit.kernels.interpolate import interpolate
from gankit.kernels.l1_terms import l1_terms
from gankit.kernels.norm_penalty import norm_penalty

__all__ = [
    "build_log",
    "gather",
    "implementations",
    "interpolate",
    "l1_terms",
    "norm_penalty",
    "prefer_impl",
    "selected",
]
