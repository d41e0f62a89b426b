"""Metrics of the classes that a classifier sees in the samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gankit.errors import UsageError
from gankit.metric import Metric, Seen, Statistics

SPLITS = 10


class Beliefs(Statistics):
    """Sums of the class probabilities p [K] and of their -entropies, by the image's number modulo ``SPLITS``."""

    name = "class probabilities"

    def __init__(self) -> None:
        self.counts = torch.zeros(SPLITS, dtype=torch.float64)
        self.sums = torch.zeros(SPLITS, 0, dtype=torch.float64)
        self.negentropies = torch.zeros(SPLITS, dtype=torch.float64)

    def update(self, seen: Seen) -> None:
        logs = seen.numbers("logits").double().log_softmax(1)
        p = logs.exp()
        split = torch.arange(seen.first, seen.first + len(p)) % SPLITS
        if not self.sums.numel():
            self.sums = torch.zeros(SPLITS, p.shape[1], dtype=torch.float64)
        self.counts += torch.bincount(split, minlength=SPLITS)
        self.sums.index_add_(0, split, p)
        self.negentropies.index_add_(0, split, torch.special.xlogy(p, p).sum(1))

    def state(self) -> dict[str, Tensor]:
        return {"counts": self.counts, "sums": self.sums, "negentropies": self.negentropies}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.counts, self.sums, self.negentropies = state["counts"], state["sums"], state["negentropies"]


class InceptionScore(Metric):
    """exp of the mean KL divergence from each image's class probabilities to their mean: Salimans et al. 2016.

    The mean over ten splits; image i is in split i mod 10, where the published code takes runs of images.
    """

    name = "inception-score"
    summary = "sure of each image's class, and of all classes; 1 to their number, higher is better"
    needs = "logits"
    better = "higher"
    compares = False
    settings = {"splits": SPLITS}

    def start(self) -> Beliefs:
        return Beliefs()

    def value(self, fake: Beliefs, real: Any) -> float:
        used = fake.counts > 0
        counts = fake.counts[used]
        mean = fake.sums[used] / counts[:, None]
        divergence = fake.negentropies[used] / counts - torch.special.xlogy(mean, mean).sum(1)
        return float(divergence.exp().mean())


class Votes(Statistics):
    """How often each class was seen, [K], and how many samples have the class that was asked for."""

    name = "classes seen"

    def __init__(self) -> None:
        self.seen = torch.zeros(0, dtype=torch.int64)
        self.asked = self.right = 0

    def update(self, seen: Seen) -> None:
        logits = seen.numbers("logits")
        found = logits.argmax(1)
        votes = torch.bincount(found, minlength=logits.shape[1])
        self.seen = self.seen + votes if self.seen.numel() else votes
        if seen.labels is not None:
            self.asked += len(found)
            self.right += int((found == seen.labels).sum())

    def state(self) -> dict[str, Tensor]:
        return {"seen": self.seen, "asked": torch.tensor(self.asked), "right": torch.tensor(self.right)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.seen, self.asked, self.right = state["seen"], int(state["asked"]), int(state["right"])


class ClassAccuracy(Metric):
    """The share of conditional samples in which the classifier sees the class they were asked for."""

    name = "class-accuracy"
    summary = "share of samples of the class they were asked for; higher is better"
    needs = "classes"
    better = "higher"
    compares = False
    reads_labels = True

    def start(self) -> Votes:
        return Votes()

    def value(self, fake: Votes, real: Any) -> float:
        if not fake.asked:
            raise UsageError("class-accuracy needs samples that were asked for by class; these have no labels")
        return fake.right / fake.asked


class ClassBalance(Metric):
    """The entropy of the classes seen, over that of all classes alike: 1 where all are as frequent, 0 for only one."""

    name = "class-balance"
    summary = "how evenly the samples are spread over the classes, 0 to 1; higher is better"
    needs = "classes"
    better = "higher"
    compares = False

    def start(self) -> Votes:
        return Votes()

    def value(self, fake: Votes, real: Any) -> float:
        share = fake.seen.double() / fake.seen.sum()
        return abs(float(torch.special.xlogy(share, share).sum())) / math.log(len(share))
