"""How much of the classes can be read off latents: by linear classifiers, and by neighbours.

Always beside the same encoder before its training and beside the pixels themselves: what a random encoder keeps is no
merit of the training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gankit import encoding
from gankit.errors import UsageError
from gankit.keys import Draws
from gankit.run import Run
from gankit.trainer import DTYPES, build_model

Classifier = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""(train features [n, d], their labels [n], test features [m, d], number of classes) -> predicted labels [m]."""


class Row(NamedTuple):
    """The accuracy of each classifier on one kind of features."""

    features: str
    width: int
    linear: float
    svm: float
    knn: float


def probe(run: Run, count: int = 5000, held_out: float = 0.2, neighbours: int = 5, seed: int = 0) -> list[Row]:
    """Accuracies on ``held_out`` of the first ``count`` images, which ``seed`` chooses: of the encoder, of the same
    encoder with its initial weights, of the pixels. UsageError for a run without an encoder or without labels.
    """
    model = encoding.load(run)
    images = encoding.images_of(run, limit=count)
    if images.labels is None or run.spec.classes < 2:
        raise UsageError(
            f"{run.root}: {run.config.data.data} has no classes to probe for; train on a labelled data set"
        )
    size = run.spec.size
    untrained = build_model(run.config, run.spec).to(DTYPES[run.config.train.precision]).eval().requires_grad_(False)
    order = Draws(seed, "probe").permutation(len(images))
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
    found = [classify(*standardised(seen, unseen), labels[train], classes) for classify in (logistic, svm)]
    found.append(nearest(seen, unseen, labels[train], classes, neighbours))
    return [float((predicted == labels[test]).double().mean()) for predicted in found]


def standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the mean of ``train`` taken off and divided by its deviation; a feature that is constant becomes 0."""
    mean, deviation = train.mean(0), train.std(0, correction=0)
    scale = torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0)
    return (train - mean) * scale, (test - mean) * scale


def logistic(train: Tensor, test: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Multinomial logistic regression with C = 1."""
    return linear_scores(train, test, classes, lambda s: F.cross_entropy(s, labels, reduction="sum")).argmax(1)


def svm(train: Tensor, test: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Linear support vector machines, one class against the rest, with C = 1 and the squared hinge: unlike the hinge it
    is smooth, so that the minimum is found (Fan et al. 2008, the default of LIBLINEAR).
    """
    side = 2.0 * F.one_hot(labels, classes) - 1
    return linear_scores(train, test, classes, lambda s: F.relu(1 - side * s).square().sum()).argmax(1)


def linear_scores(train: Tensor, test: Tensor, classes: int, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The scores [m, classes] of ``test``, linear in it: those whose like on ``train`` minimise ``loss`` + half the
    squared weights; the bias is free.
    """
    weight = torch.zeros(classes, train.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = (loss(F.linear(train, weight, bias)) + 0.5 * weight.square().sum()) / len(train)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return F.linear(test, weight.detach(), bias.detach())


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
