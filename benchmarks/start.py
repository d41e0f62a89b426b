"""How long gankit takes to start, as whoever types a command sees it, beside the imports that nothing of ours avoids.

    python benchmarks/start.py --append benchmarks/start.csv      # on an idle machine

Each is a process of its own, on one thread, in turn, n times, after one that is not counted. "first step": from the
start of `gankit train wgan-gp --arch mlp` on 2,000 drawn shapes of 28 pixels until the record of its first step is in
the run folder; the rest: until the process ends. wall: seconds of the clock; cpu: user and system seconds of the
process; each the median, with the 20th and 80th percentile of wall.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
from steps import append as add_row

GANKIT = [sys.executable, "-c", "from gankit.cli import main; main()"]
RUN = ["--data", "shapes", "--limit", "2000", "--size", "28", "--channels", "1", "--arch", "mlp", "--threads", "1",
       "--log-every", "1", "--quiet"]  # fmt: skip
TICK = os.sysconf("SC_CLK_TCK")


def environment() -> dict[str, str]:
    """That of a user: modules are kept compiled. One thread, as the commands have."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "OMP_NUM_THREADS": "1"}


def first_step(engine: str, folder: Path) -> tuple[float, float]:
    """Wall and processor seconds from the start of a training until its first step is recorded; it is then ended."""
    record = folder / "metrics.jsonl"
    command = [*GANKIT, "train", "wgan-gp", *RUN, "--engine", engine, "--steps", "1000000", "--out", str(folder)]
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
        while not (record.exists() and record.stat().st_size):
            if process.poll() is not None:
                raise click.ClickException(
                    f"{' '.join(command)}: ended with {process.returncode} before its first step"
                )
            time.sleep(0.002)
        wall = time.perf_counter() - began
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        process.kill()
    return wall, (int(fields[11]) + int(fields[12])) / TICK


def whole(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of ``command``."""
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu


@click.command(help=__doc__)
@click.option("--n", default=7, show_default=True, help="Turns.")
@click.option("--only", multiple=True, help="Only what has this name; may be repeated.")
@click.option("--append", type=click.Path(path_type=Path), help="A CSV file that gets the rows.")
def main(n: int, only: tuple[str, ...], append: Path | None) -> None:
    from importlib import metadata

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, numbers = folder / "run", iter(range(10**6))
        made = [*GANKIT, "train", "wgan-gp", *RUN, "--engine", "eager", "--steps", "1", "--out", str(run)]
        subprocess.run(made, env=environment(), check=True, stdout=subprocess.DEVNULL)
        measures = {
            "import torch": lambda: whole([sys.executable, "-c", "import torch"]),
            "import gankit": lambda: whole([sys.executable, "-c", "import gankit"]),
            "gankit --help": lambda: whole([*GANKIT, "--help"]),
            "first step, eager": lambda: first_step("eager", folder / str(next(numbers))),
            "first step, planned": lambda: first_step("planned", folder / str(next(numbers))),
            "gankit sample -n 64": lambda: whole(
                [*GANKIT, "sample", str(run), "-n", "64", "-o", str(folder / "grid.png")]
            ),
        }
        if unknown := set(only) - set(measures):
            raise click.UsageError(f"--only {min(unknown)}: there are {', '.join(measures)}")
        chosen = {what: measure for what, measure in measures.items() if not only or what in only}
        load = round(os.getloadavg()[0], 2)
        took: dict[str, list[tuple[float, float]]] = {what: [] for what in chosen}
        for turn in range(n + 1):
            for what, measure in chosen.items():
                found = measure()
                if turn:  # the first fills the caches
                    took[what].append(found)
    from gankit.core.cores import cores
    from gankit.runs.folder import processor

    for what, found in took.items():
        walls = sorted(wall for wall, _ in found)
        row = {
            "date": datetime.date.today().isoformat(),
            "what": what,
            "n": n,
            "wall_s": median(walls),
            "wall_p20_s": walls[(n - 1) * 2 // 10],
            "wall_p80_s": walls[-1 - (n - 1) * 2 // 10],
            "cpu_s": median(cpu for _, cpu in found),
            "cores": cores(),
            "load_before": load,
            "torch": metadata.version("torch"),
            "machine": processor(),
        }
        click.echo(row)
        if append:
            add_row(append, row)


if __name__ == "__main__":
    main()
