"""Gradients of a phase summed over the ranks: one flat tensor, in parts that are on their way while the backward pass
still computes others.

No wrapper around the model, as PyTorch's has it: a phase calls its networks several times and differentiates a penalty
twice, and the gradients it wants are handed to it by `autograd.grad`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gankit.core.ranks import Ranks
from gankit.core.torch_private import BatchNorm

BUCKET = 4 * 2**20
"""Bytes that are sent together, at least: of fewer the delay of a message is most of the time."""


@dataclass
class Bucket:
    """Elements ``start`` to ``end`` of the flat tensor: the gradients of ``count`` parameters."""

    start: int
    end: int
    count: int
    missing: int = 0


class Reduction:
    """Sums what each rank has computed of its ``share`` of the batch: the gradients of ``parameters``, and with them
    ``statistics``, tensors that a forward pass changes on each rank for itself, whose mean all ranks then hold.

    A rank's loss is weighted by its share before it is differentiated, so that a sum over ranks is the mean over the
    whole batch however it is divided.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], statistics: Sequence[Tensor], ranks: Ranks, share: float,
        bucket: int = BUCKET,
    ) -> None:  # fmt: skip
        self.ranks, self.share, self.statistics = ranks, share, list(statistics)
        first = parameters[0]
        sizes = [p.numel() for p in parameters]
        self.flat = torch.zeros(
            sum(sizes) + sum(t.numel() for t in self.statistics), dtype=first.dtype, device=first.device
        )
        # Backward passes reach the last layers first, so these come first and are sent first.
        self.buckets: list[Bucket] = []
        self.views: list[Tensor] = [first] * len(sizes)
        self.bucket_of = [0] * len(sizes)
        at = 0
        for i in reversed(range(len(sizes))):
            if not self.buckets or (self.buckets[-1].end - self.buckets[-1].start) * first.element_size() >= bucket:
                self.buckets.append(Bucket(at, at, 0))
            last = self.buckets[-1]
            self.views[i] = torch.as_strided(self.flat, parameters[i].shape, parameters[i].stride(), at)
            self.bucket_of[i] = len(self.buckets) - 1
            at += sizes[i]
            last.end, last.count = at, last.count + 1
        self.averaged: list[Tensor] = []
        for tensor in self.statistics:
            self.averaged.append(self.flat[at : at + tensor.numel()].view(tensor.shape))
            at += tensor.numel()
        self.buckets[-1].end = at
        self.filled: set[int] | None = None
        self.waiting: list[Callable[[], None]] = []
        if len(self.buckets) > 1:
            for i, parameter in enumerate(parameters):
                parameter.register_hook(self._hook(i))  # type: ignore[no-untyped-call]

    def start(self) -> None:
        """An update that is not traced begins: its gradients are taken as they come."""
        self.filled = set()
        for bucket in self.buckets:
            bucket.missing = bucket.count

    def finish(self, grads: Sequence[Tensor]) -> list[Tensor]:
        """The sums of ``grads`` over the ranks; they lie in memory as the parameters do, and stay until the next."""
        taken, self.filled = self.filled or set(), None
        for i, grad in enumerate(grads):
            if i not in taken:
                self.views[i].copy_(grad)
        for mean, tensor in zip(self.averaged, self.statistics, strict=True):
            torch.mul(tensor, self.share, out=mean)
        self.waiting.append(self.ranks.sum_later(self.flat[self.buckets[len(self.waiting)].start :]))
        waiting, self.waiting = self.waiting, []
        for wait in waiting:
            wait()
        for mean, tensor in zip(self.averaged, self.statistics, strict=True):
            # Unseen by autograd: a carried graph holds it, and a backward pass does not read it.
            tensor.data.copy_(mean)
        return self.views

    def _hook(self, i: int) -> Callable[[Tensor], None]:
        def take(grad: Tensor) -> None:
            if self.filled is None:
                return
            self.views[i].copy_(grad)
            self.filled.add(i)
            self.buckets[self.bucket_of[i]].missing -= 1
            # All but the last, which takes the statistics along; in the same order on every rank.
            while len(self.waiting) < len(self.buckets) - 1 and not self.buckets[len(self.waiting)].missing:
                bucket = self.buckets[len(self.waiting)]
                self.waiting.append(self.ranks.sum_later(self.flat[bucket.start : bucket.end]))

        return take


def statistics_of(model: nn.Module) -> list[Tensor]:
    """The running means and variances of the batch norms in ``model``."""
    return [
        buffer
        for layer in model.modules()
        if isinstance(layer, BatchNorm)
        for buffer in layer.buffers(recurse=False)
        if buffer.is_floating_point()
    ]
