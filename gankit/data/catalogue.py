"""What is known of a data set before it is loaded: its licence, its files, where they are. Imports nothing heavy."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gankit.core.errors import GankitError, UsageError
from gankit.core.options import option
from gankit.core.sides import LEAST, MOST, Sides, Size, parse_size, sides
from gankit.data.download import download


@dataclass(frozen=True)
class DataOptions:
    """Which images, in which shape."""

    data: str = option("shapes", "data set: NAME or NAME:PATH (see `gankit data list`)", group="Data")
    size: int | str | None = option(
        None, "height and width, or HEIGHTxWIDTH; unset: the data set's own",
        low=LEAST, high=MOST, unit="pixels", parse=parse_size, group="Data",
    )  # fmt: skip
    channels: int | None = option(
        None, "1 for grey, 3 for colour; unset: the data set's own", low=1, high=4, group="Data"
    )
    crop: int | str | None = option(
        None, "train on windows of this height and width (or HEIGHTxWIDTH), at a place chosen anew each time",
        low=LEAST, high=MOST, unit="pixels", parse=parse_size, group="Data",
    )  # fmt: skip
    fit: str = option(
        "crop", "how pictures of another shape get that of --size", choices=("crop", "pad", "stretch"), group="Data"
    )
    split: str = option("train", "part of the data set", group="Data")
    limit: int | None = option(
        None,
        "use only so many images, chosen evenly over the set and its classes, the same each time",
        low=1,
        group="Data",
    )
    flip: bool = option(False, "mirror half of the images, chosen anew each time", group="Data")
    range: str | None = option(
        None, "values of 16-bit, 32-bit and float pictures that become 0 and 255; unset: measured over the whole set",
        unit="LOW,HIGH", group="Data",
    )  # fmt: skip
    data_root: str | None = option(None, "folder in which to look for data sets", group="Data")

    @property
    def name(self) -> str:
        """The data set's registered name."""
        return self.data.partition(":")[0]

    def sides(self, default: Size) -> Sides:
        """(height, width) of --size, or of the data set's own ``default``."""
        return sides(default if self.size is None else self.size)

    @property
    def path(self) -> str | None:
        """What follows the colon in ``--data NAME:PATH``, a ~ at its start replaced by the home folder."""
        path = self.data.partition(":")[2]
        return os.path.expanduser(path) if path else None

    @property
    def values(self) -> tuple[float, float] | None:
        """The two numbers of --range. UsageError where it is not two, the lower first."""
        if self.range is None:
            return None
        try:
            low, high = map(float, self.range.replace(",", " ").split())
        except ValueError:
            low, high = math.nan, math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(f"--range {self.range}: give two numbers, the lower first: --range LOW,HIGH")
        return low, high


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
    if own:
        return Path(own)
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"], "gankit")
    try:
        return Path.home() / ".cache" / "gankit"
    except RuntimeError:  # no HOME, and no entry of this user: a container, say
        return Path(tempfile.gettempdir(), f"gankit-{os.getuid() if hasattr(os, 'getuid') else 'cache'}")


def roots(options: DataOptions, about: About) -> list[Path]:
    """Where the files of a data set may be: the path after its name alone, else --data-root, the cache, packages."""
    if options.path:
        return [Path(options.path)]
    root = Path(os.path.expanduser(options.data_root)) if options.data_root else None
    given = [root / options.name, root] if root else []
    return [*given, cache_folder() / options.name, *map(Path, about.packaged)]


def found(options: DataOptions, about: About, look_for: Sequence[str] = ()) -> Path | None:
    """The first of ``look_for`` or ``about.look_for`` in the roots, or a path that is a file itself; else None."""
    for root in roots(options, about):
        if root.is_file():
            return root
        for each in look_for or about.look_for:
            if (root / each).exists():
                return root / each
    return None


def fetched(options: DataOptions, about: About, look_for: Sequence[str] = ()) -> Path:
    """As ``found``, and downloaded into the user's cache where it is nowhere and can be.

    UsageError saying where to get it and where to put it where it cannot be, or was looked for in a named place.
    """
    here = found(options, about, look_for)
    if here is not None:
        return here
    look_for = look_for or about.look_for
    remote = next((each for each in about.files if each.name in look_for), None)
    if options.path or options.data_root or remote is None:
        looked = " or ".join(map(str, roots(options, about)[: 1 if options.path else 2]))
        raise UsageError(
            f"{options.name}: no {' or '.join(look_for)} in {looked}; put the published files there ({source(about)})"
        )
    algorithm, _, digest = remote.digest.partition(":")
    to = cache_folder() / options.name / remote.name
    try:
        return download(remote.url, to, digest, algorithm=algorithm, size=remote.size)
    except GankitError as error:
        raise GankitError(f"{options.name} is not on this machine: {error} (or pass --data-root)") from error


def source(about: About) -> str:
    """Where the files come from, in words."""
    if about.how or not about.files:
        return about.how or "see its documentation"
    return f"from {', '.join(sorted({each.url.rpartition('/')[0] for each in about.files}))}"
