"""The files below a folder or in an archive by their names: which are pictures, and what is passed over."""

from __future__ import annotations

import errno
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from gankit.core.errors import DamagedFile, UsageError
from gankit.data.catalogue import cache_folder
from gankit.data.decoding import endings
from gankit.data.unpacking import unpacked_member

MOST_MEMBERS = 5_000_000
MOST_BYTES = 1 << 40
MOST_RATIO = 100
MOST_TEXT = 1 << 26
MOST_CONFIG = 1 << 20
"""Bounds: on what is in a folder or an archive, its bytes unpacked, those over its own, the bytes of a text read from
it, and of a config.json that may tell of a run."""

Stamp = tuple[int, int]
Identity = tuple[int, int] | None


@dataclass
class Found:
    """``files``: name -> (size, time of last change in ns; in an archive the checksum or the place). ``stored``: the
    name that an archive has for it. ``odd``: (name, what it is) of what is no plain file or not data.
    """

    files: dict[str, Stamp] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    odd: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Tree:
    """The files below a folder, or in a zip or tar archive, which is read in place and never unpacked.

    Links are followed. UsageError where there is neither, DamagedFile where an archive is out of bounds.
    """

    root: Path

    @cached_property
    def kind(self) -> str:
        """What it is: "folder", "zip" or "tar". UsageError for a single picture or a compressed tar."""
        if not self.root.is_file():
            return "folder"
        name = self.root.name.lower()
        if self.root.suffix.lower() in endings():
            raise UsageError(f"{self.root}: a single picture; name the folder it is in: {self.root.parent}")
        if name.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")):
            raise UsageError(f"{self.root}: a compressed tar cannot be read in place; unpack it, or make a .zip of it")
        return "tar" if name.endswith(".tar") else "zip"

    @property
    def is_archive(self) -> bool:
        """Whether it is an archive."""
        return self.kind != "folder"

    @cached_property
    def found(self) -> Found:
        """All that is in it."""
        if self.kind == "tar":
            return _in_tar(self.root)
        if self.kind == "zip":
            return _in_zip(self.root)
        if self.root.is_dir():
            return _below(self.root)
        raise UsageError(f"{self.root}: no such folder; name a folder of images, or a zip of them")

    @cached_property
    def files(self) -> dict[str, Stamp]:
        """Name -> (size, time of last change in ns; in an archive the checksum), sorted."""
        return dict(sorted(self.found.files.items(), key=lambda item: item[0].split("/")))

    def stored(self, name: str) -> str:
        """The name that file ``name`` has in the archive, where that differs by "./" or backslashes."""
        return self.found.stored.get(name, name)

    def pictures(self, under: str = "") -> list[str]:
        """The names of all image files below folder ``under``. UsageError where there are none."""
        start, files = f"{under}/" if under else "", self.files
        if not self.is_archive and not (self.root / under).is_dir():
            raise UsageError(f"{self.root / under}: no such folder; check that it is the layout that is read")
        found = [name for name in files if name.startswith(start) and is_picture(name)]
        if not found:
            said = self.passed_over(under)
            passed = f"it holds {'; '.join(said)}" if said else f"looked for {', '.join(sorted(endings()))}"
            raise UsageError(f"{self.root / under}: no images in it ({passed})")
        return found

    def passed_over(self, under: str = "", used: Collection[str] = ()) -> tuple[str, ...]:
        """What below ``under`` is no picture, nor in ``used``: for each kind of it a count and the first names."""
        start, kinds = f"{under}/" if under else "", dict[str, list[str]]()
        for name in self.files:
            if name.startswith(start) and not is_picture(name) and name not in used:
                ending = PurePosixPath(name).suffix.lower()
                kinds.setdefault(f"{ending} files" if ending else "files without an ending", []).append(name)
        for name, what in self.found.odd:
            if name.startswith(start):
                kinds.setdefault(what, []).append(name)
        return tuple(
            f"{len(names):,} {what}: {', '.join(map(printable, names[:3]))}{', ...' if len(names) > 3 else ''}"
            for what, names in kinds.items()
        )

    def parent_of(self, part: str) -> str:
        """The folder, "" or one that ends in "/", in which ``part`` ("train/") is. UsageError where there is none."""
        for name in self.files:
            at = f"/{name}".find(f"/{part}")
            if at >= 0:
                return name[:at]
        raise UsageError(f"{self.root}: holds no {part}; check that it is the published layout")

    def text(self, name: str) -> str:
        """The text in file ``name``. DamagedFile where it is not there, too long, or no text."""
        try:
            if self.files[name][0] > MOST_TEXT:
                raise ValueError("too long")
            return self._bytes(name).decode("utf-8-sig")
        except KeyError as error:
            raise DamagedFile(f"{self.root}: holds no {name}; check that it is the published layout") from error
        except (OSError, ValueError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise DamagedFile(f"{self.root / name}: cannot be read ({error}); fetch it again") from error

    def _bytes(self, name: str) -> bytes:
        if self.kind == "zip":
            with zipfile.ZipFile(self.root) as archive:
                return unpacked_member(archive, self.stored(name))
        if self.kind == "tar":
            with tarfile.open(self.root, "r:") as tar:
                member = tar.extractfile(self.stored(name))
                return b"" if member is None else member.read()
        return (self.root / name).read_bytes()


def is_picture(name: str) -> bool:
    """Whether ``name`` ends as a picture's does."""
    return os.path.splitext(name)[1].lower() in endings()


def printable(name: str) -> str:
    """``name`` with its bytes that are no text written out."""
    return name.encode("utf-8", "backslashreplace").decode()


def find_images(root: Path) -> list[Path]:
    """Every image file below folder ``root``, sorted. UsageError where there is no such folder or nothing in it."""
    tree = Tree(root)
    return [root / name for name in tree.pictures()]


def _below(root: Path) -> Found:
    """What lies below folder ``root``, links followed; each folder with those above it, so that no loop is entered."""
    found, cache = Found(), _identity(cache_folder())
    waiting: list[tuple[str, tuple[Identity, ...]]] = [("", (_identity(root),))]
    while waiting:
        start, above = waiting.pop()
        for entry in _entries(root, start, found):
            name = start + entry.name
            try:
                status = entry.stat()
            except OSError as error:
                found.odd.append((name, _unopened(error)))
                continue
            if stat.S_ISDIR(status.st_mode):
                here = _identity(Path(entry.path))
                if here in above:
                    found.odd.append((name, "links back to a folder they are in"))
                elif here == cache or is_run(Path(entry.path)):
                    found.odd.append((name, "folders of gankit's own output"))
                else:
                    waiting.append((f"{name}/", (*above, here)))
            elif stat.S_ISREG(status.st_mode):
                found.files[name] = (status.st_size, status.st_mtime_ns)
            else:
                found.odd.append((name, "special files"))
        if len(found.files) + len(waiting) > MOST_MEMBERS:
            raise UsageError(f"{root}: over {MOST_MEMBERS:,} files; do its links lead round and round?")
    return found


def _entries(root: Path, start: str, found: Found) -> list[os.DirEntry[str]]:
    """What is in folder ``start`` below ``root``, but for hidden files, which systems leave beside images."""
    folder = os.path.join(root, start)
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except PermissionError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror}); change its permissions") from error
    except OSError as error:
        if not start:
            raise UsageError(f"{folder}: cannot be read ({error.strerror})") from error
        found.odd.append((start.rstrip("/"), _unopened(error)))
        return []


def _unopened(error: OSError) -> str:
    known = {errno.ELOOP: "links in a loop", errno.ENOENT: "links that lead nowhere"}
    return known.get(error.errno or 0, f"that cannot be opened ({error.strerror})")


def _identity(path: Path) -> Identity:
    """What tells a folder from others by whatever way it is reached; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_run(folder: Path) -> bool:
    """Whether ``folder`` holds a training's config.json."""
    path = folder / "config.json"
    try:
        if not path.is_file() or path.stat().st_size > MOST_CONFIG:
            return False
        config = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and {"variant", "data", "train"} <= config.keys()


def _in_zip(path: Path) -> Found:
    """The regular files of zip archive ``path``. DamagedFile where a name leads out of it or it unpacks to too much."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DamagedFile(f"{path}: cannot be read as a zip archive ({error}); fetch it again") from error
    total, size = sum(member.file_size for member in members), path.stat().st_size
    if len(members) > MOST_MEMBERS or total > min(MOST_BYTES, MOST_RATIO * size):
        raise DamagedFile(f"{path}: {len(members)} files of {total} bytes in {size}; that is no archive of images")
    found = Found()
    for member in members:
        parts = _parts(path, member.filename)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DamagedFile(f"{path}: {member.filename!r} in it is a link; do not trust this archive")
        if not (member.is_dir() or member.filename.endswith("\\") or _hidden(parts)):
            _add(found, parts, member.filename, (member.file_size, member.CRC))
    return _without_runs(found)


def _in_tar(path: Path) -> Found:
    """As ``_in_zip``, of a tar archive that is not compressed."""
    found = Found()
    try:
        with tarfile.open(path, "r:") as archive:
            for count, member in enumerate(archive):
                parts = _parts(path, member.name)
                if member.issym() or member.islnk():
                    raise DamagedFile(f"{path}: {member.name!r} in it is a link; do not trust this archive")
                if count > MOST_MEMBERS:
                    raise DamagedFile(f"{path}: over {MOST_MEMBERS:,} files; that is no archive of images")
                if member.isreg() and not member.issparse() and not _hidden(parts):
                    _add(found, parts, member.name, (member.size, member.offset_data))
                elif member.issparse() or not (member.isreg() or member.isdir()):
                    found.odd.append(("/".join(parts), "special files"))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DamagedFile(f"{path}: cannot be read as a tar archive ({error}); fetch it again") from error
    return _without_runs(found)


def _parts(path: Path, name: str) -> tuple[str, ...]:
    """The folders and the name in ``name``, which some programs write with backslashes. DamagedFile where it leads out
    of the archive.
    """
    slashed = name.replace("\\", "/")
    parts = tuple(part for part in slashed.split("/") if part not in ("", "."))
    if slashed.startswith("/") or ".." in parts or ":" in name[:2]:
        raise DamagedFile(f"{path}: the name {name!r} in it leads out of it; do not trust this archive")
    return parts


def _hidden(parts: tuple[str, ...]) -> bool:
    return not parts or any(part.startswith((".", "__MACOSX")) for part in parts)


def _add(found: Found, parts: tuple[str, ...], stored: str, stamp: Stamp) -> None:
    name = "/".join(parts)
    found.files[name] = stamp
    if name != stored:
        found.stored[name] = stored


def _without_runs(found: Found) -> Found:
    """``found`` in an archive without folders that look like those of runs, which a folder's are known by reading."""
    for top in _run_folders(found.files):
        if any(name.startswith(top) for name in found.files):
            found.files = {name: stamp for name, stamp in found.files.items() if not name.startswith(top)}
            found.odd.append((top.rstrip("/"), "folders of gankit's own output"))
    return found


def _run_folders(names: Collection[str]) -> Iterator[str]:
    for name in sorted(names):
        top = name.removesuffix("config.json")
        if top.endswith("/") and name.endswith("/config.json") and f"{top}environment.json" in names:
            yield top
