"""What a metric is made of: what it needs to see, the statistics it keeps of that, and the score it makes of them.

A metric never holds the images. It names the statistics to keep, which take the images batch by batch and stay of one
size however many there are; its ``value`` compares those of the samples with those of the real images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gankit.data.catalogue import DataOptions
from gankit.data.dataset import ImageSet

NEEDS = ("images", "features", "logits", "classes")
"""What a metric may need: pixels, an extractor's features, its logits of any classes, its logits of the data set's."""


@dataclass(frozen=True)
class Seen:
    """A batch as statistics see it, on the CPU.

    images: uint8 [n,C,H,W]; features: float32 [n,F] and logits: float32 [n,K], None where no metric needs an extractor;
    labels: int64 [n], the classes that real images have and conditional samples were asked for, or None; codes: int64
    [n], the values of the model's categorical code that samples were made with, or None; ``first``: how many images
    came before. A statistic that chooses among the images does so by their numbers, so that what it
    keeps does not depend on how they were split into batches.
    """

    images: Tensor
    first: int
    features: Tensor | None = None
    logits: Tensor | None = None
    labels: Tensor | None = None
    codes: Tensor | None = None

    def numbers(self, needs: str) -> Tensor:
        """The features or the logits."""
        found = self.features if needs == "features" else self.logits
        assert found is not None
        return found


class Statistics(ABC):
    """What is kept of a set of images, of a size that does not grow with their number."""

    name: str
    """What is kept, in words: metrics that name the same share it, and it is cached for real images under it."""

    @abstractmethod
    def update(self, seen: Seen) -> None:
        """Take in one more batch."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """All that was kept, to be cached."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what ``state`` gave."""


class Metric(ABC):
    """What a plugin registers: a name, what it needs, and how its score is computed."""

    name: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[str]
    """One of NEEDS."""
    better: ClassVar[str]
    """"lower" or "higher": which scores are better, to choose the best checkpoint by."""
    compares: ClassVar[bool] = True
    """Whether ``value`` looks at the real images."""
    reads_labels: ClassVar[bool] = False
    """Whether it needs the classes that the samples were asked for."""
    reads_codes: ClassVar[bool] = False
    """Whether it needs the values of the categorical code that the samples were made with."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """Constants that decide the score, for its protocol."""

    @abstractmethod
    def start(self) -> Statistics:
        """Fresh statistics of the kind that ``value`` takes."""

    @abstractmethod
    def value(self, fake: Any, real: Any) -> float:
        """The score, from the statistics of the samples and of the real images (None where ``compares`` is false).

        UsageError where there are too few images for it.
        """


@dataclass(frozen=True)
class Extracted:
    """What an extractor makes of n images: features [n,F] and, where it gives them, logits [n,K]."""

    features: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True)
class Source:
    """What an extractor may be made from.

    ``real``: the images that samples are compared with; ``data``: where they come from, None where a program gave them;
    ``weights``: the file of --weights, where there is one; ``device``: where to compute.
    """

    real: ImageSet
    data: DataOptions | None = None
    weights: Path | None = None
    device: torch.device | str = "cpu"


class Extractor(ABC):
    """What a plugin registers: a network whose features or logits metrics look at.

    Made once for an evaluation. It must set ``digest``, which tells its weights from others, and may neither draw from
    PyTorch's global generator nor leave it changed: it is used in the middle of trainings.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    gives: ClassVar[tuple[str, ...]] = ("features",)
    """What of NEEDS it gives besides pixels."""
    resize: ClassVar[str] = "none"
    """The filter and size that images are brought to, for the protocol: "bilinear 299"."""
    digest: str

    @abstractmethod
    def __init__(self, source: Source) -> None:
        """Load or train the network. UsageError or GankitError where that cannot be done."""

    @abstractmethod
    def __call__(self, images: Tensor) -> Extracted:
        """images: uint8 [n,C,H,W] on any device. Each image's result depends on no other image."""
