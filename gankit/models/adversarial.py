"""What every variant with a generator and a discriminator shares: options, networks, phases, noise and sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.options import option
from gankit.core.rng import RandomStream
from gankit.core.types import Batch, Carry, Noise, Spec
from gankit.models.augmentation import POLICIES, augmented, draw_augmentation
from gankit.models.interface import Model, OptimSpec, Phase
from gankit.models.networks import Architecture, Discriminator, Generator, NetworkOptions, forward_batched, initialise
from gankit.registry import registry

AVERAGED: Mapping[str, object] = {"ema_halflife_images": 5000}
"""What adversarial variants are tuned to at least: pictures and scores of averaged weights (``Variant.tuned``)."""


@dataclass(frozen=True)
class AdversarialOptions(NetworkOptions):
    """The options of every adversarial variant; a variant's own defaults override these."""

    lr_g: float = option(2e-4, "learning rate of the generator", above=0, high=10, group="Optimizers")
    lr_d: float = option(2e-4, "learning rate of the discriminator or critic", above=0, high=10, group="Optimizers")
    beta1: float = option(0.5, "Adam's decay of the mean gradient", low=0, high=0.9999, group="Optimizers")
    beta2: float = option(0.999, "Adam's decay of the squared gradient", low=0, high=0.999999, group="Optimizers")
    optimizer: str = option("adam", "optimizer of both sides", choices=("adam", "rmsprop", "sgd"), group="Optimizers")
    n_critic: int = option(
        1, "discriminator updates per step", low=1, high=1000, aliases=("n-discriminator",), group="Optimizers"
    )
    n_generator: int = option(1, "generator updates per step", low=1, high=1000, group="Optimizers")
    instance_noise: float = option(
        0.0, "standard deviation of noise on what the discriminator sees, on the [-1, 1] scale",
        low=0, high=2, group="Optimizers",
    )  # fmt: skip
    augment: str = option(
        "none", "differentiable augmentation of all that the discriminator sees, for small data sets: colour, "
        "translation and cutout", choices=POLICIES, group="Optimizers", later=True,
    )  # fmt: skip

    def optim(self, lr: float) -> OptimSpec:
        """The optimizer of a side whose learning rate is ``lr``."""
        return OptimSpec(self.optimizer, lr, (self.beta1, self.beta2))


class AdversarialModel(Model):
    """A generator and a discriminator, updated in that many repeats each; a subclass writes ``terms``."""

    critic_name = "discriminator"
    advice = {
        "discriminator loss at zero": "lower --lr-d or --n-critic, --instance-noise 0.1",
        "discriminator loss with spikes": "lower --lr-d and --lr-g, --beta1 0.5 or less",
        "gradient norm over 100": "--discriminator-norm layer or spectral",
        "vanishing gradient in the first layer": "lower --lr-d",
        "generator loss falls while samples collapse": "lower --lr-g or --n-generator, raise --n-critic or --lr-d",
        "low sample diversity": "lower --lr-g, raise --n-critic",
    }

    def __init__(self, options: AdversarialOptions, spec: Spec) -> None:
        super().__init__()
        self.options, self.spec = options, spec
        arch = registry().get("architectures", options.arch)()
        self.generator = self.build_generator(arch)
        self.discriminator = self.build_discriminator(arch)
        initialise(self, options.init)
        self.phases = (
            Phase(
                self.critic_name,
                ("discriminator",),
                options.optim(options.lr_d),
                repeat=options.n_critic,
            ),
            Phase(
                "generator",
                ("generator",),
                options.optim(options.lr_g),
                repeat=options.n_generator,
                data=False,
            ),
        )
        self.shares_fake = options.n_critic == options.n_generator == 1
        """With one update each, both phases use the same fakes, so they are made once a step."""

    def build_generator(self, arch: Architecture) -> Generator:
        """The generator; a variant that joins something with weights of its own to the latents does that here."""
        return arch.generator(self.inputs(), self.spec, self.options)

    def build_discriminator(self, arch: Architecture) -> Discriminator:
        """The discriminator; a variant asks for more outputs of it here, or gives it more to look at."""
        return arch.discriminator(self.spec, self.options)

    def inputs(self) -> int:
        """How many numbers the generator takes: the width of ``latents``."""
        return self.options.nz

    def latents(self, noise: Noise) -> Tensor:
        """What the generator takes, [n, inputs], from ``noise``: z, and what a variant joins to it."""
        return noise["z"]

    def noise(self, phase: str, n: int, draws: RandomStream) -> Noise:
        noise: Noise = {}
        if phase != "generator" or not self.shares_fake:
            noise["z"] = self.prior(n, draws)
            noise |= {f"mask{i}": mask for i, mask in enumerate(self.generator.masks(n, draws))}
        if self.options.instance_noise and phase != "sample":
            for name in self.scored(phase):
                noise[f"instance_{name}"] = self.options.instance_noise * draws.normal(n, *self.spec.shape)
        if self.options.augment != "none" and phase not in ("sample", "evaluate"):
            own = draws.branch("augment")  # so that with it and without it all else is drawn alike
            for name in self.scored(phase):
                noise |= draw_augmentation(name, n, self.spec.sides, own)
        return noise

    def scored(self, phase: str) -> tuple[str, ...]:
        """Which images the discriminator scores in ``phase``: what they are called in ``shown`` and ``score``."""
        return ("fake",) if phase == "generator" else ("real", "fake")

    def prior(self, n: int, draws: RandomStream) -> Tensor:
        """N latents z, [n, nz]."""
        return draws.normal(n, self.options.nz)

    def generate(self, noise: Noise) -> Tensor:
        """Images [n,C,H,W] from ``noise``."""
        masks = [noise[f"mask{i}"] for i in range(len(self.generator.mask_shapes))]
        images: Tensor = self.generator(self.latents(noise), masks)
        return images.to(noise["z"].dtype)  # autocast makes them bfloat16; real images never are

    def fakes(self, noise: Noise) -> Tensor:
        """Generated images for the discriminator's phase; with their graph if the generator's phase will use it."""
        with torch.set_grad_enabled(self.shares_fake and torch.is_grad_enabled()):
            return self.generate(noise)

    def kept(self, fake: Tensor) -> Carry:
        """What the discriminator's phase carries of its ``fake`` images to the generator's: see ``made``."""
        return {"fake": fake} if self.shares_fake else {}

    def made(self, noise: Noise, carry: Carry) -> Tensor:
        """The generator's phase's images: those the discriminator has just seen, or new ones."""
        return carry["fake"] if self.shares_fake else self.generate(noise)

    def shown(self, noise: Noise, **images: Tensor) -> list[Tensor]:
        """What the discriminator is shown of ``images``, which are called real or fake: augmented (Zhao et al. 2020),
        then with instance noise (Sonderby et al. 2017), where the options ask for these. Others are left as they are.
        UsageError where --augment is on and a ``noise`` of a variant's own draws nothing for it.
        """
        bare = [name for name in images if name in ("real", "fake") and f"augment_place_{name}" not in noise]
        if bare and self.options.augment != "none":
            raise UsageError(
                f"--augment {self.options.augment}: {type(self).__name__}.noise draws none for {' and '.join(bare)}; "
                "return what super().noise(phase, n, draws) does besides, or pass --augment none"
            )
        seen = {name: augmented(image, name, noise) for name, image in images.items()}
        names = {name: f"instance_{name}" for name in images}
        return [image + noise[names[name]] if names[name] in noise else image for name, image in seen.items()]

    def score(self, noise: Noise, **images: Tensor) -> Sequence[Tensor]:
        """The discriminator's scores of each of ``images`` as ``shown``, in one pass where its norm allows that."""
        return forward_batched(self.discriminator, self.shown(noise, **images))

    def compare(self, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor, Carry]:
        """The discriminator's phase up to its loss: scores of real images, scores of fakes, and what to carry on."""
        fake = self.fakes(noise)
        on_real, on_fake = self.score(noise, real=batch.images, fake=fake.detach())
        return on_real, on_fake, self.kept(fake)

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        return self.generate(noise)
