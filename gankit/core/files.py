"""Files that are written whole or not at all, and never lose what was there before."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from gankit.core.errors import DamagedFile, GankitError
from gankit.core.progress import warn

T = TypeVar("T")
_KINDS: dict[type, str] = {
    int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "an object", list: "a list",
}  # fmt: skip


def atomic_write(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path`` under a temporary name, flush it to the disk, and rename it into place."""
    with atomic_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write in this block under a temporary name. It becomes ``path``, flushed to the disk, where the block
    ends as it should, and else is deleted.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with explained(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush the names in folder ``path`` to the disk."""
    try:
        folder = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folder, and needs none to be flushed
        return
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole."""
    atomic_write(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value in a JSON file. DamagedFile where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{path}: cannot be read as JSON ({error})") from error


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. DamagedFile where it is none."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise DamagedFile(f"{path}: must hold a JSON object, not {_brief(values)}")
    return values


def value_of(values: Mapping[str, Any], key: str, kind: type[T], path: Path) -> T:
    """``values[key]``, which JSON file ``path`` holds. DamagedFile naming file and key where it is missing or no
    ``kind``; a number must be finite, and may be a whole one where ``kind`` is float.
    """
    if key not in values:
        raise DamagedFile(f"{path}: has no '{key}'")
    value = values[key]
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            if math.isfinite(value):
                return value  # type: ignore[return-value]
    elif type(value) is kind and not (isinstance(value, int) and value.bit_length() > 63):
        return value
    raise DamagedFile(f"{path}: '{key}' must be {_KINDS[kind]}, not {_brief(value)}")


def _brief(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes
        text = f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= 40 else f"{text[:37]}..."


def append_lines(path: Path, lines: list[str], *, sync: bool = False) -> None:
    """Add ``lines`` to a text file, each ended by a newline. A torn last line is closed off, and named."""
    with explained(path), path.open("a", encoding="utf-8") as file:
        if is_torn(path):
            warn(f"{path}: its last line has no end, as after a crash; it was closed off")
            file.write("\n")
        file.writelines(line + "\n" for line in lines)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def is_torn(path: Path) -> bool:
    """Whether a text file ends within a line."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines; lines that are torn are left out; [] where there is no file."""
    return list(lines(path))


def lines(path: Path, *, strict: bool = True) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines one by one; none where there is no file. What a crash left of a line, which
    is no JSON, is left out.

    GankitError where it cannot be read, DamagedFile for a line that is JSON but no object, which is left out unless
    ``strict``.
    """
    if not path.exists():
        return
    with explained(path, "read"), path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if strict or isinstance(value, dict):
                yield _as_object(value, path, number)


def cut_lines(path: Path, step: int) -> None:
    """Keep of a file of JSON lines those whose "step" is at most ``step``; torn lines go, and are named.

    DamagedFile for a line that is JSON but has no step.
    """
    if not path.exists():
        return
    kept, torn = [], 0
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            value = json.loads(line) if line else None
        except (ValueError, RecursionError):
            torn += 1
            continue
        if line and value_of(_as_object(value, path, number), "step", int, path) <= step:
            kept.append(line)
    if torn:
        warn(f"{path}: {torn} torn line{'s' * (torn > 1)}, as after a crash, left out")
    atomic_write(path, b"".join(line + b"\n" for line in kept))


def _as_object(value: Any, path: Path, number: int) -> dict[str, Any]:
    """``value`` of line ``number``. DamagedFile where it is no object."""
    if not isinstance(value, dict):
        raise DamagedFile(f"{path}: line {number} must hold a JSON object, not {_brief(value)}")
    return value


@contextlib.contextmanager
def explained(path: Path, done: str = "written", then: str = "then `gankit resume`") -> Iterator[None]:
    """Turn an operating system error about ``path`` into one line that says what to do: free some space, ``then``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise GankitError(
                f"{path}: the disk is full ({error.strerror}); what was written before is intact: "
                f"free some space, {then}"
            ) from error
        raise GankitError(f"{path}: cannot be {done} ({error.strerror})") from error
