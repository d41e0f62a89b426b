"""Mirza & Osindero's condition (2014) on the Wasserstein GAN of Arjovsky, Chintala & Bottou (2017)."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import ConditionalModel, ConditionalOptions, Spec, Variant
from gankit.models import AVERAGED
from gankit.plugins.variants.wgan import WGANModel, WGANOptions


@dataclass(frozen=True)
class CWGANOptions(ConditionalOptions, WGANOptions):
    """The defaults of ``wgan``, the label one-hot for both networks."""


class CWGANModel(ConditionalModel, WGANModel):
    """The critic's means are of D(x, y), and all its weights are clipped, those of the label, too."""

    options: CWGANOptions


class CWGAN(Variant):
    """A clipped critic of images with their classes."""

    paper = "Mirza & Osindero 2014, arXiv:1411.1784; Arjovsky, Chintala & Bottou 2017, arXiv:1701.07875"
    Options = CWGANOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: CWGANOptions, spec: Spec) -> CWGANModel:
        return CWGANModel(options, spec)
