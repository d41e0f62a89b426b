"""A judge: metrics, the extractor they need, and what they keep of the real images; shown samples, it gives scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.ranks import current
from gankit.core.sides import as_size
from gankit.core.version import __version__
from gankit.cpu import keep_freed
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import ImageSet
from gankit.evaluation.metric import NEEDS, Extractor, Metric, Seen, Source, Statistics
from gankit.evaluation.moments_file import MomentsFile
from gankit.evaluation.reference import kept_name, of_real
from gankit.evaluation.statistics import Moments
from gankit.registry import blame, registry

BATCH = 500
"""Images that are looked at together."""
FEW = 2048
"""Below so many images a score is given with a caution."""


class Samples(NamedTuple):
    """A batch to be judged: uint8 [n,C,H,W] on the CPU; and, where there are any, the classes asked for and the values
    of the model's categorical code, int64 [n].
    """

    images: Tensor
    labels: Tensor | None = None
    codes: Tensor | None = None


class Value(NamedTuple):
    """A score as the judge gives it: ``settings`` and ``extractor`` are its part of the protocol, ``note`` what a
    person must know to read it, or "".
    """

    metric: Metric
    value: float
    protocol: dict[str, Any]
    note: str = ""


class Judge:
    """Ready to judge samples against the images ``real``, of the data set ``data`` (None: a program gave them).

    ``extractor``: by default the one of ``default_extractor``. With ``given`` the samples are compared with the moments
    in a file, and ``real`` only has their shape. UsageError where the metrics do not fit, and for an extractor, or
    weights of one, that no metric needs.
    """

    def __init__(
        self,
        metrics: Iterable[str],
        real: ImageSet,
        data: DataOptions | None,
        *,
        extractor: str | None = None,
        weights: Path | None = None,
        device: torch.device | str = "cpu",
        given: MomentsFile | None = None,
    ) -> None:
        keep_freed()
        self.metrics = [make_metric(name) for name in metrics]
        self.real, self.split, self.given = real, data.split if data else None, given
        self.name = str(given.path) if given else data.data if data else "images of a program"
        self.images = real.digest() if given is None else given.digest
        self.extractor: Extractor | None = None
        if weights is not None and extractor is None and given is None:
            raise UsageError("--weights: name the network that they are of, too: --extractor inception")
        if any(metric.needs != "images" for metric in self.metrics):
            name = extractor or default_extractor(given)
            kind = registry().get("extractors", name)
            check_given(self.metrics, name, kind.gives)
            if given is not None and "classes" in kind.gives:
                raise UsageError(
                    f"--extractor {name}: is trained on images, but {given.path} holds none; take inception"
                )
            self.extractor = kind(Source(real, data, weights, device))
        elif extractor is not None:
            names = ", ".join(metric.name for metric in self.metrics)
            raise UsageError(f"--extractor {extractor}: has no effect, because {names} looks at pixels; leave it out")
        self._of_real: dict[str, Statistics] = {}
        if given is not None:
            self._of_real = check_moments(self.metrics, given)
            return
        for network in dict.fromkeys((None, self.extractor)):  # pixels are cached whatever network looks, too
            some = (m for m in self.metrics if m.compares and (m.needs == "images") == (network is None))
            self._keep(started(some), network)

    def _keep(self, kept: dict[str, Statistics], network: Extractor | None = None) -> None:
        """Have ``kept`` of the real images, as ``network`` sees them."""
        seen = {"images": self.images, **self._network(network is not None)}

        def fill(some: list[Statistics]) -> None:
            current().agreed(True)
            self._fill(some, network)

        if current().first:
            of_real(list(kept.values()), seen, fill)
            current().agreed(False)
        else:  # rank 0 knows what is cached, and keeps it; the others help to look
            while current().agreed(False):
                self._fill([], network)
        self._of_real |= kept

    def real_moments(self) -> Moments:
        """The mean and covariance of the real images' features. UsageError where no metric looks at features."""
        if self.extractor is None:
            raise UsageError("--save-statistics: they are of features; name a metric that looks at some, such as fid")
        if kept_name(Moments()) not in self._of_real:
            fresh = Moments()
            self._keep({kept_name(fresh): fresh}, self.extractor)
        found = self._of_real[kept_name(Moments())]
        assert isinstance(found, Moments)
        return found

    def judge(self, samples: Iterable[Samples]) -> list[Value]:
        """A value for each metric, in their order. UsageError where there are too few images, or no labels.

        Of several ranks each gives its own ``samples``, and all have the same values.
        """
        kept = started(self.metrics)
        count = self._show(samples, list(kept.values()), self.extractor)
        found = current().agreed(self._values(kept, count) if current().first else [])
        return [
            Value(metric, value, self.protocol(metric), note)
            for metric, (value, note) in zip(self.metrics, found, strict=True)
        ]

    def _values(self, kept: dict[str, Statistics], count: int) -> list[tuple[float, str]]:
        if not count:
            raise UsageError("there are no samples to judge")
        values = []
        for metric in self.metrics:
            name = kept_name(metric.start())
            fake, real = kept[name], self._of_real.get(name)
            if isinstance(fake, Moments) and isinstance(real, Moments) and fake.mean.shape != real.mean.shape:
                raise UsageError(
                    f"the real images have {len(real.mean)} features, but this extractor gives {len(fake.mean)}; name "
                    "with --extractor the one that the statistics were made by"
                )
            note = caution(fake, count, len(self.real) if self.given is None else None)
            with blame(registry().whose("metrics", metric.name), "value"):
                values.append((float(metric.value(fake, real)), note))
        return values

    def protocol(self, metric: Metric) -> dict[str, Any]:
        """What the judge knows of the protocol of ``metric``'s scores."""
        return {
            **self._network(metric.needs != "images"),
            "settings": dict(metric.settings),
            "data": self.name,
            "split": self.split,
            "images": self.images,
            "size": as_size(self.real.sides),
            "channels": self.real.images.shape[1],
            "real": len(self.real) if self.given is None else None,
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
        parts = current().own(in_batches(len(self.real)))
        batches = (Samples(self.real.images[first : first + n]) for first, n in parts)
        self._show(batches, kept, extractor)

    @staticmethod
    @torch.no_grad()
    def _show(samples: Iterable[Samples], kept: list[Statistics], extractor: Extractor | None) -> int:
        """Let all of ``kept`` take in ``samples``, by way of ``extractor`` if there is one. Returns their number."""
        count = 0
        for looked_at in current().in_turn(seen_by(extractor, some) for some in samples):
            seen = dataclasses.replace(looked_at, first=count)
            for each in kept:
                each.update(seen)
            count += len(seen.images)
        return count


def seen_by(extractor: Extractor | None, samples: Samples) -> Seen:
    """What statistics see of ``samples``, the first of all, by way of ``extractor`` if there is one."""
    images, labels, codes = samples
    if extractor is None:
        return Seen(images, 0, labels=labels, codes=codes)
    found = extractor(images)
    logits = None if found.logits is None else found.logits.float().cpu()
    return Seen(images, 0, found.features.float().cpu(), logits, labels, codes)


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


def default_metrics(real: ImageSet) -> list[str]:
    """What to judge by where nobody said: fid, by the classifier; swd where there are no labels to train that on."""
    return ["fid"] if real.labels is not None and len(real.classes) > 1 else ["swd"]


def default_extractor(given: MomentsFile | None = None) -> str:
    """The network to look by where nobody said: the one of published statistics for those, else the classifier."""
    return "classifier" if given is None else "inception"


def check_moments(metrics: Iterable[Metric], given: MomentsFile) -> dict[str, Statistics]:
    """What ``given`` has of the real images. UsageError naming the first metric that needs more."""
    for metric in metrics:
        if metric.compares and kept_name(metric.start()) != kept_name(Moments()):
            raise UsageError(
                f"--metric {metric.name}: needs the real images; {given.path} holds a mean and a covariance, for fid"
            )
    return {kept_name(Moments()): given.moments}


def caution(fake: Statistics, count: int, real: int | None) -> str:
    """What must be said beside a score of ``count`` samples against so many real images, or ""."""
    said = []
    if isinstance(fake, Moments) and count <= len(fake.mean):
        said.append(
            f"{count} samples for {len(fake.mean)} features: the covariance is singular; compare equal numbers only"
        )
    fewest = min(count, count if real is None else real)
    if fewest < FEW:
        which = "samples" if fewest == count else "real images"
        said.append(f"only {fewest:,} {which}; below {FEW:,} a value says more of their number than of the images")
    return "; ".join(said)


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
