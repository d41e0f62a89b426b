"""DCGAN, WGAN-GP and CycleGAN as public tutorials write them: the first baseline for gankit's speed.

    python benchmarks/textbook.py wgan-gp-mlp --workers 2 --epochs 1 --threads 2

What is repeated here is what most of these scripts do, and why that is fair:

- Images are PIL pictures that a DataLoader turns into tensors one by one, for every epoch anew, with torchvision's
  `ToTensor` and `Normalize`. It is the way that PyTorch's own DCGAN tutorial shows, with 0 workers, the default, or 2.
  In its favour: the pictures are held in memory, decoded and in their final size, and workers are started once, not
  at every epoch.
- Everything needs gradients: the fakes of WGAN-GP's critic keep the generator's graph, and a generator's loss also
  fills the discriminator's gradients, which the next `zero_grad` clears. That costs time and changes no result.
- Real and fake images go through the discriminator apart, each loss of DCGAN's with a `backward` of its own.
- `.item()` of every loss at every step, for the line that is printed or the curve that is kept.
- float32, plain `torch.optim.Adam`, `zero_grad()` with today's default.

Networks, initial weights, options, batch sizes, threads and steps are gankit's own, and losses are computed from logits
as gankit does; tests/benchmarks/test_baselines.py holds the weights after three steps to gankit's. Nothing is here for
the sake of being slow.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where this file is loaded by its path
from baseline import Images, Job, MakeLoop, Pool, Random, Result, command, job_of, loop_of, measure, prepare

from gankit.config import Config
from gankit.data.dataset import ImageSet

Transform = Callable[[Any], Any]


class Compose:
    """Transforms, one after the other."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = transforms

    def __call__(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x


class ToTensor:
    """A PIL picture as float32 [C,H,W] in [0, 1], by the operations of torchvision's transform of that name."""

    def __call__(self, image: Image.Image) -> Tensor:
        pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
        pixels = pixels.view(image.size[1], image.size[0], len(image.getbands()))
        return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


class Normalize:
    """[C,H,W] less the mean, over the deviation, by channel, by the operations of torchvision's transform."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        self.mean, self.deviation = mean, deviation

    def __call__(self, image: Tensor) -> Tensor:
        mean = torch.as_tensor(self.mean, dtype=image.dtype, device=image.device).view(-1, 1, 1)
        deviation = torch.as_tensor(self.deviation, dtype=image.dtype, device=image.device).view(-1, 1, 1)
        return image.clone().sub_(mean).div_(deviation)


class Pictures(Dataset[Images]):
    """Image i of the first domain, with one of the second, if there is one, by chance."""

    def __init__(self, job: Job) -> None:
        found = [images for images in (job.images.images, job.images.other) if images is not None]
        channels = job.images.images.shape[1]
        self.domains = [images.movedim(1, -1).numpy() if channels > 1 else images[:, 0].numpy() for images in found]
        half = [0.5] * channels
        self.transform = Compose([ToTensor(), Normalize(half, half)])

    def __len__(self) -> int:
        return len(self.domains[0])

    def __getitem__(self, index: int) -> Images:
        found = [self.domains[0][index]]
        for other in self.domains[1:]:
            found.append(other[int(torch.randint(len(other), ()))])
        return tuple(self.transform(Image.fromarray(image)) for image in found)


def batches(job: Job, workers: int) -> Iterator[Images]:
    """Every batch of the run on the device: the epochs' permutations end to end, as gankit draws them."""
    size = job.config.train.batch_size
    pictures = Pictures(job)
    # One pass as long as the run: no short batches, and workers that are started once.
    sampler = RandomSampler(pictures, num_samples=job.steps * job.draws * size)
    for images in DataLoader(pictures, size, sampler=sampler, num_workers=workers):
        yield tuple(some.to(job.device) for some in images)


def adam(job: Job, lr: float, *networks: nn.Module) -> torch.optim.Adam:
    """Adam of all parameters of ``networks``."""
    options = job.model.options
    parameters = itertools.chain(*(network.parameters() for network in networks))
    return torch.optim.Adam(parameters, lr=lr, betas=(options.beta1, options.beta2))


class DCGAN:
    """As in PyTorch's DCGAN tutorial: fakes made once, three backward passes, two optimizers."""

    names = ("discriminator", "generator", "D(x)", "D(G(z)) before", "D(G(z)) after")

    def __init__(self, job: Job, random: Random) -> None:
        self.random, self.options = random, job.model.options
        self.generator, self.discriminator = job.model.generator, job.model.discriminator
        self.optimizer_d = adam(job, self.options.lr_d, self.discriminator)
        self.optimizer_g = adam(job, self.options.lr_g, self.generator)
        self.criterion = nn.BCEWithLogitsLoss()
        self.history: list[list[float]] = []

    def step(self, batches: Iterator[Images]) -> None:
        """-log D(x) - log(1 - D(G(z))), then -log D(G(z))."""
        (real,) = next(batches)
        n = len(real)
        self.discriminator.zero_grad()
        label = torch.full((n,), 1.0, dtype=real.dtype, device=real.device)
        output = self.discriminator(real)
        loss_real = self.criterion(output, label)
        loss_real.backward()
        d_x = output.sigmoid().mean().item()

        fake = self.generator(self.random.normal(n, self.options.nz))
        label.fill_(0.0)
        output = self.discriminator(fake.detach())
        loss_fake = self.criterion(output, label)
        loss_fake.backward()
        before = output.sigmoid().mean().item()
        loss_d = loss_real + loss_fake
        self.optimizer_d.step()

        self.generator.zero_grad()
        label.fill_(1.0)
        output = self.discriminator(fake)
        loss_g = self.criterion(output, label)
        loss_g.backward()
        after = output.sigmoid().mean().item()
        self.optimizer_g.step()
        self.history.append([loss_d.item(), loss_g.item(), d_x, before, after])

    def close(self) -> None:
        """All losses were read."""


class WGANGP:
    """As the common WGAN-GP scripts: fakes with the generator's graph, the penalty by `autograd.grad` and a 2-norm."""

    names = ("critic", "generator")

    def __init__(self, job: Job, random: Random) -> None:
        self.random, self.options = random, job.model.options
        self.generator, self.critic = job.model.generator, job.model.discriminator
        self.optimizer_d = adam(job, self.options.lr_d, self.critic)
        self.optimizer_g = adam(job, self.options.lr_g, self.generator)
        self.history: list[list[float]] = []

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """The mean of (norm - 1)^2 of the critic's slope between real and fake."""
        alpha = self.random.uniform(len(real)).view(-1, 1, 1, 1)
        between = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
        scores = self.critic(between)
        gradients = torch.autograd.grad(
            outputs=scores,
            inputs=between,
            grad_outputs=torch.ones_like(scores),
            create_graph=True,
            retain_graph=True,
            only_inputs=True,
        )[0]
        gradients = gradients.view(gradients.size(0), -1)
        penalty: Tensor = ((gradients.norm(2, dim=1) - 1) ** 2).mean()
        return penalty

    def step(self, batches: Iterator[Images]) -> None:
        """The critic n_critic times, then the generator."""
        for _ in range(self.options.n_critic):
            (real,) = next(batches)
            self.optimizer_d.zero_grad()
            fake = self.generator(self.random.normal(len(real), self.options.nz))
            on_real, on_fake = self.critic(real), self.critic(fake)
            penalty = self.penalty(real.data, fake.data)
            loss_d = -torch.mean(on_real) + torch.mean(on_fake) + self.options.gp_weight * penalty
            loss_d.backward()
            self.optimizer_d.step()
            value = loss_d.item()

        self.optimizer_g.zero_grad()
        fake = self.generator(self.random.normal(len(real), self.options.nz))
        loss_g = -torch.mean(self.critic(fake))
        loss_g.backward()
        self.optimizer_g.step()
        self.history.append([value, loss_g.item()])

    def close(self) -> None:
        """All losses were read."""


class CycleGAN:
    """As the common CycleGAN scripts: one optimizer for both generators, one for each discriminator."""

    names = ("discriminators", "generators", "adversarial", "cycle", "identity")

    def __init__(self, job: Job, random: Random) -> None:
        model, self.options = job.model, job.model.options
        self.a2b, self.b2a = model.generator["a2b"], model.generator["b2a"]
        self.judges = {name: model.discriminator[name] for name in "ab"}
        self.optimizer_g = adam(job, self.options.lr_g, self.a2b, self.b2a)
        self.optimizers_d = {name: adam(job, self.options.lr_d, judge) for name, judge in self.judges.items()}
        self.pools = {name: Pool(self.options.pool, random) for name in "ab"}
        self.criterion_gan, self.criterion_cycle, self.criterion_identity = nn.MSELoss(), nn.L1Loss(), nn.L1Loss()
        self.history: list[list[float]] = []

    def step(self, batches: Iterator[Images]) -> None:
        """Both generators, then the discriminator of a, then that of b."""
        a, b = next(batches)
        self.optimizer_g.zero_grad()
        loss_identity = self.criterion_identity(self.b2a(a), a) + self.criterion_identity(self.a2b(b), b)
        fake_b, fake_a = self.a2b(a), self.b2a(b)
        on_b, on_a = self.judges["b"](fake_b), self.judges["a"](fake_a)
        loss_gan = self.criterion_gan(on_b, torch.ones_like(on_b)) + self.criterion_gan(on_a, torch.ones_like(on_a))
        loss_cycle = self.criterion_cycle(self.b2a(fake_b), a) + self.criterion_cycle(self.a2b(fake_a), b)
        cycle, identity = self.options.lambda_cycle, self.options.lambda_cycle * self.options.lambda_identity
        loss_g = loss_gan + cycle * loss_cycle + identity * loss_identity
        loss_g.backward()
        self.optimizer_g.step()

        loss_d = self.score("a", a, fake_a) + self.score("b", b, fake_b)
        losses = [loss_d, loss_g, loss_gan, loss_cycle, loss_identity]
        self.history.append([loss.item() for loss in losses])

    def score(self, domain: str, real: Tensor, fake: Tensor) -> Tensor:
        """Moves one discriminator; its loss."""
        self.optimizers_d[domain].zero_grad()
        on_real = self.judges[domain](real)
        loss_real = self.criterion_gan(on_real, torch.ones_like(on_real))
        on_fake = self.judges[domain](self.pools[domain](fake.detach()))
        loss_fake = self.criterion_gan(on_fake, torch.zeros_like(on_fake))
        loss: Tensor = (loss_real + loss_fake) / 2
        loss.backward()
        self.optimizers_d[domain].step()
        return loss

    def close(self) -> None:
        """All losses were read."""


LOOPS: dict[str, MakeLoop] = {"dcgan": DCGAN, "wgan-gp": WGANGP, "cyclegan": CycleGAN}


def run(workload: str, steps: int | None = None, *, workers: int = 0, **flags: Any) -> Result:
    """Set up ``workload`` and time ``steps`` steps.

    ``flags`` are gankit's, and ``since`` as `baseline.prepare` takes it.
    """
    job = prepare(workload, steps=steps, **flags)
    return measure("textbook", job, loop_of(LOOPS, job), batches(job, workers), workers)


def run_config(config: Config, images: ImageSet, steps: int) -> Result:
    """Time ``steps`` steps of any configuration of a variant that has a loop here, on images that are loaded."""
    train = replace(config.train, steps=steps, epochs=None, precision="fp32")
    job = job_of(replace(config, train=train), images)
    return measure("textbook", job, loop_of(LOOPS, job), batches(job, 0), 0)


if __name__ == "__main__":
    command(run, "Time the loop as tutorials write it.", precisions=("fp32",), workers=True)()
