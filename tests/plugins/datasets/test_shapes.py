"""The drawn shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gankit.data.catalogue import DataOptions
from gankit.plugins.datasets.shapes import Shapes


def test_shapes_are_the_same_every_time_and_tell_their_class():
    one, two = (Shapes().load(DataOptions(limit=300, size=32), seed) for seed in (0, 1))
    assert torch.equal(one.images, two.images)
    assert not torch.equal(one.images, Shapes().load(DataOptions(limit=300, size=32, split="test"), 0).images)
    lit = (one.images.amax(1) > 100).float()
    # Drawn at equal size a square covers most of its bounding box, a circle pi / 4 of it, a triangle half.
    for label, share in ((0, np.pi / 4), (1, 0.85), (2, 0.5)):
        boxes = [image.any(0).sum() * image.any(1).sum() for image in lit[one.labels == label].bool()]
        covered = lit[one.labels == label].sum((1, 2)) / torch.stack(boxes)
        assert float(covered.median()) == pytest.approx(share, abs=0.08)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 40)])
def test_shapes_come_in_any_size_grey_or_colour(channels, size):
    assert Shapes().load(DataOptions(limit=3, size=size, channels=channels), 0).images.shape == (
        3,
        channels,
        size,
        size,
    )
