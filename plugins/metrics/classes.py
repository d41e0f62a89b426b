"""Metrics of the classes that a classifier sees in the samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gankit import Metric, Seen, Statistics, UsageError

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

    needs = "classes"
    better = "higher"
    compares = False

    def start(self) -> Votes:
        return Votes()

    def value(self, fake: Votes, real: Any) -> float:
        share = fake.seen.double() / fake.seen.sum()
        return abs(float(torch.special.xlogy(share, share).sum())) / math.log(len(share))


class CodeTable(Statistics):
    """How often each value of the code and each class seen went together, [values, K]."""

    name = "classes seen by code"

    def __init__(self) -> None:
        self.table = torch.zeros(0, 0, dtype=torch.int64)

    def update(self, seen: Seen) -> None:
        if seen.codes is None:
            return
        logits = seen.numbers("logits")
        values, classes = max(int(seen.codes.max()) + 1, len(self.table)), logits.shape[1]
        pairs = torch.bincount(seen.codes * classes + logits.argmax(1), minlength=values * classes)
        table = pairs.view(values, classes)
        table[: len(self.table)] += self.table.view(-1, classes)
        self.table = table

    def state(self) -> dict[str, Tensor]:
        return {"table": self.table}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.table = state["table"]


class CodePurity(Metric):
    """The share of samples of the class that their code stands for, each value of the code standing for a class of its
    own: those for which the share is largest. So do Chen et al. 2016 match values to classes, to judge Q.
    """

    needs = "classes"
    better = "higher"
    compares = False
    reads_codes = True

    def start(self) -> CodeTable:
        return CodeTable()

    def value(self, fake: CodeTable, real: Any) -> float:
        if not fake.table.numel():
            raise UsageError("code-purity needs samples made with a categorical code, as infogan's are")
        return best_assignment(fake.table) / int(fake.table.sum())


def best_assignment(table: Tensor) -> int:
    """The largest sum of entries of ``table``, int64 [n, m], of which no two share a row or a column.

    The Hungarian method of Kuhn 1955 by shortest paths, in O(n^3): rows are taken in one after the other, each along
    the cheapest path of exchanges. ``u`` and ``v`` price rows and columns so that no entry is worth more than both.
    """
    n = max(table.shape)
    cost = [[0] * n for _ in range(n)]
    for i, row in enumerate(table.tolist()):
        cost[i][: len(row)] = [-value for value in row]
    u, v, owner = [0] * n, [0] * (n + 1), [-1] * (n + 1)  # column n stands for none
    for new in range(n):
        owner[n], column = new, n
        slack, before, done = [math.inf] * n, [n] * n, [False] * (n + 1)
        while owner[column] >= 0:
            done[column], row_ = True, owner[column]
            for j in range(n):
                reduced = cost[row_][j] - u[row_] - v[j]
                if not done[j] and reduced < slack[j]:
                    slack[j], before[j] = reduced, column
            nearest = min((j for j in range(n) if not done[j]), key=lambda j: slack[j])
            step = int(slack[nearest])
            for j in range(n + 1):
                if done[j]:
                    u[owner[j]] += step
                    v[j] -= step
                elif j < n:
                    slack[j] -= step
            column = nearest
        while column != n:
            owner[column], column = owner[before[column]], before[column]
    return -sum(cost[owner[j]][j] for j in range(n))
