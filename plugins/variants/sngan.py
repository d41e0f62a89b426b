"""Miyato et al. 2018, "Spectral normalization for generative adversarial networks"."""

from __future__ import annotations

from dataclasses import dataclass

from gankit import AdversarialModel, AdversarialOptions, Batch, Spec, Terms, Variant
from gankit.models import AVERAGED, Carry, Noise, hinge_fake, hinge_real


@dataclass(frozen=True)
class SNGANOptions(AdversarialOptions):
    """Adam 2e-4 (.5, .999) with one discriminator update: setting C of the paper's table 1."""

    discriminator_norm: str = "spectral"


class SNGANModel(AdversarialModel):
    """The hinge loss, equations 16 and 17. Real images and fakes pass D together, so the power iteration of spectral
    norm (algorithm 1) takes one step an update, of D's and of G's.
    """

    options: SNGANOptions

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if phase == self.critic_name:
            on_real, on_fake, kept = self.compare(batch, noise)
            return Terms(
                losses={"real": hinge_real(on_real), "fake": hinge_fake(on_fake)},
                watch={"D(x)": on_real.mean(), "D(G(z))": on_fake.mean()},
                carry=kept,
            )
        (on_fake,) = self.score(noise, fake=self.made(noise, carry))
        return Terms(losses={"adversarial": -on_fake.mean()}, watch={"D(G(z))": on_fake.mean()})


class SNGAN(Variant):
    """A discriminator whose every layer is divided by its largest singular value."""

    paper = "Miyato, Kataoka, Koyama & Yoshida 2018, arXiv:1802.05957"
    Options = SNGANOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: SNGANOptions, spec: Spec) -> SNGANModel:
        return SNGANModel(options, spec)
