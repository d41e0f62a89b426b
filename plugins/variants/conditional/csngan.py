"""Miyato & Koyama 2018, "cGANs with projection discriminator"."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import ConditionalModel, ConditionalOptions, Spec, Variant
from gankit.plugins.variants.sngan import SNGANModel, SNGANOptions


@dataclass(frozen=True)
class CSNGANOptions(ConditionalOptions, SNGANOptions):
    """The defaults of ``sngan``, the label a projection in D and an embedding in G."""

    conditioning: str = "projection"


class CSNGANModel(ConditionalModel, SNGANModel):
    """The hinge loss of D(x, y) and G(z, y); spectral norm holds the projection, too."""

    options: CSNGANOptions


class CSNGAN(Variant):
    """A spectrally normalised discriminator that projects its features on the class."""

    paper = "Miyato & Koyama 2018, arXiv:1802.05637; Miyato et al. 2018, arXiv:1802.05957"
    Options = CSNGANOptions
    defaults = {"batch_size": 64}
    tuned = {"ngf": 16, "ndf": 16, "batch_size": 32, "lr_g": 4e-4, "lr_d": 8e-4, "ema_halflife_images": 20000}

    def build(self, options: CSNGANOptions, spec: Spec) -> CSNGANModel:
        return CSNGANModel(options, spec)
