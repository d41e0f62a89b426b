"""Donahue, Krähenbühl & Darrell 2017, "Adversarial feature learning"; Dumoulin et al. 2017 is the same idea."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gankit import (
    AdversarialModel,
    AdversarialOptions,
    Architecture,
    Batch,
    Discriminator,
    OptimSpec,
    RandomStream,
    Spec,
    Terms,
    Variant,
    option,
)
from gankit.models import AVERAGED, Carry, Encoder, Noise, bce_fake, bce_real, forward_batched, initialise, needs_bias
from gankit.registry import registry


@dataclass(frozen=True)
class BiGANOptions(AdversarialOptions):
    """Defaults of the paper's experiments: z uniform in [-1, 1]^50, Adam 2e-4 (0.5, 0.999), batches of 128, weight
    decay 2.5e-5. Here the decay is of all parameters, biases and norms too, and learning rates stay as they are.
    """

    weight_decay: float = option(2.5e-5, "added to the gradient, times the weights", low=0, high=1, group="Optimizers")
    label_smoothing: float = option(
        0.0, "the target of a real image and its code is 1 minus this", low=0, high=0.5, group="Loss"
    )
    halved: bool = option(
        False, "halve the terms, so that each side's loss is the mean of its two and not their sum", group="Loss",
        later=True,
    )  # fmt: skip
    latent_layers: int = option(
        2, "layers of D's own that z passes before it is joined to what D finds in the image; 0: it is joined as it is",
        low=0, high=2, group="Networks", later=True,
    )  # fmt: skip
    nz: int = 50

    def optim(self, lr: float) -> OptimSpec:
        return replace(super().optim(lr), weight_decay=self.weight_decay)


LATENT_SHARE = 0.25
"""Features that D makes of z, as a share of those it makes of x."""
SLOPE = 0.2


def keep_scale(layers: nn.Module) -> None:
    """Initial weights by which LeakyReLU layers keep the mean square of what passes them (He et al. 2015):
    N(0, .02) would make of z a hundredth of itself.
    """
    for layer in layers.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)


class BiGANModel(AdversarialModel, Encoder):
    """D tells (x, E(x)) from (G(z), z); G and E, which are moved together, minimise the inverse objective: the same
    with the two exchanged, as -log D is to log(1 - D) in a GAN.

    E is the family's discriminator with nz outputs. z passes two layers of D's own, as in Dumoulin et al. 2017, before
    it is joined to the features that D finds in the image. There are thousands of these: as it is, z would hardly count
    among them, and D would tell E nothing. --latent-layers 0 joins it so all the same, and --joint-width 0 leaves out
    the layer over both, as common networks do: D's score is then a sum of one of x and one of z.
    """

    options: BiGANOptions
    ema_networks = ("generator", "encoder")

    def __init__(self, options: BiGANOptions, spec: Spec) -> None:
        super().__init__(options, spec)
        arch = registry().get("architectures", options.arch)()
        self.encoder = arch.discriminator(spec, options, outputs=options.nz)
        initialise(self.encoder, options.init)
        if options.init == "dcgan":
            keep_scale(self.discriminator.get_submodule("latent"))
        discriminator, generator = self.phases
        # With one update each, both phases see the same pairs, so they are made once a step.
        both = replace(generator, networks=("generator", "encoder"), data=not self.shares_fake)
        self.phases = (discriminator, both)

    def build_discriminator(self, arch: Architecture) -> Discriminator:
        with torch.device("meta"):
            features = arch.discriminator(self.spec, self.options).features
        hidden, width = 8 * self.options.ndf, math.ceil(LATENT_SHARE * features)
        widths = [self.options.nz, *[hidden, width][2 - self.options.latent_layers :]]
        found = arch.discriminator(self.spec, self.options, extra_features=widths[-1])
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after, bias=needs_bias("none", self.options.bias)), nn.LeakyReLU(SLOPE)]
        found.add_module("latent", nn.Sequential(*layers))
        return found

    def prior(self, n: int, draws: RandomStream) -> Tensor:
        return 2 * draws.uniform(n, self.options.nz) - 1

    def scored(self, phase: str) -> tuple[str, ...]:
        return ("fake", "real") if phase == "generator" else super().scored(phase)

    def encode(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        code: Tensor = self.encoder(images)
        return code.view(len(images), self.options.nz).to(images.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """G(z); no dropout mask is drawn, so where the generator has dropout none of it is dropped."""
        kept = [
            latents.new_ones(len(latents), *shape) * (1 - self.options.dropout) for shape in self.generator.mask_shapes
        ]
        made: Tensor = self.generator(latents, kept)
        return made.to(latents.dtype)

    def pairs(self, batch: Batch, noise: Noise, carry: Carry) -> Carry:
        """Real images with their codes and latents with their images: the discriminator's or new ones."""
        if carry:
            return carry
        real = batch.images
        return {"real": real, "code": self.encode(real), "fake": self.generate(noise), "z": noise["z"]}

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        training_d = phase == "discriminator"
        with torch.set_grad_enabled(torch.is_grad_enabled() and (self.shares_fake or not training_d)):
            made = self.pairs(batch, noise, carry)
        shown = {name: value.detach() for name, value in made.items()} if training_d else made
        seen = self.shown(noise, real=shown["real"], fake=shown["fake"])
        latent = self.discriminator.get_submodule("latent")
        on_real, on_fake = forward_batched(self.discriminator, seen, [latent(shown["code"]), latent(shown["z"])])
        if training_d:
            losses = {"real": bce_real(on_real, self.options.label_smoothing), "fake": bce_fake(on_fake)}
        else:
            losses = {"adversarial real": bce_fake(on_real), "adversarial fake": bce_real(on_fake)}
        if self.options.halved:
            losses = {name: 0.5 * loss for name, loss in losses.items()}
        return Terms(
            losses=losses,
            watch={"D(x, E(x))": on_real.sigmoid().mean(), "D(G(z), z)": on_fake.sigmoid().mean()},
            carry=made if training_d and self.shares_fake else {},
        )


class BiGAN(Variant):
    """A GAN that learns the way back, from images to latents, without ever comparing images."""

    paper = "Donahue, Krähenbühl & Darrell 2017, arXiv:1605.09782; Dumoulin et al. 2017, arXiv:1606.00704"
    Options = BiGANOptions
    defaults = {"batch_size": 128}
    tuned = AVERAGED

    def build(self, options: BiGANOptions, spec: Spec) -> BiGANModel:
        return BiGANModel(options, spec)
