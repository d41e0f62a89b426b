"""gankit: train, compare and study generative adversarial networks on images.

::

    import gankit

    run = gankit.train("wgan-gp", data="shapes", steps=500)
    gankit.save(run.sample(64), "shapes.png")

Names are imported when they are first used, so that ``gankit --help`` needs no PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gankit.adversarial import AdversarialModel, AdversarialOptions
    from gankit.conditional import ConditionalModel, ConditionalOptions
    from gankit.config import Config
    from gankit.data import DataOptions, Dataset, ImageSet
    from gankit.errors import DamagedFile, GankitError, UsageError
    from gankit.evaluation import evaluate
    from gankit.figure import Figure
    from gankit.hookspecs import hookimpl
    from gankit.images import save
    from gankit.keys import Draws
    from gankit.latents import interpolate
    from gankit.loop import Interrupted, resume, train
    from gankit.metric import Extracted, Extractor, Metric, Seen, Source, Statistics
    from gankit.model import Batch, Model, OptimSpec, Phase, Spec, Terms, Variant
    from gankit.networks import Architecture, Discriminator, Generator
    from gankit.options import option
    from gankit.run import Run
    from gankit.statistics import Moments, Selection
    from gankit.trainer import Trainer

_HOMES = {
    "adversarial": ("AdversarialModel", "AdversarialOptions"),
    "conditional": ("ConditionalModel", "ConditionalOptions"),
    "config": ("Config",),
    "data": ("DataOptions", "Dataset", "ImageSet"),
    "errors": ("DamagedFile", "GankitError", "UsageError"),
    "evaluation": ("evaluate",),
    "figure": ("Figure",),
    "hookspecs": ("hookimpl",),
    "images": ("save",),
    "keys": ("Draws",),
    "latents": ("interpolate",),
    "loop": ("Interrupted", "resume", "train"),
    "metric": ("Extracted", "Extractor", "Metric", "Seen", "Source", "Statistics"),
    "model": ("Batch", "Model", "OptimSpec", "Phase", "Spec", "Terms", "Variant"),
    "networks": ("Architecture", "Discriminator", "Generator"),
    "options": ("option",),
    "run": ("Run",),
    "statistics": ("Moments", "Selection"),
    "trainer": ("Trainer",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AdversarialModel",
    "AdversarialOptions",
    "Architecture",
    "Batch",
    "ConditionalModel",
    "ConditionalOptions",
    "Config",
    "DamagedFile",
    "DataOptions",
    "Dataset",
    "Discriminator",
    "Draws",
    "Extracted",
    "Extractor",
    "Figure",
    "GankitError",
    "Generator",
    "ImageSet",
    "Interrupted",
    "Metric",
    "Model",
    "Moments",
    "OptimSpec",
    "Phase",
    "Run",
    "Seen",
    "Selection",
    "Source",
    "Spec",
    "Statistics",
    "Terms",
    "Trainer",
    "UsageError",
    "Variant",
    "evaluate",
    "hookimpl",
    "interpolate",
    "option",
    "resume",
    "save",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"gankit.{_HOME[name]}"), name)
    raise AttributeError(f"module 'gankit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
