"""Optimizers as one call of PyTorch's fused or foreach kernels for all parameters; `torch.optim`'s to rounding.

Building a `torch.optim.Optimizer` imports torch._dynamo, which takes longer than all else that `gankit train` does
between importing PyTorch and its first step, and its `step` spends as long in Python as a small network's weights take
to move. Here the gradients are handed over, the learning rate is a tensor, so that a captured step sees it change, and
the state is dense in the order of the parameters, as kernels that do not look at strides need it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gankit.core.errors import GankitError, UsageError
from gankit.core.torch_private import (
    foreach_add,
    foreach_add_,
    foreach_addcdiv_,
    foreach_addcmul_,
    foreach_div_,
    foreach_mul_,
    foreach_sqrt,
    fused_adam_,
    fused_sgd_,
)
from gankit.models.interface import OptimSpec

EPSILON = 1e-8
ALPHA = 0.99
"""RMSprop's decay of the squared gradient."""


class Optimizer(ABC):
    """Moves ``parameters``, which are of one type and on one device. ``state``: tensors like them, by name."""

    slots: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parameters: Sequence[Tensor], spec: OptimSpec) -> None:
        self.parameters, self.spec = list(parameters), spec
        first = self.parameters[0]
        self.rate = spec.lr
        self.lr = torch.tensor(spec.lr, dtype=torch.float64 if first.is_cpu else torch.float32, device=first.device)
        self.state = {name: [torch.zeros_like(p) for p in self.parameters] for name in self.slots}
        self.steps = torch.zeros((), dtype=torch.float32, device=first.device)

    def set_rate(self, rate: float) -> None:
        """Move by the learning rate ``rate`` from now on."""
        if rate != self.rate:
            self.rate = rate
            self.lr.fill_(rate)

    @abstractmethod
    @torch.no_grad()
    def step(self, grads: Sequence[Tensor]) -> None:
        """Move the parameters once; ``grads`` lie in memory as they do."""

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The state by the parameters' numbers, as a checkpoint holds it."""
        if not self.slots:
            return {}
        of_each = zip(*self.state.values(), strict=True)
        return {
            str(i): {"step": self.steps, **dict(zip(self.slots, some, strict=True))} for i, some in enumerate(of_each)
        }

    @torch.no_grad()
    def restore(self, flat: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave, its levels joined by "/". GankitError where a shape is another."""
        for path, tensor in flat.items():
            number, _, name = path.partition("/")
            mine = self.steps if name == "step" else self.state[name][int(number)]
            if mine.shape != tensor.shape:
                raise GankitError(f"optimizer state {path} is {list(tensor.shape)}, expected {list(mine.shape)}")
            mine.copy_(tensor)


class Adam(Optimizer):
    """Kingma & Ba 2015, arXiv:1412.6980, algorithm 1."""

    slots = ("exp_avg", "exp_avg_sq")

    def __init__(self, parameters: Sequence[Tensor], spec: OptimSpec) -> None:
        super().__init__(parameters, spec)
        self._steps = [self.steps] * len(self.parameters)

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor]) -> None:
        self.steps += 1
        fused_adam_(
            self.parameters, list(grads), self.state["exp_avg"], self.state["exp_avg_sq"], [], self._steps,
            lr=self.lr, beta1=self.spec.betas[0], beta2=self.spec.betas[1], weight_decay=self.spec.weight_decay,
            eps=EPSILON, amsgrad=False, maximize=False,
        )  # fmt: skip


class RMSprop(Optimizer):
    """Tieleman & Hinton 2012, lecture 6.5, uncentred and without momentum."""

    slots = ("square_avg",)

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor]) -> None:
        self.steps += 1
        squares = self.state["square_avg"]
        grads = list(grads)
        if self.spec.weight_decay:
            grads = foreach_add(grads, self.parameters, alpha=self.spec.weight_decay)
        foreach_mul_(squares, ALPHA)
        foreach_addcmul_(squares, grads, grads, value=1 - ALPHA)
        roots = foreach_sqrt(squares)
        foreach_add_(roots, EPSILON)
        foreach_div_(roots, -self.lr)
        foreach_addcdiv_(self.parameters, grads, roots)


class SGD(Optimizer):
    """Gradient descent without momentum."""

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor]) -> None:
        fused_sgd_(
            self.parameters, list(grads), [], lr=self.lr, weight_decay=self.spec.weight_decay, momentum=0.0,
            dampening=0.0, nesterov=False, maximize=False, is_first_step=False,
        )  # fmt: skip


KINDS: dict[str, type[Optimizer]] = {"adam": Adam, "rmsprop": RMSprop, "sgd": SGD}


def make(spec: OptimSpec, parameters: Sequence[Tensor]) -> Optimizer:
    """The optimizer of ``spec``."""
    if spec.kind not in KINDS:
        raise UsageError(f"unknown optimizer '{spec.kind}': one of {', '.join(KINDS)}")
    return KINDS[spec.kind](parameters, spec)
