"""Mao et al. 2017, "Least squares generative adversarial networks"."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import AdversarialModel, AdversarialOptions, Batch, Spec, Terms, Variant, option
from gankit.models import AVERAGED, Carry, Noise, least_squares


@dataclass(frozen=True)
class LSGANOptions(AdversarialOptions):
    """The networks and Adam of DCGAN; targets of the paper's 0-1 coding: a = 0 for fakes, b = c = 1."""

    label_smoothing: float = option(0.0, "real images' target is 1 minus this", low=0, high=0.5, group="Loss")


class LSGANModel(AdversarialModel):
    """Equation 9: half the squared distance of the scores, which are not squashed, from their targets."""

    options: LSGANOptions

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if phase == "discriminator":
            on_real, on_fake, kept = self.compare(batch, noise)
            return Terms(
                losses={
                    "real": 0.5 * least_squares(on_real, 1 - self.options.label_smoothing),
                    "fake": 0.5 * least_squares(on_fake, 0),
                },
                watch={"D(x)": on_real.mean(), "D(G(z))": on_fake.mean()},
                carry=kept,
            )
        (on_fake,) = self.score(noise, fake=self.made(noise, carry))
        return Terms(losses={"adversarial": 0.5 * least_squares(on_fake, 1)}, watch={"D(G(z))": on_fake.mean()})


class LSGAN(Variant):
    """Squared errors in place of the cross-entropy: a fake that is judged real, but far from it, still has a slope."""

    paper = "Mao et al. 2017, arXiv:1611.04076"
    Options = LSGANOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: LSGANOptions, spec: Spec) -> LSGANModel:
        return LSGANModel(options, spec)
