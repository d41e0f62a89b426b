"""Goodfellow et al. 2014, "Generative adversarial nets", algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import AdversarialModel, AdversarialOptions, Batch, Spec, Terms, Variant, option
from gankit.models import AVERAGED, Carry, Noise, bce_fake, bce_real, generator_loss


@dataclass(frozen=True)
class GANOptions(AdversarialOptions):
    """Fully connected networks, as the paper's; widths, norms and Adam are those of the tutorials that repeat it."""

    loss: str = option(
        "non-saturating",
        "the generator's loss: -log D(G(z)), or log(1 - D(G(z))) to study its vanishing gradients",
        choices=("non-saturating", "saturating"),
        group="Loss",
    )
    label_smoothing: float = option(0.0, "real images' target is 1 minus this", low=0, high=0.5, group="Loss")
    arch: str = "mlp"
    discriminator_norm: str = "none"


class GANModel(AdversarialModel):
    """Equation 1, on the discriminator's logits."""

    options: GANOptions
    advice = {
        **AdversarialModel.advice,
        "discriminator loss at zero": "lower --lr-d or --n-critic, --instance-noise 0.1, --label-smoothing 0.1",
        "vanishing gradient in the first layer": "--loss non-saturating, lower --lr-d",
    }

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if phase == "discriminator":
            on_real, on_fake, kept = self.compare(batch, noise)
            return Terms(
                losses={"real": bce_real(on_real, self.options.label_smoothing), "fake": bce_fake(on_fake)},
                watch={"D(x)": on_real.sigmoid().mean(), "D(G(z))": on_fake.sigmoid().mean()},
                carry=kept,
            )
        (on_fake,) = self.score(noise, fake=self.made(noise, carry))
        return Terms(
            losses={"adversarial": generator_loss(on_fake, self.options.loss)},
            watch={"D(G(z))": on_fake.sigmoid().mean()},
        )


class GAN(Variant):
    """A generator and a discriminator that play against each other."""

    paper = "Goodfellow et al. 2014, arXiv:1406.2661"
    Options = GANOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: GANOptions, spec: Spec) -> GANModel:
        return GANModel(options, spec)
