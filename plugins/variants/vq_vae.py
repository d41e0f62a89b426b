"""van den Oord, Vinyals & Kavukcuoglu 2017, "Neural discrete representation learning"."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gankit import Batch, RandomStream, Spec, Terms, UsageError, Variant, option
from gankit.models import (
    Autoencoder,
    AutoencoderOptions,
    Carry,
    Noise,
    Quantised,
    convolutions,
    pairs,
    shown,
    strides,
    transposed,
)


@dataclass(frozen=True)
class VQVAEOptions(AutoencoderOptions):
    """beta 0.25 as published (section 3.2), Adam 2e-3, 8 groups of 16 channels in each cell."""

    codes: int = option(128, "entries K of the codebook", low=2, high=65536, group="Networks")
    groups: int = option(8, "codes in each cell of the feature maps", low=1, high=1024, group="Networks")
    code_width: int = option(16, "width of a code", low=1, high=4096, group="Networks")
    beta: float = option(0.25, "weight of the commitment term", low=0, high=1e6, group="Loss")
    loss: str = option(
        "bce", "reconstruction: cross-entropy of the pixels on the [0, 1] scale, or squared error over their variance",
        choices=("bce", "mse"), group="Loss",
    )  # fmt: skip
    lr: float = 2e-3


class Quantiser(nn.Module):
    """One codebook [K, d] for all groups and cells, as in the paper: a code that one group has no use for still serves
    the others, so that fewer die. Codes start as N(0, 1), where the encoder's last batch norm puts the features.
    """

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codes, width))

    @torch.no_grad()
    def nearest(self, features: Tensor) -> Tensor:
        """features: [m, d]. Returns the index of the nearest code, int64 [m]; section 3.1."""
        with torch.autocast(features.device.type, enabled=False):  # bfloat16 is too coarse to compare distances in
            codebook = self.codebook
            return (codebook.square().sum(1) - 2 * features.to(codebook.dtype) @ codebook.T).argmin(1)

    def perplexity(self, index: Tensor) -> Tensor:
        """exp(entropy) of how often each code is used in ``index`` [m]: from 1 to K; what is missing to K is dead."""
        ones = torch.ones_like(index, dtype=self.codebook.dtype)
        counts = torch.zeros_like(self.codebook[:, 0]).scatter_add(0, index, ones)
        entropy: Tensor = torch.special.entr(counts / len(index)).sum()
        return entropy.exp()


class VQVAEModel(Autoencoder, Quantised):
    """Section 3.2's loss with each term a mean, as in the published code."""

    options: VQVAEOptions
    ema_networks = ("encoder", "quantiser", "decoder")
    reads_images = True

    def __init__(self, options: VQVAEOptions, spec: Spec) -> None:
        super().__init__(options, spec)
        if options.loss == "mse" and not spec.variance > 0:
            raise UsageError("vq-vae: the images are all the same, so their variance is 0; choose --loss bce")
        self.base, width = strides(spec.sides)[0], options.width
        top = options.groups * options.code_width
        trunk = convolutions(spec.channels, [width, 2 * width, 4 * width, top], spec.sides, options.bias)
        self.encoder = trunk[:-1]  # a code may be negative: no LeakyReLU at the end
        self.quantiser = Quantiser(options.codes, options.code_width)
        self.decoder = transposed(top, spec.channels, spec.sides, options.bias)

    @property
    def codebook(self) -> Tensor:
        return self.quantiser.codebook

    def noise(self, phase: str, n: int, draws: RandomStream) -> Noise:
        return {}

    def features(self, images: Tensor) -> Tensor:
        """z_e(x): images [n,C,H,W] -> [n, cells * groups, d], in the type of the images."""
        cells: Tensor = self.encoder(images).flatten(2).transpose(1, 2)  # [n, cells, groups * d]
        return cells.reshape(len(images), -1, self.options.code_width).to(images.dtype)

    def logits(self, codes: Tensor) -> Tensor:
        """[n, cells * groups, d] -> [n,C,H,W], unbounded."""
        cells = codes.reshape(len(codes), *self.base, -1)
        made: Tensor = self.decoder(cells.movedim(3, 1))
        return made.to(codes.dtype)

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        features = self.features(batch.images)
        index = self.nearest(features)
        codes = F.embedding(index, self.codebook)
        logits = self.logits(features + (codes - features).detach())  # straight through
        squared = (shown(logits) - batch.images).square().mean()
        if self.options.loss == "bce":
            reconstruction = F.binary_cross_entropy_with_logits(logits, (batch.images + 1) / 2)
        else:
            reconstruction = squared / self.spec.variance
        return Terms(
            losses={
                "reconstruction": reconstruction,
                "codebook": (codes - features.detach()).square().mean(),
                "commitment": self.options.beta * (features - codes.detach()).square().mean(),
            },
            watch={"squared error": squared, "perplexity": self.quantiser.perplexity(index.flatten())},
        )

    def nearest(self, features: Tensor) -> Tensor:
        """The codes' indices, int64 [n, cells * groups], of features [n, cells * groups, d]."""
        return self.quantiser.nearest(features.flatten(0, 1)).reshape(features.shape[:2])

    def encode(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        """The codes of the images, joined: [n, cells * groups * d]; 2048 wide at 64 pixels."""
        return F.embedding(self.nearest(self.features(images)), self.codebook).flatten(1)

    def decode(self, latents: Tensor) -> Tensor:
        """Images of the codes that are nearest to ``latents``: the decoder never saw anything else."""
        features = latents.reshape(len(latents), -1, self.options.code_width)
        return shown(self.logits(F.embedding(self.nearest(features), self.codebook)))

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        assert batch is not None
        return self.reconstruct(batch.images)

    def preview(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        """N images in pairs: one of the data set, and its reconstruction."""
        assert batch is not None
        return pairs(batch.images, self.reconstruct(batch.images))[: len(batch.images)]


class VQVAE(Variant):
    """An autoencoder whose latents are entries of a learned codebook."""

    paper = "van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937"
    Options = VQVAEOptions
    defaults = {"batch_size": 128}

    def build(self, options: VQVAEOptions, spec: Spec) -> VQVAEModel:
        return VQVAEModel(options, spec)
