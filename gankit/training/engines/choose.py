"""Which engine runs a training, and where it cannot."""

from __future__ import annotations

import os
import shutil

from torch import nn

from gankit.core.errors import UsageError
from gankit.core.ranks import current
from gankit.cpu import available
from gankit.models.batch_norm import SyncBatchNorm
from gankit.models.image_pool import ImagePool
from gankit.models.interface import Model
from gankit.training.engines.base import Engine, Inputs
from gankit.training.engines.eager import EagerEngine
from gankit.training.update import Arithmetic

PLAN_UPDATES = 300
"""Updates from which an MLP on a CPU gains by plans what tracing costs; docs/engine.md has the figures."""
COMPILE_UPDATES = 20_000
"""The same for compiled code, which is for machines without the C extension."""
CAPTURE_UPDATES = 100


def make_engine(name: str, model: Model, arithmetic: Arithmetic, inputs: Inputs) -> Engine:
    """The engine ``name``. UsageError where it cannot run here."""
    if name != "eager" and speaks_within(model):
        raise UsageError(
            f"--engine {name}: the ranks of this run exchange images or statistics within an update (an image pool, or "
            "--sync-batchnorm), which it cannot hold; use eager"
        )
    if name == "graph":
        if arithmetic.device != "cuda":
            raise UsageError("--engine graph captures CUDA graphs, and this run is on the CPU; use compiled or eager")
        from gankit.training.engines.cuda_graph import CudaGraphEngine

        return CudaGraphEngine(model, arithmetic, inputs)
    if name == "compiled":
        if arithmetic.device == "cpu" and not has_compiler():
            raise UsageError("--engine compiled needs a C++ compiler, g++ or what CXX names; install one, or use eager")
        from gankit.training.engines.inductor import InductorEngine

        return InductorEngine(model, arithmetic, inputs)
    if name == "planned":
        if arithmetic.device != "cpu":
            raise UsageError("--engine planned runs on the CPU, and this run is on a GPU; use graph, compiled or eager")
        if reason := available().reason:
            raise UsageError(f"--engine planned: {reason}; use compiled or eager")
        from gankit.training.engines.planned import PlannedEngine

        return PlannedEngine(model, arithmetic, inputs)
    return EagerEngine(model, arithmetic, inputs)


def choose_engine(device: str, updates: int, model: nn.Module) -> str:
    """The engine of a run of ``updates`` updates of ``model`` on ``device``, where none was asked for.

    On a CPU gankit's own convolutions, which run eagerly, are faster than those of plans and of the compiler.
    """
    if speaks_within(model):
        return "eager"
    if device == "cuda":
        return "graph" if updates >= CAPTURE_UPDATES else "eager"
    if device != "cpu":
        return "eager"
    if any(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in model.modules()):
        return "eager"
    if available().fast:
        return "planned" if updates >= PLAN_UPDATES else "eager"
    return "compiled" if updates >= COMPILE_UPDATES and has_compiler() else "eager"


def speaks_within(model: nn.Module) -> bool:
    """Whether the ranks exchange something while ``model`` computes, which no trace or captured graph holds."""
    return not current().alone and any(isinstance(layer, SyncBatchNorm | ImagePool) for layer in model.modules())


def has_compiler() -> bool:
    """Whether Inductor finds a C++ compiler."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
