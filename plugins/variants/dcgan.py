"""Radford, Metz & Chintala 2016: a deep convolutional GAN."""

from __future__ import annotations

from dataclasses import dataclass

from gankit.adversarial import AdversarialModel, AdversarialOptions
from gankit.losses import bce_fake, bce_real, generator_loss
from gankit.model import Batch, Carry, Noise, Spec, Terms, Variant
from gankit.options import option


@dataclass(frozen=True)
class DCGANOptions(AdversarialOptions):
    """Defaults as published: Adam 2e-4, betas 0.5 and 0.999, N(0, 0.02) weights (section 4)."""

    loss: str = option(
        "non-saturating",
        "the generator's loss: -log D(G(z)), or log(1 - D(G(z))) to study its vanishing gradients",
        choices=("non-saturating", "saturating"),
        group="Loss",
    )
    label_smoothing: float = option(0.0, "real images' target is 1 minus this", low=0, high=0.5, group="Loss")


class DCGANModel(AdversarialModel):
    """Goodfellow et al. 2014, algorithm 1, on the discriminator's logits."""

    options: DCGANOptions

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if phase == "discriminator":
            fake = self.fakes(noise, keep_graph=self.shares_fake)
            on_real, on_fake = self.judge(
                self.noisy(batch.images, noise, "instance_real"), self.noisy(fake.detach(), noise, "instance_fake")
            )
            return Terms(
                losses={"real": bce_real(on_real, self.options.label_smoothing), "fake": bce_fake(on_fake)},
                watch={"D(x)": on_real.sigmoid().mean(), "D(G(z))": on_fake.sigmoid().mean()},
                carry={"fake": fake} if self.shares_fake else {},
            )
        fake = carry["fake"] if self.shares_fake else self.generate(noise)
        (on_fake,) = self.judge(self.noisy(fake, noise, "instance_fake"))
        return Terms(
            losses={"adversarial": generator_loss(on_fake, self.options.loss)},
            watch={"D(G(z))": on_fake.sigmoid().mean()},
        )


class DCGAN(Variant):
    """Two networks, one logit, one update each."""

    name = "dcgan"
    summary = "deep convolutional GAN with the non-saturating loss"
    paper = "Radford, Metz & Chintala 2016, arXiv:1511.06434"
    Options = DCGANOptions
    defaults = {"batch_size": 64}

    def build(self, options: DCGANOptions, spec: Spec) -> DCGANModel:
        return DCGANModel(options, spec)
