"""gankit's step beside both baselines: each run a process of its own, taking turns, by the whole clock.

    python benchmarks/steps.py wgan-gp-mlp --epochs 10 --rounds 3 --append benchmarks/steps.csv
    python benchmarks/steps.py dcgan-28 wgan-gp-28 --steps 12

What a compiler made in an earlier run is not used: every run compiles anew, unless --warm.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).resolve().parent
LOOPS = {
    "textbook": ["textbook.py", "--workers", "0"],
    "textbook 2 workers": ["textbook.py", "--workers", "2"],
    "careful": ["careful.py"],
    "careful bf16": ["careful.py", "--precision", "bf16"],
    "eager": ["ours.py", "--engine", "eager"],
    "planned": ["ours.py", "--engine", "planned"],
    "compiled": ["ours.py", "--engine", "compiled"],
    "graph": ["ours.py", "--engine", "graph"],
    "eager bf16": ["ours.py", "--engine", "eager", "--precision", "bf16"],
    "planned bf16": ["ours.py", "--engine", "planned", "--precision", "bf16"],
    "compiled bf16": ["ours.py", "--engine", "compiled", "--precision", "bf16"],
    "graph bf16": ["ours.py", "--engine", "graph", "--precision", "bf16"],
}
KEPT = (
    "workload", "loop", "precision", "workers", "device", "threads", "torch", "batch_size", "steps", "drawn",
    "setup_s", "loop_s", "whole_s", "step_p50_ms", "step_p20_ms", "step_p80_ms", "data_p50_ms", "images_per_s",
    "epoch_s", "peak_mib",
)  # fmt: skip


def measured(loop: str, workload: str, length: list[str], *, warm: bool) -> dict[str, Any]:
    """One run in a process of its own."""
    script, *flags = LOOPS[loop]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ if warm else {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
        command = [sys.executable, str(HERE / script), workload, *flags, *length, "--json"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {name: found[name] for name in KEPT} | {"cache": "warm" if warm else "cold"}


@click.command(help=__doc__)
@click.argument("workloads", nargs=-1, required=True)
@click.option(
    "--loop", "loops", multiple=True, type=click.Choice(list(LOOPS)), default=("textbook", "careful", "eager")
)
@click.option("--steps", type=int)
@click.option("--epochs", type=float)
@click.option("--rounds", type=int, default=3, show_default=True)
@click.option("--threads", type=int)
@click.option("--warm", is_flag=True, help="Use what Inductor has in its cache.")
@click.option("--append", "file", type=click.Path(dir_okay=False, path_type=Path), help="Add the rows to a CSV file.")
def main(
    workloads: tuple[str, ...],
    loops: tuple[str, ...],
    steps: int | None,
    epochs: float | None,
    rounds: int,
    threads: int | None,
    warm: bool,
    file: Path | None,
) -> None:
    length = [] if epochs is None else ["--epochs", str(epochs)]
    length += [] if steps is None else ["--steps", str(steps)]
    length += [] if threads is None else ["--threads", str(threads)]
    for workload in workloads:
        rows: dict[str, list[dict[str, Any]]] = {loop: [] for loop in loops}
        for _ in range(rounds):
            for loop in loops:
                row = {"date": date.today().isoformat(), **measured(loop, workload, length, warm=warm)}
                rows[loop].append(row)
                if file is not None:
                    append(file, row)
        base = rows[loops[0]]
        for loop, some in rows.items():
            middle = {
                name: statistics.median(row[name] for row in some)
                for name in KEPT
                if name.endswith(("_s", "_ms", "mib"))
            }
            whole = statistics.median(row["whole_s"] for row in base) / middle["whole_s"]
            step = statistics.median(row["step_p50_ms"] + row["data_p50_ms"] for row in base)
            click.echo(
                f"{workload} {loop}: whole {middle['whole_s']:.1f} s, {whole:.2f}x {loops[0]}; "
                f"step {middle['step_p50_ms']:.2f} + data {middle['data_p50_ms']:.2f} ms, "
                f"{step / (middle['step_p50_ms'] + middle['data_p50_ms']):.2f}x; "
                f"{middle['images_per_s']:.0f} images/s; peak {middle['peak_mib']:.0f} MiB (n={rounds})"
            )


def append(file: Path, row: dict[str, Any]) -> None:
    """Add ``row`` to ``file``, with a header where it is new."""
    new = not file.exists()
    with file.open("a", newline="") as out:
        writer = csv.DictWriter(out, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()})


if __name__ == "__main__":
    main()
