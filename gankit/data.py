"""Image data: a uint8 tensor [N,C,H,W] and the order in which its images are drawn."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gankit.errors import UsageError
from gankit.kernels import gather
from gankit.keys import Draws
from gankit.model import Batch, Spec
from gankit.options import option

_DIGESTED = 1 << 26


@dataclass(frozen=True)
class DataOptions:
    """Which images, in which shape."""

    data: str = option("shapes", "data set: NAME or NAME:PATH (see `gankit data list`)", group="Data")
    size: int | None = option(
        None, "height and width; unset: the data set's own", low=4, high=4096, unit="pixels", group="Data"
    )
    channels: int | None = option(
        None, "1 for grey, 3 for colour; unset: the data set's own", low=1, high=4, group="Data"
    )
    crop: int | None = option(
        None, "train on windows of this height and width, at a place chosen anew each time",
        low=4, high=4096, unit="pixels", group="Data",
    )  # fmt: skip
    fit: str = option("crop", "how other shapes become square", choices=("crop", "pad", "stretch"), group="Data")
    split: str = option("train", "part of the data set", group="Data")
    limit: int | None = option(None, "use only the first so many images", low=1, group="Data")
    flip: bool = option(False, "mirror half of the images, chosen anew each time", group="Data")
    data_root: str | None = option(None, "folder in which to look for data sets", group="Data")

    @property
    def name(self) -> str:
        """The data set's registered name."""
        return self.data.partition(":")[0]

    @property
    def path(self) -> str | None:
        """What follows the colon in ``--data NAME:PATH``."""
        return self.data.partition(":")[2] or None


@dataclass(frozen=True)
class ImageSet:
    """images: uint8 [N,C,H,W]; labels: int64 [N] or None, with their names; other: a second domain uint8 [M,C,H,W]."""

    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    other: Tensor | None = None

    def __post_init__(self) -> None:
        for images in (self.images, self.other):
            if images is not None and (
                images.dtype != torch.uint8 or images.dim() != 4 or images.shape[2] != images.shape[3]
            ):
                raise UsageError(
                    f"a data set's images must be uint8 [N,C,S,S], not {images.dtype} {tuple(images.shape)}"
                )
        if len(self.images) == 0:
            raise UsageError("the data set holds no images")
        if self.labels is not None and self.labels.shape != (len(self.images),):
            raise UsageError(f"{len(self.images)} images but labels of shape {tuple(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    def spec(self, crop: int | None = None) -> Spec:
        """What a model needs to know of these images, or of their windows of ``crop`` pixels.

        The variance is taken on the [-1, 1] scale, over 1,000 images. UsageError for a window larger than the images.
        """
        if crop is not None and crop > self.images.shape[2]:
            raise UsageError(f"--crop {crop}: the images have {self.images.shape[2]} pixels; give a larger --size")
        some = self.images[:: max(1, len(self) // 1000)][:1000]
        total, squares = torch.zeros(2, *some.shape[1:], dtype=torch.float64)
        for image in some:  # one at a time: a thousand large images as float64 fill the memory
            scaled = image.double() / 127.5 - 1
            total, squares = total + scaled, squares + scaled.square()
        variance = float((squares / len(some) - (total / len(some)).square()).mean())
        size = crop or self.images.shape[2]
        names, paired = self.classes, self.other is not None
        return Spec(self.images.shape[1], size, len(names), len(self), variance, paired, names)

    def digest(self) -> str:
        """A sha256 that tells this image set from others: labels, names and sizes whole, pixels up to 64 MB, evenly
        spread over the images.
        """
        whole = hashlib.sha256(repr((self.classes, tuple(self.images.shape))).encode())
        if self.labels is not None:
            whole.update(self.labels.numpy().tobytes())
        for images in (self.images, self.other):
            if images is not None:
                every = max(1, images.numel() // _DIGESTED)
                for image in images[::every].numpy():
                    whole.update(image.tobytes())
        return whole.hexdigest()[:32]

    def pick(self, n: int, seed: int, size: int) -> Batch:
        """N images that ``seed`` chooses, as float32 in [-1, 1]: the middle ``size`` pixels of each, to sample from."""

        def some(images: Tensor, name: str) -> Tensor:
            index = Order(len(images), seed, name).batch(0, n)
            middle = torch.full((n, 2), (images.shape[2] - size) // 2)
            return gather(images, index, offset=middle, size=(size, size))

        other = None if self.other is None else some(self.other, "other sample")
        return Batch(some(self.images, "sample"), other=other)


class Dataset(ABC):
    """What a plugin registers: a name, and how to get the images."""

    name: ClassVar[str]
    summary: ClassVar[str]
    licence: ClassVar[str] = ""

    @abstractmethod
    def load(self, options: DataOptions, seed: int) -> ImageSet:
        """The images of ``options``. UsageError naming the file and what to do where they cannot be had."""


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
        joined = torch.cat([self._epoch(epoch) for epoch in range(first, last + 1)])
        return joined[start - first * self.count :][:size]

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs[epoch] = Draws(self.seed, self.name, epoch).permutation(self.count)
        return self._epochs[epoch]


def square(image: Image.Image, size: int, fit: str) -> Image.Image:
    """``image`` as size x size: the middle cropped, black bars added, or stretched; resized with a Lanczos filter."""
    width, height = image.size
    if width != height and fit != "stretch":
        side = min(width, height) if fit == "crop" else max(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.LANCZOS)


def resized(images: Tensor, options: DataOptions) -> Tensor:
    """uint8 [N,C,H,W] in the size and channels that ``options`` ask for; grey is the ITU-R 601 luma."""
    channels = options.channels or images.shape[1]
    size = options.size or images.shape[2]
    if channels == images.shape[1] and images.shape[2] == images.shape[3] == size:
        return images
    modes = {1: "L", 3: "RGB"}
    if images.shape[1] not in modes or channels not in modes:
        raise UsageError(f"--channels {channels}: images are grey (1) or colour (3)")
    out = torch.empty(len(images), channels, size, size, dtype=torch.uint8)
    for i, pixels in enumerate(images.movedim(1, -1).numpy()):
        image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        image = square(image.convert(modes[channels]), size, options.fit)
        out[i] = torch.from_numpy(np.array(image).reshape(size, size, channels)).movedim(-1, 0)
    return out


def roots(options: DataOptions, name: str, extra: Sequence[str] = ()) -> list[Path]:
    """Folders in which the files of data set ``name`` may be: --data-root, the user's cache, then ``extra``."""
    found = []
    if options.path:
        return [Path(options.path)]
    if options.data_root:
        found += [Path(options.data_root) / name, Path(options.data_root)]
    return [*found, cache_folder() / name, *map(Path, extra)]


def cache_folder() -> Path:
    """Where downloads are kept: GANKIT_CACHE, or gankit under the user's cache folder."""
    own = os.environ.get("GANKIT_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gankit"
