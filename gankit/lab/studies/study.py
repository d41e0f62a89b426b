"""A study: the runs of a recipe, what is made of them, and the verdicts on its claims."""

from __future__ import annotations

import dataclasses
import importlib
import shlex
import typing
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.config import configure
from gankit.core import files
from gankit.core.errors import GankitError, UsageError, closest
from gankit.core.progress import warn
from gankit.core.version import __version__
from gankit.lab import measures
from gankit.lab.commands import flag
from gankit.lab.studies import claims, findings, pictures
from gankit.lab.studies.claims import Verdict
from gankit.lab.studies.made import Wanted
from gankit.lab.studies.recipe import Figure, Picture, Recipe, load, matches
from gankit.lab.studies.scale import Scaled, fitting, named, scaled
from gankit.lab.sweeps.cells import Cell, option_fields
from gankit.lab.sweeps.outcome import Result, Results
from gankit.lab.sweeps.sweep import run_cells
from gankit.lab.sweeps.worker import FIGURES, After, make_figures
from gankit.runs.folder import claim as claim_folder

FILE, RECIPE, FINDINGS, PAGE = "study.json", "recipe.toml", "findings.json", "study.html"
OVER = ("steps", "images", "seconds")
"""What a panel's curves can run over."""
SCORES = ("score", "images to score", "seconds to score", "score slope")
"""Measures of scores, which can be compared under one protocol only; what of it options decide:"""
PROTOCOL_OPTIONS = (
    *(("data", name) for name in ("data", "split", "size", "channels", "limit")),
    *(("train", name) for name in ("evaluate_images", "extractor", "extractor_weights")),
)


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

    def write_page(self) -> Path:
        """Write study.html; returns its path. GankitError where matplotlib, which only it needs, is missing."""
        path: Path = importlib.import_module("gankit.lab.studies.page").write(self)
        return path

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


def study(
    recipe: str | Path,
    *,
    data: str | None = None,
    scale: str | None = None,
    seeds: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    cluster: str | None = None,
    executor: Executor | None = None,
    retry_failed: bool = False,
    quiet: bool = False,
) -> Study:
    """Run ``recipe``, the name of one that is installed or a .toml file, and judge its claims.

    ``data``: NAME or NAME:PATH in place of the data set that the recipe has at ``scale``; ``seeds``: of each cell, from
    ``seed`` on; ``jobs``: runs at a time, ``cluster``: a Dask scheduler's address for them. ``out``: a folder, in which
    a study that was stopped goes on, and may get more seeds. Everything is checked before anything is trained:
    UsageError naming what is wrong. See ``run_cells`` for the rest. Without matplotlib there is a warning, and no page.
    """
    plan = scaled(load(recipe), scale, data, seeds, seed)
    check(plan)
    root = Path(out) if out is not None else claim_folder("study", plan.recipe.name)
    _begin(root, plan, {"data": data, "seed": seed}, str(recipe))
    wanted = {Path(cell.folder).parts[0]: _wanted(plan, cell.name) for cell in plan.cells}
    after = ("gankit.lab.studies.made:make", {"of": wanted})
    results = run_cells(
        root, plan.cells, jobs=jobs, threads=threads, cluster=cluster, executor=executor, quiet=quiet, after=after,
        retry_failed=retry_failed,
    )  # fmt: skip
    found = _concluded(root, plan, results, after)
    try:
        found.write_page()
    except GankitError as error:
        warn(f"the findings stand in {root / FINDINGS}, but they have no page: {error}")
    return found


def check(plan: Scaled) -> None:
    """UsageError for a figure, picture, panel or claim that cannot be."""
    recipe, names = plan.recipe, [name for name, _, _ in named(plan.recipe)]
    of: dict[str, list[str]] = {}
    for figure in recipe.figures:
        where = f"{recipe.name}: figure '{figure.name}'"
        try:
            measure = measures.named(figure.measure)
            measure.check(_parameters(plan, figure))
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        some = _cells_of(figure.of, names, where)
        of[f"{figure.name} *" if _gives_several(measure) else figure.name] = some
    named_things = [*(figure.name for figure in recipe.figures), *(picture.title for picture in recipe.pictures)]
    for name in plan.scale.parameters:
        if name not in named_things:
            raise UsageError(
                f"{recipe.name}: scale '{plan.name}': parameters: no figure '{name}': {closest(name, named_things)}"
            )
    for picture in recipe.pictures:
        pictures.check(picture.kind, _parameters(plan, picture), f"{recipe.name}: picture '{picture.title}'")
        _cells_of(picture.of, names, f"{recipe.name}: picture '{picture.title}'")
    for panel in recipe.panels:
        where = f"{recipe.name}: panel '{panel.title}'"
        _cells_of(panel.of, names, where)
        if bool(panel.term) == bool(panel.metric) or panel.over not in OVER:
            raise UsageError(f"{where}: shows a 'term' or a 'metric', 'over' one of {', '.join(OVER)}")
    claims.check_claims(recipe.claims, names, of, recipe.name)
    _check_protocols(plan)


def _check_protocols(plan: Scaled) -> None:
    """UsageError for a claim that compares scores which cells have of other images, or of another number of samples."""
    alike = {cell.name: cell for cell in plan.cells}  # one of each: seeds have the same options
    cells = {name: configure(cell.variant, cell.flags).as_dict() for name, cell in alike.items()}
    kinds = {figure.name: figure.measure for figure in plan.recipe.figures}
    for claim in plan.recipe.claims:
        for each in claim.checks:
            some = [cells[name] for name in each.cells if name in cells]
            for section, option in PROTOCOL_OPTIONS if kinds.get(each.figure) in SCORES else ():
                if len({str(config[section][option]) for config in some}) > 1:
                    raise UsageError(
                        f"{plan.recipe.name}: claim '{claim.says}': scores cannot be compared where {option} differs"
                    )


def _gives_several(measure: measures.Measure) -> bool:
    """Whether ``measure`` gives several figures by name, as what its function returns says."""
    return typing.get_origin(typing.get_type_hints(measure.function)["return"]) is dict


def _cells_of(patterns: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    """The cells that ``patterns`` fit, in their order. UsageError for one that fits none."""
    some = {name for pattern in patterns for name in fitting(pattern, names, where)}
    return [name for name in names if name in some]


def _parameters(plan: Scaled, of: Figure | Picture) -> dict[str, Any]:
    """The parameters of a figure or picture at the plan's scale."""
    name = of.name if isinstance(of, Figure) else of.title
    return {**of.parameters, **plan.scale.parameters.get(name, {})}


def _wanted(plan: Scaled, cell: str) -> Wanted:
    """What is to be made of the runs of ``cell``."""
    recipe = plan.recipe
    figures = [
        {"name": each.name, "measure": each.measure, "parameters": _parameters(plan, each)}
        for each in recipe.figures
        if matches(cell, each.of)
    ]
    shown = [
        {**dataclasses.asdict(each), "parameters": _parameters(plan, each)}
        for each in recipe.pictures
        if matches(cell, each.of)
    ]
    return {"figures": figures, "pictures": shown}


def _begin(root: Path, plan: Scaled, asked: Mapping[str, Any], name: str) -> None:
    """Make folder ``root`` that of the study asked for as ``name``, or see that it is. UsageError for another's."""
    about = {"gankit": __version__, "recipe": plan.recipe.digest, "scale": plan.name, **asked}
    if (root / FILE).exists():
        was = files.read_object(root / FILE)
        other = [name for name, value in about.items() if was.get(name) != value and name != "gankit"]
        if other:
            raise UsageError(f"{root}: holds a study with another {' and '.join(other)}; choose another --out")
    else:
        if root.exists() and not (root.is_dir() and all(path.name.startswith(".") for path in root.iterdir())):
            raise UsageError(f"{root}: exists and is not empty; choose another --out")
        with files.explained(root):
            root.mkdir(parents=True, exist_ok=True)
        files.write_json(root / FILE, {**about, "asked for": name})
    files.atomic_write(root / RECIPE, plan.recipe.text.encode())


def _concluded(root: Path, plan: Scaled, results: Results, after: After) -> Study:
    """The study with its verdicts, written into ``root``."""
    made = tuple(_made(root, result, after) for result in results)
    figures = tabulated(made)
    found = Study(root, plan, made, tuple(claims.judged(each, figures) for each in plan.recipe.claims))
    files.write_json(root / FINDINGS, found.as_dict())
    return found


def _made(root: Path, result: Result, after: After) -> Made:
    """What was made of a run. One that failed, as a diverging one does, still has what its records give."""
    cell, folder, values = result.cell, root / result.cell.folder, {}
    if (folder / "config.json").is_file():
        make_figures(folder, after)
        values = files.read_object(folder / FIGURES)["figures"]
    parts: list[Mapping[str, Any]] = [values.get(name, {}) for name in ("figures", "pictures", "lacking")]
    return Made(cell.name, cell.seed, folder, result.status, result.reason, *parts)
