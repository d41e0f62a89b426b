"""The images of a run: the set that it was trained on, wherever that lies now, known by its digest."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from gankit.build import load_images
from gankit.core.errors import DamagedFile, UsageError
from gankit.core.progress import warn
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import ImageSet
from gankit.runs.folder import RunFolder

MOST = 8
"""Places that are looked into: to decode the pictures of a folder that has only the name in common takes long."""


def run_images(run: RunFolder) -> tuple[ImageSet, DataOptions]:
    """The images that ``run`` was trained on, and the options by which they were found: at ``run.data`` where that is
    given, else where config.json says, or where they lie after a move: see ``places``.

    UsageError where they are in none of these, or are not the same any more.
    """
    if run.recorded.get("images given"):
        raise UsageError(f"{run.root}: was trained on images that a program gave; name files or a folder instead")
    if run.data is not None:
        given = dataclasses.replace(run.config.data, data=run.data, data_root=None)
        images = described(run, load_images(dataclasses.replace(run.config, data=given)))
        run.check_images(images, run.data)
        return images, given
    first: UsageError | DamagedFile | None = None
    for place in islice(places(run), MOST):
        try:
            images = described(run, load_images(dataclasses.replace(run.config, data=place)))
            run.check_images(images)
        except OSError as error:  # a folder of somebody else's
            first = first or UsageError(f"{place.data}: cannot be read ({error.strerror})")
            continue
        except (UsageError, DamagedFile) as error:
            first = first or error
            continue
        if place.data not in (run.config.data.data, run.recorded.get("data at")):
            warn(f"the images of {run.root} were {run.config.data.data}; they are found in {place.path}")
        return images, place
    assert first is not None
    raise type(first)(f"{first}; or say where they are now: --data NAME:PATH") from first


def described(run: RunFolder, images: ImageSet) -> ImageSet:
    """``images`` with the captions that ``run`` was trained with, as config.json holds them, unless they bring some."""
    return images if images.captions else dataclasses.replace(images, captions=run.spec.captions)


def place_of(run: RunFolder) -> DataOptions:
    """The options by which the images of ``run`` are found, or its own where they are not."""
    try:
        return run_images(run)[1]
    except (UsageError, DamagedFile):
        return run.config.data


def places(run: RunFolder) -> Iterator[DataOptions]:
    """Where the images may be: as recorded; below the folder in which the training was started; where they were seen
    from the run folder; below one of the folders that the run folder is in, by ever more of their path.
    """
    options, seen = run.config.data, set()
    at = run.recorded.get("data at")
    if isinstance(at, str):
        yield dataclasses.replace(options, data=at, data_root=None)
    yield options
    name = "path" if options.path else "data_root"
    recorded = options.path or options.data_root
    if recorded is None:
        return
    path, root = Path(recorded), run.root.resolve()
    found = [Path(str(run.recorded.get("folder", "."))) / path]
    if isinstance(relation := run.recorded.get("data from here"), str):
        found.append(root / relation)
    tails = [path.parts[-length:] for length in range(1, len(path.parts) + 1)]
    found += [parent.joinpath(*tail) for parent in root.parents for tail in reversed(tails) if path.anchor not in tail]
    for each in found:
        if os.path.exists(each) and (place := each.resolve()) not in seen and place != path:
            seen.add(place)
            if name == "path":
                yield dataclasses.replace(options, data=f"{options.name}:{place}")
            else:
                yield dataclasses.replace(options, data_root=str(place))


def whereabouts(root: Path, place: DataOptions | None) -> dict[str, str]:
    """What config.json of the run in ``root`` holds to find its images by after a move."""
    path = None if place is None else place.path or place.data_root
    if path is None:
        return {}
    found = {"folder": str(Path.cwd())}
    with contextlib.suppress(ValueError):  # on another drive, of a Windows machine
        found["data from here"] = Path(os.path.relpath(Path(path).expanduser(), root)).as_posix()
    return found


def absolute(place: DataOptions) -> str:
    """NAME:PATH of ``place`` in words that hold in every working folder."""
    return place.data if place.path is None else f"{place.name}:{Path(place.path).expanduser().absolute()}"
