"""DCGAN, WGAN-GP and CycleGAN as plain eager PyTorch at its best, by hand: the second baseline for gankit's speed.

    python benchmarks/careful.py wgan-gp-mlp --epochs 1 --threads 2 --precision bf16

Images are uint8 in memory, on the GPU where there is one: a batch is an index and a scale. Fakes are made without a
graph where the generator does not learn, backward passes stop at the parameters that are moved, real and fake go
through a network together where its norm allows that, Adam is fused, and losses are read every 50 steps. No compiler,
no CUDA graph and none of gankit's own operations: those are what this is compared with.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where this file is loaded by its path
from baseline import Images, Job, MakeLoop, Pool, Random, Result, command, job_of, loop_of, measure, prepare

from gankit.config import Config
from gankit.data.dataset import ImageSet

READ_EVERY = 50


def batches(job: Job) -> Iterator[Images]:
    """Every batch of the run: the epochs' permutations end to end, never a short one, each domain by itself."""
    size = job.config.train.batch_size
    domains = [images.to(job.device) for images in (job.images.images, job.images.other) if images is not None]
    orders = [torch.empty(0, dtype=torch.int64, device=job.device) for _ in domains]
    while True:
        found = []
        for i, pixels in enumerate(domains):
            while len(orders[i]) < size:
                orders[i] = torch.cat((orders[i], torch.randperm(len(pixels), device=job.device)))
            index, orders[i] = orders[i][:size], orders[i][size:]
            found.append(pixels[index].to(job.dtype).div_(127.5).sub_(1))
        yield tuple(found)


class Side:
    """The parameters that one phase moves, with their optimizer."""

    def __init__(self, job: Job, lr: float, network: nn.Module) -> None:
        options = job.model.options
        self.parameters = list(network.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr, (options.beta1, options.beta2), fused=True)

    def move(self, loss: Tensor) -> None:
        """One step down ``loss``, with gradients for these parameters alone."""
        loss.backward(inputs=self.parameters)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class Careful:
    """What the three loops share: both sides, autocast, and losses that stay on the device."""

    names: tuple[str, ...]

    def __init__(self, job: Job, random: Random) -> None:
        self.random, self.options = random, job.model.options
        self.generator, self.discriminator = job.model.generator, job.model.discriminator
        self.d, self.g = Side(job, self.options.lr_d, self.discriminator), Side(job, self.options.lr_g, self.generator)
        self.cast = torch.autocast(job.device.type, torch.bfloat16, enabled=job.config.train.precision == "bf16")
        self.dtype = job.dtype
        self.history: list[list[float]] = []
        self.waiting: list[Tensor] = []

    def run(self, network: nn.Module, x: Tensor) -> Tensor:
        """What ``network`` makes of x, under autocast, in the type of the images."""
        with self.cast:
            made: Tensor = network(x)
        return made.to(self.dtype)

    def fakes(self, n: int) -> Tensor:
        """Images [n,C,H,W] from new latents."""
        return self.run(self.generator, self.random.normal(n, self.options.nz))

    def keep(self, *losses: Tensor) -> None:
        """Remember a step's losses, and read all that wait every now and then."""
        self.waiting.append(torch.stack([loss.detach() for loss in losses]))
        if len(self.waiting) == READ_EVERY:
            self.close()

    def close(self) -> None:
        """Read the losses that wait, in one go."""
        if self.waiting:
            self.history += torch.stack(self.waiting).tolist()
            self.waiting.clear()


class DCGAN(Careful):
    """Fakes made once a step; batch norm keeps real and fake apart."""

    names = ("discriminator", "generator")

    def step(self, batches: Iterator[Images]) -> None:
        """-log D(x) - log(1 - D(G(z))), then -log D(G(z))."""
        (real,) = next(batches)
        fake = self.fakes(len(real))
        on_real, on_fake = self.run(self.discriminator, real), self.run(self.discriminator, fake.detach())
        loss_d = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        self.d.move(loss_d)
        loss_g = F.softplus(-self.run(self.discriminator, fake)).mean()
        self.g.move(loss_g)
        self.keep(loss_d, loss_g)


class WGANGP(Careful):
    """No graph of the generator in the critic's updates; without batch norm real and fake are one batch."""

    names = ("critic", "generator")

    def step(self, batches: Iterator[Images]) -> None:
        """The critic n_critic times, then the generator."""
        for _ in range(self.options.n_critic):
            (real,) = next(batches)
            with torch.no_grad():
                fake = self.fakes(len(real))
            on_real, on_fake = self.run(self.discriminator, torch.cat((real, fake))).chunk(2)
            loss_d = on_fake.mean() - on_real.mean() + self.options.gp_weight * self.penalty(real, fake)
            self.d.move(loss_d)
        loss_g = -self.run(self.discriminator, self.fakes(len(real))).mean()
        self.g.move(loss_g)
        self.keep(loss_d, loss_g)

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """The mean of (norm - 1)^2 of the critic's slope between real and fake."""
        between = torch.lerp(fake, real, self.random.uniform(len(real)).view(-1, 1, 1, 1)).requires_grad_()
        (slope,) = torch.autograd.grad(self.run(self.discriminator, between).sum(), between, create_graph=True)
        penalty: Tensor = (torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1).square().mean()
        return penalty


class CycleGAN(Careful):
    """Instance norm lets a network take several images at once: translation with identity, real with fake."""

    names = ("discriminators", "generators", "adversarial", "cycle", "identity")

    def __init__(self, job: Job, random: Random) -> None:
        super().__init__(job, random)
        self.a2b, self.b2a = self.generator["a2b"], self.generator["b2a"]
        self.pools = {name: Pool(self.options.pool, random) for name in "ab"}

    def step(self, batches: Iterator[Images]) -> None:
        """Both generators, then both discriminators."""
        a, b = next(batches)
        (fake_b, same_b), (fake_a, same_a) = self.both(self.a2b, (a, b)), self.both(self.b2a, (b, a))
        on_a, on_b = self.run(self.discriminator["a"], fake_a), self.run(self.discriminator["b"], fake_b)
        adversarial = (on_a - 1).square().mean() + (on_b - 1).square().mean()
        cycle = F.l1_loss(self.run(self.b2a, fake_b), a) + F.l1_loss(self.run(self.a2b, fake_a), b)
        identity = F.l1_loss(same_a, a) + F.l1_loss(same_b, b)
        weight = self.options.lambda_cycle
        loss_g = adversarial + weight * cycle + weight * self.options.lambda_identity * identity
        self.g.move(loss_g)
        loss_d = self.score("a", a, fake_a) + self.score("b", b, fake_b)
        self.d.move(loss_d)
        self.keep(loss_d, loss_g, adversarial, cycle, identity)

    def both(self, network: nn.Module, images: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What ``network`` makes of each of ``images``, in one pass."""
        return torch.split(self.run(network, torch.cat(list(images))), len(images[0]))

    def score(self, domain: str, real: Tensor, fake: Tensor) -> Tensor:
        """The loss of one discriminator; its fakes come through the pool."""
        on_real, on_fake = self.both(self.discriminator[domain], (real, self.pools[domain](fake.detach())))
        return 0.5 * ((on_real - 1).square().mean() + on_fake.square().mean())


LOOPS: dict[str, MakeLoop] = {"dcgan": DCGAN, "wgan-gp": WGANGP, "cyclegan": CycleGAN}


def run(workload: str, steps: int | None = None, **flags: Any) -> Result:
    """Set up ``workload`` and time ``steps`` steps.

    ``flags`` are gankit's, and ``since`` as `baseline.prepare` takes it.
    """
    job = prepare(workload, steps=steps, **flags)
    return measure("careful", job, loop_of(LOOPS, job), batches(job))


def run_config(config: Config, images: ImageSet, steps: int) -> Result:
    """Time ``steps`` steps of any configuration of a variant that has a loop here, on images that are loaded."""
    train = replace(config.train, steps=steps, epochs=None)
    job = job_of(replace(config, train=train), images)
    return measure("careful", job, loop_of(LOOPS, job), batches(job))


if __name__ == "__main__":
    command(run, "Time the best plain eager loop.", precisions=("fp32", "bf16"))()
