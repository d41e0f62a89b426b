"""Gulrajani et al. 2017, "Improved training of Wasserstein GANs", algorithm 1."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import torch

from gankit.adversarial import AdversarialModel, AdversarialOptions
from gankit.kernels import interpolate, norm_penalty
from gankit.keys import Draws
from gankit.model import Batch, Carry, Noise, Spec, Terms, Variant
from gankit.options import option


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


class WGANGPModel(AdversarialModel):
    """A critic held to slope 1 between real and fake; its fakes are never the generator's own, so no graph is kept."""

    options: WGANGPOptions
    critic_name = "critic"

    def __init__(self, options: WGANGPOptions, spec: Spec) -> None:
        super().__init__(options, spec)
        self.shares_fake = False

    def noise(self, phase: str, n: int, draws: Draws) -> Noise:
        noise = super().noise(phase, n, draws)
        if phase == "critic":
            noise["t"] = draws.uniform(n)
        return noise

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if phase == "generator":
            (on_fake,) = self.judge(self.noisy(self.generate(noise), noise, "instance_fake"))
            return Terms(losses={"adversarial": -on_fake.mean()}, watch={"D(G(z))": on_fake.mean()})
        real = self.noisy(batch.images, noise, "instance_real")
        fake = self.noisy(self.fakes(noise, keep_graph=False), noise, "instance_fake")
        on_real, on_fake = self.judge(real, fake)
        between = interpolate(real, fake, noise["t"]).requires_grad_()
        (on_between,) = self.judge(between)
        (slope,) = torch.autograd.grad(on_between.sum(), between, create_graph=True)
        penalty, norms = norm_penalty(slope, one_sided=self.options.one_sided)
        return Terms(
            losses={"real": -on_real.mean(), "fake": on_fake.mean(), "penalty": self.options.gp_weight * penalty},
            watch={"D(x)": on_real.mean(), "D(G(z))": on_fake.mean(), "slope": norms.mean()},
        )


class WGANGP(Variant):
    """A Wasserstein GAN whose critic is kept Lipschitz by a penalty on its slope."""

    name = "wgan-gp"
    summary = "Wasserstein GAN with gradient penalty"
    paper = "Gulrajani et al. 2017, arXiv:1704.00028"
    Options = WGANGPOptions
    defaults = {"batch_size": 64}

    def build(self, options: WGANGPOptions, spec: Spec) -> WGANGPModel:
        if options.discriminator_norm == "batch":
            warnings.warn(
                "--critic-norm batch: the penalty holds each sample's own slope to 1, but batch norm ties a sample's "
                "score to its batch, so the measured slope is not the critic's; use layer, instance or none",
                stacklevel=2,
            )
        beta1 = (0.0 if spec.size >= 48 else 0.5) if options.beta1 is None else options.beta1
        return WGANGPModel(replace(options, beta1=beta1), spec)
