"""Ops that can be differentiated once: differentiating their gradients raises instead of being silently wrong."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class _SealedGradients(torch.autograd.Function):
    """op, count, then `count` gradients and what they depend on; returns the gradients, and raises in backward."""

    @staticmethod
    def forward(op: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.view_as(tensor) for tensor in tensors[:count])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.op = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        raise RuntimeError(f"{ctx.op} can be differentiated once only, and its gradient was differentiated again")


def seal_gradients(
    op: str, grads: tuple[Tensor | None, ...], causes: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, ...]:
    """Returns the same gradients, tied to the tensors that they depend on by a node that raises when differentiated."""
    if not torch.is_grad_enabled():
        return grads
    present = [grad for grad in grads if grad is not None]
    tied = [cause for cause in causes if cause is not None]
    marked = iter(cast("tuple[Tensor, ...]", _SealedGradients.apply(op, len(present), *present, *tied)))  # type: ignore[no-untyped-call]
    return tuple(None if grad is None else next(marked) for grad in grads)


class _SingleBackward(torch.autograd.Function):
    """op, then tensors; returns the tensors, and seals their gradients."""

    @staticmethod
    def forward(op: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.op = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *seal_gradients(ctx.op, grads, (*grads, *ctx.saved_tensors)))


def single_backward(op: str, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Returns the same tensors; differentiating twice through what `op` makes of them raises RuntimeError."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return tensors
    return cast("tuple[Tensor, ...]", _SingleBackward.apply(op, *tensors))  # type: ignore[no-untyped-call]
