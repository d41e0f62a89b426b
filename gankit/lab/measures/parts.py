"""What was recorded of a run, step by step: terms by name, sums of them, and parts of the run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from gankit.core.errors import UsageError, closest
from gankit.lab.measures.measure import Count, Share
from gankit.report.records import Floats, Record, Series, read
from gankit.runs.folder import RunFolder


@dataclass(frozen=True)
class Part:
    """A part of a run: the steps after share ``start`` up to share ``end`` of those recorded; or its ``first`` or
    ``last`` so many steps; or all ``after`` a step.
    """

    start: Share = 0.0
    end: Share = 1.0
    first: Count | None = None
    last: Count | None = None
    after: Count | None = None

    def __post_init__(self) -> None:
        shares = (self.start, self.end) != (0.0, 1.0)
        if sum((shares, self.first is not None, self.last is not None, self.after is not None)) > 1:
            raise UsageError("a part of a run is said by start and end, or by first, or by last, or by after; by one")
        if self.start >= self.end:
            raise UsageError(f"start = {self.start:g} and end = {self.end:g} leave nothing of a run between them")

    def within(self, steps: Floats, done: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which of ``steps`` are in it, of a run that recorded ``done``."""
        low, high = self.start * done, self.end * done
        if self.first is not None:
            high = self.first
        if self.last is not None:
            low = done - self.last
        if self.after is not None:
            low = self.after
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (steps > low) & (steps <= high)
        return found


def record_of(run: RunFolder) -> Record:
    """What ``run`` recorded."""
    return read(run.root, run.root.name)


def recorded_term(record: Record, term: str) -> tuple[Floats, Floats]:
    """(steps, values) of ``term``: a recorded name such as "discriminator/loss"; a pattern, which is the sum of the
    names it fits ("generator/cycle *"); several with " + " or " - " between them; and several such with " or " between
    them, of which the first that the run recorded is taken ("discriminator/loss or critic/loss").

    Empty of a run that recorded nothing. UsageError naming the closest name where it recorded others only.
    """
    for each in term.split(" or "):
        if (found := _sum(record.rows, each)) is not None:
            return found
    if not record.rows:
        return np.zeros(0), np.zeros(0)
    raise UsageError(f"{record.root}: recorded no term '{term}': {closest(term.partition(' or ')[0], record.rows)}")


def _sum(rows: dict[str, Series], text: str) -> tuple[Floats, Floats] | None:
    """(steps, values) of one sum, over the steps that have all its terms; None where a name is not recorded."""
    name, *others = re.split(r" ([+-]) ", text.strip())
    signs = [1.0, *(1.0 if sign == "+" else -1.0 for sign in others[::2])]
    terms: list[tuple[float, Series]] = []
    for sign, wanted in zip(signs, [name, *others[1::2]], strict=True):
        fits = [rows[wanted]] if wanted in rows else [rows[each] for each in rows if fnmatchcase(each, wanted)]
        if not fits:
            return None
        terms += [(sign, series) for series in fits]
    steps = terms[0][1].steps
    for _, series in terms[1:]:
        steps = np.intersect1d(steps, series.steps)
    total = np.zeros(len(steps))
    for sign, series in terms:
        total += sign * series.values[np.searchsorted(series.steps, steps)]
    return steps, total


def term_in(run: RunFolder, term: str, part: Part) -> Floats:
    """The values of ``term`` in ``part`` of ``run``, in the order of their steps."""
    record = record_of(run)
    steps, values = recorded_term(record, term)
    return values[part.within(steps, record.done)]


def images_at(record: Record, step: float) -> float | None:
    """How many real images the run had drawn at ``step``; None where nothing says so."""
    if not len(record.images):
        return None
    # Rows of timing.jsonl hold a rate, so the number comes out of a product with rounding.
    drawn = np.rint(record.images.values)
    return float(np.interp(step, [0.0, *record.images.steps], [0.0, *drawn]))
