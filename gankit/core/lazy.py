"""Imports that do not keep the command line waiting: names are imported when first used, and nothing is collected."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def lazy(package: str, homes: Mapping[str, Iterable[str]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``package``: ``homes`` names, for each of its modules, what the face takes from it."""
    home = {name: module for module, names in homes.items() for name in names}

    def getattr_(name: str) -> Any:
        if name in home:
            return getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return getattr_


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is collected in this block, which makes much that stays: importing PyTorch makes hundreds of thousands of
    objects, and each full collection on the way looks through all of them for nothing.

    If PyTorch is first imported in this block, what is alive at its end is never looked through again, not at the end
    of the process either; a cycle among those objects is then not freed.
    """
    if not gc.isenabled():
        yield
        return
    first = "torch" not in sys.modules
    gc.disable()
    try:
        yield
    finally:
        if first and "torch" in sys.modules:
            gc.freeze()
        gc.enable()
