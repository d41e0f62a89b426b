"""What is known of a data set before it is loaded: its licence, its files, where they are. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gankit.download import download
from gankit.errors import GankitError, UsageError


@dataclass(frozen=True)
class Remote:
    """A file that can be downloaded. ``digest``: "md5:..." or "sha256:..." as published; ``size``: its bytes."""

    name: str
    url: str
    digest: str
    size: int | None = None


@dataclass(frozen=True)
class About:
    """What `gankit data list` says of a data set.

    ``images``: how many there are, of what, as published. ``size``: of the files, in words. ``files``: those that can
    be downloaded. ``look_for``: names by which it is found in a folder; ``packaged``: folders in which a system's
    package puts it. ``how``: where to get it by hand. ``splits``: what --split takes.
    """

    images: str = ""
    size: str = ""
    licence: str = ""
    files: tuple[Remote, ...] = ()
    look_for: tuple[str, ...] = ()
    packaged: tuple[str, ...] = ()
    how: str = ""
    splits: tuple[str, ...] = ("train",)


def cache_folder() -> Path:
    """Where downloads and prepared images are kept: GANKIT_CACHE, or gankit under the user's cache folder."""
    own = os.environ.get("GANKIT_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gankit"


def roots(name: str, about: About, path: str | None = None, data_root: str | None = None) -> list[Path]:
    """Where the files of data set ``name`` may be: ``path`` alone; else --data-root, the user's cache, packages."""
    if path:
        return [Path(path)]
    given = [Path(data_root) / name, Path(data_root)] if data_root else []
    return [*given, cache_folder() / name, *map(Path, about.packaged)]


def found(
    name: str, about: About, look_for: Sequence[str], path: str | None = None, data_root: str | None = None
) -> Path | None:
    """The first of ``look_for`` that is in one of the roots; None where none is. A ``path`` to a file is that file."""
    for root in roots(name, about, path, data_root):
        if root.is_file():
            return root
        for each in look_for:
            if (root / each).exists():
                return root / each
    return None


def fetched(
    name: str, about: About, look_for: Sequence[str], path: str | None = None, data_root: str | None = None
) -> Path:
    """As ``found``, and downloaded into the user's cache where it is nowhere and can be.

    UsageError saying where to get it and where to put it where it cannot be, or was looked for in a named place.
    """
    here = found(name, about, look_for, path, data_root)
    if here is not None:
        return here
    remote = next((each for each in about.files if each.name in look_for), None)
    if path or data_root or remote is None:
        looked = " or ".join(map(str, roots(name, about, path, data_root)[: 1 if path else 2]))
        raise UsageError(
            f"{name}: no {' or '.join(look_for)} in {looked}; put the published files there ({source(about)})"
        )
    algorithm, _, digest = remote.digest.partition(":")
    to = cache_folder() / name / remote.name
    try:
        return download(remote.url, to, digest, algorithm=algorithm, size=remote.size)
    except GankitError as error:
        raise GankitError(f"{name} is not on this machine: {error} (or pass --data-root)") from error


def source(about: About) -> str:
    """Where the files come from, in words."""
    if about.how or not about.files:
        return about.how or "see its documentation"
    return f"from {', '.join(each.url for each in about.files)}"
