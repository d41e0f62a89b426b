"""Memory orders: the kernels walk memory, so tensors that are compared must be dense in one order."""

from __future__ import annotations

import torch
from torch import Tensor

_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def dense(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors of one shape, as they are where they are dense in one order, samples outermost, else copied.

    An expanded, sliced or mixed layout becomes channels_last if any of them is, otherwise contiguous.
    """
    for tensor in tensors:
        if not tensor.is_contiguous():
            break
    else:
        return tensors
    last = _LAST.get(tensors[0].dim(), torch.contiguous_format)
    if not any(tensor.is_contiguous(memory_format=last) for tensor in tensors):
        last = torch.contiguous_format
    return tuple(tensor.contiguous(memory_format=last) for tensor in tensors)
