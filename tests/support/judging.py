"""An extractor and a metric whose figures a test can know beforehand, and how to offer such to the registry."""

from __future__ import annotations

import torch

from gankit import Extracted, Extractor, Metric, Moments
from gankit.registry import Entry, registry


class Brightness(Extractor):
    """The mean brightness of four parts of an image; its classes are thirds of the range."""

    name, summary, gives, digest = "brightness", "for tests", ("features", "logits", "classes"), "0"
    looked_at = 0

    def __init__(self, source):
        self.source = source

    def __call__(self, images):
        type(self).looked_at += len(images)
        features = torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)
        thirds = torch.tensor([42.0, 127.0, 212.0])
        return Extracted(features, -(features.mean(1, keepdim=True) - thirds).abs())


def offer(monkeypatch, kind, name, cls):
    monkeypatch.setitem(registry().entries[kind], name, Entry(name, "for tests", "tests", cls))


class Planned(Metric):
    """Figures that a test plans, in the order in which they are asked for."""

    name, summary, needs, better = "planned", "for tests", "features", "lower"
    values: list[float] = []

    def start(self):
        return Moments()

    def value(self, fake, real):
        return self.values.pop(0)
