"""Miyato & Koyama 2018, "cGANs with projection discriminator"."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import ConditionalModel, ConditionalOptions, Spec, Variant
from gankit.models import AVERAGED
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
    tuned = AVERAGED

    def build(self, options: CSNGANOptions, spec: Spec) -> CSNGANModel:
        return CSNGANModel(options, spec)
