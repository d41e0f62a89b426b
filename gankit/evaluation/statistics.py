"""Statistics that several metrics keep: mean and covariance, and a random selection of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.rng import RandomStream
from gankit.evaluation.metric import Seen, Statistics

KEPT = 10_000
"""How many images a selection keeps at most."""
_BLOCK = 4096


class Moments(Statistics):
    """The mean [F] and covariance [F,F] of features, in float64."""

    name = "moments of features"

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.scatter = torch.zeros(0, 0, dtype=torch.float64)
        """The sum over all images of (x - mean)(x - mean)'."""

    def update(self, seen: Seen) -> None:
        """Join the batch's own moments to those so far: Chan, Golub & LeVeque 1979, which cancels no large numbers."""
        x = seen.numbers("features").double()
        n, mean = len(x), x.mean(0)
        centred = x - mean
        scatter = centred.T @ centred
        if self.count:
            gap = mean - self.mean
            scatter += self.scatter + torch.outer(gap, gap) * (n * self.count / (n + self.count))
            mean = self.mean + gap * (n / (n + self.count))
        self.count, self.mean, self.scatter = self.count + n, mean, scatter

    @property
    def covariance(self) -> Tensor:
        """[F,F], unbiased (divided by count - 1). UsageError for fewer than two images."""
        if self.count < 2:
            raise UsageError("a covariance needs 2 images or more")
        return self.scatter / (self.count - 1)

    def state(self) -> dict[str, Tensor]:
        return {"count": torch.tensor(self.count), "mean": self.mean, "scatter": self.scatter}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.count, self.mean, self.scatter = int(state["count"]), state["mean"], state["scatter"]


class Selection(Statistics):
    """The rows of at most ``limit`` images, chosen at random and all with the same chance, however many there are.

    An image is kept if the number drawn for it is among the ``limit`` smallest; that number is a function of the
    image's own number, so neither the split into batches nor the total decides it. A subclass may keep other rows.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self.limit = limit
        self.name = f"{limit} of features"
        self._rows: Tensor | None = None
        self._index = torch.zeros(0, dtype=torch.int64)
        self._ranks = torch.zeros(0, dtype=torch.int64)
        self._derived: dict[str, Tensor] = {}

    def chosen(self, seen: Seen) -> Tensor:
        """What is kept of each image of a batch: [n, ...]."""
        return seen.numbers("features")

    def update(self, seen: Seen) -> None:
        rows = self.chosen(seen)
        self._derived.clear()
        index = torch.arange(seen.first, seen.first + len(rows))
        ranks = torch.cat([_ranks(block) for block in range(seen.first // _BLOCK, int(index[-1]) // _BLOCK + 1)])
        ranks = ranks[seen.first % _BLOCK :][: len(rows)]
        if self._rows is None:
            self._rows = rows.new_empty(0, *rows.shape[1:])
        if len(self._rows) < self.limit:
            room = self.limit - len(self._rows)
            self._rows = torch.cat([self._rows, rows[:room]])
            self._index, self._ranks = torch.cat([self._index, index[:room]]), torch.cat([self._ranks, ranks[:room]])
            rows, index, ranks = rows[room:], index[room:], ranks[room:]
        if len(rows):
            # In place: a copy of all that is kept for every batch would take most of the time.
            kept = torch.cat([self._ranks, ranks]).topk(self.limit, largest=False).indices
            stays = torch.zeros(self.limit + len(rows), dtype=torch.bool)
            stays[kept] = True
            out, new = (~stays[: self.limit]).nonzero()[:, 0], stays[self.limit :].nonzero()[:, 0]
            self._rows[out], self._index[out], self._ranks[out] = rows[new], index[new], ranks[new]

    @property
    def rows(self) -> Tensor:
        """[kept, ...], in the order in which the images came. UsageError where there were none."""
        if self._rows is None:
            raise UsageError("there are no images to judge")
        return self._rows[self._index.argsort()]

    def once(self, what: str, compute: Callable[[], Tensor]) -> Tensor:
        """The result of ``compute``, called ``what``: made of the rows once, for all metrics that ask for it."""
        if what not in self._derived:
            self._derived[what] = compute()
        return self._derived[what]

    def __len__(self) -> int:
        return len(self._index)

    def state(self) -> dict[str, Tensor]:
        order = self._index.argsort()
        return {"rows": self.rows, "index": self._index[order], "ranks": self._ranks[order]}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._rows, self._index, self._ranks = state["rows"], state["index"], state["ranks"]


@lru_cache(maxsize=8)
def _ranks(block: int) -> Tensor:
    """The random numbers, int64 [_BLOCK], of images ``block * _BLOCK`` and after; no two alike, but by a chance of 1 in
    10^9 among 10^5.
    """
    return RandomStream("selection", block).integers(2**62, _BLOCK)
