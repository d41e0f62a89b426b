"""Zhu, Park, Isola & Efros 2017, "Unpaired image-to-image translation using cycle-consistent adversarial networks"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gankit.adversarial import AdversarialOptions
from gankit.errors import UsageError
from gankit.kernels import l1_terms
from gankit.keys import Draws
from gankit.losses import least_squares
from gankit.model import Batch, Carry, Model, Noise, OptimSpec, Phase, Spec, Terms, Variant
from gankit.networks import initialise, through
from gankit.options import option
from gankit.plugins.architectures.resnet import ResnetOptions
from gankit.pool import ImagePool
from gankit.registry import registry


@dataclass(frozen=True)
class CycleGANOptions(AdversarialOptions, ResnetOptions):
    """Defaults as published: lambda 10, identity half of it, a pool of 50, Adam 2e-4 (0.5, 0.999), N(0, 0.02)."""

    lambda_cycle: float = option(10.0, "weight lambda of the cycle terms", low=0, high=1e6, group="Loss")
    lambda_identity: float = option(
        0.5, "weight of the identity terms, in units of --lambda-cycle; 0: none", low=0, high=1e6, group="Loss"
    )
    pool: int = option(50, "earlier fakes that the discriminators may be shown", low=0, high=10**6, group="Loss")
    label_smoothing: float = option(0.0, "real images' target is 1 minus this", low=0, high=0.5, group="Loss")
    nz: int = option(1, "not used: the generators' input is an image", low=1, high=65536, group="Networks")
    arch: str = "resnet"
    generator_norm: str = "instance"
    discriminator_norm: str = "instance"


class CycleGANModel(Model):
    """Generators a2b and b2a, discriminators of a and of b; the generators move first, as in the published code.

    The discriminators' phase judges the images and the fakes of the generators' phase: both see one batch a step.
    """

    directions = ("a2b", "b2a")
    reads_images = True

    def __init__(self, options: CycleGANOptions, spec: Spec) -> None:
        super().__init__()
        self.options, self.shape = options, (spec.channels, spec.size, spec.size)
        arch = registry().get("architectures", options.arch)()
        self.generator = nn.ModuleDict({name: arch.translator(spec, options) for name in self.directions})
        self.discriminator = nn.ModuleDict({name: arch.discriminator(spec, options) for name in "ab"})
        initialise(self, options.init)
        self.pool = nn.ModuleDict({name: ImagePool(options.pool, self.shape) for name in "ab"})
        self.any_size = self.generator["a2b"].any_size
        self.mask_shapes = self.generator["a2b"].mask_shapes
        adam = (options.beta1, options.beta2)
        both, judges = ("generator.a2b", "generator.b2a"), ("discriminator.a", "discriminator.b")
        self.phases = (
            Phase("generator", both, OptimSpec(options.optimizer, options.lr_g, adam), options.n_generator),
            Phase("discriminator", judges, OptimSpec(options.optimizer, options.lr_d, adam), options.n_critic, False),
        )

    def noise(self, phase: str, n: int, draws: Draws) -> Noise:
        noise: Noise = {}
        if phase == "discriminator":
            for name, pool in self.pool.items():
                noise |= {f"{what} {name}": drawn for what, drawn in pool.draw(n, draws).items()}
        else:
            more = ("same_a", "same_b", "cycled_a", "cycled_b") if phase == "generator" else ()
            for made in ("fake_a", "fake_b", *more):
                for i, shape in enumerate(self.mask_shapes):
                    noise[f"{made} {i}"] = draws.bernoulli(1 - self.options.dropout, n, *shape)
        if self.options.instance_noise and phase != "sample":
            for seen in ("fake_a", "fake_b") if phase == "generator" else ("real_a", "real_b", "fake_a", "fake_b"):
                noise[f"on {seen}"] = self.options.instance_noise * draws.normal(n, *self.shape)
        return noise

    def generate(self, direction: str, noise: Noise, **sources: Tensor) -> list[Tensor]:
        """What generator ``direction`` makes of each source, the keyword being what the result is called in ``noise``."""
        net, dtype = self.generator[direction], next(iter(sources.values())).dtype
        masks = [[noise[f"{made} {i}"] for i in range(len(self.mask_shapes))] for made in sources]
        made = through(net, list(sources.values()), masks)
        return [part.to(dtype) for part in made]  # autocast makes them bfloat16; real images never are

    def judge(self, domain: str, noise: Noise, **images: Tensor) -> Sequence[Tensor]:
        """The scores that discriminator ``domain`` gives each of ``images``, instance noise added where asked for."""
        seen = [image + noise[f"on {name}"] if f"on {name}" in noise else image for name, image in images.items()]
        return through(self.discriminator[domain], seen)

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        return (
            self.discriminator_terms(noise, carry) if phase == "discriminator" else self.generator_terms(batch, noise)
        )

    def generator_terms(self, batch: Batch, noise: Noise) -> Terms:
        """Equations 1 and 2 with section 4's squares, and section 5.2's identity terms, weighted in lambda_cycle."""
        assert batch.other is not None
        real_a, real_b, cycle = batch.images, batch.other, self.options.lambda_cycle
        identity = cycle * self.options.lambda_identity
        fake_b, *same_b = self.generate("a2b", noise, fake_b=real_a, **({"same_b": real_b} if identity else {}))
        fake_a, *same_a = self.generate("b2a", noise, fake_a=real_b, **({"same_a": real_a} if identity else {}))
        (cycled_a,) = self.generate("b2a", noise, cycled_a=fake_b)
        (cycled_b,) = self.generate("a2b", noise, cycled_b=fake_a)
        (on_a,), (on_b,) = self.judge("a", noise, fake_a=fake_a), self.judge("b", noise, fake_b=fake_b)
        pairs, weights = [(cycled_a, real_a), (cycled_b, real_b)], [cycle, cycle]
        if identity:
            pairs, weights = [*pairs, (same_a[0], real_a), (same_b[0], real_b)], [*weights, identity, identity]
        distances = dict(
            zip(("cycle a", "cycle b", "identity a", "identity b"), l1_terms(pairs, weights), strict=False)
        )
        return Terms(
            losses={"adversarial a2b": least_squares(on_b, 1), "adversarial b2a": least_squares(on_a, 1), **distances},
            watch={"D_a(G(b))": on_a.mean(), "D_b(G(a))": on_b.mean()},
            carry={"real_a": real_a, "real_b": real_b, "fake_a": fake_a.detach(), "fake_b": fake_b.detach()},
        )

    def discriminator_terms(self, noise: Noise, carry: Carry) -> Terms:
        """Equation 1 with section 4's squares, halved; the fakes come through the pools."""
        losses, watch = {}, {}
        for name, pool in self.pool.items():
            real, fake = carry[f"real_{name}"], carry[f"fake_{name}"]
            if self.options.pool:
                fake = pool(fake, noise[f"slot {name}"], noise[f"swap {name}"])
            on_real, on_fake = self.judge(name, noise, **{f"real_{name}": real, f"fake_{name}": fake})
            losses[f"real {name}"] = 0.5 * least_squares(on_real, 1 - self.options.label_smoothing)
            losses[f"fake {name}"] = 0.5 * least_squares(on_fake, 0)
            watch |= {f"D_{name}({name})": on_real.mean(), f"D_{name}(fake)": on_fake.mean()}
        return Terms(losses=losses, watch=watch)

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        assert batch is not None
        return self.generate("a2b", noise, fake_b=batch.images)[0]

    def preview(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        """N images in fours: one of a, what it becomes, one of b, what it becomes."""
        assert batch is not None and batch.other is not None  # noqa: PT018
        n = len(batch.images)
        fours = -(-n // 4)
        a, b, noise = batch.images[:fours], batch.other[:fours], {name: value[:fours] for name, value in noise.items()}
        (fake_b,), (fake_a,) = self.generate("a2b", noise, fake_b=a), self.generate("b2a", noise, fake_a=b)
        return torch.stack([a, fake_b, b, fake_a], 1).flatten(0, 1)[:n]

    def translate(self, images: Tensor, direction: str, draws: Draws) -> Tensor:
        net = self.generator[direction]
        shapes = net.mask_shapes_at(images.shape[2], images.shape[3])
        masks = [draws.bernoulli(1 - self.options.dropout, len(images), *shape) for shape in shapes]
        made: Tensor = net(images, [mask.to(images.device) for mask in masks])
        return made.to(images.dtype)


class CycleGAN(Variant):
    """Two maps between two sets of images, held together by asking that there and back again changes nothing."""

    name = "cyclegan"
    summary = "unpaired image-to-image translation, both ways"
    paper = "Zhu, Park, Isola & Efros 2017, arXiv:1703.10593"
    Options = CycleGANOptions
    defaults = {"data": "stripes", "batch_size": 1, "decay_start": 0.5, "samples": 16}

    def build(self, options: CycleGANOptions, spec: Spec) -> CycleGANModel:
        if not spec.paired_domains:
            raise UsageError("cyclegan needs two sets of images: --data stripes, or unpaired:PATH")
        return CycleGANModel(options, spec)
