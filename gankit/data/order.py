"""The order in which images are drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.core.rng import RandomStream


class Order:
    """Which images a batch holds: consecutive slices of the epochs' permutations, joined end to end, never short."""

    def __init__(self, count: int, seed: int, name: str = "order") -> None:
        self.count, self.seed, self.name = count, seed, name
        self._epochs: dict[int, Tensor] = {}

    def batch(self, draw: int, size: int) -> Tensor:
        """The indices, int64 [size], of the batch that starts ``draw * size`` images into the run."""
        start = draw * size
        first, last = start // self.count, (start + size - 1) // self.count
        for old in [epoch for epoch in self._epochs if epoch < first]:
            del self._epochs[old]
        parts, left = [], size
        for epoch in range(first, last + 1):
            begin = max(start - epoch * self.count, 0)
            parts.append(self._epoch(epoch)[begin : begin + left])
            left -= len(parts[-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs[epoch] = RandomStream(self.seed, self.name, epoch).permutation(self.count)
        return self._epochs[epoch]
