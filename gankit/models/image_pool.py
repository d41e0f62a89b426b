"""The pool of earlier fakes that a discriminator is shown besides new ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gankit.core.ranks import current
from gankit.core.rng import RandomStream
from gankit.core.types import Noise


class ImagePool(nn.Module):
    """Shrivastava et al. 2017, section 2.3, as the CycleGAN code has it.

    Until ``capacity`` images came they are kept and handed on. After that each is, with probability one half, put in a
    drawn image's place, which is handed on instead; else it is handed on itself and forgotten. Images of a batch come
    one after the other. With buffers and drawn indices a step has fixed shapes and reads nothing back from the device.
    Of several ranks each holds the same pool, which takes the images of all of them.
    """

    images: Tensor
    count: Tensor

    def __init__(self, name: str, capacity: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.capacity, self.slot, self.swap = capacity, f"{name} slot", f"{name} swap"
        self.register_buffer("images", torch.zeros(capacity + 1, *shape))  # the last takes what is not kept
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @property
    def names(self) -> tuple[str, str]:
        """The names of what ``draw`` draws: it is about the whole batch, of which a rank may have a part."""
        return self.slot, self.swap

    def draw(self, n: int, draws: RandomStream) -> Noise:
        """What ``forward`` needs for ``n`` images."""
        return {self.slot: draws.integers(max(1, self.capacity), n), self.swap: draws.bernoulli(0.5, n)}

    @torch.no_grad()
    def forward(self, fresh: Tensor, noise: Noise) -> Tensor:
        """fresh: [n,C,H,W]; noise: as ``draw`` gave it. Returns the images handed on; all, for a capacity of 0.

        Where ``noise`` is of more images than ``fresh``, these are this rank's part of the batch.
        """
        if not self.capacity:
            return fresh
        slot, swap = noise[self.slot], noise[self.swap]
        own = slice(None)
        if len(slot) != len(fresh):
            own = current().part(len(slot))
            whole = fresh.new_zeros(len(slot), *fresh.shape[1:])
            whole[own] = fresh
            current().sum_(whole)
            fresh = whole
        order = torch.arange(len(fresh), device=fresh.device)
        fills = self.count + order < self.capacity
        place, kept = torch.where(fills, self.count + order, slot), fills | swap
        meets = (place[:, None] == place) & kept  # [i, j]: image j is put where image i looks
        before = torch.where(meets & (order < order[:, None]), order, -1).amax(1)
        replaced = (meets & (order > order[:, None])).any(1)
        earlier = torch.where(wide(before >= 0), fresh[before.clamp(min=0)], self.images[slot])
        handed = torch.where(wide(swap & ~fills), earlier, fresh)
        self.images.index_copy_(0, torch.where(kept & ~replaced, place, self.capacity), fresh)
        self.images[-1].zero_()
        self.count.add_(len(fresh)).clamp_(max=self.capacity)
        return handed[own]


def wide(flags: Tensor) -> Tensor:
    """[n] -> [n, 1, 1, 1]"""
    return flags[:, None, None, None]
