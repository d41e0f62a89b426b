"""Metrics against training time and images seen: DCGAN and WGAN-GP on Fashion-MNIST, three seeds: `make curves`.

Both have the same networks and see as many real images. The runs lie in runs/curves and go on where they were stopped;
rows go to benchmarks/curves.csv, the picture to docs/curves.png. Time is that of the steps alone, without evaluations.
"""

from __future__ import annotations

import csv
import itertools
import statistics
from pathlib import Path
from typing import Any

import click

import gankit
from gankit import Run
from gankit.core import files
from gankit.evaluation import evaluate as evaluation
from gankit.report.records import timing

ROOT = Path(__file__).parent.parent
COLUMNS = ("variant", "seed", "step", "images", "seconds", "metric", "value", "weights", "fake", "real", "averaged",
           "threads", "processor", "torch")  # fmt: skip
VARIANTS = ("dcgan", "wgan-gp")
NETWORKS = {"preset": "paper", "arch": "dcgan", "ngf": 32, "ndf": 32, "batch_size": 64}
METRICS = "fid,kid,precision,recall,coverage,swd"
Row = dict[str, Any]


@click.command()
@click.option("--data", default="fashion-mnist", show_default=True)
@click.option("--images", default=256_000, show_default=True, help="Real images that each run draws.")
@click.option("--points", default=10, show_default=True, help="Evaluations of each run.")
@click.option("--judged", default=5_000, show_default=True, help="Samples at each of them.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--metric", default=METRICS, show_default=True)
@click.option("--extractor", default="classifier", show_default=True)
@click.option("--threads", type=int, help="Of the training; unset: all cores.")
@click.option("--width", default=NETWORKS["ngf"], show_default=True, help="ngf and ndf.")
@click.option("--runs", default=ROOT / "runs" / "curves", type=click.Path(path_type=Path), help="Folder of the runs.")
@click.option("--csv", "table", default=ROOT / "benchmarks" / "curves.csv", type=click.Path(path_type=Path))
@click.option("--png", default=ROOT / "docs" / "curves.png", type=click.Path(path_type=Path))
def main(
    data: str,
    images: int,
    points: int,
    judged: int,
    seeds: int,
    metric: str,
    extractor: str,
    threads: int | None,
    width: int,
    runs: Path,
    table: Path,
    png: Path,
) -> None:
    """Train, judge, write the rows, draw them."""
    rows: list[Row] = []
    for seed, variant in itertools.product(range(seeds), VARIANTS):
        per_step = int(NETWORKS["batch_size"]) * (5 if variant == "wgan-gp" else 1)
        steps = points * max(1, images // per_step // points)
        options = {
            **NETWORKS, "ngf": width, "ndf": width, "data": data, "seed": seed, "steps": steps, "metric": metric,
            "extractor": extractor, "evaluate_images": judged, "evaluate_every": steps // points,
            "checkpoint_every": steps // points, "log_every": max(1, steps // points // 5),
        }  # fmt: skip
        options |= {} if threads is None else {"threads": threads}
        root = runs / f"{variant}-{data}-{seed}"
        started = (root / "config.json").exists()
        run = gankit.resume(root) if started else gankit.train(variant, out=root, **options)
        rows += rows_of(run, per_step)
        write(table, rows)
    draw(rows, png)
    click.echo(f"{table}\n{png}")


def rows_of(run: Run, images_per_step: int) -> list[Row]:
    """A row for each figure of the run's training; ``seconds`` sums the steps before it."""
    _, clock, _ = timing(run.root / "timing.jsonl")
    seconds = dict(zip(clock.steps.tolist(), clock.values.tolist(), strict=True))
    machine = files.read_json(run.root / "environment.json")
    rows = []
    for figure in evaluation.recorded(run):
        if figure.by == "training" and figure.step is not None:
            known = {
                "variant": run.config.variant, "seed": run.config.train.seed, "step": figure.step,
                "images": figure.step * images_per_step, "seconds": round(seconds[figure.step], 2),
                "metric": figure.metric, "value": figure.value, "threads": run.config.train.threads,
            }  # fmt: skip
            decided = {name: figure.protocol[name] for name in ("weights", "fake", "real", "averaged")}
            rows.append(known | decided | {name: machine[name] for name in ("processor", "torch")})
    return rows


def write(path: Path, rows: list[Row]) -> None:
    """All rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def draw(rows: list[Row], path: Path) -> None:
    """A line of two panels for each metric: against seconds and against images; thin a seed, thick their mean."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    figure, axes = plt.subplots(len(metrics), 2, figsize=(10, 2.4 * len(metrics)), squeeze=False)
    for line, metric in zip(axes, metrics, strict=True):
        for (axis, by), (colour, variant) in itertools.product(
            zip(line, ("seconds", "images"), strict=True), zip(("tab:blue", "tab:orange"), VARIANTS, strict=True)
        ):
            some = [row for row in rows if row["metric"] == metric and row["variant"] == variant]
            for seed in dict.fromkeys(row["seed"] for row in some):
                one = [row for row in some if row["seed"] == seed]
                axis.plot([row[by] for row in one], [row["value"] for row in one], color=colour, alpha=0.3, linewidth=1)
            steps = list(dict.fromkeys(row["step"] for row in some))
            at = [[row for row in some if row["step"] == step] for step in steps]
            mean = {key: [statistics.fmean(row[key] for row in each) for each in at] for key in (by, "value")}
            axis.plot(mean[by], mean["value"], "o-", color=colour, markersize=3, label=variant)
            axis.set(xlabel=f"{by} of training" if by == "seconds" else "real images drawn", ylabel=metric)
            axis.grid(alpha=0.3)
            if metric in ("fid", "kid", "swd"):
                axis.set_yscale("log" if min(row["value"] for row in rows if row["metric"] == metric) > 0 else "linear")
    axes[0][0].legend()
    some = rows[0]
    seeds = len({row["seed"] for row in rows})
    figure.suptitle(f"{some['processor']}, {some['threads']} threads, torch {some['torch']}, {seeds} seeds", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
