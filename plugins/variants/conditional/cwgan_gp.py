"""Mirza & Osindero's condition (2014) on the penalised Wasserstein GAN of Gulrajani et al. (2017)."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import ConditionalModel, ConditionalOptions, Spec, Variant
from gankit.models import AVERAGED
from gankit.plugins.variants.wgan_gp import WGANGPModel, WGANGPOptions, decided


@dataclass(frozen=True)
class CWGANGPOptions(ConditionalOptions, WGANGPOptions):
    """The defaults of ``wgan-gp``, the label one-hot for both networks."""


class CWGANGPModel(ConditionalModel, WGANGPModel):
    """The slope is that of D(x, y) at the image alone, between a real image and a fake of the same class."""

    options: CWGANGPOptions


class CWGANGP(Variant):
    """A penalised critic of images with their classes."""

    paper = "Mirza & Osindero 2014, arXiv:1411.1784; Gulrajani et al. 2017, arXiv:1704.00028"
    Options = CWGANGPOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: CWGANGPOptions, spec: Spec) -> CWGANGPModel:
        return CWGANGPModel(decided(options, spec), spec)
