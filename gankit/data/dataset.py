"""Image data: a uint8 tensor [N,C,H,W] and the order in which its images are drawn."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.sides import Sides, Size, as_size, middle, sides
from gankit.core.types import Batch, Captions, Spec
from gankit.data.cache import Prepared
from gankit.data.catalogue import About, DataOptions, fetched
from gankit.data.decoding import Frame
from gankit.data.order import Order
from gankit.data.sources import Pixels
from gankit.kernels import gather

__all__ = [
    "About",
    "DataOptions",
    "Dataset",
    "ImageSet",
    "check_pictures",
    "check_split",
    "fetched",
    "frame",
    "image_set",
    "pixel_set",
    "unpaired_set",
]

_DIGESTED = 1 << 26


@dataclass(frozen=True)
class ImageSet:
    """images: uint8 [N,C,H,W]; labels: int64 [N] or None, with their names; other: a second domain uint8 [M,C,H,W];
    factors: int64 [N,F] or None, what each image was made from, with the names of the columns; prepared: where in the
    cache the images (and the second domain's) are, if they come from there; passed_over: what lies beside them and was
    not read; captions: what each of the classes is in words, or as a vector.
    """

    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    other: Tensor | None = None
    factors: Tensor | None = None
    factor_names: tuple[str, ...] = ()
    prepared: tuple[Prepared, ...] = field(default=(), repr=False)
    passed_over: tuple[str, ...] = field(default=(), repr=False)
    captions: Captions = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for images in (self.images, self.other):
            if images is not None and (images.dtype != torch.uint8 or images.dim() != 4):
                raise UsageError(
                    f"a data set's images must be uint8 [N,C,H,W], not {images.dtype} {tuple(images.shape)}"
                )
        if len(self.images) == 0:
            raise UsageError("the data set holds no images")
        if self.labels is not None and self.labels.shape != (len(self.images),):
            raise UsageError(f"{len(self.images)} images but labels of shape {tuple(self.labels.shape)}")
        if self.labels is not None and self.classes:
            low, high, count = int(self.labels.min()), int(self.labels.max()), len(self.classes)
            if low < 0 or high >= count:
                raise UsageError(f"labels from {low} to {high}, but there are {count} classes: 0 to {count - 1}")
        if self.captions and len(self.captions) != len(self.classes):
            raise UsageError(f"{len(self.captions)} captions for {len(self.classes)} classes; give one for each")
        said = tuple(each if isinstance(each, str) else tuple(map(float, each)) for each in self.captions)
        object.__setattr__(self, "captions", said)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sides(self) -> Sides:
        """(height, width) of the images."""
        return self.images.shape[2], self.images.shape[3]

    def spec(self, crop: Size | None = None) -> Spec:
        """What a model needs to know of these images, or of their windows of ``crop`` pixels.

        The variance is taken on the [-1, 1] scale, over 1,000 images. UsageError for a window larger than the images.
        """
        height, width = self.sides if crop is None else sides(crop)
        if height > self.sides[0] or width > self.sides[1]:
            raise UsageError(f"--crop {crop}: the images have {as_size(self.sides)} pixels; give a larger --size")
        some = self.images[:: max(1, len(self) // 1000)][:1000]
        total, squares = torch.zeros(2, *some.shape[1:], dtype=torch.float64)
        for image in some:  # one at a time: a thousand large images as float64 fill the memory
            scaled = image.double() / 127.5 - 1
            total, squares = total + scaled, squares + scaled.square()
        variance = float((squares / len(some) - (total / len(some)).square()).mean())
        names, paired = self.classes, self.other is not None
        counts = self.class_counts()
        channels, said = self.images.shape[1], self.captions
        return Spec(channels, height, len(names), len(self), variance, paired, names, counts, width, said)

    def class_counts(self) -> tuple[int, ...]:
        """How many images each class has; () where there are no labels."""
        if self.labels is None or not self.classes:
            return ()
        return tuple(torch.bincount(self.labels, minlength=len(self.classes)).tolist())

    def digest(self) -> str:
        """A sha256 that tells this image set from others: labels, names, captions and sizes whole; pixels by what the
        cache says of them, so that they need not be read, else up to 64 MB, evenly spread over the images.
        """
        whole = hashlib.sha256(repr((self.classes, tuple(self.images.shape))).encode())
        if self.labels is not None:
            whole.update(self.labels.numpy().tobytes())
        if self.captions:
            whole.update(repr(self.captions).encode())
        for each in self.prepared:
            whole.update(each.digest.encode())
        for images in () if self.prepared else (self.images, self.other):
            if images is not None:
                every = max(1, images.numel() // _DIGESTED)
                for image in images[::every].numpy():
                    whole.update(image.tobytes())
        return whole.hexdigest()[:32]

    def pick(self, n: int, seed: int, size: Size, first: int = 0) -> Batch:
        """Numbers ``first`` to ``first + n`` of the images in the order that ``seed`` gives, as float32 in [-1, 1]: the
        middle ``size`` pixels of each, to sample from.
        """

        def some(images: Tensor, name: str) -> Tensor:
            index = Order(len(images), seed, name).batch(0, first + n)[first:]
            return gather(images, index, offset=corners(images, size, n), size=sides(size))

        other = None if self.other is None else some(self.other, "other sample")
        return Batch(some(self.images, "sample"), other=other)


def corners(images: Tensor, size: Size, n: int) -> Tensor:
    """int64 [n, 2]: (top, left) of the middle ``size`` pixels of ``images`` [N,C,H,W], as ``gather`` takes it."""
    rows, columns = middle(images.shape[2:], size)
    return torch.tensor([rows.start, columns.start]).repeat(n, 1)


class Dataset(ABC):
    """What a plugin registers: a name, what is known of it, and how to get the images."""

    name: ClassVar[str]
    summary: ClassVar[str]
    about: ClassVar[About] = About()

    @abstractmethod
    def load(self, options: DataOptions, seed: int) -> ImageSet:
        """The images of ``options``. UsageError naming the file and what to do where they cannot be had."""

    def true_mapping(self, images: Tensor, direction: str) -> Tensor | None:
        """What ``direction``, "a2b" or "b2a", makes of images [n,C,H,W] in [-1, 1] of a pair of domains, where the
        mapping between them is known; else None.
        """
        return None


def frame(options: DataOptions, size: int | str, crop: int | None = None) -> Frame:
    """What pictures of a data set are brought to; ``size`` and the ``crop`` of the original are its own defaults."""
    if options.channels not in (None, 1, 3):
        raise UsageError(f"--channels {options.channels}: images are read as grey (1) or colour (3)")
    crop = crop if options.fit == "crop" else None
    return Frame(options.size or size, options.channels or 3, options.fit, crop, options.values)


def check_pictures(options: DataOptions, *prepared: Prepared) -> None:
    """UsageError where grey and colour pictures lie together and --channels does not say which they are to be, or where
    --range was given for pictures of eight bits alone.
    """
    grey, colour = (sum(each.counts.get(tint, 0) for each in prepared) for tint in ("grey", "colour"))
    if grey and colour and options.channels is None:
        raise UsageError(
            f"--data {options.data}: {grey:,} grey and {colour:,} colour pictures; say which they are to be: "
            "--channels 1 or --channels 3"
        )
    if options.range is not None and not any(each.range for each in prepared):
        raise UsageError(
            f"--range {options.range}: all pictures have 8 bits a value, which nothing scales; leave it out"
        )


def image_set(prepared: Prepared, classes: Sequence[str] = (), factors: Sequence[str] = ()) -> ImageSet:
    """Images of the cache, as they lie there. ``factors``: the names of the columns of their factors."""
    labels = None if prepared.labels is None else torch.from_numpy(prepared.labels)
    values = None if prepared.factors is None else torch.from_numpy(prepared.factors)
    images = torch.from_numpy(prepared.images)
    return ImageSet(images, labels, tuple(classes), None, values, tuple(factors), (prepared,))


def unpaired_set(one: Prepared, other: Prepared) -> ImageSet:
    """Two domains of the cache."""
    return ImageSet(torch.from_numpy(one.images), other=torch.from_numpy(other.images), prepared=(one, other))


def pixel_set(source: Pixels, options: DataOptions, classes: Sequence[str], factors: Sequence[str] = ()) -> ImageSet:
    """The images in published files, in the size and channels that ``options`` ask for."""
    if options.channels not in (None, 1, 3):
        raise UsageError(f"--channels {options.channels}: images are grey (1) or colour (3)")
    check_eight_bits(options)
    prepared = source.prepared(options.name, options.size, options.channels, options.fit, options.limit)
    return image_set(prepared, classes, factors)


def check_eight_bits(options: DataOptions) -> None:
    """UsageError where --range was given for images that have 8 bits a value, which nothing scales."""
    if options.range is not None:
        raise UsageError(f"--range {options.range}: the values of {options.name} have 8 bits; leave it out")


def check_split(options: DataOptions, about: About, *, deep: bool = False) -> str:
    """The --split that ``options`` ask for. UsageError where the data set has no such part, and for --range unless its
    values may be ``deep``: of more than 8 bits.
    """
    if not deep:
        check_eight_bits(options)
    if options.split not in about.splits:
        raise UsageError(f"--split {options.split}: {options.name} has {', '.join(about.splits)}")
    return options.split
