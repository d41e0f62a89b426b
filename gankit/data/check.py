"""What `gankit data check` says of a data set: counts, ranges, classes, what could not be read; and a contact sheet."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from gankit.core.images import encode_png, grid
from gankit.data.cache import intact
from gankit.data.dataset import ImageSet

SHEET = 64
"""Images on a contact sheet, all domains together."""
_BLOCK = 1 << 26


def summary(name: str, images: ImageSet) -> dict[str, Any]:
    """How many images of what shape ``images`` has, in what classes, and where they are kept."""
    found: dict[str, Any] = {"name": name, "images": len(images), "shape": list(images.images.shape[1:])}
    if images.other is not None:
        found["other images"] = len(images.other)
    if images.classes:
        found["classes"] = len(images.classes)
    found["folders"] = [str(each.folder) for each in images.prepared]
    pictures = Counter[str]()
    for prepared in images.prepared:
        pictures.update(prepared.counts)
    if pictures:
        found["pictures"] = dict(sorted(pictures.items()))
    found["passed over"] = list(images.passed_over)
    found["unreadable"] = [list(each) for prepared in images.prepared for each in prepared.skipped]
    return found


def check(name: str, images: ImageSet) -> dict[str, Any]:
    """All that there is to know of ``images`` short of looking at them; every pixel is read."""
    found = summary(name, images)
    found["digest"] = images.digest()
    found["intact"] = all(map(intact, images.prepared)) if images.prepared else None
    found["pixels"] = _pixels(images.images)
    if images.other is not None:
        found["other pixels"] = _pixels(images.other)
    if images.labels is not None:
        counts = images.labels.bincount(minlength=len(images.classes)).tolist()
        found["images of class"] = dict(zip(images.classes, counts, strict=False))
    if images.factors is not None:
        values = zip(images.factor_names, images.factors.T, strict=True)
        found["values of factor"] = {factor: len(column.unique()) for factor, column in values}
    return found


def _pixels(images: Tensor) -> dict[str, Any]:
    """Per channel the least, the greatest and the mean value and their standard deviation, 0 to 255; how many images
    are of one value throughout, and the first of them.
    """
    count, channels = images.shape[:2]
    low, high = torch.full((channels,), 255), torch.zeros(channels, dtype=torch.long)
    total, squares = torch.zeros(2, channels, dtype=torch.float64)
    blank: list[int] = []
    step = max(1, _BLOCK // images[0].numel())
    for first in range(0, count, step):
        some = images[first : first + step]
        least, most = some.amin((2, 3)), some.amax((2, 3))
        low, high = torch.minimum(low, least.amin(0).long()), torch.maximum(high, most.amax(0).long())
        blank += [first + int(i) for i in (least == most).all(1).nonzero()]
        for image in some:
            values = image.flatten(1).double()
            total += values.mean(1)
            squares += values.square().mean(1)
    mean = total / count
    deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
    return {
        "least": low.tolist(),
        "greatest": high.tolist(),
        "mean": [round(value, 2) for value in mean.tolist()],
        "deviation": [round(value, 2) for value in deviation.tolist()],
        "of one value": len(blank),
        "the first of one value": blank[:10],
    }


def sheet(images: ImageSet) -> bytes:
    """A PNG of images spread evenly over the data set: a row of eight for each class where there are up to eight
    classes, a half for each domain where there are two.
    """
    if images.labels is not None and 1 < len(images.classes) <= SHEET // 8:
        picked = torch.cat([_spread((images.labels == c).nonzero()[:, 0], 8) for c in range(len(images.classes))])
    else:
        picked = _spread(torch.arange(len(images)), SHEET if images.other is None else SHEET // 2)
    shown = images.images[picked]
    if images.other is not None:
        shown = torch.cat([shown, images.other[_spread(torch.arange(len(images.other)), SHEET // 2)]])
    return encode_png(grid(shown, columns=8))


def _spread(places: Tensor, count: int) -> Tensor:
    """``count`` of ``places``, evenly spread; some twice where there are fewer."""
    if len(places) == 0:
        return places
    return places[torch.linspace(0, len(places) - 1, count).round().long()]
