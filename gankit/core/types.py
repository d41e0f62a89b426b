"""What passes between data, models and the trainer: the shape of the images, a batch, its random inputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gankit.core.sides import Sides

Noise = dict[str, Tensor]
Carry = dict[str, Tensor]
Captions = tuple[str, ...] | tuple[tuple[float, ...], ...]
"""What each class is, in words, or in as many numbers for each."""


@dataclass(frozen=True)
class Spec:
    """The images a model is built for: [N, channels, size, width] in [-1, 1], with ``classes`` labels (0: none), whose
    ``names`` may be known.

    ``size`` is the height; a ``width`` of 0 becomes the same. ``count`` is the number of training images,
    ``class_counts`` that of each class (() in runs of older versions); ``variance`` their mean per-pixel variance on
    the [-1, 1] scale; ``captions`` what each class is in words or numbers, where something besides its name says so.
    """

    channels: int
    size: int
    classes: int = 0
    count: int = 0
    variance: float = 1.0
    paired_domains: bool = False
    names: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()
    width: int = 0
    captions: Captions = ()

    def __post_init__(self) -> None:
        if not self.width:
            object.__setattr__(self, "width", self.size)

    @property
    def sides(self) -> Sides:
        """(height, width)."""
        return self.size, self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.size, self.width

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as config.json holds them: of square images without the width, captions where there are any."""
        values = asdict(self)
        if self.width == self.size:
            del values["width"]
        if not self.captions:
            del values["captions"]
        return values


@dataclass(frozen=True)
class Batch:
    """Real images [n,C,H,W] in [-1, 1]; ``labels`` [n] int64; ``other`` [m,C,H,W], a second domain."""

    images: Tensor
    labels: Tensor | None = None
    other: Tensor | None = None

    def part(self, some: slice) -> Batch:
        """The images ``some`` of this batch."""
        labels, other = (None if x is None else x[some] for x in (self.labels, self.other))
        return Batch(self.images[some], labels, other)

    @property
    def domains(self) -> tuple[Tensor, Tensor]:
        """Both domains, for a model that was built for two."""
        assert self.other is not None
        return self.images, self.other


def placed(noise: Noise, device: torch.device, dtype: torch.dtype) -> Noise:
    """``noise`` on ``device``; what is floating in ``dtype``, masks and labels as they are."""
    if device.type == "cuda":  # from pinned memory the copy does not wait for the GPU
        noise = {name: value.pin_memory() for name, value in noise.items()}
    return {
        name: value.to(device, dtype if value.is_floating_point() else value.dtype, non_blocking=True)
        for name, value in noise.items()
    }
