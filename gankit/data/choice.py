"""Which images ``--limit`` keeps: an even choice over the set and over its classes, the same each time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def chosen(
    count: int, limit: int | None, labels: Sequence[int] | NDArray[np.int64] | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """The places, int64 and rising, of ``limit`` of ``count`` images; all of them where there are no more.

    Each class has its share of the set, and at least one image where ``limit`` allows that. A class's images are cut
    into as many runs of neighbours as it may keep, of nearly one length, and one of each is drawn. A function of the
    arguments alone: a run's seed does not count, so that runs of several seeds see one set.
    """
    if limit is None or limit >= count:
        return np.arange(count)
    classes = [np.arange(count)]
    if labels is not None:
        known = np.asarray(labels)
        classes = [np.flatnonzero(known == each) for each in np.unique(known)]
    key = hashlib.blake2b(repr(("limit", count, limit, seed)).encode(), digest_size=16).digest()
    random = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
    places = []
    for some, keep in zip(classes, shares([len(some) for some in classes], limit), strict=True):
        borders = np.arange(keep + 1) * len(some) // max(keep, 1)
        places.append(some[random.integers(borders[:-1], borders[1:])])
    return np.sort(np.concatenate(places))


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """``total``, at most the sum of ``sizes``, dealt out in proportion to them, by largest remainder; no share is 0
    that need not be.
    """
    least = [1 if total >= len(sizes) else 0] * len(sizes)
    exact = [size * total / sum(sizes) for size in sizes]
    dealt = [max(low, int(each)) for low, each in zip(least, exact, strict=True)]
    while sum(dealt) > total:  # the small classes' first images come from where most is over the share
        over = max((i for i in range(len(sizes)) if dealt[i] > least[i]), key=lambda i: dealt[i] - exact[i])
        dealt[over] -= 1
    while sum(dealt) < total:
        dealt[max(range(len(sizes)), key=lambda i: (exact[i] - dealt[i], -i))] += 1
    return dealt
