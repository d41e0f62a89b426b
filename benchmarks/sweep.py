"""What a sweep gains by running cells side by side, and what each cell costs beside its own start and training.

    python benchmarks/sweep.py --append benchmarks/sweep.csv      # on an idle machine of two cores

"six cells": six one-thread cells, --jobs 2 beside --jobs 1 and beside six `gankit train` commands one after another,
in turn, n times; ratio: the seconds of --jobs 2 by those of each of the others. "hundred cells": a sweep of two-step
runs, by one worker; overhead: what a cell took beyond the median of such runs in one process that does no more.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import torch
from steps import append as add_row

import gankit
from gankit.core.cores import cores
from gankit.lab.sweeps.cells import cells_of
from gankit.runs.folder import processor

GANKIT = [sys.executable, "-c", "from gankit.cli import main; main()"]
RUN = {"preset": "paper", "data": "shapes", "limit": 2000, "size": 32, "arch": "dcgan", "ngf": 16, "ndf": 16,
       "batch_size": 64, "sample_every": 10**6, "checkpoint_every": 10**6}  # fmt: skip
TINY = {"preset": "paper", "data": "shapes", "limit": 40, "size": 8, "channels": 1, "arch": "mlp", "ngf": 2, "ndf": 2,
        "nz": 4, "batch_size": 8, "samples": 4, "steps": 2}  # fmt: skip
COLUMNS = ("date", "what", "cells", "steps", "n", "jobs_2_s", "jobs_1_s", "commands_s", "ratio_to_jobs_1",
           "ratio_to_commands", "overhead_s_per_cell", "cores", "load_before", "torch", "machine")  # fmt: skip


def words(flags: dict[str, object]) -> list[str]:
    """The flags as a command line has them."""
    return [word for name, value in flags.items() for word in ("--" + name.replace("_", "-"), str(value))]


def seconds(function: Callable[[], object]) -> float:
    """What ``function`` took."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def six(folder: Path, turn: int, steps: int) -> tuple[float, float, float]:
    """Seconds of six cells by two jobs, by one, and as six commands."""
    flags = words({**RUN, "steps": steps, "threads": 1})

    def swept(jobs: int) -> float:
        out = folder / f"{turn} by {jobs}"
        command = [*GANKIT, "sweep", "dcgan", *flags, "--seeds", "6", "--jobs", str(jobs), "--out", str(out), "--quiet"]
        return seconds(
            lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )

    def one(seed: int) -> None:
        out = folder / f"{turn} alone" / str(seed)
        command = [*GANKIT, "train", "dcgan", *flags, "--seed", str(seed), "--out", str(out), "--quiet"]
        subprocess.run(command, check=True, capture_output=True)

    return swept(2), swept(1), seconds(lambda: [one(seed) for seed in range(6)])


def hundred(folder: Path, turn: int, count: int) -> float:
    """Seconds per cell: the slope of a sweep's time over its cells, less what such a run takes by itself."""
    cells = cells_of("dcgan", {"lr_g": [1e-4 * (1 + i) for i in range(count)]}, 1, TINY)
    alone = []
    for cell in cells:
        out = folder / f"{turn} alone" / cell.folder
        alone.append(seconds(lambda cell=cell, out=out: gankit.train(  # type: ignore[misc]
            "dcgan", out=out, quiet=True, threads=1, **cell.flags)))  # fmt: skip
    took = []
    for some in (cells[:1], cells):
        grid = {"lr_g": [cell.flags["lr_g"] for cell in some]}
        out = folder / f"{turn} of {len(some)}"
        took.append(seconds(lambda grid=grid, out=out: gankit.sweep(  # type: ignore[misc]
            "dcgan", grid, out=out, jobs=1, quiet=True, **TINY, threads=1)))  # fmt: skip
    return (took[1] - took[0]) / (count - 1) - median(alone)


@click.command()
@click.option("--n", default=3, show_default=True, help="Turns.")
@click.option("--steps", default=400, show_default=True, help="Of each of the six cells.")
@click.option("--cells", default=100, show_default=True, help="Of the sweep of two-step runs.")
@click.option("--append", type=click.Path(path_type=Path), help="A CSV file that gets the rows.")
def main(n: int, steps: int, cells: int, append: Path | None) -> None:
    """Print both rows."""
    torch.set_num_threads(1)
    load = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [six(folder, turn, steps) for turn in range(n)]
        overheads = [hundred(folder, turn, cells) for turn in range(n)]
    two, one, commands = (round(median(column), 2) for column in zip(*found, strict=True))
    ratios = [round(median(each[0] / each[i] for each in found), 3) for i in (1, 2)]
    about = (cores(), load, torch.__version__, processor())
    date = datetime.date.today().isoformat()
    rows = [
        (date, "six cells", 6, steps, n, two, one, commands, *ratios, "", *about),
        (date, "hundred cells", cells, 2, n, "", "", "", "", "", round(median(overheads), 4), *about),
    ]
    for values in rows:
        row = dict(zip(COLUMNS, values, strict=True))
        click.echo(row)
        if append:
            add_row(append, row)


if __name__ == "__main__":
    main()
