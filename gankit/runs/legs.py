"""The legs of a run: its first one, and one more each time it went on with other options.

config.json holds the options of the last leg, and under "legs" the later ones: from which step each went on, what it
changed, and since when its learning rates' schedule runs. A checkpoint belongs to the leg that made it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.config import SECTIONS, Config, TrainOptions, variant_class
from gankit.core.errors import DamagedFile
from gankit.core.files import value_of
from gankit.core.options import fields

NEUTRAL = {field.name for field in fields(TrainOptions) if field.described.neutral}
LATER = {field.name: field.default for field in fields(TrainOptions) if field.described.later}
"""Common options that a run may be older than, with what stands for what it did."""
WHERE = ("data", "data_root")
"""Options that say where the images are; which they are, their digest says."""


@dataclass(frozen=True)
class Leg:
    """``start``: the step it went on from; ``schedule``: that from which the decay of its learning rates counts;
    ``changes``: option -> (its value before, its value now); ``rolled_back``: how often the run went back on its own to
    where this leg starts.
    """

    start: int
    schedule: int
    changes: Mapping[str, tuple[Any, Any]]
    rolled_back: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as config.json holds them."""
        changes = {name: {"was": was, "now": now} for name, (was, now) in self.changes.items()}
        return {
            "from": self.start, "schedule from": self.schedule, "rolled back": self.rolled_back, "changes": changes,
        }  # fmt: skip


def legs_of(recorded: Mapping[str, Any], path: Path) -> tuple[Leg, ...]:
    """The legs after the first of the run whose config.json, at ``path``, holds ``recorded``.

    DamagedFile naming the key where they are not what gankit writes.
    """
    found: list[Leg] = []
    for values in value_of(recorded, "legs", list, path) if "legs" in recorded else []:
        if not isinstance(values, dict):
            raise DamagedFile(f"{path}: 'legs' must be a list of objects")
        start, schedule, rolled = (value_of(values, key, int, path) for key in ("from", "schedule from", "rolled back"))
        changes: dict[str, tuple[Any, Any]] = {}
        for name, change in value_of(values, "changes", dict, path).items():
            if not isinstance(change, dict) or set(change) != {"was", "now"} or _section(recorded, name) is None:
                raise DamagedFile(f"{path}: 'legs' has a change of '{name}' that is not what gankit writes")
            changes[name] = change["was"], change["now"]
        if start < (found[-1].start if found else 0) or not 0 <= schedule <= start:
            raise DamagedFile(f"{path}: 'legs' are not in the order of their steps ('from' {start})")
        found.append(Leg(start, schedule, changes, rolled))
    return tuple(found)


def before(recorded: Mapping[str, Any], legs: tuple[Leg, ...], step: int) -> dict[str, Any]:
    """The sections of config.json as they were for the leg that made the checkpoint of ``step``."""
    values: dict[str, Any] = {name: dict(recorded.get(name) or {}) for name in SECTIONS}
    for leg in reversed([leg for leg in legs if leg.start >= step]):
        for name, (was, _) in leg.changes.items():
            values[_section(values, name) or "train"][name] = was
    return {"variant": recorded.get("variant"), **values}


def fingerprints(recorded: Mapping[str, Any], legs: tuple[Leg, ...], step: int) -> tuple[str, ...]:
    """What a checkpoint of ``step`` may say of the options it was made with: digests of those that decide its bits. The
    first is the one to write; earlier versions had where the images are among them.
    """
    values = before(recorded, legs, step)
    train = values["train"]
    free = NEUTRAL | {"init_from"}
    if train.get("decay_start") == 1.0:  # else the schedule depends on it
        free = free | {"steps"}
    values["train"] = {
        name: value
        for name, value in train.items()
        if name not in free and not (name in LATER and LATER[name] == value)
    }
    unset = later_defaults(recorded)
    values["options"] = {
        name: value for name, value in values["options"].items() if name not in unset or unset[name] != value
    }
    if (schedule := schedule_at(legs, step)) and "steps" not in free:
        values["schedule"] = schedule
    moved = {**values, "data": {name: value for name, value in values["data"].items() if name not in WHERE}}
    digests = (hashlib.sha256(json.dumps(each, sort_keys=True).encode()).hexdigest() for each in (moved, values))
    return tuple(digest[:16] for digest in digests)


def schedule_at(legs: tuple[Leg, ...], step: int) -> int:
    """The step from which the schedule counts of the leg that made the checkpoint of ``step``."""
    return max((leg.schedule for leg in legs if leg.start < step), default=0)


def extended(
    recorded: Mapping[str, Any], path: Path, step: int, config: Config, *, restarts: bool, rolled_back: bool = False
) -> dict[str, Any]:
    """``recorded`` for a run that goes on from the checkpoint of ``step`` with ``config``: with a leg more where that
    differs from what made the checkpoint. Legs that started there or later are undone, what they changed is not.

    ``restarts``: the learning rates' schedule runs anew, over this leg; ``rolled_back``: the run went back on its own.
    """
    legs = legs_of(recorded, path)
    kept, undone = (
        [leg for leg in legs if leg.start < step],
        [leg for leg in legs if leg.start >= step],
    )
    old, new = before(recorded, legs, step), config.as_dict()
    old |= {"train": {**LATER, **old["train"]}, "options": {**later_defaults(recorded), **old["options"]}}
    changes = {
        name: (old[section].get(name), value)
        for section in ("train", "options")
        for name, value in new[section].items()
        if name not in NEUTRAL and old[section].get(name) != value
    }
    schedule = step if restarts else min(step, legs[-1].schedule if legs else 0)
    rolled = sum(leg.rolled_back for leg in undone) + rolled_back
    if changes or rolled or schedule != (kept[-1].schedule if kept else 0):
        kept.append(Leg(step, schedule, changes, rolled))
    written = {**recorded, **new}
    written.pop("legs", None)
    return {**written, "legs": [leg.as_dict() for leg in kept]} if kept else written


def later_defaults(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The variant's options that the run may be older than, with the defaults that stand for what it did."""
    own = variant_class(str(recorded.get("variant"))).Options
    return {field.name: field.default for field in fields(own) if field.described.later}


def rates(config: Config) -> dict[str, float]:
    """The learning rates among the variant's options, by their names: lr, or lr_g and lr_d."""
    found = {field.name: getattr(config.options, field.name) for field in dataclasses.fields(config.options)}
    return {name: rate for name, rate in found.items() if name.split("_")[0] == "lr" and isinstance(rate, float)}


def _section(values: Mapping[str, Any], name: str) -> str | None:
    """The section of config.json that option ``name`` is in."""
    return next((key for key in ("train", "options") if name in (values.get(key) or {})), None)
