"""Where images come from: picture files in a folder or an archive, or pixels in published files."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gankit.core.errors import DamagedFile
from gankit.core.progress import ProgressBar, warn
from gankit.data import cache
from gankit.data.cache import Prepared
from gankit.data.choice import chosen
from gankit.data.decode_pool import decode
from gankit.data.decode_worker import Done, Job, Name, reader, write_at
from gankit.data.decoding import FLOAT, SIXTEEN, UNREADABLE, Frame, Range, digest, framed, unwarned
from gankit.data.tree import Tree, find_images

__all__ = ["Pictures", "Pixels", "Tree", "Unpacked", "find_images"]


@dataclass(frozen=True)
class Pictures:
    """Image files: ``names`` in ``tree``, with ``labels`` where they have classes; ``part`` tells them from others that
    are prepared from the same tree.

    ``whole``: the names of the set that this is a part of, where values of more than eight bits are to be scaled as in
    all of it; ``passed_over``: what is said to be left aside when they are prepared.
    """

    tree: Tree
    part: str
    names: list[str]
    labels: list[int] | None = None
    whole: list[str] | None = None
    passed_over: tuple[str, ...] = ()

    def prepared(self, name: str, frame: Frame, limit: int | None = None) -> Prepared:
        """All of them or an even choice of ``limit`` (``chosen``), decoded into the cache of data set ``name``.

        Unreadable ones are left out by name; DamagedFile where they are more than ``spared`` allows.
        """
        some = self._some(limit)
        root = self.tree.root.resolve()
        what: tuple[object, ...] = (str(root), self.part, frame, limit)
        if frame.range is not None:
            what = (*what, frame.range)
        stamps = [(each, *self.tree.files[each]) for each in some.names]
        given: list[object] = [*stamps, some.labels, root.stat().st_mtime_ns * root.is_file()]
        if some.names != self._set:
            given.append([(each, *self.tree.files[each]) for each in self._set])
        return cache.kept(name, what, _digest(given), lambda folder: some._build(folder, name, frame))

    @property
    def _set(self) -> list[str]:
        return self.names if self.whole is None else self.whole

    def _some(self, limit: int | None) -> Pictures:
        if limit is None or limit >= len(self.names):
            return self
        places = chosen(len(self.names), limit, self.labels)
        labels = None if self.labels is None else [self.labels[i] for i in places]
        return replace(self, names=[self.names[i] for i in places], labels=labels, whole=self._set)

    def _build(self, folder: Path, name: str, frame: Frame) -> dict[str, Any]:
        path = folder / "images.npy"
        start = cache.write_header(path, (len(self.names), *frame.shape))
        job = Job(str(path), start, frame, self.tree.kind, str(self.tree.root.resolve()))
        done = self._decoded(job, f"preparing {name}")
        if frame.range is None and set(done.extents) - {SIXTEEN}:
            job = replace(job, frame=replace(frame, range=self._range(job, done)))
            done = self._decoded(job, f"preparing {name} again, all values of more than 8 bits by one rule")
        failed = {self.names[i]: reason for i, reason in sorted(done.failed.items())}
        report(self.tree.root, failed, len(self.names))
        for each in (*self.passed_over, *_said_of_values(done, job.frame.range)):
            warn(f"{self.tree.root}: {each}")
        left = [i for i in range(len(self.names)) if i not in done.failed]
        _close_up(path, left, frame, start)
        if self.labels is not None:
            np.save(folder / "labels.npy", np.array(self.labels, np.int64)[left])
        cache.sync(path)
        counts = {**done.counts, **Counter(os.path.splitext(each)[1].lower() for each in self.names)}
        found = {"counts": counts, "range": (job.frame.range or (0.0, 65535.0)) if done.extents else None}
        return {"digest": cache.joined(done.digests[i] for i in left), "skipped": list(failed.items()), **found}

    def _decoded(self, job: Job, what: str) -> Done:
        tally = ProgressBar(what, len(self.names), "images")
        done = decode(job, [self.tree.stored(each) for each in self.names], tally)
        tally.close()
        return done

    def _range(self, job: Job, done: Done) -> Range:
        """The values that become 0 and 255 in all of the set, of which ``done`` has seen these pictures."""
        seen = Done(extents=dict(done.extents))
        reading, frame, here = reader(job), Frame(4, 1), set(self.names)
        tally = ProgressBar("measuring the values of the whole set", len(self._set), "images")
        for count, each in enumerate(self._set):
            if each not in here:
                with unwarned(), suppress(*UNREADABLE):
                    framed(reading(self.tree.stored(each)), frame, seen.note)
            tally.update(count)
        tally.close()
        return value_range(seen.extents)


def value_range(extents: dict[str, Range]) -> Range:
    """The one range by which pictures of more than eight bits are scaled, of which ``extents`` has by kind the least
    and the greatest value.

    All of 16 bits: theirs. Else the narrowest that holds them of [0, 1] and [-1, 1] (floats alone) and [0, 255]; else
    from 0, or from the least value where that is below 0, to the greatest.
    """
    if set(extents) == {SIXTEEN}:
        return 0.0, 65535.0
    low, high = min(low for low, _ in extents.values()), max(high for _, high in extents.values())
    known = [(0.0, 255.0)] if set(extents) != {FLOAT} else [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]
    fitting = [each for each in known if each[0] <= low and high <= each[1]]
    return fitting[0] if fitting else (min(0.0, low), max(high, min(0.0, low) + 1))


def _said_of_values(done: Done, values: Range | None) -> list[str]:
    """What there is to know of how pictures of more than eight bits were scaled."""
    said = []
    for kind, (low, high) in done.extents.items():
        bottom, top = values or (0.0, 65535.0)
        text = f"{done.counts[kind]:,} {kind} pictures, of values from {low:g} to {high:g}, are scaled from "
        text += f"[{bottom:g}, {top:g}] to [0, 255]"
        if (high - low) * 8 < top - bottom:
            text += f"; that leaves them few values: --range {low:g},{high:g} would stretch them"
        said.append(text)
    return said


def spared(count: int) -> int:
    """How many of ``count`` pictures may be unreadable: one in a hundred, and one of twenty to a hundred."""
    return max(count // 100, 1 if count >= 20 else 0)


def report(root: Path, failed: dict[str, str], count: int) -> None:
    """Name the pictures that were left out. DamagedFile where they are too many."""
    for name, reason in list(failed.items())[:20]:
        warn(f"{root / name} is left out: {reason}")
    if len(failed) > spared(count):
        raise DamagedFile(
            f"{len(failed)} of {count} images cannot be read, {root / next(iter(failed))} the first; remove or mend "
            "them (one in a hundred is left out by itself)"
        )
    if len(failed) > 20:
        warn(f"{len(failed)} of {count} images are left out (`gankit data check` names them)")


def _close_up(path: Path, left: list[int], frame: Frame, start: int) -> None:
    """Move the images ``left`` together, in place, so that no gaps remain where pictures could not be read."""
    size = math.prod(frame.shape)
    with path.open("r+b", buffering=0) as file:
        for to, at in enumerate(left):
            if to != at:
                write_at(file.fileno(), memoryview(os.pread(file.fileno(), size, start + at * size)), start + to * size)
    cache.write_header(path, (len(left), *frame.shape))


@dataclass(frozen=True)
class Unpacked:
    """Pixels on their way out of a published file: ``blocks`` of uint8 [n,C,H,W] that make up ``shape``; ``labels``
    int64 [N] and ``factors`` int64 [N,F], asked for when the blocks are through.
    """

    shape: tuple[int, int, int, int]
    blocks: Iterable[NDArray[np.uint8]]
    labels: Callable[[], NDArray[np.int64]] | None = None
    factors: Callable[[], NDArray[np.int64]] | None = None


@dataclass(frozen=True)
class Pixels:
    """Images that ``read`` takes out of ``files``; ``part`` tells them from others in the same files."""

    files: tuple[Path, ...]
    part: str
    read: Callable[[], Unpacked] = field(repr=False)

    def prepared(
        self, name: str, size: int | str | None, channels: int | None, fit: str, limit: int | None = None
    ) -> Prepared:
        """All images, or an even choice of ``limit`` (``chosen``), in the cache of data set ``name``; in their own
        shape unless told another.
        """
        stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in self.files]
        what = ([str(path.resolve()) for path in self.files], self.part)
        own = cache.kept(name, what, _digest(stamps), lambda folder: self._unpack(folder, name))
        height, width = own.images.shape[2:]
        frame = Frame(size or max(height, width), channels or own.images.shape[1], fit)
        limit = None if limit is None or limit >= len(own.images) else limit
        if own.images.shape[1:] == frame.shape and limit is None:
            return own
        places = chosen(len(own.images), limit, own.labels)
        which = (*what, frame, limit) if limit is None else (*what, frame, "chosen", limit)
        return cache.kept(name, which, _digest(stamps), lambda folder: self._resize(folder, name, own, frame, places))

    def _unpack(self, folder: Path, name: str) -> dict[str, Any]:
        unpacked, path = self.read(), folder / "images.npy"
        start = cache.write_header(path, unpacked.shape)
        digests: list[str] = []
        tally = ProgressBar(f"unpacking {name}", unpacked.shape[0], "images")
        with path.open("r+b", buffering=0) as file:
            for block in unpacked.blocks:
                data = np.ascontiguousarray(block)
                write_at(file.fileno(), data.reshape(-1).data, start + len(digests) * int(np.prod(data.shape[1:])))
                digests += [digest(image) for image in data]
                tally.update(len(digests))
            os.fsync(file.fileno())
        tally.close()
        assert len(digests) == unpacked.shape[0]
        for each, values in (("labels", unpacked.labels), ("factors", unpacked.factors)):
            if values is not None:
                np.save(folder / f"{each}.npy", values())
        return {"digest": cache.joined(digests), "skipped": []}

    @staticmethod
    def _resize(folder: Path, name: str, own: Prepared, frame: Frame, places: NDArray[np.int64]) -> dict[str, Any]:
        path, count = folder / "images.npy", len(places)
        start = cache.write_header(path, (count, *frame.shape))
        tally = ProgressBar(f"resizing {name}", count, "images")
        names: list[Name] = places.tolist()
        done = decode(Job(str(path), start, frame, "array", str(own.folder / "images.npy")), names, tally)
        tally.close()
        report(own.folder, {str(i): reason for i, reason in done.failed.items()}, 0)
        for each, values in (("labels", own.labels), ("factors", own.factors)):
            if values is not None:
                np.save(folder / f"{each}.npy", values[places])
        cache.sync(path)
        return {"digest": cache.joined(done.digests[i] for i in range(count)), "skipped": []}


def _digest(values: object) -> str:
    return hashlib.sha256(repr(values).encode(errors="surrogateescape")).hexdigest()
