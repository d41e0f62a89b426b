"""What measures of images share: the networks that look at them, distances, real images to hold them against."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gankit.build import load_images
from gankit.core.errors import GankitError, UsageError
from gankit.core.images import to_uint8
from gankit.data.dataset import ImageSet
from gankit.evaluation.metric import Extractor
from gankit.inference.reconstruct import class_network, seen_classes
from gankit.runs.folder import RunFolder
from gankit.runs.images import run_images

Look = Literal["pixels", "classifier"]
FEW_PIXELS = 16
"""Height and width at which pixels are compared: what an image looks like is coarse."""


def check_labels(run: RunFolder) -> None:
    """UsageError where the images of ``run`` have no labels, by which a classifier of them could be trained."""
    if run.spec.classes < 2:
        raise UsageError(
            f"{run.root}: {run.config.data.data} has no labels to train a judge of classes on; take a labelled data set"
        )


def classifier_of(run: RunFolder) -> Extractor:
    """The network that sees the classes of the run's data set. UsageError where that has no labels."""
    check_labels(run)
    return class_network(run)


def classes_in(network: Extractor, images: Iterable[Tensor]) -> Tensor:
    """The classes [n] that ``network`` sees in ``images``, parts [m,C,H,W] in [-1, 1]."""
    return torch.cat([seen_classes(network, to_uint8(part)).cpu() for part in images])


@torch.no_grad()
def features(run: RunFolder, images: Tensor, look: str) -> Tensor:
    """Images [n,C,H,W] in [-1, 1] as float64 [n, F]: their pixels, averaged down to 16 x 16 where they are larger, or
    the features of the classifier of the run's data set.
    """
    if look == "classifier":
        network = classifier_of(run)
        return torch.cat([network(part).features.cpu().double() for part in torch.split(to_uint8(images), 500)])
    height, width = images.shape[2:]
    return F.adaptive_avg_pool2d(images.double(), (min(FEW_PIXELS, height), min(FEW_PIXELS, width))).flatten(1)


def held_out(run: RunFolder, images: int) -> tuple[ImageSet, bool]:
    """(``images`` of the run's data set that it was not trained on, True); where the data set has no such part, or it
    cannot be had, of those that it was trained on, and False. Evenly spread over them, as ``even``.
    """
    own, place = run_images(run)
    if place.split == "train":
        with contextlib.suppress(GankitError):
            test = dataclasses.replace(place, split="test")
            return even(load_images(dataclasses.replace(run.config, data=test)), images), True
    return even(own, images), False


def even(images: ImageSet, count: int) -> ImageSet:
    """``count`` of ``images``, evenly spread over them: folders of classes lie one after the other. All where there are
    no more; of a second domain likewise.
    """

    def some(values: Tensor) -> Tensor:
        n = min(count, len(values))
        return values[torch.arange(n) * len(values) // n]

    labels, other = (None if each is None else some(each) for each in (images.labels, images.other))
    return ImageSet(some(images.images), labels, images.classes, other)
