"""Height and width of images: one number where they are equal, else both. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

LEAST, MOST = 4, 4096
"""Pixels that a side of a training image may have."""

Sides = tuple[int, int]
"""(height, width)"""
Size = int | str | Sides
"""The same as a person writes it, 64 or "96x160", or as (height, width)."""


def sides(size: Size) -> Sides:
    """(height, width) of ``size``."""
    if isinstance(size, tuple):
        return size
    height, _, width = str(size).partition("x")
    return int(height), int(width or height)


def as_size(size: Size) -> int | str:
    """``size`` as options, config.json and protocols hold it: 64 where it is square, else "96x160"."""
    height, width = sides(size)
    return height if height == width else f"{height}x{width}"


def parse_size(value: Any) -> int | str:
    """What a flag or a file gives for a size, as ``as_size`` has it. ValueError in words where it is none."""
    found = re.fullmatch(r"([0-9]{1,9})(?:[xX]([0-9]{1,9}))?", value if isinstance(value, str) else "")
    if type(value) is int:
        return value
    if found is None:
        shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
        raise ValueError(f"takes a whole number, or HEIGHTxWIDTH such as 96x160, not {shown}")
    height, width = int(found[1]), int(found[2] or found[1])
    if height != width and not (LEAST <= height <= MOST and LEAST <= width <= MOST):
        raise ValueError(f"{value} is out of range: it takes {LEAST} to {MOST} either way")
    return as_size((height, width))


def middle(whole: Sequence[int], size: Size) -> tuple[slice, slice]:
    """The rows and the columns of the middle ``size`` pixels of images of ``whole`` (height, width)."""
    height, width = sides(size)
    top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    return slice(top, top + height), slice(left, left + width)
