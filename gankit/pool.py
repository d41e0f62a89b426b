"""The pool of earlier fakes that a discriminator is shown besides new ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gankit.keys import Draws
from gankit.model import Noise


class ImagePool(nn.Module):
    """Shrivastava et al. 2017, section 2.3, as the CycleGAN code has it.

    Until ``capacity`` images came they are kept and handed on. After that each is, with probability one half, put in a
    drawn image's place, which is handed on instead; else it is handed on itself and forgotten. Images of a batch come
    one after the other. All is buffers and drawn indices, so a step with a pool has fixed shapes and reads nothing back.
    """

    images: Tensor
    count: Tensor

    def __init__(self, capacity: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.capacity = capacity
        self.register_buffer("images", torch.zeros(capacity + 1, *shape))  # the last takes what is not kept
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def draw(self, n: int, draws: Draws) -> Noise:
        """What ``forward`` needs for ``n`` images; nothing for a pool of none."""
        return {"slot": draws.integers(self.capacity, n), "swap": draws.bernoulli(0.5, n)} if self.capacity else {}

    @torch.no_grad()
    def forward(self, fresh: Tensor, slot: Tensor, swap: Tensor) -> Tensor:
        """fresh: [n,C,H,W]; slot: int64 [n] below the capacity; swap: bool [n]. Returns the images handed on."""
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
        return handed


def wide(flags: Tensor) -> Tensor:
    """[n] -> [n, 1, 1, 1]"""
    return flags[:, None, None, None]
