"""The cells of a recipe at a scale: every run with the options that it is trained with there."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gankit.config import configure, defaults, variant_class
from gankit.core.errors import UsageError, closest
from gankit.lab.studies.recipe import Recipe, Runs, Scale, matches
from gankit.lab.sweeps.cells import Cell, check_distinct, folder_of, option_fields, shown

PRESET = "paper"
"""The preset of a study's runs, unless its recipe names another: it repeats what was published."""


@dataclasses.dataclass(frozen=True)
class Scaled:
    """A recipe at a scale. ``published``: by cell, its options as the source has them."""

    recipe: Recipe
    name: str
    scale: Scale
    cells: tuple[Cell, ...]
    published: Mapping[str, Mapping[str, Any]]

    @property
    def names(self) -> list[str]:
        """The cells' names, in the recipe's order."""
        return list(dict.fromkeys(cell.name for cell in self.cells))


def scaled(
    recipe: Recipe, scale: str | None = None, data: str | None = None, seeds: int | None = None, seed: int = 0
) -> Scaled:
    """The cells of ``recipe`` at ``scale``, ``seeds`` of each from ``seed`` on; ``data`` in place of its data set.

    UsageError for an option that no run has, a value that does not fit, two cells of one name.
    """
    name, rules = recipe.scale(scale)
    rows = named(recipe)
    _check_options(recipe, rules, [runs.variant for _, runs, _ in rows])
    for pattern in rules.drop:
        fitting(pattern, [cell for cell, _, _ in rows], f"{recipe.name}: scale '{name}': drop")
    kept = [(cell, runs, flags) for cell, runs, flags in rows if not matches(cell, rules.drop)]
    if not kept:
        raise UsageError(f"{recipe.name}: --scale {name} drops every run")
    cells, published = [], {}
    for cell, runs, flags in kept:
        published[cell] = flags
        options = {"preset": PRESET, **shrunk(runs.variant, flags, rules)}
        if data is not None:
            options["data"] = data
        try:
            configure(runs.variant, options)
        except UsageError as error:
            raise UsageError(f"{recipe.name}: run '{cell}': {error}") from error
        for i in range(rules.seeds if seeds is None else seeds):
            cells.append(Cell(cell, runs.variant, options, seed + i, folder_of(cell, seed + i)))
    check_distinct(cells)
    return Scaled(recipe, name, rules, tuple(cells), published)


def named(recipe: Recipe) -> list[tuple[str, Runs, dict[str, Any]]]:
    """(name, runs, options as published) of each cell of ``recipe``. UsageError where two have one name."""
    found: list[tuple[str, Runs, dict[str, Any]]] = []
    for runs in recipe.runs:
        known = option_fields(runs.variant)
        base = {name: value for name, value in recipe.base.items() if name in known}
        for values in itertools.product(*runs.matrix.values()):
            chosen = dict(zip(runs.matrix, values, strict=True))
            if clash := sorted(set(chosen) & set(runs.options)):
                raise UsageError(f"{recipe.name}: run '{runs.name}': {clash[0]} is in its options and in its matrix")
            name = " ".join([runs.name, *(f"{option}={shown(value)}" for option, value in chosen.items())])
            if any(name == other for other, _, _ in found):
                raise UsageError(f"{recipe.name}: two runs are called '{name}'")
            found.append((name, runs, {**base, **runs.options, **chosen}))
        if any(not values for values in runs.matrix.values()):
            empty = next(option for option, values in runs.matrix.items() if not values)
            raise UsageError(f"{recipe.name}: run '{runs.name}': its matrix has no values of {empty}")
    return found


def default(variant: str, option: str, flags: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """The value that ``option`` has in a study's run of ``variant`` by the preset in ``flags`` where they give it none;
    None where there is no such option.
    """
    return defaults(variant_class(variant), flags.get("preset", PRESET)).get(option)


def shrunk(variant: str, flags: Mapping[str, Any], rules: Scale) -> dict[str, Any]:
    """``flags`` of ``variant`` by the ``rules`` of a scale: first what is set, then what is multiplied, of the default
    where ``flags`` say nothing. What is None, unset, stays so.
    """
    known = option_fields(variant)
    found = {**flags, **{name: value for name, value in rules.set.items() if name in known}}
    for name, factor in rules.times.items():
        if name in rules.set or name not in known:
            continue
        value: Any = found.get(name, default(variant, name, found))
        if isinstance(value, int | float) and not isinstance(value, bool):
            smaller = max(value * factor, min(value, rules.least.get(name, 0)))
            whole = isinstance(value, int) and known[name].kind is not float
            found[name] = max(1, round(smaller)) if whole else smaller
    for one, other in (("steps", "epochs"), ("epochs", "steps")):  # a scale may count in the other of the two
        if one in rules.set and other in found:
            del found[other]
    return found


def fitting(pattern: str, names: Sequence[str], where: str) -> list[str]:
    """The cells among ``names`` that ``pattern`` fits. UsageError, saying ``where``, where there is none."""
    found = [name for name in names if matches(name, [pattern])]
    if not found:
        raise UsageError(f"{where}: no run is called '{pattern}': {closest(pattern, names)}")
    return found


def _check_options(recipe: Recipe, rules: Scale, variants: Sequence[str]) -> None:
    """UsageError for an option of the base, or of a scale, that none of ``variants`` has, and for a seed anywhere."""
    known = {name for variant in dict.fromkeys(variants) for name in option_fields(variant)}
    given: dict[str, Mapping[str, Any]] = {
        "base": recipe.base, "scales: set": rules.set, "scales: times": rules.times, "scales: least": rules.least,
        **{f"run '{runs.name}'": {**runs.options, **runs.matrix} for runs in recipe.runs},
    }  # fmt: skip
    for where, options in given.items():
        if "seed" in options:
            raise UsageError(f"{recipe.name}: {where}: seeds are asked for with --seeds N, from --seed on")
        for name in options:
            if name not in known:
                raise UsageError(f"{recipe.name}: {where}: unknown option '{name}': {closest(name, known)}")
