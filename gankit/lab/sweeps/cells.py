"""The cells of a sweep: every combination of a grid's values, with every seed."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from gankit.config import TrainOptions, configure, read_base, variant_class
from gankit.core import options as opts
from gankit.core.errors import UsageError, closest
from gankit.core.options import OptionField
from gankit.data.catalogue import DataOptions

Grid = Mapping[str, Sequence[Any]]
"""The values that each of some options takes: ``{"lr_g": [1e-4, 2e-4], "batch_size": [256, 512]}``."""

LONGEST = 120
"""Characters of a cell's folder name; file systems take 255 bytes."""


@dataclass(frozen=True)
class Cell:
    """One run of a sweep, before it is trained.

    ``flags``: options of any section by name, the seed not among them. ``folder``: where its run lies, relative to the
    sweep's; the cells of one ``name`` differ by their seed alone.
    """

    name: str
    variant: str
    flags: Mapping[str, Any]
    seed: int
    folder: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as sweep.json holds them: ``Cell(**values)``."""
        return {**dataclasses.asdict(self), "flags": dict(self.flags)}

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


def folder_of(name: str, seed: int) -> str:
    """The folder of the cell called ``name``: its name without what file systems and glob patterns mind."""
    safe = re.sub(r"[^A-Za-z0-9._=,+~-]", "-", name).strip(".-") or "cell"
    if safe != name.replace(" ", "-") or len(safe) > LONGEST:
        safe = f"{safe[:LONGEST]}~{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    return f"{safe}/seed-{seed}"


def option_fields(variant: str) -> dict[str, OptionField]:
    """Every option of a run of ``variant``, by name. UsageError where there is no such variant."""
    kinds = (DataOptions, TrainOptions, variant_class(variant).Options)
    return {field.name: field for kind in kinds for field in opts.fields(kind)}


def parse_grid(variant: str, texts: Iterable[str]) -> dict[str, list[Any]]:
    """The grid of ``["lr_g=1e-4,2e-4", "batch-size=256,512"]``: each value in its option's type. A value that holds a
    comma is quoted as in a CSV file.

    UsageError where a text is no NAME=V1,V2,..., or names an option that the variant does not have, or one twice.
    """
    fields = option_fields(variant)
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not equals or not name:
            raise UsageError(f"--grid {text}: write an option and its values: --grid lr_g=1e-4,2e-4")
        if name in grid:
            raise UsageError(f"--grid {name}: given twice; list all its values in one: --grid {name}=V1,V2")
        field = _field(fields, name)
        try:
            values = next(csv.reader([listed], strict=True, skipinitialspace=True), [])
        except csv.Error as error:
            raise UsageError(f"--grid {text}: its quotes do not pair ({error})") from error
        if not listed.strip():
            raise UsageError(f"--grid {name}= names no values; give some: --grid {name}=V1,V2")
        grid[name] = [_value(field, value.strip(), text) for value in values]
    return grid


def cells_of(
    variant: str, grid: Grid, seeds: int = 1, flags: Mapping[str, Any] | None = None, config: str | Path | None = None
) -> list[Cell]:
    """The cells of ``variant`` over ``grid``, first option slowest, each with ``seeds`` seeds from the one in ``flags``
    (or 0) on. ``flags``, options of any section, are over those of file ``config``.

    UsageError, before anything is trained, for an option that is unknown, given twice or out of range, an empty grid, a
    combination that no run could have, and values that come twice.
    """
    fields = option_fields(variant)
    grid = {name.replace("-", "_"): values for name, values in grid.items()}
    given = {**dict(flags or {})}
    for name, value in given.items():
        if name not in fields:
            raise UsageError(f"unknown option '{name}': {closest(name, fields)}")
        fields[name].check(value)
    _check_grid(fields, grid, given)
    if type(seeds) is not int or seeds < 1:
        raise UsageError(f"--seeds {seeds!r}: takes a whole number, 1 or more")
    base = _of_file(variant, config) if config is not None else {}
    first = given.pop("seed", base.pop("seed", 0)) or 0
    found = []
    for values in itertools.product(*([(name, value) for value in grid[name]] for name in grid)):
        chosen = {name: fields[name].check(value) for name, value in values}
        name = ",".join(f"{option}={shown(value)}" for option, value in chosen.items()) or variant
        options = _over(base, {**given, **chosen})
        for seed in (first, first + seeds - 1):
            _configured(variant, {**options, "seed": seed}, name if grid else None)
        found += [Cell(name, variant, options, seed, folder_of(name, seed)) for seed in range(first, first + seeds)]
    check_distinct(found)
    return found


def _check_grid(fields: Mapping[str, OptionField], grid: Grid, flags: Mapping[str, Any]) -> None:
    """UsageError where the grid names an option that it cannot, or the same value twice."""
    for name, values in grid.items():
        field = _field(fields, name)
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            raise UsageError(f"--grid {name}: takes a list of values, not {values!r}")
        if not values:
            raise UsageError(f"--grid {name}= names no values; give some: --grid {name}=V1,V2")
        if name in flags:
            raise UsageError(f"{field.flag} is given as a flag and in the grid; leave one of them out")
        checked = [repr(field.check(value)) for value in values]
        for value, text in zip(values, checked, strict=True):
            if checked.count(text) > 1:
                raise UsageError(
                    f"--grid {name}: has {shown(field.check(value))} twice; every cell needs a name of its own"
                )


def _field(fields: Mapping[str, OptionField], name: str) -> OptionField:
    if name == "seed":
        raise UsageError("--grid seed: seeds are asked for with --seeds N, from --seed on")
    if name == "threads":
        raise UsageError("--grid threads: a sweep shares the cores out evenly; give --threads N")
    if name not in fields:
        raise UsageError(f"--grid {name}: unknown option '{name}': {closest(name, fields)}")
    return fields[name]


def _value(field: OptionField, text: str, grid: str) -> Any:
    """``text`` in the option's type, within its range."""
    value: Any = text
    if field.kind is bool:
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif field.kind in (int, float):
        try:
            value = field.kind(text)
        except ValueError:
            value = text
    try:
        return field.check(value)
    except UsageError as error:
        raise UsageError(f"--grid {grid}: {error}") from error


def shown(value: Any) -> str:
    """A value as a cell's name has it, the shortest text that reads back as the same number: 1e-4, 0.5, 512, true."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if not isinstance(value, float):
        return str(value)
    plain, scientific = repr(value).removesuffix(".0"), format(Decimal(repr(value)).normalize(), "e")
    return scientific if abs(value) < 1 and len(scientific) < len(plain) else plain


def _of_file(variant: str, config: str | Path) -> dict[str, Any]:
    """The options that a .toml file or a run's config.json gives, of all its sections."""
    values = read_base(Path(config))
    configure(variant, {}, values)
    parts = (values.get(section, {}) for section in ("data", "train", "options"))
    return {name: value for part in parts for name, value in part.items() if value is not None}


def _over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` over ``base``, where either of steps and epochs takes the place of the other."""
    length = {"steps", "epochs"}
    left_out = length if length & set(given) else set()
    return {**{name: value for name, value in base.items() if name not in left_out}, **given}


def _configured(variant: str, flags: Mapping[str, Any], name: str | None) -> None:
    """UsageError naming the cell where its options do not go together."""
    try:
        configure(variant, flags)
    except UsageError as error:
        raise UsageError(f"cell {name}: {error}" if name else str(error)) from error


def check_distinct(cells: Sequence[Cell]) -> None:
    """UsageError where two cells would lie in one folder, on a file system that minds no capitals too."""
    taken: dict[str, Cell] = {}
    for cell in cells:
        other = taken.setdefault(cell.folder.casefold(), cell)
        if other is not cell:
            raise UsageError(f"two cells are called alike, {other} and {cell}; give each a name of its own")
