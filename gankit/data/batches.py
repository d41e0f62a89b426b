"""What an update is handed: its batch of real images, and everything random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.rng import RandomStream
from gankit.core.sides import Size, sides
from gankit.core.types import Batch, Noise, placed
from gankit.data.dataset import ImageSet
from gankit.data.order import Order
from gankit.kernels import gather

ALL = slice(None)
LOOK_AHEAD = 16 * 2**20
"""Bytes of inputs that are drawn at once on a CPU."""


class UpdateKey(NamedTuple):
    """What the inputs of an update follow from: its phase, its step, its repeat within the step, and the number of its
    batch of real images within the run, None for a phase that draws none.
    """

    phase: str
    step: int
    repeat: int
    draw: int | None


class BatchSource:
    """The inputs of a run's updates, each a function of the seed and the update's key alone.

    ``size`` is that of the batches' images: windows of the data set's, at drawn places. ``draw_noise``
    makes what is random in ``phase`` for n images: ``Model.noise``. ``part``: which of a batch's images this process
    is handed; their numbers, flips, crops and noise are those that they have in the whole batch. ``whole_noise``: names
    of noise that it is handed all of.
    """

    def __init__(
        self,
        images: ImageSet,
        draw_noise: Callable[[str, int, RandomStream], Noise],
        *,
        batch_size: int,
        size: Size,
        seed: int,
        flip: bool,
        device: torch.device,
        dtype: torch.dtype,
        part: slice = ALL,
        whole_noise: Sequence[str] = (),
    ) -> None:
        self.draw_noise, self.batch_size, self.sides, self.seed = draw_noise, batch_size, sides(size), seed
        self.flip, self.device, self.dtype = flip, device, dtype
        self.part, self.whole_noise = part, tuple(whole_noise)
        self.pixels = images.images.to(device)
        self.labels = None if images.labels is None else images.labels.to(device)
        self.other = None if images.other is None else images.other.to(device)
        self.order = Order(len(images), seed)
        self.other_order = Order(0 if self.other is None else len(self.other), seed, "other order")
        self.due: list[UpdateKey] = []
        self.ahead: dict[UpdateKey, tuple[Batch, Noise]] = {}

    def expect(self, due: Sequence[UpdateKey]) -> None:
        """``due``: the updates of the next step, in their order."""
        self.due, self.ahead = list(due), {}

    def __call__(self, key: UpdateKey) -> tuple[Batch, Noise]:
        """The batch and the noise of update ``key``.

        On a CPU those of the step's next updates are drawn with it: between updates, which go through megabytes, the
        caches lose the code and the tables that drawing needs, and it takes three times as long.
        """
        if key not in self.ahead:
            self.ahead, room = {}, LOOK_AHEAD if self.device.type == "cpu" else 0
            after = self.due[self.due.index(key) + 1 :] if key in self.due else []
            for each in (key, *after):
                self.ahead[each] = drawn = self.batch(each.draw), self.noise(each.phase, each.step, each.repeat)
                room -= nbytes(drawn)
                if room <= 0:
                    break
        return self.ahead.pop(key)

    def batch(self, draw: int | None) -> Batch:
        """Batch number ``draw`` of the run; for None, one of no images."""
        if draw is None:
            shape = (0, self.pixels.shape[1], *self.sides)
            return Batch(torch.empty(shape, device=self.device, dtype=self.dtype))
        index = self.order.batch(draw, self.batch_size)[self.part].to(self.device)
        flips, crops = self._augmentation(draw)
        images = self._gather(self.pixels, index, flips, crops)
        labels = None if self.labels is None else self.labels[index]
        other = None
        if self.other is not None:
            other_index = self.other_order.batch(draw, self.batch_size)[self.part].to(self.device)
            other = self._gather(self.other, other_index, flips, crops)
        return Batch(images, labels, other)

    def noise(self, phase: str, step: int, repeat: int) -> Noise:
        """Everything random of one update."""
        stream = RandomStream(self.seed, "noise", step, phase, repeat)
        drawn = self.draw_noise(phase, self.batch_size, stream)
        if self.part != ALL:
            drawn = {
                name: value if name in self.whole_noise else self._own(name, value) for name, value in drawn.items()
            }
        return placed(drawn, self.device, self.dtype)

    def _own(self, name: str, value: Tensor) -> Tensor:
        """The process's own rows of ``value``. UsageError where it does not have a row an image."""
        if not value.dim() or len(value) != self.batch_size:
            raise UsageError(
                f"the variant's noise '{name}' is {list(value.shape)}, which cannot be divided among ranks: it needs a "
                f"row for each of {self.batch_size} images, or a place in Model.whole_noise"
            )
        return value[self.part]

    def _augmentation(self, draw: int) -> tuple[RandomStream | None, RandomStream | None]:
        """What flips and crops of batch number ``draw`` are drawn from; both domains go on drawing from the same."""
        return (
            RandomStream(self.seed, "flip", draw) if self.flip else None,
            RandomStream(self.seed, "crop", draw) if self.pixels.shape[2:] != self.sides else None,
        )

    def _gather(self, pixels: Tensor, index: Tensor, flips: RandomStream | None, crops: RandomStream | None) -> Tensor:
        n = self.batch_size
        flip = None if flips is None else flips.bernoulli(0.5, n)[self.part].to(self.device)
        offset = None if crops is None else self._corners(crops, pixels, n)[self.part].to(self.device)
        return gather(pixels, index, flip, offset, self.sides, dtype=self.dtype)

    def _corners(self, crops: RandomStream, pixels: Tensor, n: int) -> Tensor:
        """int64 [n, 2]: where the windows of ``n`` images start."""
        down, across = (whole - part for whole, part in zip(pixels.shape[2:], self.sides, strict=True))
        if down == across:
            return crops.integers(down + 1, n, 2)
        return torch.stack([crops.integers(down + 1, n), crops.integers(across + 1, n)], 1)


def nbytes(inputs: tuple[Batch, Noise]) -> int:
    """The bytes of a batch and its noise."""
    batch, noise = inputs
    tensors = [batch.images, batch.labels, batch.other, *noise.values()]
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
