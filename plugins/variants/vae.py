"""Kingma & Welling 2014, "Auto-encoding variational Bayes"."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from gankit import Batch, RandomStream, Spec, Terms, UsageError, Variant, option
from gankit.cpu import ChannelsLast
from gankit.models import (
    Autoencoder,
    AutoencoderOptions,
    Carry,
    Noise,
    convolutions,
    needs_bias,
    shown,
    strides,
    transposed,
)


@dataclass(frozen=True)
class VAEOptions(AutoencoderOptions):
    """Adam 1e-3 with PyTorch's betas, 128 latents."""

    nz: int = option(128, "width of the latent z", low=1, high=65536, group="Networks")
    likelihood: str = option(
        "gaussian", "p(x|z) of a pixel: Gaussian about the decoder's output, or Bernoulli on the [0, 1] scale",
        choices=("gaussian", "bernoulli"), group="Loss", later=True,
    )  # fmt: skip
    variance: float | None = option(
        None, "sigma^2 of the pixels given z, on the [-1, 1] scale; unset: the data's variance", above=0, group="Loss"
    )


class Encoder(nn.Module):
    """q(z|x): images [n,C,H,W] -> mean and log variance [n, nz]."""

    def __init__(self, options: VAEOptions, spec: Spec) -> None:
        super().__init__()
        top = 8 * options.width
        widths = [options.width, 2 * options.width, 4 * options.width, top]
        self.trunk = convolutions(spec.channels, widths, spec.sides, options.bias)
        self.order = ChannelsLast()
        features = top * math.prod(strides(spec.sides)[0])
        bias = needs_bias("none", options.bias)
        self.mean = nn.Linear(features, options.nz, bias=bias)
        self.log_variance = nn.Linear(features, options.nz, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.order(self.trunk(x)).flatten(1)
        return self.mean(h), self.log_variance(h)


class Decoder(nn.Module):
    """The mean of p(x|z): latents [n, nz] -> images [n,C,H,W] in [-1, 1], the tanh of what comes out of its layers, or
    of half of it where that is the logits of a Bernoulli.
    """

    def __init__(self, options: VAEOptions, spec: Spec) -> None:
        super().__init__()
        self.base, self.top = strides(spec.sides)[0], 8 * options.width
        self.project = nn.Linear(options.nz, self.top * math.prod(self.base), bias=needs_bias("none", options.bias))
        self.image = transposed(self.top, spec.channels, spec.sides, options.bias)
        self.bernoulli = options.likelihood == "bernoulli"

    def logits(self, z: Tensor) -> Tensor:
        """[n, nz] -> [n,C,H,W], unbounded."""
        made: Tensor = self.image(self.project(z).unflatten(1, (self.top, *self.base)))
        return made

    def forward(self, z: Tensor) -> Tensor:
        made = self.logits(z)
        return shown(made) if self.bernoulli else F.tanh(made)


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of [n, nz], summed over nz and averaged over n; appendix B."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


class VAEModel(Autoencoder):
    """Minus the bound of equation 10 with one sample per image; with the Gaussian up to its constant. The Bernoulli of
    appendix C.1 is the paper's for images; a pixel between black and white has the cross-entropy of its value.
    """

    options: VAEOptions
    ema_networks = ("encoder", "decoder")

    def __init__(self, options: VAEOptions, spec: Spec) -> None:
        super().__init__(options, spec)
        self.variance, self.bernoulli = options.variance or spec.variance, options.likelihood == "bernoulli"
        if self.bernoulli and options.variance is not None:
            raise UsageError("--variance is the Gaussian's; leave it out, or pass --likelihood gaussian")
        if not self.bernoulli and not self.variance > 0:
            raise UsageError("vae: the images are all the same, so their variance is 0; give --variance")
        self.encoder, self.decoder = Encoder(options, spec), Decoder(options, spec)

    def noise(self, phase: str, n: int, draws: RandomStream) -> Noise:
        return {"z" if phase == "sample" else "epsilon": draws.normal(n, self.options.nz)}

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [n, nz] of q(z|x), in the type of the images, which autocast would make narrower."""
        mean, log_variance = self.encoder(images)
        return mean.to(images.dtype), log_variance.to(images.dtype)

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        mean, log_variance = self.posterior(batch.images)
        z = mean + (0.5 * log_variance).exp() * noise["epsilon"]
        if self.bernoulli:
            logits = self.decoder.logits(z).to(z.dtype)
            squared = (batch.images - shown(logits)).square()
            each = F.binary_cross_entropy_with_logits(logits, (batch.images + 1) / 2, reduction="none")
            reconstruction = each.flatten(1).sum(1).mean()
        else:
            squared = (batch.images - self.decode(z)).square()
            reconstruction = squared.flatten(1).sum(1).mean() / (2 * self.variance)
        return Terms(
            losses={"reconstruction": reconstruction, "kl": kl(mean, log_variance)},
            watch={"squared error": squared.mean()},
        )

    def encode(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        """The mean of q(z|x) [n, nz]; with "epsilon" in ``noise`` a sample of it."""
        mean, log_variance = self.posterior(images)
        return mean if noise is None else mean + (0.5 * log_variance).exp() * noise["epsilon"]

    def decode(self, latents: Tensor) -> Tensor:
        images: Tensor = self.decoder(latents)
        return images.to(latents.dtype)

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        return self.decode(noise["z"])


class VAE(Variant):
    """An encoder and a decoder, trained on a bound of the images' likelihood."""

    paper = "Kingma & Welling 2014, arXiv:1312.6114"
    Options = VAEOptions
    defaults = {"batch_size": 100}

    def build(self, options: VAEOptions, spec: Spec) -> VAEModel:
        return VAEModel(options, spec)
