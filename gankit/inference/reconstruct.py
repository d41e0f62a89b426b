"""What is done with a model that encodes: latents of a data set, and images beside their reconstructions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gankit.build import load_images
from gankit.core.errors import UsageError
from gankit.core.images import to_uint8
from gankit.core.sides import Size, as_size, middle, sides
from gankit.data.dataset import ImageSet, corners
from gankit.data.decoding import Frame, framed
from gankit.evaluation.metric import Extractor, Source
from gankit.evaluation.reference import comparable
from gankit.inference.interpolate import between
from gankit.inference.translate import readable
from gankit.kernels import gather
from gankit.models.autoencoder import pairs
from gankit.models.interface import Encoder
from gankit.models.sampling import CHUNK
from gankit.registry import registry
from gankit.runs.folder import RunFolder
from gankit.runs.images import run_images

AT_ONCE = 64
"""Images encoded in one pass: few enough for what becomes of them on the way to stay in the processor's cache."""


@dataclass(frozen=True)
class Reconstructions:
    """Some images with their reconstructions [2n,C,H,W], and the mean squared error per pixel over ``images`` of them,
    on the [-1, 1] scale, beside that of the training images' mean; ``same_class``: the share of them in whose
    reconstruction a classifier sees the class that it sees in the image, None where none was asked.
    """

    pairs: Tensor
    images: int
    error: float
    mean_image: float
    same_class: float | None = None

    @property
    def ratio(self) -> float:
        """The error as a share of the mean image's."""
        return self.error / self.mean_image if self.mean_image else float("inf")


def load(run: RunFolder) -> Encoder:
    """The run's model. UsageError for one that has no encoder."""
    model = run.load()
    if not isinstance(model, Encoder):
        raise UsageError(
            f"{run.root}: {run.config.variant} has no encoder; take a run of vae, vq-vae or another that has"
        )
    return model


def images_of(run: RunFolder, split: str | None = None, limit: int | None = None) -> ImageSet:
    """The first ``limit`` images of the run's data set, of another ``split`` where one is named.

    UsageError where the data set is no longer what the run was trained on.
    """
    images, place = run_images(run)
    if split is not None and split != place.split:
        images = load_images(dataclasses.replace(run.config, data=dataclasses.replace(place, split=split)))
    labels = None if images.labels is None else images.labels[:limit]
    return ImageSet(images.images[:limit], labels, images.classes)


def images_in(source: Path, run: RunFolder) -> ImageSet:
    """The image file ``source``, or every image below a folder, in the size and channels of the run."""
    frame = Frame(as_size(run.spec.sides), run.spec.channels, run.config.data.fit)
    found = []
    for path in readable(source):
        pixels = np.array(framed(path, frame))  # a copy, which may be written to
        found.append(torch.from_numpy(pixels).movedim(-1, 0))
    return ImageSet(torch.stack(found))


def check_no_split(split: str | None, source: str | Path) -> None:
    """UsageError where a ``split`` was asked for beside files, which have none."""
    if split is not None:
        raise UsageError(f"--split {split}: has no effect beside {source}, which is not the data set; leave one out")


def batches(model: Encoder, images: Tensor, size: Size) -> list[Tensor]:
    """The ``batches_of`` images as ``model`` takes them."""
    return batches_of(images, size, next(model.parameters()).dtype)


def batches_of(images: Tensor, size: Size, dtype: torch.dtype) -> list[Tensor]:
    """uint8 [N,C,H,W] as [n,C,*size] in [-1, 1], the middle of each, in parts of ``AT_ONCE``."""
    found = []
    for index in torch.split(torch.arange(len(images)), AT_ONCE):
        offset = corners(images, size, len(index))
        found.append(gather(images, index, offset=offset, size=sides(size), dtype=dtype))
    return found


@torch.no_grad()
def encode(model: Encoder, images: Tensor, size: Size) -> Tensor:
    """The latents [N, width] of images uint8 [N,C,H,W]; ``size`` is that of the model's images."""
    return torch.cat([model.encode(batch) for batch in batches(model, images, size)])


@torch.no_grad()
def reconstruct(
    run: RunFolder,
    source: str | Path | None = None,
    shown: int = 32,
    judged: int = 1000,
    split: str | None = None,
    extractor: str | None = None,
) -> Reconstructions:
    """The first ``shown`` images with their reconstructions, and the error over the first ``judged``.

    ``source`` is a file or a folder of images in place of the run's data set; ``split`` another part of that;
    ``extractor`` the network that is asked for classes. UsageError for a run without an encoder, images that cannot be
    read, an extractor that does not see the data set's classes, or a split of files.
    """
    if source is not None:
        check_no_split(split, source)
    model, classifier = load(run), None if extractor is None else class_network(run, extractor)
    count = max(shown, judged)
    images = images_of(run, split, count) if source is None else images_in(Path(source), run)
    mean = _mean_image(run, images if run.recorded.get("images given") else None)
    squares, of_mean, same, n = 0.0, 0.0, 0, 0
    kept: list[Tensor] = []
    for batch in batches(model, images.images, run.spec.sides):
        made = model.reconstruct(batch)
        if sum(map(len, kept)) < 2 * shown:
            kept.append(pairs(batch, made))
        some = min(len(batch), judged - n)
        squares += float((made - batch)[:some].double().square().sum())
        of_mean += float((mean - batch)[:some].double().square().sum())
        if classifier is not None:
            one, two = (seen_classes(classifier, to_uint8(each[:some])) for each in (batch, made))
            same += int((one == two).sum())
        n += some
    values, share = n * mean.numel(), None if classifier is None else same / n
    return Reconstructions(torch.cat(kept)[: 2 * shown], n, squares / values, of_mean / values, share)


def class_network(run: RunFolder, name: str = "classifier") -> Extractor:
    """Extractor ``name`` for the data set of ``run``, which sees the data set's classes. UsageError for one that does
    not, and for images without labels.
    """
    kind = registry().get("extractors", name)
    if "classes" not in kind.gives:
        raise UsageError(f"--extractor {name} does not see the data set's classes; take classifier")
    with torch.enable_grad():  # it may have to be trained
        images, place = run_images(run)
        network: Extractor = kind(Source(comparable(images, run.spec.sides), place))
    return network


def seen_classes(network: Extractor, images: Tensor) -> Tensor:
    """The classes [n] that ``network`` sees in images uint8 [n,C,H,W]."""
    logits = network(images).logits
    assert logits is not None
    return logits.argmax(1)


@torch.no_grad()
def between_images(
    run: RunFolder, ends: Sequence[tuple[str | int, str | int]], steps: int = 10, mode: str = "spherical"
) -> Tensor:
    """Images [len(ends) * steps, C, H, W] in [-1, 1]: each row a path between the latents of two images, ends included.

    An image is a file, or the number of one in the run's data set. ``mode`` is that of ``interpolate``. UsageError for
    a run without an encoder, or an image that there is not.
    """
    model = load(run)
    numbered = any(_is_number(name) for pair in ends for name in pair)
    images = images_of(run) if numbered else None
    both = [torch.cat([_image(run, name, images) for name in some]) for some in zip(*ends, strict=True)]
    starts, stops = (encode(model, some, run.spec.sides) for some in both)
    path = torch.split(between(starts, stops, steps, mode), CHUNK)
    return torch.cat([model.decode(some) for some in path])


def _is_number(name: str | int) -> bool:
    return isinstance(name, int) or name.isdecimal()


def _image(run: RunFolder, name: str | int, images: ImageSet | None) -> Tensor:
    """The image ``name``, uint8 [1,C,H,W]: a file, or the number of one of ``images``."""
    data = run.config.data.data
    if images is not None and _is_number(name):
        if not 0 <= int(name) < len(images):
            raise UsageError(f"image {name}: {data} has those from 0 to {len(images) - 1}; or name a file")
        rows, columns = middle(images.sides, run.spec.sides)
        return images.images[int(name), None, :, rows, columns]
    path = Path(str(name))
    if not path.is_file():
        raise UsageError(f"{path}: no such file; name an image file, or the number of an image of {data}")
    return images_in(path, run).images


def _mean_image(run: RunFolder, given: ImageSet | None) -> Tensor:
    """The mean of the images that the run was trained on (of ``given`` where these are gone), [C,H,W] in [-1, 1]."""
    pixels = (given or images_of(run)).images
    total = torch.zeros(pixels.shape[1:], dtype=torch.float64)
    for some in torch.split(pixels, CHUNK):
        total += some.sum(0, dtype=torch.float64)
    rows, columns = middle(pixels.shape[2:], run.spec.sides)
    return (total / len(pixels) / 127.5 - 1)[:, rows, columns]
