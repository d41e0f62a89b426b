"""The real images that samples are compared with, and what metrics keep of them, cached."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gankit.core import checkpoint
from gankit.core.errors import DamagedFile, GankitError
from gankit.core.lock import beside, hold
from gankit.core.progress import warn
from gankit.core.sides import Size, middle, sides
from gankit.data.catalogue import cache_folder
from gankit.data.dataset import ImageSet
from gankit.evaluation.metric import Statistics

VERSION = 1
"""Of the statistics; another one makes cached ones void."""


def comparable(images: ImageSet, size: Size | None = None, domain: str = "b") -> ImageSet:
    """The images of a data set that samples ought to be like: of two domains the one named, "a" or "b", and of larger
    images than ``size`` the middle, as `gankit sample` takes it.
    """
    pixels, labels = images.images, images.labels
    if images.other is not None:
        pixels, labels = (images.other if domain == "b" else images.images), None
    whole = pixels.shape[2:]
    if size is not None and whole != sides(size) and all(a >= b for a, b in zip(whole, sides(size), strict=True)):
        rows, columns = middle(whole, size)
        pixels = pixels[:, :, rows, columns]
    return ImageSet(pixels, labels, images.classes)


def kept_name(kept: Statistics) -> str:
    """What ``kept`` is: equal for statistics that can stand for each other."""
    return f"{type(kept).__module__}.{type(kept).__qualname__}: {kept.name}"


def of_real(kept: list[Statistics], seen: Mapping[str, Any], fill: Callable[[list[Statistics]], None]) -> None:
    """Fill ``kept`` from the cache; those that are not in it are handed to ``fill``, all at once, and stored.

    ``seen``: plain values that decide what ``fill`` shows them. Another process that fills the same waits, and finds
    them; a file that is damaged is made again.
    """
    folder = cache_folder() / "statistics"
    paths = {kept_name(each): folder / f"{_digest({'kept': kept_name(each), **seen})}.pt" for each in kept}
    missing = [each for each in kept if not _restored(each, paths[kept_name(each)])]
    if not missing:
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(beside(folder / _digest(seen))))
        except GankitError as error:
            warn(f"what is kept of the real images is not cached: {error}")
            fill(missing)
            return
        missing = [each for each in missing if not _restored(each, paths[kept_name(each)])]
        if missing:
            fill(missing)
        for each in missing:
            checkpoint.save(paths[kept_name(each)], each.state(), {"kept": kept_name(each), **seen})


def _digest(seen: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps({"version": VERSION, **seen}, sort_keys=True).encode()).hexdigest()[:32]


def _restored(kept: Statistics, path: Path) -> bool:
    if not path.exists():
        return False
    try:
        kept.restore(checkpoint.load(path)[0])
    except DamagedFile:
        return False
    return True
