"""Huang, Gokaslan, Kuleshov & Tompkin 2024, "The GAN is dead; long live the GAN! A modern baseline GAN"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from gankit import AdversarialModel, AdversarialOptions, Batch, Spec, Terms, Variant, option
from gankit.core.progress import warn
from gankit.kernels import norm_penalty
from gankit.models import AVERAGED, Carry, Noise


@dataclass(frozen=True)
class R3GANOptions(AdversarialOptions):
    """Networks without norm, Adam 2e-4 (0, .99). The authors let gamma fall to a tenth, from .05 (CIFAR-10) to 2
    (FFHQ-64), the rate to 5e-5, and beta2 rise from .9; here they are constant.
    """

    gamma: float = option(
        1.0, "weight gamma of the penalties: half of it times the squared slope, at real and at fake images",
        low=0, high=1e6, group="Loss",
    )  # fmt: skip
    arch: str = "r3gan"
    generator_norm: str = "none"
    discriminator_norm: str = "none"
    beta1: float = 0.0
    beta2: float = 0.99


class R3GANModel(AdversarialModel):
    """The relativistic pairing loss (equation 2, f(t) = -log(1 + exp(-t))) with R1 and R2 (equations 3 and 4)."""

    advice = {
        **AdversarialModel.advice,
        "gradient norm over 100": "raise --gamma, lower --lr-d",
        "low sample diversity": "raise --gamma, lower --lr-g",
    }

    options: R3GANOptions

    def __init__(self, options: R3GANOptions, spec: Spec) -> None:
        super().__init__(options, spec)
        critic, generator = self.phases
        # G is told how its fakes do beside real images: those that D has just seen, where it has the same fakes.
        self.phases = (critic, replace(generator, data=not self.shares_fake))

    def scored(self, phase: str) -> tuple[str, ...]:
        return ("real", "fake")

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if phase == self.critic_name:
            fake = self.fakes(noise)
            kept = {"real": batch.images, **self.kept(fake)} if self.shares_fake else {}
            return replace(self.critic_terms(noise, batch.images, fake.detach()), carry=kept)
        real = carry["real"] if self.shares_fake else batch.images
        on_real, on_fake = self.score(noise, real=real, fake=self.made(noise, carry))
        return Terms(losses={"adversarial": paired(on_fake, on_real)}, watch=watched(on_real, on_fake))

    def critic_terms(self, noise: Noise, real: Tensor, fake: Tensor) -> Terms:
        """real, fake: [n,C,H,W]. The penalties are on the slopes at what D is shown of them, in the scores' pass."""
        shown = [image.detach().requires_grad_() for image in self.shown(noise, real=real, fake=fake)]
        on_real, on_fake = self.score(noise, shown_real=shown[0], shown_fake=shown[1])
        r1, r2, steep = self.penalties(on_real, on_fake, shown)
        return Terms(
            losses={"adversarial": paired(on_real, on_fake), "R1": r1, "R2": r2},
            watch={**watched(on_real, on_fake), **steep},
        )

    def penalties(
        self, on_real: Tensor, on_fake: Tensor, shown: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Half of gamma times the mean squared norm of D's slope at real and at fake images, and the mean norms."""
        slopes = torch.autograd.grad(on_real.sum() + on_fake.sum(), shown, create_graph=True)
        (r1, at_real), (r2, at_fake) = (norm_penalty(slope, 0.0) for slope in slopes)
        half = self.options.gamma / 2
        return half * r1, half * r2, {"slope real": at_real.mean(), "slope fake": at_fake.mean()}


def paired(high: Tensor, low: Tensor) -> Tensor:
    """log(1 + exp(low - high)), the mean over pairs of scores [n], each of one real image and one fake: what makes
    ``high`` the higher. Jolicoeur-Martineau 2019, arXiv:1807.00734, section 4.1.
    """
    return F.softplus(low - high).mean()


def watched(on_real: Tensor, on_fake: Tensor) -> dict[str, Tensor]:
    """The mean scores."""
    return {"D(x)": on_real.mean(), "D(G(z))": on_fake.mean()}


def decided(options: R3GANOptions) -> R3GANOptions:
    """``options``; warns of batch norm."""
    if options.discriminator_norm == "batch":
        warn(
            "--discriminator-norm batch: the penalties hold each sample's own slope down, but batch norm ties a "
            "sample's score to its batch, so the measured slope is not the discriminator's; use none, layer or instance"
        )
    return options


class R3GAN(Variant):
    """Fakes are to score as real images do, one beside the other, and D's slope is held to 0 at both."""

    paper = "Huang, Gokaslan, Kuleshov & Tompkin 2024, arXiv:2501.05441"
    Options = R3GANOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: R3GANOptions, spec: Spec) -> R3GANModel:
        return R3GANModel(decided(options), spec)
