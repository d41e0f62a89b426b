"""gankit: train, compare and study generative adversarial networks on images.

::

    import gankit

    run = gankit.train("wgan-gp", data="shapes", steps=500)
    gankit.save(run.sample(64), "shapes.png")

Names are imported when they are first used, so that ``gankit --help`` needs no PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gankit.core.lazy import lazy
from gankit.core.version import __version__

if TYPE_CHECKING:
    from gankit.config import Config
    from gankit.core.errors import DamagedFile, GankitError, UsageError
    from gankit.core.images import save
    from gankit.core.options import option
    from gankit.core.rng import RandomStream
    from gankit.core.types import Batch, Spec
    from gankit.data.catalogue import DataOptions
    from gankit.data.dataset import Dataset, ImageSet
    from gankit.evaluation.evaluate import evaluate
    from gankit.evaluation.metric import Extracted, Extractor, Metric, Seen, Source, Statistics
    from gankit.evaluation.score import Score
    from gankit.evaluation.statistics import Moments, Selection
    from gankit.hookspecs import hookimpl
    from gankit.inference.interpolate import interpolate
    from gankit.lab.comparison.compare import compare
    from gankit.lab.studies.run import study
    from gankit.lab.studies.study import Study
    from gankit.lab.sweeps.outcome import Sweep
    from gankit.lab.sweeps.sweep import sweep
    from gankit.models.adversarial import AdversarialModel, AdversarialOptions
    from gankit.models.conditional import ConditionalModel, ConditionalOptions
    from gankit.models.interface import Model, OptimSpec, Phase, Terms, Variant
    from gankit.models.networks import Architecture, Discriminator, Generator
    from gankit.run import Run, resume, train
    from gankit.training.loop import Interrupted
    from gankit.training.trainer import Trainer

_HOMES = {
    "config": ("Config",),
    "core.errors": (
        "DamagedFile",
        "GankitError",
        "UsageError",
    ),
    "core.images": ("save",),
    "core.options": ("option",),
    "core.rng": ("RandomStream",),
    "core.types": (
        "Batch",
        "Spec",
    ),
    "data.catalogue": ("DataOptions",),
    "data.dataset": (
        "Dataset",
        "ImageSet",
    ),
    "evaluation.evaluate": ("evaluate",),
    "evaluation.metric": (
        "Extracted",
        "Extractor",
        "Metric",
        "Seen",
        "Source",
        "Statistics",
    ),
    "evaluation.score": ("Score",),
    "evaluation.statistics": (
        "Moments",
        "Selection",
    ),
    "hookspecs": ("hookimpl",),
    "inference.interpolate": ("interpolate",),
    "lab.comparison.compare": ("compare",),
    "lab.studies.run": ("study",),
    "lab.studies.study": ("Study",),
    "lab.sweeps.outcome": ("Sweep",),
    "lab.sweeps.sweep": ("sweep",),
    "models.adversarial": (
        "AdversarialModel",
        "AdversarialOptions",
    ),
    "models.conditional": (
        "ConditionalModel",
        "ConditionalOptions",
    ),
    "models.interface": (
        "Model",
        "OptimSpec",
        "Phase",
        "Terms",
        "Variant",
    ),
    "models.networks": (
        "Architecture",
        "Discriminator",
        "Generator",
    ),
    "run": ("Run", "resume", "train"),
    "training.loop": ("Interrupted",),
    "training.trainer": ("Trainer",),
}
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
    "Extracted",
    "Extractor",
    "GankitError",
    "Generator",
    "ImageSet",
    "Interrupted",
    "Metric",
    "Model",
    "Moments",
    "OptimSpec",
    "Phase",
    "RandomStream",
    "Run",
    "Score",
    "Seen",
    "Selection",
    "Source",
    "Spec",
    "Statistics",
    "Study",
    "Sweep",
    "Terms",
    "Trainer",
    "UsageError",
    "Variant",
    "__version__",
    "compare",
    "evaluate",
    "hookimpl",
    "interpolate",
    "option",
    "resume",
    "save",
    "study",
    "sweep",
    "train",
]


__getattr__ = lazy(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
