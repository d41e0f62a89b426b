"""A small convolutional network, trained once on a labelled data set and kept: it needs no network and no download.

Its features know what tells the data set's classes apart and nothing else. Figures by it are for comparing runs on that
data set; they are no FIDs as published.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gankit import DamagedFile, Dataset, Extracted, Extractor, GankitError, ImageSet, RandomStream, Source, UsageError
from gankit.core import checkpoint
from gankit.core.lock import beside, hold
from gankit.core.progress import show, warn
from gankit.core.rng import key
from gankit.core.sides import Size, as_size, sides
from gankit.data import Order, cache_folder
from gankit.evaluation import comparable
from gankit.registry import registry

VERSION = 1
"""Of the network and its training; another one makes cached weights void."""
FEATURES = 128
BATCH = 128
STEPS = 1200
MAX_EPOCHS = 20
LR = 3e-3
HELD_OUT = 0.1
"""Share of the images to measure the accuracy on, where the data set has no test split."""
POOR = 0.6
"""An accuracy below which the person is warned."""


class Network(nn.Module):
    """uint8 [n,C,H,W] -> features [n,128]; ``head`` makes logits of them. Convolutions until 3 pixels or fewer are
    left of the shorter side, each twice as wide as the one before, up to four times the first.
    """

    def __init__(self, channels: int, size: Size, classes: int, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, after, (high, wide) = channels, width, sides(size)
        while min(high, wide) > 3:
            # The maximum first: it commutes with the ReLU, which then has a quarter to do.
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.MaxPool2d(2)]
            layers.append(nn.ReLU())
            before, after, high, wide = after, min(2 * after, 4 * width), high // 2, wide // 2
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * high * wide, FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.trunk((images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last))
        return features


class Classifier(Extractor):
    """Features before the last layer, and logits of the data set's own classes."""

    gives = ("features", "logits", "classes")

    def __init__(self, source: Source) -> None:
        if source.weights is not None:
            raise UsageError("--weights: the classifier's weights are trained, not given; leave it out")
        train, test = splits(source)
        shape = (train.images.shape[1], as_size(train.sides), len(train.classes))
        path = cache_folder() / "extractors" / f"classifier-{_key(train)}.pt"
        tensors = _cached(path)
        if tensors is None:
            with hold(beside(path)):
                tensors = _cached(path)
                if tensors is None:
                    tensors = trained(train, test, shape, source.device)
                    checkpoint.save(path, tensors, {"accuracy": float(tensors["accuracy"]), "classes": train.classes})
        self.accuracy = float(tensors["accuracy"])
        """On images that the network was not trained on."""
        self.net = _network(shape)
        self.net.load_state_dict(checkpoint.under(tensors, "net/"))
        self.net.eval().requires_grad_(False).to(source.device)
        self.digest = checkpoint.digest(tensors, "")
        if self.accuracy < POOR:
            warn(
                f"the classifier is right on only {self.accuracy:.0%} of the images held out; "
                "do not trust figures that are based on it"
            )

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Extracted:
        features = self.net(images.to(self.net.head.weight.device))
        return Extracted(features, self.net.head(features))


def splits(source: Source) -> tuple[ImageSet, ImageSet]:
    """The labelled images to train on, and those to measure the accuracy on.

    Of a registered data set its whole training split and its test split; of images that a program gave, or of a data
    set without a test split, nine tenths and one. UsageError where there are no labels.
    """
    size = source.real.sides
    train, test = source.real, None
    if source.data is not None:
        dataset: Dataset = registry().get("datasets", source.data.name)()
        options = dataclasses.replace(source.data, split="train", limit=None)
        train = comparable(dataset.load(options, 0), size)
        try:
            test = comparable(dataset.load(dataclasses.replace(options, split="test"), 0), size)
        except GankitError:
            test = None
    if train.labels is None or len(train.classes) < 2:
        name = source.data.data if source.data is not None else "these images"
        raise UsageError(
            f"--extractor classifier is trained on labels, which {name} has none of; "
            "choose another extractor (see `gankit plugins list`), or metrics that need none, such as swd"
        )
    if test is None or test.labels is None:
        order = RandomStream("classifier", "held out").permutation(len(train))
        some = max(1, round(HELD_OUT * len(train)))
        train, test = (
            ImageSet(train.images[part], train.labels[part], train.classes) for part in (order[some:], order[:some])
        )
    return train, test


def trained(
    train: ImageSet, test: ImageSet, shape: tuple[int, int | str, int], device: torch.device | str
) -> dict[str, Tensor]:
    """The weights, as "net/...", and the "accuracy" on ``test``: a function of the images (and the machine) alone.

    Adam with a rate that rises for a tenth of the steps and then falls along a cosine.
    """
    steps = max(1, min(STEPS, MAX_EPOCHS * len(train) // BATCH))
    show(f"training a classifier of {len(train.classes)} classes once, {steps} steps")
    assert train.labels is not None
    net = _network(shape).to(device).train()
    optimizer = torch.optim.Adam(net.parameters(), LR, weight_decay=1e-4, fused=True)
    order = Order(len(train), 0, "classifier")
    size = min(BATCH, len(train))
    for step in range(steps):
        share = step / steps
        optimizer.param_groups[0]["lr"] = LR * min(10 * share + 0.01, (1 + math.cos(math.pi * share)) / 2)
        index = order.batch(step, size)
        logits = net.head(net(train.images[index].to(device)))
        loss = F.cross_entropy(logits, train.labels[index].to(device), label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    net.eval()
    accuracy = torch.tensor(_accuracy(net, test, device), dtype=torch.float64)
    show(f"the classifier is right on {float(accuracy):.1%} of {len(test)} images held out")
    tensors = {f"net/{name}": tensor for name, tensor in net.state_dict().items()}
    return {**{name: tensor.cpu() for name, tensor in tensors.items()}, "accuracy": accuracy}


@torch.no_grad()
def _accuracy(net: Network, test: ImageSet, device: torch.device | str) -> float:
    def right() -> Iterator[int]:
        assert test.labels is not None
        for images, labels in zip(torch.split(test.images, 500), torch.split(test.labels, 500), strict=True):
            yield int((net.head(net(images.to(device))).argmax(1).cpu() == labels).sum())

    return sum(right()) / len(test)


def _network(shape: tuple[int, int | str, int]) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key("classifier", *shape) % 2**63)
        return Network(*shape)


def _key(train: ImageSet) -> str:
    whole = f"{VERSION} {STEPS} {BATCH} {LR} {FEATURES} {train.digest()}"
    return hashlib.sha256(whole.encode()).hexdigest()[:24]


def _cached(path: Path) -> dict[str, Tensor] | None:
    try:
        return checkpoint.load(path)[0] if path.exists() else None
    except DamagedFile:
        return None
