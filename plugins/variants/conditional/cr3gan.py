"""Miyato & Koyama's projection (2018) on the relativistic GAN of Huang et al. (2024)."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import ConditionalModel, ConditionalOptions, Spec, Variant
from gankit.models import AVERAGED
from gankit.plugins.variants.r3gan import R3GANModel, R3GANOptions, decided


@dataclass(frozen=True)
class CR3GANOptions(ConditionalOptions, R3GANOptions):
    """The defaults of ``r3gan``, the label a projection in D and an embedding in G."""

    conditioning: str = "projection"


class CR3GANModel(ConditionalModel, R3GANModel):
    """A pair is a real image and a fake of the same class, in both phases; the slopes are those at the image alone."""

    options: CR3GANOptions


class CR3GAN(Variant):
    """A relativistic GAN of images with their classes."""

    paper = "Huang et al. 2024, arXiv:2501.05441; Miyato & Koyama 2018, arXiv:1802.05637"
    Options = CR3GANOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: CR3GANOptions, spec: Spec) -> CR3GANModel:
        return CR3GANModel(decided(options), spec)
