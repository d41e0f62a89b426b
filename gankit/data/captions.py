"""What a class is in words or in numbers: a file with a text, or a vector, for each class of a data set."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy

from gankit.core.errors import DamagedFile, UsageError, closest
from gankit.core.types import Captions
from gankit.data.catalogue import DataOptions

CAPTION_FILES = ("captions.csv", "captions.npy")
"""Their names beside the images."""
MOST_BYTES = 1 << 26


def captions_beside(options: DataOptions) -> Path | None:
    """The file of captions in the folder, or beside the file, that --data NAME:PATH names; None where there is none.

    UsageError where there are two.
    """
    if options.path is None:
        return None
    path = Path(options.path)
    folder = path.parent if path.is_file() else path
    here = [folder / name for name in CAPTION_FILES if (folder / name).is_file()]
    if len(here) > 1:
        raise UsageError(f"{folder}: holds {' and '.join(CAPTION_FILES)}; keep the one that is right")
    return here[0] if here else None


def captions_in(path: Path, classes: Sequence[str]) -> Captions:
    """The caption of each of ``classes``, in their order, as the file at ``path`` gives them: text, or a vector.

    A .csv has rows NAME,TEXT or NAME,NUMBER,NUMBER,..., under a heading or not; a .npy an array [classes, width], in
    the order of the classes. UsageError where there is no such file or class; DamagedFile naming the place where it is
    of another form, lacks a class, has one twice, or holds a number that is not finite.
    """
    if not path.is_file():
        raise UsageError(f"--captions {path}: no such file; name a .csv of NAME,TEXT rows, or a .npy [classes, width]")
    if not classes:
        raise UsageError(f"--captions {path}: the images have no classes that it could describe")
    if path.suffix == ".npy":
        return _array(path, classes)
    if path.suffix == ".csv":
        return _table(path, classes)
    raise UsageError(
        f"--captions {path}: must end in .csv (rows NAME,TEXT or NAME,NUMBER,...) or .npy [classes, width]"
    )


def _array(path: Path, classes: Sequence[str]) -> Captions:
    try:
        values = numpy.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedFile(f"{path}: cannot be read as a NumPy array ({error})") from error
    if not isinstance(values, numpy.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
        found = f"{values.dtype} {values.shape}" if isinstance(values, numpy.ndarray) else "no array"
        raise DamagedFile(f"{path}: holds {found}, not numbers [classes, width]")
    if len(values) != len(classes):
        raise DamagedFile(f"{path}: has {len(values)} rows for {len(classes)} classes: {', '.join(classes[:5])}, ...")
    with numpy.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        rows = dict(zip(classes, values.astype(numpy.float32).tolist(), strict=True))
    return tuple(_vector(path, name, row) for name, row in rows.items())


def _table(path: Path, classes: Sequence[str]) -> Captions:
    found: dict[str, list[str]] = {}
    for line, name, caption in _rows(path, classes):
        if name not in classes:
            raise DamagedFile(f"{path}: line {line}: the images have no class '{name}': {closest(name, classes)}")
        if name in found:
            raise DamagedFile(f"{path}: line {line}: '{name}' has a caption already; remove one of them")
        found[name] = caption
    if lacking := [name for name in classes if name not in found]:
        raise DamagedFile(f"{path}: no caption of {', '.join(map(repr, lacking[:5]))}; add a row NAME,TEXT for each")
    if all(len(caption) == 1 for caption in found.values()):
        return tuple(found[name][0] for name in classes)
    return _numbers(path, {name: found[name] for name in classes})


def _rows(path: Path, classes: Sequence[str]) -> Iterator[tuple[int, str, list[str]]]:
    """(line, the class, what follows it) of each row that is not blank; a first one of no class is a heading."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("too long")
        reader = csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline=""), strict=True)
        first = True
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) < 2 or not all(cells):
                raise DamagedFile(f"{path}: line {reader.line_num}: {','.join(row)[:60]!r} is not NAME,TEXT")
            if not (first and cells[0] not in classes and cells[0].lower() in ("class", "name", "label")):
                yield reader.line_num, cells[0], cells[1:]
            first = False
    except (OSError, ValueError, csv.Error) as error:
        raise DamagedFile(f"{path}: cannot be read as a table ({error}); each line is NAME,TEXT") from error


def _numbers(path: Path, rows: Mapping[str, Sequence[str]]) -> Captions:
    try:
        with numpy.errstate(over="ignore"):
            values = {name: numpy.array(row, dtype=numpy.float32).tolist() for name, row in rows.items()}
    except ValueError as error:
        raise DamagedFile(
            f"{path}: rows are NAME,TEXT, or NAME and numbers ({error}); put a text that has a comma in quotes"
        ) from error
    width = len(next(iter(values.values())))
    for name, row in values.items():
        if len(row) != width:
            raise DamagedFile(f"{path}: '{name}' has {len(row)} numbers, and others {width}; give all as many")
    return tuple(_vector(path, name, row) for name, row in values.items())


def _vector(path: Path, name: str, row: Sequence[float]) -> tuple[float, ...]:
    if not all(map(math.isfinite, row)):
        raise DamagedFile(f"{path}: the caption of '{name}' has a number that is not finite")
    return tuple(row)
