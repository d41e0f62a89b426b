"""Chen et al. 2016, "InfoGAN: interpretable representation learning by information maximizing GANs"."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gankit import AdversarialModel, AdversarialOptions, Batch, RandomStream, Spec, Terms, Variant, option
from gankit.models import (
    AVERAGED,
    Carry,
    Conditional,
    Noise,
    bce_fake,
    bce_real,
    flat,
    generator_loss,
    initialise,
    needs_bias,
    norm,
    shares,
)


@dataclass(frozen=True)
class InfoGANOptions(AdversarialOptions):
    """Defaults as in the paper (equation 6, appendix C): G and Q move together, Q gives mean and deviation of a
    continuous code; 62 noise variables, rates 2e-4 for D and 1e-3 for G and Q. Section 6 asks for a smaller weight of
    continuous codes; 0.1 is ours.

    The authors' code (openai/InfoGAN) is --q-with discriminator --code-deviation 1 --lambda-con 1.
    """

    categories: int = option(10, "values of the categorical code", low=2, high=10_000, group="Codes")
    continuous: int = option(2, "continuous codes, uniform in [-1, 1]", low=1, high=1000, group="Codes")
    lambda_cat: float = option(1.0, "weight of the categorical code's term", low=0, high=1e6, group="Loss")
    lambda_con: float = option(0.1, "weight of the continuous codes' term", low=0, high=1e6, group="Loss")
    q_trunk: bool = option(
        False, "let the codes' terms train the trunk that Q shares with D too, in D's phase", group="Loss"
    )
    q_with: str = option(
        "generator", "with whom Q moves: with G, as in the paper's formula; or with D at its rate, as in the authors' "
        "code, where the codes' terms are in both phases and train Q and the trunk in D's",
        choices=("generator", "discriminator"), group="Loss", later=True,
    )  # fmt: skip
    code_deviation: float | None = option(
        None, "standard deviation of a continuous code under Q; unset: Q's to say, as in the paper; its authors' code "
        "has 1", above=0, high=1e3, group="Codes", later=True,
    )  # fmt: skip
    label_smoothing: float = option(0.0, "real images' target is 1 minus this", low=0, high=0.5, group="Loss")
    nz: int = 62
    lr_g: float = 1e-3


class QHead(nn.Module):
    """Features of D's trunk [n, F] -> logits [n, categories], means and log variances [n, continuous] of the codes.

    With --code-deviation the log variances are its, and no outputs of the network.
    """

    def __init__(self, features: int, options: InfoGANOptions) -> None:
        super().__init__()
        width, kind = 2 * options.ndf, flat(options.discriminator_norm)
        self.hidden = nn.Sequential(
            nn.Linear(features, width, bias=needs_bias(kind, options.bias)),
            norm(kind, width),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.deviation = options.code_deviation
        self.parts = [options.categories] + [options.continuous] * (2 if self.deviation is None else 1)
        self.codes = nn.Linear(width, sum(self.parts), bias=needs_bias("none", options.bias))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, mean, *rest = self.codes(self.hidden(features)).split(self.parts, 1)
        if self.deviation is None:
            return logits, mean, rest[0]
        return logits, mean, torch.full_like(mean, 2 * math.log(self.deviation))


def gaussian_nll(code: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log N(code; mean, exp(log_variance)) of codes [n, k], summed over k and averaged over n."""
    squared = (code - mean).square() * torch.exp(-log_variance)
    return 0.5 * (math.log(2 * math.pi) + log_variance + squared).sum(1).mean()


class InfoGANModel(AdversarialModel, Conditional):
    """Equation 6: G and Q minimise V(D, G) - lambda * L_I, D maximises V. Up to the codes' constant entropy, L_I is the
    log likelihood of the codes under Q (equation 5), and Q shares D's trunk. In the authors' code D and Q maximise
    V + lambda * L_I, and G minimises V - lambda * L_I: --q-with discriminator.
    """

    options: InfoGANOptions

    def __init__(self, options: InfoGANOptions, spec: Spec) -> None:
        super().__init__(options, spec)
        self.q = QHead(self.discriminator.features, options)
        initialise(self.q, options.init)
        self.conditions = {"category": options.categories} | {f"continuous{i}": 0 for i in range(options.continuous)}
        self.with_d = options.q_with == "discriminator"
        self.phases = tuple(
            replace(phase, networks=(*phase.networks, "q")) if phase.name == options.q_with else phase
            for phase in self.phases
        )

    def inputs(self) -> int:
        return self.options.nz + self.options.categories + self.options.continuous

    def latents(self, noise: Noise) -> Tensor:
        categories = shares(noise["category"], self.options.categories, noise["z"].dtype)
        return torch.cat([noise["z"], categories, noise["code"]], 1)

    def with_condition(self, noise: Noise, name: str, values: Tensor) -> Noise:
        if name == "category":
            return {**noise, "category": values}
        code = noise["code"].clone()
        code[:, int(name.removeprefix("continuous"))] = values
        return {**noise, "code": code}

    def noise(self, phase: str, n: int, draws: RandomStream) -> Noise:
        noise = super().noise(phase, n, draws)
        if "z" in noise:
            noise["category"] = draws.integers(self.options.categories, n)
            noise["code"] = 2 * draws.uniform(n, self.options.continuous) - 1
        return noise

    def information(self, features: Tensor, codes: Noise) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(losses, watch) of how well Q reads the ``codes`` that images with these trunk ``features`` were made of."""
        logits, mean, log_variance = self.q(features)
        category = F.cross_entropy(logits, codes["category"])
        continuous = gaussian_nll(codes["code"], mean, log_variance)
        losses = {"category": self.options.lambda_cat * category, "code": self.options.lambda_con * continuous}
        # L_I of the categorical code, in nats, of at most log(categories).
        return losses, {"information": math.log(self.options.categories) - category}

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if phase == "discriminator":
            return self.discriminator_terms(batch, noise)
        made = carry if self.shares_fake else {**noise, "fake": self.generate(noise)}
        (seen,) = self.shown(noise, fake=made["fake"])
        features = self.discriminator.trunk(seen)
        on_fake = self.discriminator.head(features).squeeze(1).to(seen.dtype)
        losses, watch = self.information(features, made)
        return Terms(
            losses={"adversarial": generator_loss(on_fake, "non-saturating"), **losses},
            watch={"D(G(z))": on_fake.sigmoid().mean(), **watch},
        )

    def discriminator_terms(self, batch: Batch, noise: Noise) -> Terms:
        """Goodfellow et al. 2014, eq. 1; where the options say so, the codes' terms for the trunk, or for
        Q and the trunk.
        """
        losses: dict[str, Tensor] = {}
        if self.options.q_trunk or self.with_d:
            fake = self.fakes(noise)
            (seen,) = self.shown(noise, fake=fake.detach())
            features = self.discriminator.trunk(seen)
            (on_real,), on_fake = self.score(noise, real=batch.images), self.discriminator.head(features).squeeze(1)
            losses, on_fake = self.information(features, noise)[0], on_fake.to(seen.dtype)
            kept = self.kept(fake)
        else:
            on_real, on_fake, kept = self.compare(batch, noise)
        return Terms(
            losses={"real": bce_real(on_real, self.options.label_smoothing), "fake": bce_fake(on_fake), **losses},
            watch={"D(x)": on_real.sigmoid().mean(), "D(G(z))": on_fake.sigmoid().mean()},
            carry={**kept, "category": noise["category"], "code": noise["code"]} if kept else {},
        )


class InfoGAN(Variant):
    """A GAN whose codes can be read off the images again, and so come to mean something."""

    paper = "Chen et al. 2016, arXiv:1606.03657"
    Options = InfoGANOptions
    defaults = {"batch_size": 128}
    tuned = AVERAGED

    def build(self, options: InfoGANOptions, spec: Spec) -> InfoGANModel:
        return InfoGANModel(options, spec)
