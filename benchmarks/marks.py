"""Every variant's mark on Fashion-MNIST: one command each, judged by the classifier: `make marks`.

The runs lie in runs/marks and go on where they were stopped; rows go to benchmarks/marks.csv, where those of the same
variant and seed are replaced. Seconds are those of the steps by the clock, without evaluations. Exits with 1 where a
mark is not reached, or not within its time.
"""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

import gankit
from gankit import Run, UsageError
from gankit.config import configure
from gankit.core import files
from gankit.evaluation import evaluate as evaluation
from gankit.inference import reconstruct as encoding
from gankit.inference.class_grids import code_grid
from gankit.inference.probe import probe
from gankit.models.interface import Conditional, Encoder, Model
from gankit.report.records import timing

ROOT = Path(__file__).parent.parent
LIMIT = 480
"""Seconds that a training may take."""
COLUMNS = ("variant", "seed", "command", "steps", "seconds", "threads", "metric", "value", "mark", "holds", "protocol",
           "processor", "torch")  # fmt: skip
COMMON = {"preset": "paper", "data": "fashion-mnist", "precision": "bf16"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What is trained, and the mark: ``metric`` at least ``least``, or at most ``most``."""

    options: Mapping[str, Any]
    metric: str
    least: float | None = None
    most: float | None = None
    seeds: tuple[int, ...] = (0,)

    @property
    def mark(self) -> str:
        """The mark in words."""
        return f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"

    def holds(self, value: float, seconds: float) -> bool:
        """Whether ``value`` reaches the mark, in time."""
        good = (self.least is None or value >= self.least) and (self.most is None or value <= self.most)
        return good and seconds <= LIMIT


AVERAGED = {"ema_halflife_images": 5000}
NARROW = {"ngf": 32, "ndf": 32, **AVERAGED}
FASTER = {"lr_g": 5e-4, "lr_d": 5e-4, "warmup": 20}
TASKS = {
    "gan": Task({**AVERAGED, "steps": 4000}, "class-balance", 0.93),
    "dcgan": Task({**NARROW, "steps": 2000}, "class-balance", 0.93),
    "lsgan": Task({**NARROW, "steps": 2000}, "class-balance", 0.93),
    "wgan": Task({**NARROW, **FASTER, "steps": 1000}, "class-balance", 0.93),
    "wgan-gp": Task({"arch": "mlp", **AVERAGED, "steps": 1000}, "class-balance", 0.93, seeds=(0, 1, 2)),
    "cgan": Task({**AVERAGED, "steps": 3000}, "class-accuracy", 0.70),
    "cdcgan": Task({**NARROW, "steps": 3000}, "class-accuracy", 0.80, seeds=(0, 1, 2)),
    "cwgan": Task({**NARROW, **FASTER, "steps": 1400}, "class-accuracy", 0.70),
    "cwgan-gp": Task(
        {"arch": "mlp", "conditioning": "embedding", "lr_g": 3e-4, "lr_d": 3e-4, **AVERAGED, "steps": 3000},
        "class-accuracy",
        0.80,
    ),
    "acgan": Task({**NARROW, "steps": 1500}, "class-accuracy", 0.80),
    "infogan": Task({**NARROW, "nz": 3, "lr_g": 5e-4, "steps": 4000}, "code-purity", 0.5),
    "bigan": Task({"ngf": 16, "ndf": 16, "lr_g": 1e-3, "lr_d": 1e-3, **AVERAGED, "steps": 2000}, "same class", 0.3),
    "vae": Task({"steps": 250}, "squared error", most=0.35),
    "vq-vae": Task({"steps": 250}, "squared error", most=0.2),
}

UNMEASURED = {"sngan", "csngan", "r3gan", "cr3gan"}
"""Variants that nobody has set a mark for yet."""


def command(variant: str, options: Mapping[str, Any]) -> str:
    """The command line of a training."""
    flags = (f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    return " ".join(["gankit train", variant, *flags])


def trained(variant: str, options: Mapping[str, Any], root: Path) -> Run:
    """The finished run in ``root``, trained or gone on with where it is not. UsageError where it has other options."""
    if not (root / "config.json").exists():
        return gankit.train(variant, out=root, quiet=True, **options)
    run = Run(root)
    asked = configure(variant, options)
    free = ("steps", "epochs", "device", "engine", "threads")  # decided when a run starts
    same = {name: value for name, value in vars(asked.train).items() if name not in free}
    if (asked.data, asked.options) != (run.config.data, run.config.options) or any(
        getattr(run.config.train, name) != value for name, value in same.items()
    ):
        raise UsageError(f"{root}: was trained with other options than {command(variant, options)}; delete it")
    return gankit.resume(root, steps=options.get("steps"), quiet=True)


def figure(run: Run, metric: str, judged: int) -> tuple[float, dict[str, Any]]:
    """(value, protocol) of ``metric`` over ``judged`` samples, or reconstructions of images not trained on."""
    if metric in ("same class", "squared error"):
        extractor = "classifier" if metric == "same class" else None
        found = encoding.reconstruct(run, shown=2, judged=judged, split="test", extractor=extractor)
        value = found.ratio if found.same_class is None else found.same_class
        data = run.config.data.data
        return value, {"extractor": extractor, "data": data, "split": "test", "real": found.images}
    (one,) = evaluation.evaluate(run.root, metric, images=judged)
    return one.value, dict(one.protocol)


def beside(run: Run) -> dict[str, float]:
    """What is told beside the mark, and nothing is asked of: of a variant that is told the class how much its images of
    one class vary, and of a BiGAN what can be read off its latents.
    """
    if run.config.variant == "bigan":
        kinds = ("linear", "svm", "knn")
        return {f"probe {kind} of {row.features}": getattr(row, kind) for row in probe(run) for kind in kinds}
    return {"variance within a class": within_class(run)} if "class" in conditions_of(run.load()) else {}


def within_class(run: Run, each: int = 100) -> float:
    """The variance of a pixel within a class, mean of pixels and classes, of samples, as a share of that of images."""
    images, classes = encoding.images_of(run), run.spec.classes
    samples = run.sample(each * classes, classes=range(classes)).double()
    assert images.labels is not None
    found = [samples[label::classes].var(0).mean() for label in range(classes)]
    real = [images.images[images.labels == label][: 10 * each] for label in range(classes)]
    return float(sum(found) / sum((some.double() / 127.5).var(0).mean() for some in real))


def measured(variant: str, task: Task, seed: int, root: Path, judged: int, extra: Mapping[str, Any]) -> list[Row]:
    """The rows of one run: its mark, and what is told beside it."""
    options = {**COMMON, **task.options, **extra, **({"seed": seed} if seed else {})}
    run = trained(variant, options, root)
    value, protocol = figure(run, task.metric, judged)
    _, clock, _ = timing(run.root / "timing.jsonl")
    seconds, machine = float(clock.values[-1]), files.read_json(run.root / "environment.json")
    known = {
        "variant": variant, "seed": seed, "command": command(variant, options), "steps": run.config.train.steps,
        "seconds": round(seconds, 1), "threads": run.config.train.threads,
    }  # fmt: skip
    made_by = {name: machine[name] for name in ("processor", "torch")}
    digest = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:12]
    found = {"metric": task.metric, "value": round(value, 4), "mark": task.mark, "protocol": digest}
    unasked = {"mark": "", "protocol": "", "holds": ""}
    more = [
        {**known, **unasked, "metric": name, "value": round(each, 4), **made_by} for name, each in beside(run).items()
    ]
    return [{**known, **found, "holds": task.holds(value, seconds), **made_by}, *more]


def at(path: Path, rows: Iterable[Row]) -> list[Row]:
    """All rows of the table at ``path``, with ``rows`` in place of those of the same variant and seed; written."""
    rows = list(rows)
    new = {(row["variant"], str(row["seed"])) for row in rows}
    kept: list[Row] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.DictReader(file) if (row["variant"], row["seed"]) not in new]
    whole = sorted([*kept, *rows], key=lambda row: (list(TASKS).index(row["variant"]), int(row["seed"])))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(whole)
    return whole


def told(row: Mapping[str, Any]) -> str:
    """A row for a person."""
    mark = f"{row['mark']}, {'holds' if str(row['holds']) == 'True' else 'FAILS'}" if row["mark"] else ""
    seed = f"{row['variant']} ({row['seed']})"
    return f"{seed:<14} {row['metric']:<30} {float(row['value']):<8.4g} {mark:<16} {row['seconds']} s"


def work(job: tuple[str, int, Path, int, dict[str, Any]]) -> list[Row]:
    """One run's rows, in a process of its own."""
    variant, seed, runs, judged, extra = job
    return measured(variant, TASKS[variant], seed, runs / f"{variant}-{seed}", judged, extra)


def conditions_of(model: Model) -> Mapping[str, int]:
    """What samples of ``model`` can be asked to be."""
    return model.conditions if isinstance(model, Conditional) else {}


def shown(run: Run) -> Tensor:
    """Ten images [10,C,H,W] of what the run has learnt: one of each class or code, pairs of test images and their
    reconstructions, or samples.
    """
    model = run.load()
    conditions = conditions_of(model)
    if "class" in conditions:
        return run.sample(10, classes=range(run.spec.classes))
    if "category" in conditions:
        return code_grid(run, "category", rows=1)[0]
    if isinstance(model, Encoder):
        return encoding.reconstruct(run, shown=5, judged=5, split="test").pairs
    return run.sample(10)


@click.command(help=__doc__)
@click.argument("variants", nargs=-1, type=click.Choice(list(TASKS)))
@click.option("--judged", default=5000, show_default=True, help="Samples, or test images, that a mark is taken over.")
@click.option("--jobs", default=2, show_default=True, help="Runs at a time, each with one thread.")
@click.option("--runs", default=ROOT / "runs" / "marks", type=click.Path(path_type=Path), help="Folder of the runs.")
@click.option("--png", type=click.Path(path_type=Path), help="Draw ten images of each variant, a row each.")
@click.option("--csv", "table", default=ROOT / "benchmarks" / "marks.csv", type=click.Path(path_type=Path))
def main(variants: tuple[str, ...], judged: int, jobs: int, runs: Path, png: Path | None, table: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen = [(name, seed) for name in variants or TASKS for seed in TASKS[name].seeds]
    todo = [(name, seed, runs, judged, {"threads": 1}) for name, seed in chosen]
    found: list[Row] = []
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for rows in pool.map(work, todo):
            at(table, rows)
            found += rows
            click.echo("\n".join(told(row) for row in rows))
    if png is not None:
        of = [shown(Run(runs / f"{name}-{TASKS[name].seeds[0]}")) for name in dict.fromkeys(name for name, _ in chosen)]
        gankit.save(torch.cat(of), png, 10)
    failed = [row for row in found if row["mark"] and not row["holds"]]
    click.echo(f"{table}: {len(failed)} of {len(chosen)} marks fail")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
