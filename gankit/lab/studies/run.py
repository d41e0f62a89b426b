"""Running a study: its cells through the sweep, then its verdicts and its page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from gankit.core import files
from gankit.core.errors import GankitError, UsageError
from gankit.core.progress import warn
from gankit.core.version import __version__
from gankit.lab.studies import claims
from gankit.lab.studies.check import check, parameters
from gankit.lab.studies.made import Wanted
from gankit.lab.studies.recipe import load, matches
from gankit.lab.studies.scale import Scaled, scaled
from gankit.lab.studies.study import FILE, FINDINGS, RECIPE, Made, Study, tabulated
from gankit.lab.sweeps.outcome import Result, Results
from gankit.lab.sweeps.sweep import run_cells
from gankit.lab.sweeps.worker import FIGURES, After, make_figures
from gankit.runs.folder import claim as claim_folder


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
        from gankit.lab.studies.page import write  # drawn with matplotlib, which only it needs

        write(found)
    except GankitError as error:
        warn(f"the findings stand in {root / FINDINGS}, but they have no page: {error}")
    return found


def _wanted(plan: Scaled, cell: str) -> Wanted:
    """What is to be made of the runs of ``cell``."""
    recipe = plan.recipe
    figures = [
        {"name": each.name, "measure": each.measure, "parameters": parameters(plan, each)}
        for each in recipe.figures
        if matches(cell, each.of)
    ]
    shown = [
        {**dataclasses.asdict(each), "parameters": parameters(plan, each)}
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
