"""A study that has been run: what was made of its runs, and the verdicts on its claims."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.core import files
from gankit.lab import measures
from gankit.lab.commands import flag
from gankit.lab.studies import findings
from gankit.lab.studies.claims import Verdict
from gankit.lab.studies.recipe import Figure, Recipe
from gankit.lab.studies.scale import Scaled
from gankit.lab.sweeps.cells import Cell, option_fields

FILE, RECIPE, FINDINGS, PAGE = "study.json", "recipe.toml", "findings.json", "study.html"


@dataclass(frozen=True)
class Made:
    """One run of a study: figures by name, paths of pictures by title, and why it lacks what it lacks."""

    cell: str
    seed: int
    root: Path
    status: str
    reason: str
    figures: Mapping[str, float]
    pictures: Mapping[str, str]
    lacking: Mapping[str, str]


@dataclass(frozen=True)
class Study:
    """A study that has been run. ``made``: its runs, in the order of the cells and seeds; ``verdicts``: on the recipe's
    claims, in their order.
    """

    out: Path
    plan: Scaled
    made: tuple[Made, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def recipe(self) -> Recipe:
        """What was asked."""
        return self.plan.recipe

    @property
    def page(self) -> Path:
        """The study's page."""
        return self.out / PAGE

    @property
    def figures(self) -> dict[str, dict[str, list[float | None]]]:
        """By figure, by cell: the value of each seed, None where a run has none."""
        return tabulated(self.made)

    @property
    def table(self) -> list[dict[str, Any]]:
        """The claims: "claim", "published", "measured", "verdict", and "why" where nobody can tell."""
        return [findings.row(verdict) for verdict in self.verdicts]

    def as_dict(self) -> dict[str, Any]:
        """Plain values: what was asked at which scale, each run's figures, and the claims. "clock": those figures that
        depend on the clock; all others, and the pictures, are the same again bit for bit.
        """
        return {
            "recipe": self.recipe.name, "question": self.recipe.question, "scale": self.plan.name, "claims": self.table,
            "runs": [self._as_dict(made) for made in self.made],
        }  # fmt: skip

    def _as_dict(self, made: Made) -> dict[str, Any]:
        parts: dict[bool, dict[str, float]] = {False: {}, True: {}}
        for name, value in made.figures.items():
            parts[self.is_timed(name)][name] = value
        return {
            "cell": made.cell, "seed": made.seed, "status": made.status, "reason": made.reason,
            "figures": parts[False], "clock": parts[True], "lacking": dict(made.lacking),
        }  # fmt: skip

    def figure_of(self, name: str) -> Figure:
        """The recipe's figure that ``name`` is, or is one of several of."""
        return next(each for each in self.recipe.figures if name == each.name or name.startswith(f"{each.name} "))

    def is_timed(self, name: str) -> bool:
        """Whether the figure called ``name`` depends on the clock."""
        return measures.named(self.figure_of(name).measure).timed

    def commands(self) -> dict[str, list[str]]:
        """By cell: the commands that repeat its runs, as a shell takes them."""
        found: dict[str, list[str]] = {}
        for cell in self.plan.cells:
            options = {**self._threads(cell), **cell.flags, "seed": cell.seed}
            known = option_fields(cell.variant)
            flags = [flag(known[name], value) for name, value in options.items() if value is not None]
            found.setdefault(cell.name, []).append(" ".join(["gankit train", shlex.quote(cell.variant), *flags]))
        return found

    def command(self) -> str:
        """The command that repeats the whole study."""
        asked = files.read_object(self.out / FILE)
        flags = {"scale": self.plan.name, "data": asked.get("data"), "seeds": self.seeds, "seed": asked.get("seed")}
        given = [f"--{name} {shlex.quote(str(value))}" for name, value in flags.items() if value]
        return " ".join(["gankit study", shlex.quote(str(asked["asked for"])), *given])

    @property
    def seeds(self) -> int:
        """How many seeds each cell has."""
        return len({cell.seed for cell in self.plan.cells})

    def _threads(self, cell: Cell) -> dict[str, Any]:
        """The threads that the run of ``cell`` was given, which its bits depend on."""
        path = self.out / cell.folder / "config.json"
        train = files.read_object(path).get("train", {}) if path.is_file() else {}
        return {"threads": train["threads"]} if train.get("threads") else {}

    def __str__(self) -> str:
        lines = [self.recipe.question, f"at scale {self.plan.name}: {self.plan.scale.says}".rstrip(": ")]
        for row in self.table:
            lines += [f"{row['verdict']}: {row['claim']}", f"    {row['measured']}"]
            lines += [f"    {row['why']}"] if row["why"] else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(findings.claims_table(self.verdicts))


def tabulated(made: Sequence[Made]) -> dict[str, dict[str, list[float | None]]]:
    """By figure, by cell: the value of each of its runs in order, None where one has none."""
    names = list(dict.fromkeys(name for each in made for name in each.figures))
    cells = list(dict.fromkeys(each.cell for each in made))
    found: dict[str, dict[str, list[float | None]]] = {}
    for name in names:
        found[name] = {cell: [each.figures.get(name) for each in made if each.cell == cell] for cell in cells}
    return found
