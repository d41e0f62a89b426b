"""The cells of a recipe at a scale: every run with the options that it is trained with there."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from gankit.config import SECTIONS, Config, configure, option_fields
from gankit.core.errors import UsageError, closest
from gankit.core.options import OptionField
from gankit.lab.cells import Cell, folder_name, unique_folders
from gankit.lab.recipe import Recipe, Runs, Scale, matches


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
    """The cells of ``recipe`` at ``scale``, ``seeds`` of each from ``seed`` on; ``data`` in place of the data set there.

    UsageError for an option that no run has, a value that does not fit, two cells of one name.
    """
    name, rules = recipe.scale(scale)
    rows = named(recipe)
    _check_options(recipe, rules, [runs.variant for _, runs, _ in rows])
    kept = [(cell, runs, flags) for cell, runs, flags in rows if not matches(cell, rules.drop)]
    if not kept:
        raise UsageError(f"{recipe.name}: --scale {name} drops every run")
    cells, published = [], {}
    for cell, runs, flags in kept:
        published[cell] = flags
        options = shrunk(runs.variant, flags, rules)
        if data is not None:
            options["data"] = data
        try:
            configure(runs.variant, options)
        except UsageError as error:
            raise UsageError(f"{recipe.name}: run '{cell}': {error}") from error
        for i in range(rules.seeds if seeds is None else seeds):
            cells.append(Cell(cell, runs.variant, options, seed + i, folder_name(cell, seed + i)))
    unique_folders(cells)
    return Scaled(recipe, name, rules, tuple(cells), published)


def named(recipe: Recipe) -> list[tuple[str, Runs, dict[str, Any]]]:
    """(name, runs, options as published) of each cell of ``recipe``. UsageError where two have one name."""
    found: list[tuple[str, Runs, dict[str, Any]]] = []
    for runs in recipe.runs:
        known = options_of(runs.variant)
        base = {name: value for name, value in recipe.base.items() if name in known}
        for values in itertools.product(*runs.matrix.values()):
            chosen = dict(zip(runs.matrix, values, strict=True))
            if clash := set(chosen) & set(runs.options):
                raise UsageError(f"{recipe.name}: run '{runs.name}': {clash.pop()} is in its options and in its matrix")
            name = " ".join([runs.name, *(f"{option}={_text(value)}" for option, value in chosen.items())])
            if any(name == other for other, _, _ in found):
                raise UsageError(f"{recipe.name}: two runs are called '{name}'")
            found.append((name, runs, {**base, **runs.options, **chosen}))
        if any(not values for values in runs.matrix.values()):
            empty = next(option for option, values in runs.matrix.items() if not values)
            raise UsageError(f"{recipe.name}: run '{runs.name}': its matrix has no values of {empty}")
    return found


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def options_of(variant: str) -> dict[str, OptionField]:
    """Every option of ``variant`` by name, with the default that it has there."""
    return {field.name: field for field in option_fields(variant)}


def shrunk(variant: str, flags: Mapping[str, Any], rules: Scale) -> dict[str, Any]:
    """``flags`` of ``variant`` by the ``rules`` of a scale: first what is set, then what is multiplied, of the default
    where ``flags`` say nothing. What is None, unset, stays so.
    """
    known = options_of(variant)
    found = {**flags, **{name: value for name, value in rules.set.items() if name in known}}
    for name, factor in rules.times.items():
        if name in rules.set or name not in known:
            continue
        value = found.get(name, known[name].default)
        if isinstance(value, int | float) and not isinstance(value, bool):
            smaller = max(value * factor, min(value, rules.least.get(name, 0)))
            found[name] = max(1, round(smaller)) if known[name].kind is int else smaller
    for one, other in (("steps", "epochs"), ("epochs", "steps")):  # a scale may count in the other of the two
        if one in rules.set and other in found:
            del found[other]
    return found


def _check_options(recipe: Recipe, rules: Scale, variants: Sequence[str]) -> None:
    """UsageError for an option of the base, or of a scale, that none of ``variants`` has."""
    known = {name for variant in dict.fromkeys(variants) for name in options_of(variant)}
    given: dict[str, Mapping[str, Any]] = {
        "base": recipe.base, "scales: set": rules.set, "scales: times": rules.times, "scales: least": rules.least,
    }  # fmt: skip
    for where, options in given.items():
        for name in options:
            if name not in known:
                raise UsageError(f"{recipe.name}: {where}: unknown option '{name}': {closest(name, known)}")
