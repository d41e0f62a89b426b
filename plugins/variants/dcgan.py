"""Radford, Metz & Chintala 2016: a deep convolutional GAN."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import Spec, Variant
from gankit.plugins.variants.gan import GANModel, GANOptions


@dataclass(frozen=True)
class DCGANOptions(GANOptions):
    """Defaults as published: Adam 2e-4, betas 0.5 and 0.999, N(0, 0.02) weights (section 4)."""

    arch: str = "dcgan"
    discriminator_norm: str = "batch"


class DCGAN(Variant):
    """The first GAN's terms, with networks that are easy to train."""

    paper = "Radford, Metz & Chintala 2016, arXiv:1511.06434"
    Options = DCGANOptions
    defaults = {"batch_size": 64}
    tuned = {"ngf": 16, "ndf": 16, "batch_size": 32, "lr_g": 5e-4, "lr_d": 5e-4, "ema_halflife_images": 20000}

    def build(self, options: DCGANOptions, spec: Spec) -> GANModel:
        return GANModel(options, spec)
