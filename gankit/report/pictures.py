"""Saved sample grids as pictures inside a page: a choice of them, and of large ones as many whole images as fit."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from gankit.core.images import encode_png
from gankit.data.decoding import UNREADABLE
from gankit.report.markup import Child, Markup, tag
from gankit.report.records import Record

SHOWN = 12
"""Grids of a run alone; several runs share three times as many."""
SIDE = 300
"""Pixels that a grid is cut down to, between two of its images."""
GAP = 2
PLAIN = 40_000
"""Bytes above which a picture is reduced to 256 colours: a page of many must stay small."""


def timeline(record: Record, runs: int) -> list[Markup]:
    """Figures of the run's saved grids, from the first to the last."""
    some = chosen(record.grids, max(3, min(SHOWN, 3 * SHOWN // runs)))
    return [grid(record, step, path, f"step {step:,}") for step, path in some]


def grid(record: Record, step: int, path: Path, caption: Child) -> Markup:
    """The figure of one saved grid, or of the words that it cannot be read."""
    spec = record.section("spec")
    height, width = spec.get("size"), spec.get("width", spec.get("size"))
    across, down = (side if isinstance(side, int) and side > 0 else SIDE for side in (width, height))
    try:
        made = picture(path, across, down)
    except UNREADABLE:
        return tag("figure", tag("p", f"{path.name} cannot be read", class_="missing"), class_="grid")
    image = tag("img", src=made, alt=f"samples of {record.name} at step {step}", loading="lazy")
    return tag("figure", image, tag("figcaption", caption), class_="grid")


def chosen(grids: Sequence[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    """The first, the last, and what lies between in equal ratios of steps: samples change most at the start."""
    if len(grids) <= most:
        return list(grids)
    low, high = math.log(max(1, grids[0][0])), math.log(max(2, grids[-1][0]))
    wanted = [low + (high - low) * i / (most - 1) for i in range(most)]
    picked = {min(range(len(grids)), key=lambda k: abs(math.log(max(1, grids[k][0])) - at)) for at in wanted}
    return [grids[k] for k in sorted(picked | {0, len(grids) - 1})]


def picture(path: Path, width: int, height: int, side: int = SIDE) -> str:
    """A grid of ``width`` x ``height`` pixels each as a data address, cut to ``side`` pixels where it is larger."""
    with Image.open(path, formats=("PNG",)) as opened:
        image: Image.Image = opened.convert("L" if opened.mode == "L" else "RGB")
    across, down = (
        max(1, (side + GAP) // (tile + GAP)) * (tile + GAP) - GAP if whole > side else whole
        for whole, tile in zip(image.size, (width, height), strict=True)
    )
    image = image.crop((0, 0, min(across, image.width), min(down, image.height)))
    image.thumbnail((side, side))
    data = encode_png(image)
    if len(data) > PLAIN and image.mode == "RGB":
        data = encode_png(image.quantize(256))
    return "data:image/png;base64," + base64.b64encode(data).decode()
