"""Batch norm over the whole batch where several ranks have a part of it each.

PyTorch's own `SyncBatchNorm` runs on GPUs alone and can be differentiated once, so not below a gradient penalty; this
one is made of ops that can be differentiated any number of times, on any device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gankit.core.ranks import current
from gankit.core.torch_private import BatchNorm
from gankit.models.networks import AnyBatchNorm


class SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all ranks. Every rank's loss depends on every rank's tensor, so the gradient is a sum,
    too, and so is the gradient's.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        found = tensor.contiguous().clone()
        current().sum_(found)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return SumOverRanks.apply(grads[0])  # type: ignore[no-untyped-call]


class SyncBatchNorm(AnyBatchNorm):
    """Batch norm (Ioffe & Szegedy 2015) by the mean and variance of the images of all ranks."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- PyTorch's name
        if not self.training or current().alone:
            return super().forward(input)
        self._check_input_dim(input)
        over = [0, *range(2, input.dim())]
        shape = [1, -1] + [1] * (input.dim() - 2)
        wide = input if input.dtype == torch.float64 else input.float()
        here = wide.new_full((1,), wide.numel() // wide.shape[1])
        sums: Tensor = SumOverRanks.apply(torch.cat([wide.sum(over), here]))  # type: ignore[no-untyped-call]
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = wide - mean.view(shape)
        squares: Tensor = SumOverRanks.apply(centred.square().sum(over))  # type: ignore[no-untyped-call]
        variance = squares / count
        found = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            found = found * self.weight.view(shape) + self.bias.view(shape)
        self._keep(mean.detach(), (squares / (count - 1)).detach())
        return found.to(input.dtype)

    @torch.no_grad()
    def _keep(self, mean: Tensor, unbiased: Tensor) -> None:
        """Move the running statistics, as PyTorch's batch norm does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.to(mean.dtype) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def synchronise(model: nn.Module) -> None:
    """Make every batch norm in ``model`` one over all ranks; parameters, buffers and their names stay."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, BatchNorm) and not isinstance(child, SyncBatchNorm):
                made = SyncBatchNorm(
                    child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
                )
                for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                    setattr(made, part, getattr(child, part))
                setattr(parent, name, made.train(child.training))
