"""Gulrajani et al. 2017, "Improved training of Wasserstein GANs", algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gankit import AdversarialOptions, RandomStream, Spec, Terms, Variant, option
from gankit.core.progress import warn
from gankit.kernels import interpolate, norm_penalty
from gankit.models import AVERAGED, Noise
from gankit.plugins.variants.wgan import WassersteinModel


@dataclass(frozen=True)
class WGANGPOptions(AdversarialOptions):
    """Defaults as published: lambda 10, 5 critic updates, Adam 1e-4; beta1 0 at 48 pixels and more, else 0.5."""

    gp_weight: float = option(10.0, "weight lambda of the gradient penalty", low=0, high=1e6, group="Loss")
    one_sided: bool = option(False, "punish only slopes above 1", group="Loss")
    discriminator_norm: str = "layer"
    lr_g: float = 1e-4
    lr_d: float = 1e-4
    beta1: float | None = option(
        None, "Adam's decay of the mean gradient; unset: 0 from 48 pixels up, else 0.5",
        low=0, high=0.9999, group="Optimizers",
    )  # type: ignore[assignment]  # fmt: skip
    beta2: float = 0.9
    n_critic: int = 5


class WGANGPModel(WassersteinModel):
    """A critic held to slope 1 between real and fake."""

    advice = {
        **WassersteinModel.advice,
        "gradient norm over 100": "--critic-norm layer, --gp-weight 10",
        "critic slope far from 1": "lower --lr-d, raise --n-critic, --gp-weight 10, no --critic-norm batch",
    }

    options: WGANGPOptions

    def noise(self, phase: str, n: int, draws: RandomStream) -> Noise:
        noise = super().noise(phase, n, draws)
        if phase == "critic":
            noise["t"] = draws.uniform(n)
        return noise

    def critic_terms(self, noise: Noise, real: Tensor, fake: Tensor) -> Terms:
        """Equation 3: one point for each pair, on the line between what the critic is shown of the two."""
        plain = super().critic_terms(noise, real, fake)
        between = interpolate(real, fake, noise["t"]).requires_grad_()
        (on_between,) = self.score(noise, between=between)
        (slope,) = torch.autograd.grad(on_between.sum(), between, create_graph=True)
        penalty, norms = norm_penalty(slope, one_sided=self.options.one_sided)
        return Terms(
            losses={**plain.losses, "penalty": self.options.gp_weight * penalty},
            watch={**plain.watch, "slope": norms.mean()},
        )


def decided(options: WGANGPOptions, spec: Spec) -> WGANGPOptions:
    """``options`` with the published beta1 for images of ``spec`` where none was given; warns of batch norm."""
    if options.discriminator_norm == "batch":
        warn(
            "--critic-norm batch: the penalty holds each sample's own slope to 1, but batch norm ties a sample's "
            "score to its batch, so the measured slope is not the critic's; use layer, instance or none"
        )
    beta1 = (0.0 if min(spec.sides) >= 48 else 0.5) if options.beta1 is None else options.beta1
    return replace(options, beta1=beta1)


class WGANGP(Variant):
    """A Wasserstein GAN whose critic is kept Lipschitz by a penalty on its slope."""

    paper = "Gulrajani et al. 2017, arXiv:1704.00028"
    Options = WGANGPOptions
    defaults = {"batch_size": 64}
    tuned = AVERAGED

    def build(self, options: WGANGPOptions, spec: Spec) -> WGANGPModel:
        return WGANGPModel(decided(options, spec), spec)
