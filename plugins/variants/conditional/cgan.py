"""Mirza & Osindero 2014, "Conditional generative adversarial nets"."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import ConditionalModel, ConditionalOptions, Spec, Variant
from gankit.models import AVERAGED
from gankit.plugins.variants.gan import GANModel, GANOptions


@dataclass(frozen=True)
class CGANOptions(ConditionalOptions, GANOptions):
    """The networks and Adam of ``gan``, the label one-hot for both."""


class CGANModel(ConditionalModel, GANModel):
    """Equation 2: the terms of a GAN, with G(z, y) and D(x, y)."""

    options: CGANOptions


class CGAN(Variant):
    """A GAN whose two networks are told the class of the image."""

    paper = "Mirza & Osindero 2014, arXiv:1411.1784"
    Options = CGANOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: CGANOptions, spec: Spec) -> CGANModel:
        return CGANModel(options, spec)
