"""How much of the classes can be read off latents: by linear classifiers, and by neighbours.

Always beside the same encoder before its training and beside the pixels themselves: what a random encoder keeps is no
merit of the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gankit.build import DTYPES, build_model
from gankit.core.errors import UsageError
from gankit.core.rng import RandomStream
from gankit.inference import reconstruct as encoding
from gankit.inference.linear_probe import LinearProbe
from gankit.models.interface import Encoder
from gankit.runs.folder import RunFolder


class Row(NamedTuple):
    """The accuracy of each classifier on one kind of features."""

    features: str
    width: int
    linear: float
    svm: float
    knn: float


def probe(run: RunFolder, count: int = 5000, held_out: float = 0.2, neighbours: int = 5, seed: int = 0) -> list[Row]:
    """Accuracies on ``held_out`` of the first ``count`` images, which ``seed`` chooses: of the encoder, of the same
    encoder with its initial weights, of the pixels. UsageError for a run without an encoder or without labels.
    """
    model = encoding.load(run)
    images = encoding.images_of(run, limit=count)
    if images.labels is None or run.spec.classes < 2:
        raise UsageError(
            f"{run.root}: {run.config.data.data} has no classes to probe for; train on a labelled data set"
        )
    size = run.spec.sides
    untrained = build_model(run.config, run.spec).to(DTYPES[run.config.train.precision]).eval().requires_grad_(False)
    assert isinstance(untrained, Encoder)
    order = RandomStream(seed, "probe").permutation(len(images))
    tested = round(held_out * len(images))
    if not 0 < tested < len(images):
        raise UsageError(f"--held-out {held_out} of {len(images)} images leaves none to train or to test on")
    test, train = order[:tested], order[tested:]
    pixels = torch.cat([batch.flatten(1) for batch in encoding.batches(model, images.images, size)])
    kinds = {
        "encoder": encoding.encode(model, images.images, size),
        "untrained encoder": encoding.encode(untrained, images.images, size),
        "pixels": pixels,
    }
    rows = []
    for name, features in kinds.items():
        accuracy = _accuracies(features.float(), images.labels, train, test, run.spec.classes, neighbours)
        rows.append(Row(name, features.shape[1], *accuracy))
    return rows


def _accuracies(
    features: Tensor, labels: Tensor, train: Tensor, test: Tensor, classes: int, neighbours: int
) -> Sequence[float]:
    seen, unseen = features[train], features[test]
    linear = LinearProbe(seen, labels[train], classes)
    found = [linear.logistic(unseen), linear.svm(unseen), nearest(seen, unseen, labels[train], classes, neighbours)]
    return [float((predicted == labels[test]).double().mean()) for predicted in found]


def nearest(train: Tensor, test: Tensor, labels: Tensor, classes: int, k: int) -> Tensor:
    """The class of most of the ``k`` nearest neighbours; where several have as many, the nearest one's of these."""
    k = min(k, len(train))
    weight = 1 + 0.5 ** torch.arange(1, k + 1)  # what ranks add up to is less than a vote, and less than a better rank
    found = []
    for some in torch.split(test, 1000):
        near = torch.cdist(some, train).topk(k, largest=False).indices
        votes = torch.zeros(len(some), classes).scatter_add_(1, labels[near], weight.expand(len(some), -1))
        found.append(votes.argmax(1))
    return torch.cat(found)
