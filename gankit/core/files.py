"""Files that are written whole or not at all, and never lose what was there before."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gankit.core.errors import DamagedFile, GankitError


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
    folder = os.open(path, os.O_RDONLY)
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
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DamagedFile(f"{path}: cannot be read as JSON ({error})") from error


def append_lines(path: Path, lines: list[str], *, sync: bool = False) -> None:
    """Add ``lines`` to a text file, each ended by a newline."""
    with explained(path), path.open("a") as file:
        file.writelines(line + "\n" for line in lines)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines, up to the first line that is torn; [] where there is no file."""
    return list(lines(path))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines one by one, up to the first line that is torn; none where there is no file.

    GankitError where it cannot be read.
    """
    if not path.exists():
        return
    with explained(path, "read"), path.open("rb") as file:
        for line in file:
            try:
                if not line.endswith(b"\n") or not isinstance(value := json.loads(line), dict):
                    return
            except ValueError:
                return
            yield value


def cut_lines(path: Path, step: int) -> None:
    """Keep of a file of JSON lines those whose "step" is at most ``step``; a torn line goes."""
    if path.exists():
        kept = [line for line in path.read_bytes().split(b"\n")[:-1] if _step(line) <= step]
        atomic_write(path, b"".join(line + b"\n" for line in kept))


def _step(line: bytes) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


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
