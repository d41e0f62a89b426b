"""Runs that differ by their seed alone, found by path and put together, each group named by what sets it apart."""

from __future__ import annotations

import glob
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.config import SECTIONS
from gankit.core import files
from gankit.core.errors import UsageError
from gankit.report.records import Record, names, read
from gankit.runs.legs import NEUTRAL, WHERE, before

PLAN, FAILURES = "sweep.json", "failures.jsonl"
MACHINE = ("device", "threads", "engine", "impl")
"""Options of the machine: they decide how fast a run is and its last bits, not what it tends to: they part no group."""
INERT = (NEUTRAL - {"stop_on_collapse", "roll_back"}) | {"seed", *MACHINE, *WHERE}
"""Options that part no group. Which images they were is told by their digest; ending or turning back early is no matter
of output, though no weight depends on it before."""
IMAGES, CHANGED = "images", "changed later"
NAMED = 3
"""Options in a group's name at most, where fewer tell it from the others."""


@dataclass(frozen=True)
class Group:
    """``runs``: of one seed each, in the order of their seeds; ``options``: those that part groups, as they began."""

    name: str
    runs: tuple[Record, ...]
    options: Mapping[str, Any]

    @property
    def seeds(self) -> list[int]:
        """The runs' seeds."""
        return [seed_of(run) for run in self.runs]

    @property
    def variant(self) -> str:
        """What was trained."""
        return str(self.options.get("variant"))


@dataclass(frozen=True)
class Found:
    """Groups, and what a reader must know of runs that are not among them."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def find(paths: Iterable[str | Path]) -> Found:
    """The groups of the runs at ``paths``: run folders, folders of sweeps or studies, and glob patterns of both.

    UsageError for a path that is neither, a pattern under which there is no run, or no path.
    """
    notes: list[str] = []
    roots: dict[Path, Path] = {}
    places: dict[Path, tuple[int, bool]] = {}
    for i, path in enumerate(paths):
        for root in _roots(path, notes):
            roots.setdefault(root.resolve(), root)
            places.setdefault(root.resolve(), (i, not Path(path).expanduser().exists()))
    if not roots:
        raise UsageError("name run folders, a sweep or a study, or a pattern: gankit compare 'OUT/*/seed-*'")
    listed = list(roots.values())
    records = [read(root, name) for root, name in zip(listed, names(listed), strict=True)]
    plans: dict[Path, dict[Path, str]] = {}
    cells = {id(record): _cell(record.root.resolve(), plans) for record in records}
    together: dict[str, list[Record]] = {}
    for record in records:
        key = json.dumps([options_of(record), cells[id(record)]], sort_keys=True, default=str)
        together.setdefault(key, []).append(record)
    kept = [_one_a_seed(some, notes) for some in together.values()]
    kept = _in_order(kept, {root: place for place, root in zip(places.values(), roots.values(), strict=True)})
    options = [options_of(some[0]) for some in kept]
    called = _names(options, [cells[id(some[0])] for some in kept])
    groups = [Group(name, tuple(some), its) for name, some, its in zip(called, kept, options, strict=True)]
    return Found(tuple(groups), tuple(dict.fromkeys(notes)))


def options_of(record: Record) -> dict[str, Any]:
    """The options that decide what a run tends to, by name, as they were when it began: also which images it had, and
    what was changed later, where somebody went on with others. Rates halved by --roll-back are none: they follow.
    """
    values = before(record.config, record.legs, 0)
    flat = {"variant": record.config.get("variant")}
    flat |= {name: value for section in SECTIONS for name, value in values[section].items() if name not in INERT}
    flat["data"] = str(values["data"].get("data")).partition(":")[0]
    flat[IMAGES] = record.config.get("images")
    later = [
        f"{name}={written(now)} from step {leg.start}"
        for leg in record.legs
        if not leg.rolled_back
        for name, (_, now) in leg.changes.items()
        if name not in INERT
    ]
    return flat | ({CHANGED: "; ".join(later)} if later else {})


def differing(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names whose values are not the same in all of ``options``, in their order. The digest of the images counts
    only where nothing else says that they are others.
    """
    found = list(dict.fromkeys(name for some in options for name in some))
    found = [name for name in found if len({written(some.get(name, "-")) for some in options}) > 1]
    data = {"data", "size", "channels", "fit", "split", "limit", "range", "crop", "flip"}
    return [name for name in found if name != IMAGES or not data & set(found)]


def written(value: Any) -> str:
    """A value as one types it: 1e-4, 512, off."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "unset"
    if not isinstance(value, float) or not math.isfinite(value):
        text = str(value)
        return text[:8] if len(text) >= 32 and all(c in "0123456789abcdef" for c in text) else text
    mantissa, _, exponent = f"{value:.12g}".partition("e")
    if not exponent and 0 < abs(value) < 0.01:
        mantissa, _, exponent = f"{value:.11e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def seed_of(record: Record) -> int:
    """The run's seed."""
    seed = record.section("train").get("seed")
    return seed if isinstance(seed, int) else 0


def _roots(path: str | Path, notes: list[str]) -> list[Path]:
    """The run folders that ``path`` stands for; runs of a plan that are not there, or failed, are told in ``notes``."""
    root = Path(path).expanduser()
    if (root / "config.json").is_file():
        return [root]
    if (root / PLAN).is_file():
        return _of_plan(root, notes)
    if root.exists():
        inner = sorted(root.glob("*/config.json")) or sorted(root.glob("*/*/config.json"))
        depth = "/*" * (len(inner[0].relative_to(root).parts) - 1) if inner else ""
        hint = f"for the runs in it write '{root}{depth}'" if inner else "name one that `gankit train` made"
        raise UsageError(f"{root}: not a run folder (it has no config.json); {hint}")
    if not glob.has_magic(str(root)):
        raise UsageError(f"{root}: no such folder; name a run, a sweep, or a pattern in quotes")
    found = []
    for match in sorted(glob.glob(str(root), recursive=True)):
        if any((Path(match) / name).is_file() for name in ("config.json", PLAN)):
            found += _roots(match, notes)
    if not found:
        raise UsageError(f"{root}: no run folder is named like this")
    return found


def _of_plan(root: Path, notes: list[str]) -> list[Path]:
    """The run folders of the sweep or study in ``root``."""
    reasons = {str(row.get("folder")): str(row.get("reason")) for row in files.lines(root / FAILURES, strict=False)}
    found, missing, cells = [], 0, _planned(root)
    for cell in cells:
        folder = root / cell["folder"]
        if (folder / "config.json").is_file():
            found.append(folder)
        elif cell["folder"] not in reasons:
            missing += 1
        if cell["folder"] in reasons:
            notes.append(f"{cell['name']}, seed {cell['seed']} failed: {reasons[cell['folder']]}")
    if missing:
        notes.append(f"{root}: {missing} of {len(cells)} runs of its plan have not begun")
    if not found:
        raise UsageError(f"{root}: no run of this sweep has begun; `gankit sweep` with the same words goes on with it")
    return found


def _planned(root: Path) -> list[dict[str, Any]]:
    """The cells of a sweep's plan: "name", "seed" and "folder" of each."""
    path = root / PLAN
    cells = files.value_of(files.read_object(path), "cells", list, path)
    return [
        {
            "name": files.value_of(cell, "name", str, path),
            "seed": files.value_of(cell, "seed", int, path),
            "folder": files.value_of(cell, "folder", str, path),
        }
        for cell in cells
        if isinstance(cell, dict)
    ]


def _cell(root: Path, plans: dict[Path, dict[Path, str]]) -> str | None:
    """What the sweep that run ``root`` lies in calls its cell; None where it is in none. ``plans``: those read."""
    for above in list(root.parents)[:3]:
        if above not in plans:
            cells = _planned(above) if (above / PLAN).is_file() else []
            plans[above] = {(above / cell["folder"]).resolve(): cell["name"] for cell in cells}
        if root in plans[above]:
            return plans[above][root]
    return None


def _one_a_seed(records: list[Record], notes: list[str]) -> list[Record]:
    """``records`` of a group by seed, of each seed the one that is furthest: a repeat of a seed is no evidence more."""
    found: dict[int, Record] = {}
    for record in sorted(records, key=lambda record: -record.done):
        other = found.setdefault(seed_of(record), record)
        if other is not record:
            notes.append(
                f"{record.name} repeats {other.name}: the same options and seed {seed_of(record)}; it is left out, "
                "because a repeat says nothing new"
            )
    return [found[seed] for seed in sorted(found)]


def _in_order(groups: list[list[Record]], places: Mapping[Path, tuple[int, bool]]) -> list[list[Record]]:
    """``groups`` as they were named, those of one pattern by their options. ``places``: of each run folder the number
    of its path, and whether that is a pattern.
    """
    options = [options_of(some[0]) for some in groups]
    names = differing(options)

    def key(i: int) -> tuple[int, list[tuple[bool, float, str]]]:
        place, pattern = min(places[record.root] for record in groups[i])
        values = [options[i].get(name) for name in names] if pattern else []
        return place, [
            (False, float(value), "") if isinstance(value, int | float) else (True, 0.0, str(value)) for value in values
        ]

    return [groups[i] for i in sorted(range(len(groups)), key=key)]


def _names(options: Sequence[Mapping[str, Any]], cells: Sequence[str | None]) -> list[str]:
    """What to call each group: as its sweep does where all are of one; else the variant, where there are several, and
    the options in which it differs from others of it.
    """
    if None not in cells and len(set(cells)) == len(cells):
        return [str(cell) for cell in cells]
    variants = [str(some.get("variant")) for some in options]
    found = []
    for i, variant in enumerate(variants):
        alike = [some for some, other in zip(options, variants, strict=True) if other == variant]
        told = _telling(differing(alike), alike)
        words = ", ".join(f"{name}={written(options[i].get(name, '-'))}" for name in told)
        found.append(" ".join([variant] * (len(set(variants)) > 1 or not words) + [words] * bool(words)))
    for name in {name for name in found if found.count(name) > 1}:  # cells of one name apart, as in two sweeps
        same = [i for i, other in enumerate(found) if other == name]
        for number, i in enumerate(same, 1):
            found[i] = f"{name} {cells[i] or f'({number})'}"
    return found


def _telling(names: list[str], options: Sequence[Mapping[str, Any]]) -> list[str]:
    """All of ``names`` where they are few, else as many as tell ``options`` apart, those of most values first."""
    if len(names) <= NAMED:
        return names

    def values(some: Sequence[str]) -> int:
        return len({tuple(written(each.get(name, "-")) for name in some) for each in options})

    chosen: list[str] = []
    while values(chosen) < len(options) and len(chosen) < len(names):
        chosen.append(max((name for name in names if name not in chosen), key=lambda name: values([*chosen, name])))
    return [name for name in names if name in chosen]
