"""A judge: metrics, the extractor they need, and what they keep of the real images; shown samples, it gives scores."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.sides import as_size
from gankit.core.version import __version__
from gankit.cpu.malloc import keep_freed
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import ImageSet
from gankit.evaluation.metric import NEEDS, Extractor, Metric, Seen, Source, Statistics
from gankit.evaluation.reference import kept_name, of_real
from gankit.registry import registry

BATCH = 500
"""Images that are looked at together."""


class Samples(NamedTuple):
    """A batch to be judged: uint8 [n,C,H,W] on the CPU; and, where there are any, the classes asked for and the values
    of the model's categorical code, int64 [n].
    """

    images: Tensor
    labels: Tensor | None = None
    codes: Tensor | None = None


class Value(NamedTuple):
    """A score as the judge gives it: ``settings`` and ``extractor`` are its part of the protocol."""

    metric: Metric
    value: float
    protocol: dict[str, Any]


class Judge:
    """Ready to judge samples against the images ``real``, of the data set ``data`` (None: a program gave them)."""

    def __init__(
        self,
        metrics: Iterable[str],
        real: ImageSet,
        data: DataOptions | None,
        *,
        extractor: str = "classifier",
        weights: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        keep_freed()
        self.metrics = [make_metric(name) for name in metrics]
        self.real, self.data, self.images = real, data, real.digest()
        self.extractor: Extractor | None = None
        if any(metric.needs != "images" for metric in self.metrics):
            kind = registry().get("extractors", extractor)
            check_given(self.metrics, extractor, kind.gives)
            self.extractor = kind(Source(real, data, weights, device))
        self._of_real: dict[str, Statistics] = {}
        for network in dict.fromkeys((None, self.extractor)):  # pixels are cached whatever network looks, too
            kept = started(m for m in self.metrics if m.compares and (m.needs == "images") == (network is None))
            seen = {"images": self.images, **self._network(network is not None)}
            of_real(list(kept.values()), seen, functools.partial(self._fill, extractor=network))
            self._of_real |= kept

    def judge(self, samples: Iterable[Samples]) -> list[Value]:
        """A value for each metric, in their order. UsageError where there are too few images, or no labels."""
        kept = started(self.metrics)
        if not self._show(samples, list(kept.values()), self.extractor):
            raise UsageError("there are no samples to judge")
        values = []
        for metric in self.metrics:
            name = kept_name(metric.start())
            values.append(Value(metric, metric.value(kept[name], self._of_real.get(name)), self.protocol(metric)))
        return values

    def protocol(self, metric: Metric) -> dict[str, Any]:
        """What the judge knows of the protocol of ``metric``'s scores."""
        return {
            **self._network(metric.needs != "images"),
            "settings": dict(metric.settings),
            "data": self.data.data if self.data else "images of a program",
            "split": self.data.split if self.data else None,
            "images": self.images,
            "size": as_size(self.real.sides),
            "channels": self.real.images.shape[1],
            "real": len(self.real),
            "gankit": __version__,
        }

    def _network(self, used: bool) -> dict[str, str | None]:
        """The part of a protocol that the extractor is, of scores by it and of scores by pixels."""
        if self.extractor is None or not used:
            return {"extractor": None, "weights": None, "resize": None}
        return {
            "extractor": self.extractor.name,
            "weights": self.extractor.digest,
            "resize": self.extractor.resize,
        }

    def _fill(self, kept: list[Statistics], extractor: Extractor | None) -> None:
        """Show ``kept`` the real images."""
        batches = (Samples(self.real.images[first : first + n]) for first, n in in_batches(len(self.real)))
        self._show(batches, kept, extractor)

    @staticmethod
    @torch.no_grad()
    def _show(samples: Iterable[Samples], kept: list[Statistics], extractor: Extractor | None) -> int:
        """Let all of ``kept`` take in ``samples``, by way of ``extractor`` if there is one. Returns their number."""
        count = 0
        for images, labels, codes in samples:
            seen = Seen(images, count, labels=labels, codes=codes)
            if extractor is not None:
                found = extractor(images)
                logits = None if found.logits is None else found.logits.float().cpu()
                seen = dataclasses.replace(seen, features=found.features.float().cpu(), logits=logits)
            for each in kept:
                each.update(seen)
            count += len(images)
        return count


def make_metric(name: str) -> Metric:
    """The metric registered as ``name``. UsageError naming the closest where there is none."""
    metric: Metric = registry().get("metrics", name)()
    if metric.needs not in NEEDS or metric.better not in ("lower", "higher"):
        raise UsageError(f"metric '{name}' needs one of {', '.join(NEEDS)} and is better lower or higher")
    return metric


def metric_names(text: str | Iterable[str]) -> list[str]:
    """The names in a list with commas, or in several such lists; each once."""
    parts = [text] if isinstance(text, str) else text
    names = [name.strip() for part in parts for name in part.split(",")]
    if not all(names) or not names:
        raise UsageError("--metric takes names, separated by commas: --metric fid,kid")
    return list(dict.fromkeys(names))


def check_given(metrics: Iterable[Metric], extractor: str, gives: Iterable[str]) -> None:
    """UsageError naming the first metric that needs what the extractor does not give."""
    for metric in metrics:
        if metric.needs not in ("images", *gives):
            raise UsageError(
                f"--metric {metric.name} needs {metric.needs}, which --extractor {extractor} does not give "
                f"({', '.join(gives)}); see `gankit plugins list`"
            )


def started(metrics: Iterable[Metric]) -> dict[str, Statistics]:
    """Fresh statistics by what they keep; metrics that keep the same share it."""
    kept: dict[str, Statistics] = {}
    for metric in metrics:
        fresh = metric.start()
        kept.setdefault(kept_name(fresh), fresh)
    return kept


def in_batches(count: int, size: int = BATCH) -> Iterator[tuple[int, int]]:
    """(first, how many) of batches of up to ``size`` until there were ``count``."""
    for first in range(0, count, size):
        yield first, min(size, count - first)
