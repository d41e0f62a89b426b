"""The trainer: one step of any variant, and the loop that repeats it.

A variant says what is computed; everything here is how: device, precision, order of the data, optimizers, schedule,
moving average, statistics. Nothing is read back from the device between two log intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from gankit import checkpoint, engine
from gankit.averaging import Average
from gankit.config import DEFAULT_EPOCHS, Config, TrainOptions, variant_class
from gankit.convolution import channels_last
from gankit.data import Dataset, ImageSet, Order
from gankit.errors import GankitError, UsageError
from gankit.kernels import gather
from gankit.keys import Draws, key
from gankit.memory import keep_freed
from gankit.model import Batch, Carry, Model, Noise, Phase, Spec
from gankit.networks import uses_batch_statistics
from gankit.optimizers import rate
from gankit.registry import registry
from gankit.update import Arithmetic, Part, Place, Update, Vector

DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "fp64": torch.float64}

AHEAD = 16 * 2**20
"""Bytes of inputs that are drawn at once."""

CHUNK = 500
"""Images sampled at once: a million in one pass would fill the memory."""


class Trainer:
    """A model in training. ``done`` counts finished steps, ``drawn`` the batches of real images drawn so far."""

    def __init__(self, config: Config, images: ImageSet | None = None) -> None:
        self.config, self.options = config, config.train
        self.device = pick_device(config.train.device)
        self.threads = config.train.threads or torch.get_num_threads()
        torch.set_num_threads(self.threads)
        self.dtype = DTYPES[config.train.precision]
        self.images = images or load_images(config)
        self.spec = self.images.spec(config.data.crop)
        self.model = build_model(config, self.spec).to(self.device, self.dtype).train()
        if self.device.type == "cpu":
            keep_freed()
            channels_last(self.model)
        self.pixels = self.images.images.to(self.device)
        self.labels = None if self.images.labels is None else self.images.labels.to(self.device)
        self.other = None if self.images.other is None else self.images.other.to(self.device)
        self.order = Order(len(self.images), config.train.seed)
        self.other_order = Order(0 if self.other is None else len(self.other), config.train.seed, "other order")
        check_phases(self.model.phases)
        if config.train.batch_size == 1 and uses_batch_statistics(self.model):
            raise UsageError("--batch-size 1: batch norm needs 2 images or more; choose another norm or larger batches")
        self.parts = [Part.of(phase, self.model) for phase in self.model.phases]
        self.average: Average | None = None
        if config.train.ema_halflife_images:
            self.average = Average(
                self.model, self.model.ema_networks, config.train.ema_halflife_images, config.train.batch_size
            )
        self.done, self.drawn = 0, 0
        self.steps = total_steps(config.train, self.model.phases, len(self.images))
        self.rows: list[tuple[int, list[tuple[Part, list[Vector]]]]] = []
        self.ahead: dict[Place, tuple[Batch, Noise]] = {}
        arithmetic = Arithmetic(self.device.type, self.dtype, autocast=config.train.precision == "bf16")
        name = config.train.engine
        if name == "auto":
            name = engine.choose(self.device.type, updates(self.model.phases, self.steps), self.model)
        self.engine = engine.make(name, self.model, arithmetic, self.inputs)

    def step(self) -> None:
        """One pass over all phases: draw data and noise, move each phase's networks, average, record."""
        carry = Carry()
        recorded: dict[str, tuple[Part, list[Vector]]] = {}
        factor = rate(self.done, self.steps, self.options.decay_start)
        for part in self.parts:
            part.optimizer.set_rate(part.phase.optimizer.lr * factor)
        due = self.due(self.done)
        for i, update in enumerate(due):
            values, carried = self.engine.update(update, carry, due[i + 1 :])
            carry |= carried
            recorded.setdefault(update.part.phase.name, (update.part, []))[1].append(values)
        self.drawn += self.draws(self.done)
        if self.average is not None:
            self.average.update(self.done)
        self.done += 1
        self.rows.append((self.done, list(recorded.values())))

    def due(self, step: int) -> list[Update]:
        """The updates of ``step``, which is the next one, in their order."""
        found: list[Update] = []
        draw = self.drawn
        for part in self.parts:
            for repeat in range(part.phase.times(step)):
                found.append(Update(part, step, repeat, draw))
                draw += part.phase.data and not self.options.same_batch
        return found

    def draws(self, step: int) -> int:
        """How many batches of real images ``step`` draws."""
        return 1 if self.options.same_batch else sum(part.phase.times(step) for part in self.parts if part.phase.data)

    def inputs(self, update: Update) -> tuple[Batch, Noise]:
        """The batch and the noise of ``update``.

        On a CPU those of the step's next updates are drawn with it: between updates, which go through megabytes, the
        caches lose the code and the tables that drawing needs, and it takes three times as long.
        """
        if update.place not in self.ahead:
            self.ahead, room = {}, AHEAD if self.device.type == "cpu" else 0
            due = self.due(self.done)
            places = [each.place for each in due]
            after = due[places.index(update.place) + 1 :] if update.place in places else []
            for each in (update, *after):
                self.ahead[each.place] = drawn = self.draw(each)
                room -= size(drawn)
                if room <= 0:
                    break
        return self.ahead.pop(update.place)

    def draw(self, update: Update) -> tuple[Batch, Noise]:
        """The batch and the noise of ``update``, made now."""
        phase = update.part.phase
        return self.batch(update.draw, phase.data), self.noise(phase.name, update.step, update.repeat)

    def batch(self, draw: int, data: bool) -> Batch:
        """Batch number ``draw`` of the run, or one of no images for a phase that draws none."""
        n = self.options.batch_size if data else 0
        if not n:
            shape = (0, self.spec.channels, self.spec.size, self.spec.size)
            return Batch(torch.empty(shape, device=self.device, dtype=self.dtype))
        index = self.order.batch(draw, n).to(self.device)
        flips, crops = self.augmentation(draw)
        images = self._gather(self.pixels, index, flips, crops)
        labels = None if self.labels is None else self.labels[index]
        other = None
        if self.other is not None:
            other = self._gather(self.other, self.other_order.batch(draw, n).to(self.device), flips, crops)
        return Batch(images, labels, other)

    def augmentation(self, draw: int) -> tuple[Draws | None, Draws | None]:
        """What flips and crops of batch number ``draw`` are drawn from; both domains go on drawing from the same."""
        seed = self.options.seed
        room = self.pixels.shape[2] - self.spec.size
        return Draws(seed, "flip", draw) if self.config.data.flip else None, Draws(seed, "crop", draw) if room else None

    def _gather(self, pixels: Tensor, index: Tensor, flips: Draws | None, crops: Draws | None) -> Tensor:
        n, size = len(index), self.spec.size
        flip = None if flips is None else flips.bernoulli(0.5, n).to(self.device)
        room = pixels.shape[2] - size
        offset = None if crops is None else crops.integers(room + 1, n, 2).to(self.device)
        return gather(pixels, index, flip, offset, (size, size), dtype=self.dtype)

    def noise(self, phase: str, step: int, repeat: int) -> Noise:
        """Everything random of one update, a function of the run's seed and these numbers alone."""
        drawn = self.model.noise(phase, self.options.batch_size, Draws(self.options.seed, "noise", step, phase, repeat))
        return placed(drawn, self.device, self.dtype)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """N images [n,C,H,W] in [-1, 1] to look at: from the run's fixed latents or fixed images of its data set, by
        the averaged weights where there are any.
        """
        model = self.average.model if self.average is not None else self.model
        batch = self.images.pick(n, self.options.seed, self.spec.size) if model.reads_images else None
        return sample(model, n, self.options.seed, self.device, self.dtype, batch, preview=True)

    def take_rows(self) -> list[dict[str, Any]]:
        """What was recorded since the last call, one mapping a step, read back from the device in one go. Of a phase
        that came several times the mean; one that rested has none.
        """
        rows, self.rows = self.rows, []
        every = [vector for _, row in rows for _, vectors in row for vector in vectors]
        values = iter(torch.cat(every).tolist() if every else [])
        found: list[dict[str, Any]] = []
        for step, row in rows:
            found.append({"step": step})
            for part, vectors in row:
                taken = [list(islice(values, len(part.recorded))) for _ in vectors]
                means = (sum(some) / len(taken) for some in zip(*taken, strict=True))
                found[-1] |= zip(part.recorded, means, strict=True)
        return found

    @torch.no_grad()
    def check_finite(self) -> None:
        """GankitError naming the first networks whose weights are not finite: the last update may have done that."""
        norms = [torch.stack(torch._foreach_norm(list[Tensor](part.parameters))).norm() for part in self.parts]
        for part, norm in zip(self.parts, torch.stack(norms).tolist(), strict=True):
            if not math.isfinite(norm):
                raise GankitError(
                    f"the weights of {', '.join(part.phase.networks)} stopped being finite at step {self.done}; "
                    "lower the learning rates"
                )

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold to go on."""
        found: dict[str, Any] = {"model": self.model.state_dict()}
        found["optimizers"] = {part.phase.name: part.optimizer.tensors() for part in self.parts}
        if self.average is not None:
            found["average"] = self.average.state()
        return checkpoint.flatten(found)

    def restore(self, tensors: Mapping[str, Tensor], done: int, drawn: int) -> None:
        """Continue from what ``tensors`` gave after ``done`` steps."""
        self.model.load_state_dict(checkpoint.under(tensors, "model/"))
        for part in self.parts:
            part.optimizer.restore(checkpoint.under(tensors, f"optimizers/{part.phase.name}/"))
        if self.average is not None:
            self.average.model.load_state_dict(checkpoint.under(tensors, "average/"), strict=False)
        self.done, self.drawn, self.rows, self.ahead = done, drawn, [], {}


def size(inputs: tuple[Batch, Noise]) -> int:
    """The bytes of a batch and its noise."""
    batch, noise = inputs
    tensors = [batch.images, batch.labels, batch.other, *noise.values()]
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def placed(noise: Noise, device: torch.device, dtype: torch.dtype) -> Noise:
    """``noise`` on ``device``; what is floating in ``dtype``, masks and labels as they are."""
    if device.type == "cuda":  # from pinned memory the copy does not wait for the GPU
        noise = {name: value.pin_memory() for name, value in noise.items()}
    return {
        name: value.to(device, dtype if value.is_floating_point() else value.dtype, non_blocking=True)
        for name, value in noise.items()
    }


@torch.no_grad()
def sample(
    model: Model,
    n: int,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    batch: Batch | None = None,
    *,
    preview: bool = False,
) -> Tensor:
    """N images [n,C,H,W] from ``model`` in eval mode; the mode it had is put back. ``batch``: for a model that reads
    images; ``preview``: those to look at while training.
    """
    noise = model.noise("sample", n, Draws(seed, "sample"))
    noise = placed(noise, device, dtype)
    if batch is not None:
        other = None if batch.other is None else batch.other.to(device, dtype)
        batch = Batch(batch.images.to(device, dtype), other=other)
    training = model.training
    model.eval()
    try:
        if preview:
            return model.preview(noise, batch)
        return in_parts(model, noise, n, batch)
    finally:
        model.train(training)


def in_parts(model: Model, noise: Noise, n: int, batch: Batch | None = None) -> Tensor:
    """The N images [n,C,H,W] of ``noise``, made in parts that fit into memory."""
    chunks = []
    for i in range(0, n, CHUNK):
        some = slice(i, i + CHUNK)
        chunks.append(model.sample({k: v[some] for k, v in noise.items()}, batch and batch.part(some)))
    return torch.cat(chunks)


def check_phases(phases: tuple[Phase, ...]) -> None:
    """UsageError where a variant's phases cannot be told apart, or none of them draws images."""
    names = [phase.name for phase in phases]
    if len(set(names)) < len(names) or any("/" in name for name in names):
        raise UsageError(f"a variant's phases need names of their own, without '/': {', '.join(names)}")
    if not any(phase.data for phase in phases):
        raise UsageError(f"none of the phases {', '.join(names)} draws real images")


def load_images(config: Config) -> ImageSet:
    """The images that ``config.data`` names."""
    dataset: Dataset = registry().get("datasets", config.data.name)()
    return dataset.load(config.data, config.train.seed)


def build_model(config: Config, spec: Spec) -> Model:
    """The variant's model with its initial weights, a function of the run's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(config.train.seed, "weights") % 2**63)
        return variant_class(config.variant)().build(config.options, spec)


def pick_device(name: str) -> torch.device:
    """The device that ``--device`` names. UsageError where there is no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch sees no CUDA device here; use --device cpu, or see `gankit doctor`")
    return torch.device(name)


def updates(phases: tuple[Phase, ...], steps: int) -> int:
    """How many updates ``steps`` steps have; where repeats change with the step, by those of the first thousand."""
    some = min(steps, 1000)
    return sum(phase.times(step) for phase in phases for step in range(some)) * steps // some


def total_steps(options: TrainOptions, phases: tuple[Phase, ...], images: int) -> int:
    """The number of steps that --steps or --epochs ask for; an epoch is as many real images drawn as there are."""
    if options.steps is not None:
        return options.steps
    wanted = (options.epochs or DEFAULT_EPOCHS) * images
    fixed = [phase.repeat for phase in phases if phase.data]
    if options.same_batch or all(isinstance(repeat, int) for repeat in fixed):
        per_step = 1 if options.same_batch else sum(phase.times(0) for phase in phases if phase.data)
        return max(1, round(wanted / (per_step * options.batch_size)))
    drawn, step = 0, 0
    while drawn * options.batch_size < wanted:
        drawn += sum(phase.times(step) for phase in phases if phase.data)
        step += 1
    return step
