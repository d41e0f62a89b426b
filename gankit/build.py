"""What a configuration names, made: the images, the model, the device."""

from __future__ import annotations

import torch

from gankit.config import Config, variant_class
from gankit.core.errors import UsageError
from gankit.core.rng import key
from gankit.core.types import Spec
from gankit.data.dataset import Dataset, ImageSet
from gankit.models.interface import Model
from gankit.registry import registry

DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "fp64": torch.float64}


def load_images(config: Config) -> ImageSet:
    """The images that ``config.data`` names."""
    dataset: Dataset = registry().get("datasets", config.data.name)()
    return dataset.load(config.data, config.train.seed)


def build_model(config: Config, spec: Spec) -> Model:
    """The variant's model with its initial weights, a function of the run's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(config.train.seed, "weights") % 2**63)
        return variant_class(config.variant)().build(config.options, spec)


def pick_device(name: str) -> torch.device:
    """The device that ``--device`` names. UsageError where there is no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch sees no CUDA device here; use --device cpu, or see `gankit doctor`")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: PyTorch sees no GPU of Apple's here; use --device cpu")
    return torch.device(name)
