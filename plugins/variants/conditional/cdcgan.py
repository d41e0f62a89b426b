"""Mirza & Osindero's condition (2014) on Radford, Metz & Chintala's networks (2016)."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import ConditionalOptions, Spec, Variant
from gankit.models import AVERAGED
from gankit.plugins.variants.conditional.cgan import CGANModel
from gankit.plugins.variants.dcgan import DCGANOptions


@dataclass(frozen=True)
class CDCGANOptions(ConditionalOptions, DCGANOptions):
    """The defaults of ``dcgan``, the label one-hot for both networks."""


class CDCGAN(Variant):
    """The conditional GAN with convolutions."""

    paper = "Mirza & Osindero 2014, arXiv:1411.1784; Radford, Metz & Chintala 2016, arXiv:1511.06434"
    Options = CDCGANOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: CDCGANOptions, spec: Spec) -> CGANModel:
        return CGANModel(options, spec)
