"""What a sweep is to run, as sweep.json holds it, and how the cores of the machine are shared out among its cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.config import TrainOptions
from gankit.core import files
from gankit.core.cores import cores
from gankit.core.errors import DamagedFile, UsageError
from gankit.core.version import __version__
from gankit.lab.sweeps.cells import Cell, shown

FILE = "sweep.json"
OLDER = {"preset": "paper"}
"""What a cell is by whose options do not say it: its sweep is older than presets."""


@dataclass(frozen=True)
class Plan:
    """The cells of a sweep, and the CPU threads of each, which its figures depend on bit for bit."""

    cells: tuple[Cell, ...]
    threads: int

    def write(self, out: Path) -> None:
        """Write sweep.json of sweep ``out``."""
        cells = [cell.as_dict() for cell in self.cells]
        files.write_json(out / FILE, {"gankit": __version__, "threads": self.threads, "cells": cells})

    @classmethod
    def read(cls, out: Path) -> Plan:
        """The plan of sweep ``out``. UsageError where it is none, DamagedFile where its plan cannot be read."""
        path = out / FILE
        if not path.is_file():
            raise UsageError(f"{out}: not a sweep (it has no {FILE}); name a folder that `gankit sweep` made")
        values = files.read_object(path)
        threads = files.value_of(values, "threads", int, path)
        try:
            cells = tuple(
                Cell(**{**cell, "flags": {**OLDER, **cell["flags"]}})
                for cell in files.value_of(values, "cells", list, path)
            )
        except (TypeError, KeyError) as error:
            raise DamagedFile(f"{path}: its cells are not what gankit writes ({error})") from error
        return cls(cells, threads)


@dataclass(frozen=True)
class Shares:
    """How many cells run at a time, and on how many threads each."""

    jobs: int
    threads: int


def share(cells: int, jobs: int | None, threads: int | None, *, pinned: bool = False, gpus: int = 0) -> Shares:
    """How the cores are shared out among ``cells`` cells. Unset ``threads`` are 1 where there are cells enough for all
    cores, and unset ``jobs`` as many as there are cores for, or one for each of ``gpus``.

    UsageError where that would take more cores than there are; ``pinned`` threads, which a sweep was begun with, may.
    """
    have = cores()
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}: takes a whole number, 1 or more")
    if threads is None:
        threads = 1 if cells >= have and not gpus else max(1, have // (jobs or gpus or min(cells, have)))
    chosen = jobs or (min(cells, gpus) if gpus else max(1, min(cells, have // threads)))
    if chosen * threads > have and not (pinned and jobs is None):
        asked = f"--jobs {chosen}" if jobs else f"{chosen} cell{'s' * (chosen > 1)}"
        raise UsageError(
            f"{asked} of {threads} thread{'s' * (threads > 1)} each would take {chosen * threads} cores, and this "
            f"process may use {have}; lower --jobs or --threads"
        )
    return Shares(chosen, threads)


def without_threads(cells: Sequence[Cell], threads: int | None) -> tuple[list[Cell], int | None]:
    """``cells`` without their option threads, and what it is; ``threads`` wins. UsageError where they differ in it."""
    if not cells:
        raise UsageError("a sweep needs at least one cell")
    given = {cell.flags.get("threads") for cell in cells}
    if threads is None and len(given) > 1:
        raise UsageError("the cells ask for different --threads; a sweep shares the cores out evenly, give one number")
    bare = [{name: value for name, value in cell.flags.items() if name != "threads"} for cell in cells]
    cells = [dataclasses.replace(cell, flags=flags) for cell, flags in zip(cells, bare, strict=True)]
    return cells, given.pop() if threads is None else threads


def adopt(out: Path, cells: Sequence[Cell], threads: int | None, fresh: int) -> Plan:
    """The plan of sweep ``out``: a new one of ``fresh`` threads, or the one it was begun with, which may grow.

    UsageError saying what differs where it is another sweep.
    """
    cells = [dataclasses.replace(cell, flags={"preset": TrainOptions.preset, **cell.flags}) for cell in cells]
    if not (out / FILE).exists():
        begun = [cell for cell in cells if (out / cell.folder / "config.json").exists()]
        if begun:
            raise UsageError(f"{out / begun[0].folder}: holds a run already, of no sweep; choose another --out")
        with files.explained(out):
            out.mkdir(parents=True, exist_ok=True)
        plan = Plan(tuple(cells), fresh)
        plan.write(out)
        return plan
    plan = Plan.read(out)
    if threads is not None and threads != plan.threads:
        raise UsageError(
            f"--threads {threads}: the sweep in {out} was begun with {plan.threads}, which its figures depend on; "
            "leave --threads out, or choose another --out"
        )
    now = {cell.folder: cell for cell in cells}
    for was in plan.cells:
        if was.folder not in now:
            raise UsageError(
                f"{out}: holds another sweep, with a cell {was}, which this one lacks; choose another --out"
            )
        if found := _differences(was, now[was.folder]):
            raise UsageError(f"{out}: holds another sweep; in its cell {was}: {found}; choose another --out")
    if len(cells) > len(plan.cells):
        plan = Plan(tuple(cells), plan.threads)
        plan.write(out)
    return plan


def _differences(was: Cell, now: Cell) -> str:
    """In which options two cells differ, in words."""
    missing = object()
    pairs: list[tuple[str, Any, Any]] = [("variant", was.variant, now.variant)]
    for name in dict.fromkeys([*was.flags, *now.flags]):
        pairs.append((name, was.flags.get(name, missing), now.flags.get(name, missing)))
    return ", ".join(
        f"{name} was {'unset' if a is missing else shown(a)}, now {'unset' if b is missing else shown(b)}"
        for name, a, b in pairs
        if a != b
    )
