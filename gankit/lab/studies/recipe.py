"""A recipe: a study as TOML. What is asked, which runs, what is made of each, and which claims are tested.

Every table of a recipe is one of the frozen classes below, whose fields are its keys. docs/lab.md explains them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from gankit.core.errors import UsageError, closest
from gankit.registry import registry

T = TypeVar("T")
PAPER = "paper"
"""The scale at which nothing of a recipe is changed."""
DEFAULT = "laptop"
"""The scale that is meant where none is named, if the recipe has it."""


@dataclass(frozen=True)
class Runs:
    """``matrix``: option -> values; each combination is a cell, called NAME OPTION=VALUE. ``options``: of all of them.
    Names and values are those of the study as published, at whatever scale it is run.
    """

    name: str
    variant: str
    options: Mapping[str, Any] = field(default_factory=dict)
    matrix: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A number taken of each run by ``measure`` (gankit.lab.measures), with the measure's own parameters beside these
    keys. ``of``: patterns of cells that have it; ``better``: "lower" or "higher", where one is; ``says``: what it is.
    """

    name: str
    measure: str
    of: list[str] = field(default_factory=lambda: ["*"])
    better: str = ""
    says: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """Images made of each run. ``kind``: one of gankit.lab.studies.pictures, with its own parameters beside these keys;
    ``rows`` and ``columns`` of the grid.
    """

    title: str
    kind: str = "samples"
    of: list[str] = field(default_factory=lambda: ["*"])
    rows: int = 8
    columns: int = 8
    says: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """Curves over ``over`` (steps, images or seconds) of a recorded ``term``, or of the scores of a ``metric``."""

    title: str
    term: str = ""
    metric: str = ""
    over: str = "steps"
    of: list[str] = field(default_factory=lambda: ["*"])
    log: bool = False
    says: str = ""


@dataclass(frozen=True)
class Check:
    """A ``figure`` of cell ``of``, and the range that the claim puts it in: ``least``, ``most``, or both.

    With ``minus`` it is the difference from that cell's figure, with ``over`` the ratio to it; with ``minus_figure`` or
    ``over_figure`` that to another figure of the same runs. With ``along`` in place of ``of`` it is the slope over
    these cells in their order, per cell, as a share of their mean. ``share``: the figure is 0 or 1, and what is checked
    is in what share of the seeds it is 1.
    """

    figure: str
    of: str = ""
    minus: str = ""
    over: str = ""
    minus_figure: str = ""
    over_figure: str = ""
    along: list[str] = field(default_factory=list)
    least: float | None = None
    most: float | None = None
    share: bool = False

    @property
    def cells(self) -> list[str]:
        """Every cell it looks at."""
        return [name for name in (self.of, self.minus, self.over, *self.along) if name]

    @property
    def other(self) -> str:
        """The other figure of the same runs that it looks at, "" where there is none."""
        return self.minus_figure or self.over_figure


@dataclass(frozen=True)
class Claim:
    """``says``: the claim as a sentence; ``published``: the source's own figures; ``checks``: it holds where all do."""

    says: str
    checks: list[Check]
    published: str = ""
    note: str = ""


@dataclass(frozen=True)
class Scale:
    """How a study is made smaller. ``set``: options that get another value; ``times``: options that are multiplied;
    ``least``: below which none of the multiplied falls; ``drop``: patterns of cells left out; ``parameters``: of
    figures, by their name; ``says``: what all this does to a verdict.
    """

    says: str = ""
    seeds: int = 3
    set: Mapping[str, Any] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    parameters: Mapping[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A study. ``base``: options of every run that has them; ``scales``: by name, besides "paper"."""

    question: str
    source: str
    runs: list[Runs]
    name: str = ""
    base: Mapping[str, Any] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    text: str = ""

    @property
    def digest(self) -> str:
        """Of the recipe's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def scale(self, name: str | None) -> tuple[str, Scale]:
        """The scale called ``name`` with its name; where that is None "laptop", or "paper". UsageError for another."""
        known = {PAPER: Scale("As published.", seeds=3), **self.scales}
        name = name or (DEFAULT if DEFAULT in known else PAPER)
        if name not in known:
            raise UsageError(f"--scale {name}: {closest(name, known)} (`gankit study show` explains them)")
        return name, known[name]


def find(name: str | Path) -> Path:
    """The file of recipe ``name``: one that a plugin registered, or a path. UsageError naming the closest otherwise."""
    path = Path(name).expanduser()
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise UsageError(f"{name}: no such file; `gankit study list` shows the recipes that are installed")
        return path
    found: Path = registry().get("studies", str(name))
    return found


def load(name: str | Path) -> Recipe:
    """The recipe called ``name``, or in the file of that path. UsageError naming the table and key that is wrong."""
    return read(find(name))


def read(path: Path) -> Recipe:
    """The recipe in the TOML file ``path``, whose name without its ending is the recipe's. UsageError for another."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as TOML: {error}") from error
    for name in ("name", "text"):
        if name in values:
            raise UsageError(f"{path}: unknown key '{name}'; a recipe is called as its file")
    for key, kind in (("figures", Figure), ("pictures", Picture)):
        tables = values.get(key)
        values |= {key: [_gathered(table, kind) for table in tables]} if isinstance(tables, list) else {}
    made = _made(Recipe, {**values, "name": path.stem, "text": text}, str(path), "")
    _check_names(made, path)
    return made


def _gathered(table: Any, kind: type[Figure | Picture]) -> Any:
    """A TOML ``table`` with the keys that are no fields of ``kind`` under "parameters"."""
    if not isinstance(table, dict):
        return table
    own = {each.name for each in dataclasses.fields(kind)} - {"parameters"}
    others = {name: value for name, value in table.items() if name not in own}
    return {**{name: value for name, value in table.items() if name in own}, "parameters": others}


def _made(kind: type[T], values: Any, file: str, at: str) -> T:
    """An instance of dataclass ``kind`` from a TOML table; ``at`` says where in the file it is."""
    place = f"{file}: {at}: " if at else f"{file}: "
    if not isinstance(values, Mapping):
        raise UsageError(f"{place}must be a table, not {values!r}")
    hints = typing.get_type_hints(kind)
    known = {each.name: each for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UsageError(f"{place}unknown key '{name}': {closest(name, known)}")
    for name, each in known.items():
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING and name not in values:
            raise UsageError(f"{place}has no '{name}'")
    return kind(
        **{name: _value(hints[name], value, file, f"{at}.{name}" if at else name) for name, value in values.items()}
    )


def _value(hint: Any, value: Any, file: str, at: str) -> Any:
    """``value`` as the annotation ``hint`` has it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _made(typing.cast(type, hint), value, file, at)
    if origin is list:
        if not isinstance(value, list):
            raise UsageError(f"{file}: {at}: must be a list, not {value!r}")
        return [_value(inner[0], each, file, f"{at}[{i}]") for i, each in enumerate(value)]
    if hint is not Any and origin in (Mapping, dict, typing.get_origin(Mapping[str, int])):
        if not isinstance(value, Mapping):
            raise UsageError(f"{file}: {at}: must be a table, not {value!r}")
        return {name: _value(inner[1], each, file, f"{at}.{name}") for name, each in value.items()}
    kinds = inner if isinstance(hint, types.UnionType) else (hint,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is Any or type(value) in kinds:
        return value
    raise UsageError(f"{file}: {at}: must be {_WORDS.get(kinds[0], str(kinds[0]))}, not {value!r}")


_WORDS: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _check_names(recipe: Recipe, path: Path) -> None:
    """UsageError where two things of one kind have one name, or there is nothing to run."""
    if not recipe.runs:
        raise UsageError(f"{path}: has no [[runs]]")
    if PAPER in recipe.scales:
        raise UsageError(f"{path}: scales.{PAPER}: is the study as the recipe states it; give this scale another name")
    kinds: dict[str, Sequence[str]] = {
        "runs": [each.name for each in recipe.runs],
        "figures": [each.name for each in recipe.figures],
        "panels": [each.title for each in recipe.panels],
        "pictures": [each.title for each in recipe.pictures],
    }
    for kind, names in kinds.items():
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise UsageError(f"{path}: {kind}: two are called '{twice}'")


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of ``patterns``, with * for anything, fits ``name``."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
