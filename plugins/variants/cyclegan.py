"""Zhu, Park, Isola & Efros 2017, "Unpaired image-to-image translation using cycle-consistent adversarial networks"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gankit import AdversarialOptions, Batch, Phase, RandomStream, Spec, Terms, UsageError, Variant, option
from gankit.kernels import l1_terms
from gankit.models import (
    AVERAGED,
    Carry,
    ImagePool,
    Noise,
    Translator,
    augmented,
    draw_augmentation,
    forward_batched,
    initialise,
    least_squares,
)
from gankit.plugins.architectures.resnet import ResnetOptions
from gankit.registry import registry


@dataclass(frozen=True)
class CycleGANOptions(AdversarialOptions, ResnetOptions):
    """Defaults as published: lambda 10, identity half of it, a pool of 50, Adam 2e-4 (0.5, 0.999), N(0, 0.02)."""

    lambda_cycle: float = option(10.0, "weight lambda of the cycle terms", low=0, high=1e6, group="Loss")
    lambda_identity: float = option(0.5, "identity terms, in lambdas; 0: none", low=0, high=1e6, group="Loss")
    pool: int = option(50, "earlier fakes that the discriminators may be shown", low=0, high=10**6, group="Loss")
    label_smoothing: float = option(0.0, "real images' target is 1 minus this", low=0, high=0.5, group="Loss")
    nz: int = option(1, "not used: the generators' input is an image", low=1, high=65536, group="Networks")
    arch: str = "resnet"
    generator_norm: str = "instance"
    discriminator_norm: str = "instance"


class CycleGANModel(Translator):
    """Generators a2b and b2a, discriminators of a and of b. As in the published code the generators move first and hand
    their images and fakes to the discriminators: both phases see one batch a step.
    """

    directions = ("a2b", "b2a")
    reads_images = True
    generator: Any
    discriminator: Any
    pools: Any

    def __init__(self, options: CycleGANOptions, spec: Spec) -> None:
        super().__init__()
        self.options, self.shape = options, spec.shape
        arch = registry().get("architectures", options.arch)()
        self.generator = nn.ModuleDict({name: arch.translator(spec, options) for name in self.directions})
        self.discriminator = nn.ModuleDict({name: arch.discriminator(spec, options) for name in "ab"})
        initialise(self, options.init)
        self.pools = nn.ModuleDict({name: ImagePool(name, options.pool, self.shape) for name in "ab"})
        self.whole_noise = tuple(name for pool in self.pools.values() for name in cast(ImagePool, pool).names)
        self.any_size = self.generator["a2b"].any_size
        both, judges = ("generator.a2b", "generator.b2a"), ("discriminator.a", "discriminator.b")
        self.phases = (
            Phase("generator", both, options.optim(options.lr_g), options.n_generator),
            Phase("discriminator", judges, options.optim(options.lr_d), options.n_critic, False),
        )

    def noise(self, phase: str, n: int, draws: RandomStream) -> Noise:
        noise: Noise = {}
        if phase == "discriminator":
            for name in "ab":
                noise |= self.pools[name].draw(n, draws)
        else:
            for made in ("fake_a", "fake_b", "same_a", "same_b", "cycled_a", "cycled_b"):
                masks = self.generator["b2a" if made.endswith("a") else "a2b"].masks(n, draws)
                noise |= {f"{made} {i}": mask for i, mask in enumerate(masks)}
        if self.options.instance_noise and phase != "sample":
            for seen in ("real_a", "real_b", "fake_a", "fake_b"):
                noise[f"on {seen}"] = self.options.instance_noise * draws.normal(n, *self.shape)
        if self.options.augment != "none" and phase not in ("sample", "evaluate"):
            own, scored = draws.branch("augment"), ("fake_a", "fake_b", "real_a", "real_b")
            for name in scored if phase == "discriminator" else scored[:2]:
                noise |= draw_augmentation(name, n, self.shape[1:], own)
        return noise

    def generate(self, direction: str, noise: Noise, **sources: Tensor) -> list[Tensor]:
        """What generator ``direction`` makes of each source; the keyword is what ``noise`` calls the result."""
        net = self.generator[direction]
        masks = [[noise[f"{made} {i}"] for i in range(len(net.mask_shapes))] for made in sources]
        return forward_batched(net, list(sources.values()), masks)

    def score(self, domain: str, noise: Noise, **images: Tensor) -> list[Tensor]:
        """The scores that discriminator ``domain`` gives each of ``images``, augmented and with instance noise where
        asked for.
        """
        seen = {name: augmented(image, name, noise) for name, image in images.items()}
        shown = [image + noise[f"on {name}"] if f"on {name}" in noise else image for name, image in seen.items()]
        return forward_batched(self.discriminator[domain], shown)

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        """Equations 1 and 2 with section 4's squares, and section 5.2's identity terms, weighted in lambda_cycle."""
        if phase == "discriminator":
            return self.discriminator_terms(noise, carry)
        (a, b), cycle = batch.domains, self.options.lambda_cycle
        identity = cycle * self.options.lambda_identity
        fake_b, *same_b = self.generate("a2b", noise, fake_b=a, **({"same_b": b} if identity else {}))
        fake_a, *same_a = self.generate("b2a", noise, fake_a=b, **({"same_a": a} if identity else {}))
        (cycled_a,) = self.generate("b2a", noise, cycled_a=fake_b)
        (cycled_b,) = self.generate("a2b", noise, cycled_b=fake_a)
        (on_a,), (on_b,) = self.score("a", noise, fake_a=fake_a), self.score("b", noise, fake_b=fake_b)
        pairs = {"cycle a": (cycled_a, a), "cycle b": (cycled_b, b)}
        if identity:
            pairs |= {"identity a": (same_a[0], a), "identity b": (same_b[0], b)}
        distances = l1_terms(list(pairs.values()), [cycle, cycle, identity, identity][: len(pairs)])
        losses = {"adversarial a2b": least_squares(on_b, 1), "adversarial b2a": least_squares(on_a, 1)}
        return Terms(
            losses=losses | dict(zip(pairs, distances, strict=True)),
            watch={"D_a(G(b))": on_a.mean(), "D_b(G(a))": on_b.mean()},
            carry={"real_a": a, "real_b": b, "fake_a": fake_a.detach(), "fake_b": fake_b.detach()},
        )

    def discriminator_terms(self, noise: Noise, carry: Carry) -> Terms:
        """Equation 1 with section 4's squares, halved; the fakes come through the pools."""
        losses, watch = {}, {}
        for name in "ab":
            real, fake = carry[f"real_{name}"], self.pools[name](carry[f"fake_{name}"], noise)
            on_real, on_fake = self.score(name, noise, **{f"real_{name}": real, f"fake_{name}": fake})
            losses[f"real {name}"] = 0.5 * least_squares(on_real, 1 - self.options.label_smoothing)
            losses[f"fake {name}"] = 0.5 * least_squares(on_fake, 0)
            watch[f"D_{name}({name})"], watch[f"D_{name}(fake)"] = on_real.mean(), on_fake.mean()
        return Terms(losses=losses, watch=watch)

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        assert batch is not None
        return self.generate("a2b", noise, fake_b=batch.images)[0]

    def preview(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        """N images in fours: one of a, what it becomes, one of b, what it becomes."""
        assert batch is not None
        a, b = batch.domains
        (fake_b,), (fake_a,) = self.generate("a2b", noise, fake_b=a), self.generate("b2a", noise, fake_a=b)
        return torch.stack([a, fake_b, b, fake_a], 1).flatten(0, 1)[: len(a)]

    def translate(self, images: Tensor, direction: str, draws: RandomStream) -> Tensor:
        made: Tensor = self.generator[direction].translated(images, draws)
        return made


class CycleGAN(Variant):
    """Two maps between two sets of images, held together by asking that there and back again changes nothing."""

    paper = "Zhu, Park, Isola & Efros 2017, arXiv:1703.10593"
    Options = CycleGANOptions
    defaults = {"data": "stripes", "batch_size": 1, "decay_start": 0.5, "samples": 16}
    tuned = AVERAGED

    def build(self, options: CycleGANOptions, spec: Spec) -> CycleGANModel:
        if not spec.paired_domains:
            raise UsageError("cyclegan needs two sets of images: --data stripes, or unpaired:PATH")
        return CycleGANModel(options, spec)
