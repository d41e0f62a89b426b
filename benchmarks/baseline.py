"""What both baselines share: the workloads, how one is set up, the clock, and the command line.

`textbook.py` and `careful.py` train the networks that gankit builds, with gankit's options, on gankit's images, but
with PyTorch's own convolutions. A ratio to one of them is the doing of the loop, of gankit's convolutions and of how
memory is kept.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import click
import torch
from torch import Tensor, nn

from gankit.build import DTYPES, build_model, load_images, pick_device
from gankit.config import Config, configure
from gankit.core.errors import GankitError, UsageError
from gankit.cpu import ChannelsLast, Conv2d, ConvTranspose2d
from gankit.data.dataset import ImageSet
from gankit.models.interface import Model
from gankit.profiling.step import peak_mib
from gankit.training.trainer import total_steps

IMPORTED = time.perf_counter()
Images = tuple[Tensor, ...]
"""One batch of each domain: (real,), or (a, b)."""


@dataclass(frozen=True)
class Workload:
    """What is trained: a variant and gankit's own flags, those of `gankit train VARIANT`, over its defaults."""

    variant: str
    flags: Mapping[str, Any]


WORKLOADS = {
    **{
        f"{variant}-{size}": Workload(variant, {"data": "fashion-mnist", "size": size})
        for variant in ("dcgan", "wgan-gp")
        for size in (28, 32, 64)
    },
    "wgan-gp-mlp": Workload("wgan-gp", {"data": "fashion-mnist", "size": 28, "arch": "mlp"}),
    # Few images, so that drawing them does not decide the peak of memory; constant rates, as the loops have them.
    "cyclegan-128": Workload("cyclegan", {"data": "stripes", "size": 128, "limit": 100, "decay_start": 1.0}),
}


@dataclass(frozen=True)
class Job:
    """A workload set up: all that a loop starts from.

    ``model`` has the variant's own networks, ``plain``, and its options; ``draws``: batches of real images a step;
    ``started``: when the clock began.
    """

    workload: str
    config: Config
    images: ImageSet
    model: Any
    device: torch.device
    steps: int
    draws: int
    started: float

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and images; bf16 is autocast's."""
        return DTYPES[self.config.train.precision]


def prepare(workload: str, *, since: float | None = None, **flags: Any) -> Job:
    """``workload`` with gankit's ``flags`` over its own; ``since``: the ``time.perf_counter`` at which the clock began.

    Where Fashion-MNIST cannot be had, and was not asked for by ``data``, the embedded `shapes` take its place.
    UsageError for an unknown workload or flag.
    """
    started = time.perf_counter() if since is None else since
    if workload not in WORKLOADS:
        raise UsageError(f"unknown workload '{workload}': one of {', '.join(WORKLOADS)}")
    known = WORKLOADS[workload]
    given = {name: value for name, value in flags.items() if value is not None}
    config = configure(known.variant, {"preset": "paper", **known.flags, **given})
    try:
        images = load_images(config)
    except GankitError as error:
        if "data" in given or known.flags["data"] != "fashion-mnist":
            raise
        print(f"note: {error}; --data shapes takes its place", file=sys.stderr)
        config = configure(known.variant, {"preset": "paper", **known.flags, **given, "data": "shapes", "channels": 1})
        images = load_images(config)
    return job_of(config, images, workload, started)


def job_of(config: Config, images: ImageSet, workload: str = "", started: float | None = None) -> Job:
    """``config`` set up on ``images``; ``started``: when the clock began, now where it is not given."""
    started = time.perf_counter() if started is None else started
    device = pick_device(config.train.device)
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model = plain(build_model(config, images.spec())).to(device, DTYPES[config.train.precision]).train()
    draws = sum(phase.times(0) for phase in model.phases if phase.data)
    steps = total_steps(config.train, model.phases, len(images))
    return Job(workload, config, images, model, device, steps, draws, started)


def plain(model: Model) -> Model:
    """``model`` with PyTorch's own convolutions in place of gankit's, which have the same weights."""
    theirs = {Conv2d: nn.Conv2d, ConvTranspose2d: nn.ConvTranspose2d, ChannelsLast: nn.Identity}
    for layer in model.modules():
        if type(layer) in theirs:
            layer.__class__ = theirs[type(layer)]
    left = [name for name, layer in model.named_modules() if isinstance(layer, Conv2d | ConvTranspose2d)]
    if left:
        raise UsageError(f"the baselines have no plain form of {', '.join(left)}")
    return model


def loop_of(loops: Mapping[str, MakeLoop], job: Job) -> Loop:
    """The loop of the job's variant. UsageError where there is none."""
    if job.config.variant not in loops:
        raise UsageError(f"no baseline trains '{job.config.variant}': there are loops of {', '.join(loops)}")
    return loops[job.config.variant](job, Random(job))


class Random:
    """Random numbers from PyTorch's generator, made on the device; a test hands in gankit's own in its place."""

    def __init__(self, job: Job) -> None:
        self._generator = torch.Generator(job.device).manual_seed(job.config.train.seed)
        self._choices = random.Random(job.config.train.seed)
        self._kind: dict[str, Any] = {"generator": self._generator, "device": job.device, "dtype": job.dtype}

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        return torch.randn(*shape, **self._kind)

    def uniform(self, n: int) -> Tensor:
        """Uniform in [0, 1), [n]."""
        return torch.rand(n, **self._kind)

    def choice(self, high: int) -> tuple[int, bool]:
        """A number below ``high``, and the toss of a coin."""
        return self._choices.randrange(high), self._choices.random() < 0.5


class Pool:
    """CycleGAN's pool of earlier fakes as a Python list: keeps references, copies nothing."""

    def __init__(self, capacity: int, random: Random) -> None:
        self.capacity, self.random = capacity, random
        self.images: list[Tensor] = []

    def __call__(self, fresh: Tensor) -> Tensor:
        """fresh: [n,C,H,W], detached. Returns the images handed on."""
        handed = []
        for image in torch.split(fresh, 1):
            slot, swap = self.random.choice(self.capacity)
            if len(self.images) < self.capacity:
                self.images.append(image)
            elif swap:
                self.images[slot], image = image, self.images[slot]
            handed.append(image)
        return torch.cat(handed)


class Loop(Protocol):
    """What is timed: ``step`` is one pass over all phases; ``history`` the losses read so far, a row a step."""

    history: list[list[float]]

    @property
    def names(self) -> tuple[str, ...]:
        """Of a row's losses."""

    def step(self, batches: Iterator[Images]) -> None:
        """Draw what the phases need and move all networks."""

    def close(self) -> None:
        """Read the losses that were not read yet."""


MakeLoop = Callable[[Job, Random], Loop]


class Clock:
    """Splits the time of every step between data and the rest.

    On a GPU the marks are events in its stream, read when all is done: asking the time does not make the loop wait.
    """

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self._marks: list[tuple[str, Any]] = [("start", self._now())]

    def _now(self) -> Any:
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def lap(self, kind: str) -> None:
        """What passed since the last lap was ``kind``: "data", "work", or "end": work, and the last of a step."""
        self._marks.append((kind, self._now()))

    def timed(self, batches: Iterator[Images]) -> Iterator[Images]:
        """``batches``, with the time that each takes to come."""
        while True:
            self.lap("work")
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.lap("data")
            yield batch

    def seconds(self) -> tuple[list[float], list[float]]:
        """Seconds of data, and of all else, for every step."""
        if self.cuda:
            torch.cuda.synchronize()
        data, work = [0.0], [0.0]
        for (_, before), (kind, now) in zip(self._marks, self._marks[1:], strict=False):
            took = before.elapsed_time(now) / 1000 if self.cuda else now - before
            (data if kind == "data" else work)[-1] += took
            if kind == "end":
                data.append(0.0)
                work.append(0.0)
        return data[:-1], work[:-1]


@dataclass(frozen=True)
class Result:
    """A measured run. ``drawn`` counts real images, those of all critic updates; an epoch is ``count`` of them.

    ``data_s`` and ``step_s`` are seconds by step, of waiting for images and of all else. ``setup_s`` is everything
    before the first step, on the command line since the process was started; ``whole_s`` adds the steps. ``peak_mib``
    is what the process held at most since it was started, without its workers; on a GPU what PyTorch allocated there.
    """

    loop: str
    workload: str
    data: str
    device: str
    precision: str
    threads: int
    workers: int
    torch: str
    batch_size: int
    count: int
    steps: int
    drawn: int
    setup_s: float
    loop_s: float
    peak_mib: float
    losses: Mapping[str, float]
    data_s: list[float] = field(repr=False)
    step_s: list[float] = field(repr=False)

    @property
    def whole_s(self) -> float:
        """Seconds from the start of the clock to the end of the last step."""
        return self.setup_s + self.loop_s

    @property
    def images_per_s(self) -> float:
        """Real images drawn a second, data time included."""
        return self.drawn / self.loop_s

    @property
    def epoch_s(self) -> float:
        """Seconds for as many real images as the data set has, without the setup."""
        return self.loop_s * self.count / self.drawn

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON: the times by step as totals, medians and 20th and 80th percentiles."""
        values = asdict(self)
        for name in ("data_s", "step_s"):
            times = values.pop(name)
            kind = name.removesuffix("_s")
            cuts = statistics.quantiles(times, n=5, method="inclusive") if len(times) > 1 else times * 4
            values |= {
                f"{kind}_total_s": sum(times),
                f"{kind}_p50_ms": 1000 * statistics.median(times),
                f"{kind}_p20_ms": 1000 * cuts[0],
                f"{kind}_p80_ms": 1000 * cuts[3],
            }
        return values | {"whole_s": self.whole_s, "images_per_s": self.images_per_s, "epoch_s": self.epoch_s}

    def line(self) -> str:
        """One line to read."""
        values = self.summary()
        return (
            f"{self.loop} {self.workload} ({self.data}, {self.device}, {self.precision}, {self.threads} threads, "
            f"{self.workers} workers, batches of {self.batch_size}): {self.steps} steps, "
            f"{self.images_per_s:.0f} images/s, {self.epoch_s:.2f} s an epoch; "
            f"a step {values['step_p50_ms']:.2f} ms (p20 {values['step_p20_ms']:.2f}, "
            f"p80 {values['step_p80_ms']:.2f}) and {values['data_p50_ms']:.2f} ms of data; setup {self.setup_s:.2f} s, "
            f"whole {self.whole_s:.2f} s; peak {self.peak_mib:.0f} MiB"
        )


def measure(name: str, job: Job, loop: Loop, batches: Iterator[Images], workers: int = 0) -> Result:
    """Run ``job.steps`` steps of ``loop``, which was set up already, on ``batches``."""
    if job.device.type == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    clock = Clock(job.device)
    timed = clock.timed(batches)
    for _ in range(job.steps):
        loop.step(timed)
        clock.lap("end")
    loop.close()
    if job.device.type == "cuda":
        torch.cuda.synchronize()
    loop_s = time.perf_counter() - begun
    data_s, step_s = clock.seconds()
    train = job.config.train
    return Result(
        loop=name,
        workload=job.workload,
        data=job.config.data.data,
        device=torch.cuda.get_device_name() if job.device.type == "cuda" else "cpu",
        precision=train.precision,
        threads=torch.get_num_threads(),
        workers=workers,
        torch=torch.__version__,
        batch_size=train.batch_size,
        count=len(job.images),
        steps=job.steps,
        drawn=job.steps * job.draws * train.batch_size,
        setup_s=begun - job.started,
        loop_s=loop_s,
        peak_mib=peak_mib(job.device),
        losses=dict(zip(loop.names, loop.history[-1], strict=True)),
        data_s=data_s,
        step_s=step_s,
    )


def process_start() -> float:
    """When this process was started, as ``time.perf_counter`` counts, to 10 ms; without /proc when it imported this."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return IMPORTED
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.perf_counter() - age


def command(
    run: Callable[..., Result], about: str, *, precisions: tuple[str, ...], workers: bool = False, engines: bool = False
) -> click.Command:
    """The command line of a loop; ``workers``: it has a data loader whose number of workers can be chosen;
    ``engines``: it is gankit's, and has engines.
    """

    @click.command(help=about)
    @click.argument("workload", type=click.Choice(list(WORKLOADS)))
    @click.option("--steps", type=click.IntRange(min=1), help="Steps to time.  [default: 50, unless --epochs]")
    @click.option("--epochs", type=float, help="Instead of --steps: as gankit counts them.")
    @click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: PyTorch's choice]")
    @click.option("--precision", type=click.Choice(precisions), default="fp32", show_default=True)
    @click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
    @click.option("--data", help="Another data set, as gankit names them.")
    @click.option("--size", type=int, help="Another size of the images, in pixels.")
    @click.option("--batch-size", type=int, help="Another number of images an update.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object.")
    def main(workload: str, as_json: bool, **flags: Any) -> None:
        if flags["steps"] is None and flags["epochs"] is None:
            flags["steps"] = 50
        try:
            result = run(workload, since=process_start(), **flags)
        except GankitError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)
        click.echo(json.dumps(result.summary()) if as_json else result.line())

    if engines:
        choices = click.Choice(["auto", "eager", "planned", "compiled", "graph"])
        main = click.option("--engine", type=choices, default="auto", show_default=True)(main)
    if workers:
        main = click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True)(main)
    return main
