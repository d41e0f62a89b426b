"""What a configuration names, made: the images, the model, the device."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from gankit.config import Config, variant_class
from gankit.core.errors import UsageError
from gankit.core.rng import key
from gankit.core.types import Spec
from gankit.data.captions import captions_beside, captions_in
from gankit.data.dataset import Dataset, ImageSet
from gankit.models.interface import Model
from gankit.models.label_embedding import LabelOptions
from gankit.registry import blame, registry

DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "fp64": torch.float64}


def load_images(config: Config) -> ImageSet:
    """The images that ``config.data`` names."""
    dataset: Dataset = registry().get("datasets", config.data.name)()
    with blame(registry().whose("datasets", config.data.name), f"load of {config.data.data}"):
        return dataset.load(config.data, config.train.seed)


def training_images(config: Config, images: ImageSet | None = None) -> ImageSet:
    """``images``, or those that ``config.data`` names: with captions of their classes where --conditioning text is to
    have them and ``images`` bring none, from the file --captions, or the one beside images that are loaded.

    UsageError where --captions is given for another kind.
    """
    found = load_images(config) if images is None else images
    if not isinstance(config.options, LabelOptions):
        return found
    given = None if config.options.captions is None else Path(config.options.captions).expanduser()
    if config.options.conditioning != "text":
        if given is not None:
            raise UsageError(f"--captions {given}: --conditioning {config.options.conditioning} takes none; pass text")
        return found
    file = captions_beside(config.data) if given is None and images is None else given
    if file is None or found.captions:
        return found
    return dataclasses.replace(found, captions=captions_in(file, found.classes))


def build_model(config: Config, spec: Spec) -> Model:
    """The variant's model with its initial weights, a function of the run's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(config.train.seed, "weights") % 2**63)
        whose = registry().whose("variants", config.variant)
        with blame(whose, "build"):
            model = variant_class(config.variant)().build(config.options, spec)
        model.plugin = whose
        return model


def pick_device(name: str) -> torch.device:
    """The device that ``--device`` names. UsageError where there is no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch sees no CUDA device here; use --device cpu, or see `gankit doctor`")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: PyTorch sees no GPU of Apple's here; use --device cpu")
    return torch.device(name)
