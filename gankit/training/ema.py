"""The moving average of weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from gankit.core.torch_private import foreach_add_, foreach_mul_, foreach_sub
from gankit.models.interface import Model

EMA_RAMP = 0.05
"""The half-life is at most this share of the images seen, so that early weights are forgotten (Karras et al. 2020)."""


class EMA:
    """The exponential moving average of some of a model's networks, updated once a step."""

    def __init__(self, model: Model, networks: Iterable[str], halflife_images: int, batch_size: int) -> None:
        self.halflife, self.batch_size = halflife_images, batch_size
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.networks = tuple(networks)
        self._pairs = [(self.model.get_submodule(name), model.get_submodule(name)) for name in self.networks]
        self._averages: list[Tensor] = [p for average, _ in self._pairs for p in average.parameters()]
        self._sources: list[Tensor] = [p for _, source in self._pairs for p in source.parameters()]
        self._weight = torch.zeros((), dtype=self._sources[0].dtype, device=self._sources[0].device)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after ``step`` (0-based); buffers (batch-norm statistics) are copied."""
        halflife = min(self.halflife, EMA_RAMP * (step + 1) * self.batch_size)
        self._weight.fill_(1 - 0.5 ** (self.batch_size / halflife))
        distance = foreach_sub(self._sources, self._averages)
        foreach_mul_(distance, self._weight)
        foreach_add_(self._averages, distance)
        for average, source in self._pairs:
            for mine, theirs in zip(average.buffers(), source.buffers(), strict=True):
                mine.copy_(theirs)

    def state(self) -> dict[str, Tensor]:
        """The averaged networks' tensors by name."""
        return {
            f"{network}.{name}": tensor
            for network in self.networks
            for name, tensor in self.model.get_submodule(network).state_dict().items()
        }
