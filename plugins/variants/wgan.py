"""Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gankit import AdversarialModel, AdversarialOptions, Batch, Spec, Terms, Variant, option
from gankit.models import AVERAGED, Carry, Noise


@dataclass(frozen=True)
class WGANOptions(AdversarialOptions):
    """Defaults as published: RMSprop 5e-5, clip 0.01, 5 critic updates, batches of 64; the warm-up is the code's."""

    clip: float = option(0.01, "largest size of a critic weight", above=0, high=1e3, group="Loss")
    warmup: int = option(
        100, "critic updates in each of the first --warmup-steps steps and in every 500th; 0: as in all others",
        low=0, high=10_000, group="Optimizers",
    )  # fmt: skip
    warmup_steps: int = option(25, "steps at the start with --warmup critic updates", low=0, group="Optimizers")
    optimizer: str = "rmsprop"
    lr_g: float = 5e-5
    lr_d: float = 5e-5
    n_critic: int = 5


WARMUP_EVERY = 500


def critic_updates(options: WGANOptions, step: int) -> int:
    """Critic updates in ``step`` (0-based), as in the published main.py: many where the critic may lag behind."""
    lags = step < options.warmup_steps or step % WARMUP_EVERY == 0
    return options.warmup if options.warmup and lags else options.n_critic


class WassersteinModel(AdversarialModel):
    """A critic without a sigmoid, and the difference of its means; what holds it Lipschitz is a subclass's to say. Its
    fakes are never the generator's own, so no graph is kept.
    """

    critic_name = "critic"

    def __init__(self, options: AdversarialOptions, spec: Spec) -> None:
        super().__init__(options, spec)
        self.shares_fake = False

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if phase == "critic":
            return self.critic_terms(noise, *self.shown(noise, real=batch.images, fake=self.fakes(noise)))
        (on_fake,) = self.score(noise, fake=self.generate(noise))
        return Terms(losses={"adversarial": -on_fake.mean()}, watch={"D(G(z))": on_fake.mean()})

    def critic_terms(self, noise: Noise, real: Tensor, fake: Tensor) -> Terms:
        """Equation 2, which the critic maximises; real, fake: [n,C,H,W], as the critic is ``shown`` them."""
        on_real, on_fake = self.score(noise, shown_real=real, shown_fake=fake)
        return Terms(
            losses={"real": -on_real.mean(), "fake": on_fake.mean()},
            watch={"D(x)": on_real.mean(), "D(G(z))": on_fake.mean()},
        )


class WGANModel(WassersteinModel):
    """A critic held Lipschitz by the size of its weights."""

    advice = {**WassersteinModel.advice, "vanishing gradient in the first layer": "raise --clip"}

    options: WGANOptions

    def __init__(self, options: WGANOptions, spec: Spec) -> None:
        super().__init__(options, spec)
        critic, *rest = self.phases
        self.phases = (replace(critic, repeat=lambda step: critic_updates(options, step)), *rest)

    @torch.no_grad()
    def after(self, phase: str) -> None:
        if phase == self.critic_name:
            for weight in self.discriminator.parameters():
                weight.clamp_(-self.options.clip, self.options.clip)


class WGAN(Variant):
    """A critic that estimates the earth mover's distance between real and generated images."""

    paper = "Arjovsky, Chintala & Bottou 2017, arXiv:1701.07875"
    Options = WGANOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: WGANOptions, spec: Spec) -> WGANModel:
        return WGANModel(options, spec)
