"""Gradients that may be taken once: differentiating them again raises instead of being silently wrong."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class _Sealed(torch.autograd.Function):
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


def sealed(op: str, grads: tuple[Tensor | None, ...], causes: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """The same gradients, tied to the tensors they depend on by a node that raises when differentiated."""
    if not torch.is_grad_enabled():
        return grads
    present = [grad for grad in grads if grad is not None]
    tied = [cause for cause in causes if cause is not None]
    marked = iter(cast("tuple[Tensor, ...]", _Sealed.apply(op, len(present), *present, *tied)))  # type: ignore[no-untyped-call]
    return tuple(None if grad is None else next(marked) for grad in grads)


class _Once(torch.autograd.Function):
    """The identity on the tensors after `op`, whose gradient is sealed."""

    @staticmethod
    def forward(op: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.op = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *sealed(ctx.op, grads, (*grads, *ctx.saved_tensors)))


def once(op: str, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The same tensors; differentiating twice through what is made of them raises, as the fused ops do."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return tensors
    return cast("tuple[Tensor, ...]", _Once.apply(op, *tensors))  # type: ignore[no-untyped-call]
