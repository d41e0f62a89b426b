"""A study: the runs of a recipe, what is made of them, and the verdicts on its claims."""

from __future__ import annotations

import dataclasses
import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.core import files
from gankit.core.errors import UsageError, closest
from gankit.core.version import __version__
from gankit.lab import claims, measures, pictures
from gankit.lab.cells import Cell
from gankit.lab.claims import Verdict
from gankit.lab.made import make
from gankit.lab.recipe import Figure, Recipe, load, matches
from gankit.lab.scale import Scaled, named, scaled
from gankit.lab.sweep import Results, run_cells
from gankit.runs.folder import claim as claim_folder

FILE, RECIPE, FINDINGS, PAGE = "study.json", "recipe.toml", "findings.json", "study.html"
OVER = ("steps", "images", "seconds")
"""What a panel's curves can run over."""


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
        return [
            {
                "claim": verdict.claim.says,
                "published": verdict.claim.published,
                "measured": "; ".join(measured(finding) for finding in verdict.findings),
                "verdict": verdict.verdict,
                "why": "; ".join(dict.fromkeys(f.why for f in verdict.findings if f.why)),
            }
            for verdict in self.verdicts
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain values: what was asked at which scale, each run's figures, and the claims."""
        return {
            "recipe": self.recipe.name, "question": self.recipe.question, "scale": self.plan.name, "claims": self.table,
            "runs": [{"cell": m.cell, "seed": m.seed, "status": m.status, "figures": dict(m.figures)} for m in self.made],
        }  # fmt: skip

    def commands(self) -> dict[str, list[str]]:
        """By cell: the commands that repeat its runs, as a shell takes them."""
        found: dict[str, list[str]] = {}
        for cell in self.plan.cells:
            flags = [_flag(name, value) for name, value in cell.flags.items()]
            found.setdefault(cell.name, []).append(
                " ".join(["gankit train", cell.variant, *flags, f"--seed {cell.seed}"])
            )
        return found

    def __str__(self) -> str:
        lines = [self.recipe.question, f"at scale {self.plan.name}: {self.plan.scale.says}".rstrip(": ")]
        for row in self.table:
            lines += [f"{row['verdict']}: {row['claim']}", f"    {row['measured']}"]
            lines += [f"    {row['why']}"] if row["why"] else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from gankit.lab.study_page import claims_table

        return str(claims_table(self))


def _flag(name: str, value: Any) -> str:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    return f"{flag} {shlex.quote(str(value))}"


def measured(finding: claims.Finding) -> str:
    """What came of a check, in a line: the quantity with its interval, the range claimed, the values it is made of."""
    if len(finding.sides) > 1 or finding.check.share:
        sides = "; ".join(f"{cell} {spread_text(values)}" for cell, values in finding.sides)
        return f"{finding.quantity}: {interval_text(finding)}, claimed {claims.range_of(finding.check)} ({sides})"
    values = finding.sides[0][1]
    return f"{finding.quantity}: {spread_text(values)}, claimed {claims.range_of(finding.check)}"


def interval_text(finding: claims.Finding) -> str:
    """The quantity with its 95 % interval."""
    if not math.isfinite(finding.value):
        return "no figure"
    if not math.isfinite(finding.low):
        return f"{finding.value:.3g}"
    return f"{finding.value:.3g} [{finding.low:.3g}, {finding.high:.3g}]"


def spread_text(values: Sequence[float | None]) -> str:
    """Mean and standard deviation of the seeds' values, and how many lack one."""
    some = [value for value in values if value is not None]
    if not some:
        return "no figure"
    text = f"{statistics.fmean(some):.3g}" + (f" ± {statistics.stdev(some):.2g}" if len(some) > 1 else "")
    return text + (f" ({len(some)} of {len(values)} seeds)" if len(some) < len(values) else "")


def tabulated(made: Sequence[Made]) -> dict[str, dict[str, list[float | None]]]:
    """By figure, by cell: the value of each of its runs in order, None where one has none."""
    names = list(dict.fromkeys(name for each in made for name in each.figures))
    cells = list(dict.fromkeys(each.cell for each in made))
    found: dict[str, dict[str, list[float | None]]] = {}
    for name in names:
        rows = {cell: [each.figures.get(name) for each in made if each.cell == cell] for cell in cells}
        found[name] = {cell: values for cell, values in rows.items() if any(value is not None for value in values)}
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
    quiet: bool = False,
) -> Study:
    """Run ``recipe``, the name of one that is installed or a .toml file, and judge its claims.

    ``data``: NAME or NAME:PATH in place of the data set that the recipe has at ``scale``; ``seeds``: of each cell, from
    ``seed`` on; ``jobs``: runs at a time, ``cluster`` a Dask scheduler's address for them. ``out``: a folder, in which a
    study that was stopped goes on. Everything is checked before anything is trained: UsageError naming what is wrong.
    """
    plan = scaled(load(recipe), scale, data, seeds, seed)
    check(plan)
    root = Path(out) if out is not None else claim_folder("study", plan.recipe.name)
    _begin(root, plan, {"data": data, "seeds": seeds, "seed": seed})
    after = {cell.name: _after(plan, cell.name) for cell in plan.cells}
    results = run_cells(
        root, plan.cells, jobs=jobs, threads=threads, cluster=cluster, executor=executor, quiet=quiet,
        after=lambda cell: ("gankit.lab.made:make", after[cell.name]),
    )  # fmt: skip
    return _concluded(root, plan, results)


def check(plan: Scaled) -> None:
    """UsageError for a figure, picture, panel or claim that cannot be."""
    recipe, names = plan.recipe, [name for name, _, _ in named(plan.recipe)]
    of: dict[str, list[str]] = {}
    for figure in recipe.figures:
        where = f"{recipe.name}: figure '{figure.name}'"
        measures.check(figure.measure, _parameters(plan, figure), where)
        some = _cells_of(figure.of, names, where)
        of[f"{figure.name} *" if measures.MEASURES[figure.measure].several else figure.name] = some
    for name in plan.scale.parameters:
        if name not in [figure.name for figure in recipe.figures]:
            raise UsageError(
                f"{recipe.name}: scales: parameters: no figure '{name}': {closest(name, [f.name for f in recipe.figures])}"
            )
    for picture in recipe.pictures:
        pictures.check_kind(picture.kind, f"{recipe.name}: picture '{picture.title}'")
        _cells_of(picture.of, names, f"{recipe.name}: picture '{picture.title}'")
    for panel in recipe.panels:
        where = f"{recipe.name}: panel '{panel.title}'"
        _cells_of(panel.of, names, where)
        if bool(panel.term) == bool(panel.metric) or panel.over not in OVER:
            raise UsageError(f"{where}: shows a 'term' or a 'metric', 'over' one of {', '.join(OVER)}")
    claims.check_claims(recipe.claims, names, of, recipe.name)


def _cells_of(patterns: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    """The cells that ``patterns`` fit. UsageError for one that fits none."""
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in names):
            raise UsageError(f"{where}: no run is called '{pattern}': {closest(pattern, names)}")
    return [name for name in names if matches(name, patterns)]


def _parameters(plan: Scaled, figure: Figure) -> dict[str, Any]:
    """The parameters of ``figure`` at the plan's scale."""
    return {**figure.parameters, **plan.scale.parameters.get(figure.name, {})}


def _after(plan: Scaled, cell: str) -> dict[str, Any]:
    """The arguments of ``made.make`` for the runs of ``cell``."""
    recipe = plan.recipe
    figures = [
        {"name": each.name, "measure": each.measure, "parameters": _parameters(plan, each)}
        for each in recipe.figures
        if matches(cell, each.of)
    ]
    shown = [dataclasses.asdict(each) for each in recipe.pictures if matches(cell, each.of)]
    return {"figures": figures, "pictures": shown}


def _begin(root: Path, plan: Scaled, asked: Mapping[str, Any]) -> None:
    """Make folder ``root`` that of the study, or see that it is. UsageError where it holds another."""
    about = {"gankit": __version__, "recipe": plan.recipe.digest, "scale": plan.name, **asked}
    if (root / FILE).exists():
        was = files.read_object(root / FILE)
        other = [name for name, value in about.items() if was.get(name) != value and name != "gankit"]
        if other:
            raise UsageError(f"{root}: holds a study with another {' and '.join(other)}; choose another --out")
        return
    if root.exists() and any(root.iterdir()):
        raise UsageError(f"{root}: exists and is not empty; choose another --out")
    with files.explained(root):
        root.mkdir(parents=True, exist_ok=True)
    files.atomic_write(root / RECIPE, plan.recipe.text.encode())
    files.write_json(root / FILE, about)


def _concluded(root: Path, plan: Scaled, results: Results) -> Study:
    """The study with its verdicts, written into ``root`` with its page."""
    made = tuple(_made(root, plan, cell, results) for cell in plan.cells)
    figures = tabulated(made)
    found = Study(root, plan, made, tuple(claims.judged(each, figures) for each in plan.recipe.claims))
    files.write_json(root / FINDINGS, found.as_dict())
    return found


def _made(root: Path, plan: Scaled, cell: Cell, results: Results) -> Made:
    """What was made of the run of ``cell``. One that failed, as a diverging one does, still has what its records give."""
    result, folder = results[cell], root / cell.folder
    values: Mapping[str, Any] = result.made or {}
    if result.made is None and (folder / "config.json").is_file():
        values = make(folder, **_after(plan, cell.name))
    parts: list[Mapping[str, Any]] = [values.get(name, {}) for name in ("figures", "pictures", "lacking")]
    return Made(cell.name, cell.seed, folder, result.status, result.reason, *parts)
