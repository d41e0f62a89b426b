"""Sweeps that defaults are chosen by: `make bench-defaults`.

    python benchmarks/defaults.py dcgan --data fashion-mnist --axis rates

For each variant each axis is swept by itself over three seeds on two data sets, equal steps for all of its cells, and
held against the paper's cell by `gankit compare`: Welch's test, corrected over the cells. The axis "preset" holds all
that a variant is tuned to, but for widths and the average, against the paper's at once, over as many images. The
sweeps lie in runs/defaults and go on where they were stopped; rows go to benchmarks/defaults.csv, where those of the
same variant, data and axis are replaced. A variant or option that this version lacks is named and left out.

Scores of averaged weights are not ranked against those of others (protocols differ): of the axis "average" nothing is
called where a half-life is 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from table import Row, keep

import gankit
from gankit.config import configure, defaults, variant_class
from gankit.core.errors import UsageError
from gankit.lab.comparison.compare import Comparison
from gankit.models import AVERAGED
from gankit.runs.folder import processor

ROOT = Path(__file__).parent.parent
COLUMNS = ("variant", "data", "axis", "cell", "paper", "n", "of", "mean", "low", "high", "rank", "less_paper", "p",
           "verdict", "metric", "steps", "seconds", "processor", "torch")  # fmt: skip
KEY = ("variant", "data", "axis")
Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Sweeps:
    """``paper``: the paper's values of all options of ``axes``, which are swept one axis at a time; ``steps`` by data
    set, for 10 to 20 s a run on one thread.
    """

    paper: Mapping[str, Any]
    axes: Mapping[str, Grid]
    steps: Mapping[str, int]
    flags: Mapping[str, Any]


IMAGES = {"fashion-mnist": 60_000, "shapes": 10_000}
PAPERS_BATCH = 64
PRESET: Grid = {"preset": ["paper", "tuned"]}
RATES = [1e-4, 5e-4]
HALFLIVES = [0, 5000, 20000]
NARROW = {"ngf": 16, "ndf": 16}
DATA: dict[str, Mapping[str, Any]] = {
    "fashion-mnist": {"data": "fashion-mnist", "size": 28},
    "shapes": {"data": "shapes", "size": 32, "channels": 3},
}
ADAM = {"lr_g": 2e-4, "lr_d": 2e-4, "discriminator_norm": "batch", "ema_halflife_images": 0}
SPECTRAL = {"lr_g": 2e-4, "lr_d": 2e-4, "ema_halflife_images": 0}
FASTER_CRITIC = {"lr_g": [2e-4, 4e-4], "lr_d": [2e-4, 8e-4]}
AVERAGE = {"ema_halflife_images": HALFLIVES}
STEPS = {"fashion-mnist": 300, "shapes": 250}
SWEEPS = {
    "dcgan": Sweeps(
        ADAM,
        {
            "rates": {"lr_g": [2e-4, 5e-4], "lr_d": [2e-4, 5e-4]},
            "norms": {"discriminator_norm": ["batch", "none", "spectral"]},
            "average": AVERAGE,
        },
        STEPS,
        NARROW,
    ),
    "csngan": Sweeps(SPECTRAL, {"rates": FASTER_CRITIC, "average": AVERAGE}, STEPS, NARROW),
    "sngan": Sweeps(SPECTRAL, {"rates": FASTER_CRITIC, "average": AVERAGE}, STEPS, NARROW),
    "wgan-gp": Sweeps(
        {"lr_g": 1e-4, "lr_d": 1e-4, "ema_halflife_images": 0},
        {"rates": {"lr_g": RATES, "lr_d": RATES}, "average": AVERAGE},
        {"fashion-mnist": 150, "shapes": 120},
        {"arch": "mlp"},
    ),
    "r3gan": Sweeps(
        {**SPECTRAL, "gamma": 1.0},
        {"rates": {"lr_g": [2e-4, 4e-4], "lr_d": [2e-4, 4e-4]}, "gamma": {"gamma": [0.1, 1.0]}, "average": AVERAGE},
        STEPS,
        {**NARROW, "arch": "dcgan"},
    ),
}


def grid_of(sweeps: Sweeps, axis: str) -> dict[str, list[Any]]:
    """The grid of an axis, the paper's value in it."""
    if axis == "preset":
        return {name: list(values) for name, values in PRESET.items()}
    grid = {name: list(values) for name, values in sweeps.axes[axis].items()}
    for name, values in grid.items():
        if sweeps.paper[name] not in values:
            values.insert(0, sweeps.paper[name])
    return grid


def flags_of(sweeps: Sweeps, axis: str, data: str, judged: int, steps: int | None = None) -> dict[str, Any]:
    """The flags that all cells of an axis have: the paper's values of the other axes, but an averaged generator: what
    is chosen is chosen for the pictures that are shown.
    """
    count, swept = steps or sweeps.steps[data], grid_of(sweeps, axis)
    held = AVERAGED if swept == PRESET else {**sweeps.paper, **AVERAGED}
    others = {name: value for name, value in held.items() if name not in swept}
    length = {"epochs": count * PAPERS_BATCH / IMAGES[data]} if swept == PRESET else {"steps": count}
    return {**DATA[data], **sweeps.flags, **others, **length, "evaluate_every": count, "metric": "fid",
            "extractor": "classifier", "evaluate_images": judged, "sample_every": count,
            "checkpoint_every": count}  # fmt: skip


def papers(variant: str, sweeps: Sweeps, grid: Grid) -> dict[str, Any]:
    """What the paper's cell is known by in `gankit compare`, to which a preset is the options that it sets."""
    if grid != PRESET:
        return {name: sweeps.paper[name] for name in grid}
    kind = variant_class(variant)
    values = defaults(kind, "paper")
    return {name: values[name] for name in kind.tuned if name not in (*sweeps.flags, *AVERAGED)}


def lacking(variant: str, flags: Mapping[str, Any], grid: Grid) -> str:
    """Why this version cannot train these cells; "" where it can."""
    try:
        for values in itertools.product(*grid.values()):
            configure(variant, {**flags, **dict(zip(grid, values, strict=True))})
    except UsageError as error:
        return str(error)
    return ""


def rows_of(found: Comparison, paper: Mapping[str, Any]) -> list[Row]:
    """A row a cell at the end, with what `gankit compare` calls of it against the paper's. UsageError where the paper's
    cell is not among them.
    """
    ends = [row for row in found.table if row["at"] == "end"]
    own = [row["group"] for row in ends if all(row[f"option {name}"] == value for name, value in paper.items())]
    if len(own) != 1:
        raise UsageError(f"{len(own)} cells have the paper's values {dict(paper)}, not one")
    pairs = {(row["a"], row["b"]): row for row in found.differences if row["at"] == "end"}
    rows = []
    for row in ends:
        name = row["group"]
        pair, sign = pairs.get((name, own[0])), 1
        if pair is None:
            pair, sign = pairs.get((own[0], name)), -1
        less = None if pair is None or pair["difference"] is None else sign * pair["difference"]
        rows.append({
            "cell": name, "paper": name == own[0], "n": row["n"], "of": row["of"], "mean": row["mean"],
            "low": row["low"], "high": row["high"], "rank": row["rank"], "metric": row["metric"],
            "less_paper": "" if less is None else less, "p": "" if pair is None else pair["p corrected"],
            "verdict": "paper" if name == own[0] else verdict(pair, less, row["better"]),
        })  # fmt: skip
    return rows


def verdict(pair: Mapping[str, Any] | None, less: float | None, better: str) -> str:
    """Whether a cell is called better or worse than the paper's, or why it is not."""
    if pair is None or less is None or not pair["called"]:
        return "cannot tell" if pair is None or not pair["why"] else f"cannot tell: {pair['why']}"
    return "better" if (less < 0) == (better == "lower") else "worse"


@click.command(help=__doc__)
@click.argument("variants", nargs=-1, type=click.Choice(list(SWEEPS)))
@click.option("--data", "datas", multiple=True, type=click.Choice(list(DATA)), help="[default: both]")
@click.option("--axis", "axes", multiple=True, help="rates, norms, average, preset.  [default: all]")
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", type=int, help="In place of the table's.")
@click.option("--judged", default=5000, show_default=True, help="Samples.")
@click.option("--jobs", default=2, show_default=True, help="Runs at a time, each with one thread.")
@click.option("--out", default=ROOT / "runs" / "defaults", type=click.Path(path_type=Path), help="Folder of sweeps.")
@click.option("--csv", "table", default=ROOT / "benchmarks" / "defaults.csv", type=click.Path(path_type=Path))
def main(
    variants: tuple[str, ...], datas: tuple[str, ...], axes: tuple[str, ...], seeds: int, steps: int | None,
    judged: int, jobs: int, out: Path, table: Path,
) -> None:  # fmt: skip
    for variant, data in itertools.product(variants or SWEEPS, datas or DATA):
        sweeps = SWEEPS[variant]
        for axis in [one for one in (*sweeps.axes, *PRESET) if not axes or one in axes]:
            grid, flags = grid_of(sweeps, axis), flags_of(sweeps, axis, data, judged, steps)
            if why := lacking(variant, flags, grid):
                click.echo(f"{variant} {axis}: left out: {why}")
                continue
            root = out / f"{variant}-{data}-{axis}"
            gankit.sweep(variant, grid, seeds, out=root, jobs=jobs, threads=1, **flags)
            about = {"variant": variant, "data": data, "axis": axis, "steps": flags.get("steps", ""), "seconds": "",
                     "processor": processor(), "torch": torch.__version__}  # fmt: skip
            found = gankit.compare(root)
            seconds = {group.name: [run.clock.values[-1] for run in group.runs] for group in found.groups}
            rows = [
                {**about, **row, "seconds": float(sum(seconds[row["cell"]]) / len(seconds[row["cell"]]))}
                for row in rows_of(found, papers(variant, sweeps, grid))
            ]
            keep(table, COLUMNS, rows, KEY)
            for row in rows:
                click.echo(f"{variant} {data} {row['cell']}: {row['mean']} ({row['low']} to {row['high']}), "
                           f"{row['verdict']}")  # fmt: skip


if __name__ == "__main__":
    main()
