"""gather in plain PyTorch: the truth for the tests, the fallback and the benchmark."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.kernels.dispatch import wide


def gather_ref(
    images: Tensor, index: Tensor, flip: Tensor | None, offset: Tensor | None, size: tuple[int, int], dtype: torch.dtype
) -> Tensor:
    """images: uint8 [N,C,H,W]; index: [B]; flip: bool [B]; offset: [B,2] of (top, left). Returns [B,C,h,w]."""
    taken = _window(images, index, flip, offset, size).to(wide(dtype))
    # Algebraically x / 127.5 - 1; in this order the difference is exact, so the result is rounded once.
    return ((taken - 127.5) / 127.5).to(dtype)


def _window(images: Tensor, index: Tensor, flip: Tensor | None, offset: Tensor | None, size: tuple[int, int]) -> Tensor:
    height, width = size
    if flip is None and offset is None:
        return images[index, :, :height, :width]
    rows = torch.arange(height, device=images.device).expand(len(index), height)
    columns = torch.arange(width, device=images.device).expand(len(index), width)
    if flip is not None:
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
    if offset is not None:
        rows, columns = rows + offset[:, :1], columns + offset[:, 1:]
    channels = torch.arange(images.shape[1], device=images.device)
    return images[
        index[:, None, None, None], channels[:, None, None], rows[:, None, :, None], columns[:, None, None, :]
    ]
