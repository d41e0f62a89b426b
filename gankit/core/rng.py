"""Randomness without state: every draw is a function of what it is for.

A generator whose state is carried along has to be saved, restored and split between ranks; one that is made anew from
(seed, step, phase, repeat) has none of these problems. The fields are hashed to 128 bits, because PyTorch's own CPU
generator keeps only 32 bits of a seed and would give seeds 7 and 7 + 2**32 the same stream.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.random.bit_generator import ISeedSequence
from torch import Tensor

Field = int | str


def key(*fields: Field) -> int:
    """128 bits that stand for ``fields``; the order, the types and the borders between fields all count."""
    return int.from_bytes(hashlib.blake2b(repr(fields).encode(), digest_size=16).digest(), "little")


class Words(ISeedSequence):
    """A key's two words, as a bit generator asks for them. Given as ``key=`` it would first draw a seed of its own from
    the system, and throw it away.
    """

    def __init__(self, key: int) -> None:
        self.words = np.array([key % 2**64, key >> 64], np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The words; Philox asks for two of 64 bits."""
        return self.words


class RandomStream:
    """Random tensors for one purpose: ``RandomStream(seed, "noise", step, phase, repeat)``.

    Two objects with the same fields give the same tensors in the same order, on every machine and device: the numbers
    are made by NumPy's Philox on the CPU.
    """

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        words: Any = Words(key(*fields))
        self._rng = np.random.Generator(np.random.Philox(words))

    def branch(self, *fields: Field) -> RandomStream:
        """A stream of its own beside this one, for the same purpose and ``fields`` more: neither moves the other."""
        return RandomStream(*self.fields, *fields)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, float32, of ``shape``."""
        return torch.from_numpy(self._rng.standard_normal(shape, dtype=np.float32))

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1), float32, of ``shape``."""
        return torch.from_numpy(self._rng.random(shape, dtype=np.float32))

    def integers(self, high: int, *shape: int) -> Tensor:
        """Uniform in 0 .. high - 1, int64, of ``shape``."""
        return torch.from_numpy(self._rng.integers(high, size=shape, dtype=np.int64))

    def bernoulli(self, probability: float, *shape: int) -> Tensor:
        """True with ``probability`` (to a resolution of 2**-16), bool, of ``shape``."""
        words = self._rng.integers(1 << 16, size=shape, dtype=np.uint16)
        return torch.from_numpy(words < round(probability * (1 << 16)))

    def permutation(self, n: int) -> Tensor:
        """The numbers 0 .. n - 1 in random order, int64 [n]."""
        return torch.from_numpy(self._rng.permutation(n))
