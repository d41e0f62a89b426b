"""The trainer: the state of a run, and one step of any variant.

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

from gankit.build import DTYPES, build_model, pick_device, training_images
from gankit.config import Config
from gankit.core import checkpoint
from gankit.core.cores import Load
from gankit.core.errors import GankitError, UsageError
from gankit.core.ranks import Ranks, current
from gankit.core.torch_private import foreach_norm
from gankit.core.types import Carry
from gankit.cpu import prepare
from gankit.data.batches import ALL, BatchSource
from gankit.data.dataset import ImageSet
from gankit.models.batch_norm import synchronise
from gankit.models.interface import Model, Phase
from gankit.models.networks import uses_batch_statistics
from gankit.models.sampling import sample
from gankit.training.ema import EMA
from gankit.training.engines.choose import choose_engine, make_engine
from gankit.training.initial import Initial, take
from gankit.training.reduction import Reduction, statistics_of
from gankit.training.schedule import rate, total_steps, updates
from gankit.training.threads import choose_threads, set_threads
from gankit.training.update import Arithmetic, PhaseState, Update, Vector


class NotFinite(GankitError):
    """A loss or a weight stopped being finite."""

    everywhere = True


class Trainer:
    """A model in training. ``done`` counts finished steps, ``drawn`` the batches of real images drawn so far."""

    def __init__(self, config: Config, images: ImageSet | None = None, initial: Initial | None = None) -> None:
        """``initial``: trained weights to start from, as far as they fit."""
        self.config, self.options = config, config.train
        self.device = pick_device(config.train.device)
        load = Load.now()
        if config.train.threads is not None:
            set_threads(config.train.threads)
        self.dtype = DTYPES[config.train.precision]
        self.images = training_images(config, images)
        self.spec = self.images.spec(config.data.crop)
        self.model = build_model(config, self.spec)
        self.taken = None if initial is None else take(self.model, initial)
        if config.train.sync_batchnorm:
            synchronise(self.model)
        self.model.to(self.device, self.dtype).train()
        if self.device.type == "cpu":
            prepare(self.model)
        self.ranks = current()
        own = self.ranks.part(config.train.batch_size)
        self.share = (own.stop - own.start) / config.train.batch_size
        """The share of each batch that is this process's part."""
        self.batches = BatchSource(
            self.images,
            self.model.noise,
            batch_size=config.train.batch_size,
            size=self.spec.sides,
            seed=config.train.seed,
            flip=config.data.flip,
            device=self.device,
            dtype=self.dtype,
            part=ALL if self.ranks.alone else own,
            whole_noise=self.model.whole_noise,
        )
        check_phases(self.model.phases)
        check_batches(config, self.model, self.ranks, self.device)
        self.phases = [PhaseState.of(phase, self.model) for phase in self.model.phases]
        if not self.ranks.alone:
            statistics = [] if config.train.sync_batchnorm else statistics_of(self.model)
            for state in self.phases:
                state.reduction = Reduction(state.parameters, statistics, self.ranks, self.share)
        self.ema: EMA | None = None
        if config.train.ema_halflife_images:
            self.ema = EMA(
                self.model, self.model.ema_networks, config.train.ema_halflife_images, config.train.batch_size
            )
        self.done, self.drawn = 0, 0
        self.schedule = 0
        """The step from which the learning rates' decay counts: where the leg began that set them."""
        self.steps = total_steps(config.train, self.model.phases, len(self.images))
        self.rows: list[tuple[int, list[tuple[PhaseState, list[Vector]]]]] = []
        self.not_finite_on = ""
        """Of several ranks those whose own figures are no longer finite, in words."""
        arithmetic = Arithmetic(self.device.type, self.dtype, autocast=config.train.precision == "bf16")
        name = config.train.engine
        if name == "auto":
            name = choose_engine(self.device.type, updates(self.model.phases, self.steps), self.model)
        self.engine = make_engine(name, self.model, arithmetic, self.batches)
        waits = self.device.type == "cpu" and self.engine.waits_for_threads
        self.threads = config.train.threads or choose_threads(load if waits else None)
        set_threads(self.threads)

    def step(self) -> None:
        """One pass over all phases: draw data and noise, move each phase's networks, average, record."""
        with self.engine.threads():
            self._step()

    def _step(self) -> None:
        carry = Carry()
        recorded: dict[str, tuple[PhaseState, list[Vector]]] = {}
        factor = rate(self.done - self.schedule, self.steps - self.schedule, self.options.decay_start)
        for state in self.phases:
            state.optimizer.set_rate(state.phase.optimizer.lr * factor)
        due = self.due(self.done)
        self.batches.expect([update.key for update in due])
        for i, update in enumerate(due):
            values, carried = self.engine.update(update, carry, due[i + 1 :])
            carry |= carried
            recorded.setdefault(update.state.phase.name, (update.state, []))[1].append(values)
        self.drawn += self.draws(self.done)
        if self.ema is not None:
            self.ema.update(self.done)
        self.done += 1
        self.rows.append((self.done, list(recorded.values())))

    def due(self, step: int) -> list[Update]:
        """The updates of ``step``, which is the next one, in their order."""
        found: list[Update] = []
        draw = self.drawn
        for state in self.phases:
            for repeat in range(state.phase.times(step)):
                found.append(Update(state, step, repeat, draw))
                draw += state.phase.data and not self.options.same_batch
        return found

    def draws(self, step: int) -> int:
        """How many batches of real images ``step`` draws."""
        return (
            1 if self.options.same_batch else sum(state.phase.times(step) for state in self.phases if state.phase.data)
        )

    @property
    def sampling_model(self) -> Model:
        """The model that is looked at and judged: with averaged weights where there are any."""
        return self.model if self.ema is None else self.ema.model

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """N images [n,C,H,W] in [-1, 1] to look at: from the run's fixed latents or fixed images of its data set, by
        the averaged weights where there are any.
        """
        model = self.sampling_model
        batch = self.images.pick(n, self.options.seed, self.spec.sides) if model.reads_images else None
        return sample(model, n, self.options.seed, self.device, self.dtype, batch, preview=True)

    def take_rows(self) -> list[dict[str, Any]]:
        """What was recorded since the last call, one mapping a step, read back from the device in one go. Of a phase
        that came several times the mean; one that rested has none.
        """
        rows, self.rows = self.rows, []
        every = [vector for _, row in rows for _, vectors in row for vector in vectors]
        values = iter(self.over_ranks(torch.cat(every)).tolist() if every else [])
        found: list[dict[str, Any]] = []
        for step, row in rows:
            found.append({"step": step})
            for state, vectors in row:
                taken = [list(islice(values, len(state.recorded))) for _ in vectors]
                means = (sum(some) / len(taken) for some in zip(*taken, strict=True))
                found[-1] |= zip(state.recorded, means, strict=True)
        return found

    def over_ranks(self, values: Tensor) -> Tensor:
        """The mean of what each rank recorded, weighted by its share of the batch."""
        if self.ranks.alone:
            return values
        own = torch.isfinite(values).all()
        self.ranks.sum_(values := values * self.share)
        if not torch.isfinite(values).all():  # which all ranks find
            bad = [rank for rank, finite in enumerate(self.ranks.all_of(bool(own))) if not finite]
            self.not_finite_on = "".join(f" on rank {rank} ({self.ranks.hosts[rank]})" for rank in bad)
        return values

    @torch.no_grad()
    def check_finite(self) -> None:
        """NotFinite naming the first networks whose weights are not finite: the last update may have done that."""
        norms = [torch.stack(foreach_norm(list[Tensor](state.parameters))).norm() for state in self.phases]
        for state, norm in zip(self.phases, torch.stack(norms).tolist(), strict=True):
            if not math.isfinite(norm):
                raise NotFinite(
                    f"the weights of {', '.join(state.phase.networks)} stopped being finite at step {self.done}"
                )

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold to go on."""
        found: dict[str, Any] = {"model": self.model.state_dict()}
        found["optimizers"] = {state.phase.name: state.optimizer.tensors() for state in self.phases}
        if self.ema is not None:
            found["average"] = self.ema.state()
        return checkpoint.flatten(found)

    def restore(self, tensors: Mapping[str, Tensor], done: int, drawn: int) -> None:
        """Continue from what ``tensors`` gave after ``done`` steps."""
        self.model.load_state_dict(checkpoint.under(tensors, "model/"))
        for state in self.phases:
            state.optimizer.restore(checkpoint.under(tensors, f"optimizers/{state.phase.name}/"))
        if self.ema is not None:
            self.ema.model.load_state_dict(checkpoint.under(tensors, "average/"), strict=False)
        self.done, self.drawn, self.rows = done, drawn, []
        self.batches.expect([])


def check_batches(config: Config, model: Model, ranks: Ranks, device: torch.device) -> None:
    """UsageError where a rank would have no GPU of its own, no images, or too few of them for batch norm."""
    if device.type == "cuda" and ranks.local >= torch.cuda.device_count():
        raise UsageError(
            f"--device cuda: this is rank number {ranks.local + 1} on a host with {torch.cuda.device_count()} GPUs; "
            "start one a GPU: torchrun --nproc-per-node gpu"
        )
    if device.type == "mps" and not ranks.alone:
        raise UsageError("--device mps: ranks have no way to exchange what lies on Apple's GPU; use --device cpu")
    size = config.train.batch_size
    if size < ranks.world:
        raise UsageError(
            f"--batch-size {size}: is the size of all ranks' batches together, and there are {ranks.world}"
        )
    least = size if config.train.sync_batchnorm else size // ranks.world
    if least == 1 and uses_batch_statistics(model):
        of_each = "" if ranks.alone else f" on each of {ranks.world} ranks, or --sync-batchnorm"
        raise UsageError(
            f"--batch-size {size}: batch norm needs 2 images or more{of_each}; choose another norm or larger batches"
        )


def check_phases(phases: tuple[Phase, ...]) -> None:
    """UsageError where a variant's phases cannot be told apart, or none of them draws images."""
    names = [phase.name for phase in phases]
    if len(set(names)) < len(names) or any("/" in name for name in names):
        raise UsageError(f"a variant's phases need names of their own, without '/': {', '.join(names)}")
    if not any(phase.data for phase in phases):
        raise UsageError(f"none of the phases {', '.join(names)} draws real images")
