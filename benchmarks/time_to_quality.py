"""Scores against seconds of training: `make bench-quality`.

    python benchmarks/time_to_quality.py --data fashion-mnist --only cdcgan --seeds 1 --times 15,30
    python benchmarks/time_to_quality.py --jobs 2        # two runs at a time, of one thread each

A run is trained until its clock shows each of ``--times``, judged there, and goes on. The clock is that of the steps:
judging is not in it, nor what comes before the first step. Rows of the same data, competitor and seed are replaced;
what is there already, by the same command and times, is not trained again without --again. A competitor whose variant
or options this version lacks is named and left out. Samples lie in runs/quality.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from baseline import job_of, loop_of
from marks import command
from PIL import Image
from table import Row, between_markers, keep, markdown, read
from textbook import LOOPS, batches

import gankit
from gankit.build import load_images
from gankit.config import Config, configure
from gankit.core.errors import UsageError
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import ImageSet
from gankit.evaluation.judge import Judge, Value
from gankit.evaluation.reference import comparable
from gankit.evaluation.samples import SEED, Drawn, asks_for_classes
from gankit.lab.comparison.rankings import Curve
from gankit.models.interface import Model
from gankit.registry import registry
from gankit.runs.folder import processor
from gankit.training.trainer import Trainer

ROOT = Path(__file__).parent.parent
CSV, PNG, DOC = (ROOT / name for name in ("benchmarks/time_to_quality.csv", "docs/time_to_quality.png",
                                          "docs/time_to_quality.md"))  # fmt: skip
FOLDER = Path("runs/quality/clothes-500")
ENDLESS, READ_EVERY = 10**6, 50
COLUMNS = ("data", "competitor", "seed", "at", "seconds", "steps", "images", "metric", "value", "better", "threads",
           "command", "times", "judged", "processor", "torch")  # fmt: skip
KEY = ("data", "competitor", "seed")


@dataclass(frozen=True)
class Competitor:
    """What is trained: `gankit train VARIANT FLAGS`, or the textbook's loop of that variant."""

    variant: str
    flags: Mapping[str, Any]
    loop: str = "gankit"
    data: tuple[str, ...] = ("fashion-mnist", "shapes", "folder")


@dataclass(frozen=True)
class Data:
    """What competitors train on, and the images and metrics that they are judged by."""

    flags: Mapping[str, Any]
    real: DataOptions
    metrics: tuple[str, ...]


NARROW = {"ngf": 32, "ndf": 32}
FAST = {"ngf": 16, "ndf": 16, "lr_g": 4e-4, "lr_d": 4e-4, "batch_size": 32, "ema_halflife_images": 20000}
FEW = ("folder",)
COMPETITORS = {
    "dcgan": Competitor("dcgan", {}),
    "dcgan, textbook": Competitor("dcgan", {**NARROW, "preset": "paper"}, "textbook"),
    "wgan-gp mlp": Competitor("wgan-gp", {"arch": "mlp"}),
    "wgan-gp mlp, textbook": Competitor("wgan-gp", {"arch": "mlp"}, "textbook"),
    "sngan": Competitor("sngan", NARROW),
    "r3gan": Competitor("r3gan", {**NARROW, "arch": "dcgan"}),
    "dcgan, paper": Competitor("dcgan", {"preset": "paper"}),
    "cdcgan": Competitor("cdcgan", NARROW),
    "csngan": Competitor("csngan", {}),
    "csngan, width 32": Competitor("csngan", NARROW),
    "sngan, fast": Competitor("sngan", {**FAST, "lr_d": 8e-4}),
    "wgan-gp mlp, fast": Competitor("wgan-gp", {"arch": "mlp", "lr_g": 5e-4, "lr_d": 5e-4}),
    "cr3gan": Competitor("cr3gan", {**NARROW, "arch": "dcgan"}),
    "dcgan, diffaug": Competitor("dcgan", {"augment": "diffaug"}, data=FEW),
    "r3gan, diffaug": Competitor("r3gan", {**NARROW, "arch": "dcgan", "augment": "diffaug"}, data=FEW),
}
DATA = {
    "fashion-mnist": Data(
        {"data": "fashion-mnist", "size": 28}, DataOptions(data="fashion-mnist", size=28, channels=1), ("fid",)
    ),
    "shapes": Data(
        {"data": "shapes", "size": 32, "channels": 3}, DataOptions(data="shapes", size=32, channels=3), ("fid", "swd")
    ),
    # 500 images of the training split; judged by images that they are not among.
    "folder": Data(
        {"data": f"folder:{FOLDER}", "size": 32, "channels": 1},
        DataOptions(data="fashion-mnist", split="test", size=32, channels=1),
        ("fid", "coverage"),
    ),
}
TARGETS = {
    ("fashion-mnist", "fid"): (40, 20, 10),
    ("fashion-mnist", "class-accuracy"): (0.7, 0.8, 0.85),
    ("shapes", "fid"): (40, 20, 10),
    ("folder", "fid"): (60, 40, 20),
}
"""Scores; the table says in how many seconds they are reached."""


def load(options: DataOptions) -> ImageSet:
    """The images of a data set."""
    images: ImageSet = registry().get("datasets", options.name)().load(options, 0)
    return images


def write_folder(root: Path = FOLDER, count: int = 500) -> None:
    """``count`` pictures of Fashion-MNIST's training split below ``root``, in a folder a class, where none are."""
    if root.exists():
        return
    images = load(DataOptions(data="fashion-mnist", limit=count))
    assert images.labels is not None
    part = root.with_name(root.name + ".part")
    for i, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
        path = part / str(label) / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    part.rename(root)


def options_of(data: str, competitor: Competitor, seed: int, threads: int | None) -> dict[str, Any]:
    """The flags of a run."""
    given = {**DATA[data].flags, **competitor.flags, "seed": seed}
    return given if threads is None else {**given, "threads": threads}


def lacking(data: str, name: str) -> str:
    """Why this version cannot train a competitor; "" where it can."""
    try:
        configure(COMPETITORS[name].variant, options_of(data, COMPETITORS[name], 0, None))
    except UsageError as error:
        return str(error)
    return ""


def stepper(config: Config, loop: str, images: ImageSet) -> tuple[Callable[[], object], Callable[[], Model], int]:
    """(one step, the model to judge, real images a step) of gankit's loop or of the textbook's."""
    if loop == "textbook":
        config = replace(config, train=replace(config.train, precision="fp32"))
        job = replace(job_of(config, images), steps=ENDLESS)
        book, pictures = loop_of(LOOPS, job), batches(job, 0)
        return lambda: book.step(pictures), lambda: job.model, job.draws * config.train.batch_size
    trainer = Trainer(config, images)

    def step() -> None:
        trainer.step()
        if trainer.done % READ_EVERY == 0:
            trainer.take_rows()

    return step, lambda: trainer.sampling_model, trainer.draws(0) * config.train.batch_size


def clocked(step: Callable[[], object], times: Sequence[float]) -> Iterator[tuple[float, int]]:
    """(seconds of all steps, steps) as soon as the clock of the steps has come to each of ``times``."""
    seconds, steps = 0.0, 0
    for at in times:
        while seconds < at:
            began = time.perf_counter()
            step()
            seconds, steps = seconds + time.perf_counter() - began, steps + 1
        yield seconds, steps


def judge_of(data: str, metrics: Sequence[str]) -> Judge:
    """What judges samples on ``data``."""
    options = DATA[data].real
    return Judge(metrics, comparable(load(options), options.sides(32)), options)


def values(judge: Judge, model: Model, images: ImageSet, config: Config, judged: int) -> list[Value]:
    """The scores of ``judged`` samples; classes come as often as in ``images``."""
    spec = images.spec(config.data.crop)
    drawn = Drawn(model, judged, SEED, torch.device("cpu"), torch.float32, spec.sides)
    return judge.judge(drawn.batches(None, spec.class_counts if asks_for_classes(model) else ()))


def trained(job: tuple[str, str, int, int | None, tuple[float, ...], int, Path]) -> list[Row]:
    """The rows of one run, in a process of its own: data, competitor, seed, threads, times, samples, pictures."""
    data, name, seed, threads, times, judged, pictures = job
    competitor = COMPETITORS[name]
    options = options_of(data, competitor, seed, threads)
    config = configure(competitor.variant, {**options, "steps": ENDLESS})
    images = load_images(config)
    step, model, per_step = stepper(config, competitor.loop, images)
    conditional = asks_for_classes(model())
    judge = judge_of(data, (*DATA[data].metrics, *(["class-accuracy"] if conditional else [])))
    about = {"data": data, "competitor": name, "seed": seed, "threads": torch.get_num_threads(), "judged": judged,
             "command": words(competitor, options), "times": listed(times), "processor": processor(),
             "torch": torch.__version__}  # fmt: skip
    rows = []
    pictures.mkdir(parents=True, exist_ok=True)
    for at, (seconds, steps) in zip(times, clocked(step, times), strict=True):
        for value in values(judge, model(), images, config, judged):
            rows.append({**about, "at": f"{at:g}", "seconds": seconds, "steps": steps, "images": steps * per_step,
                         "metric": value.metric.name, "value": float(value.value),
                         "better": value.metric.better})  # fmt: skip
        drawn = Drawn(model(), 64, SEED, torch.device("cpu"), torch.float32, images.spec(config.data.crop).sides)
        grid = torch.cat([some.images for some in drawn.batches()])
        gankit.save(grid.float() / 127.5 - 1, pictures / f"{data}-{name.replace(' ', '-')}-{seed}-{at:g}s.png", 8)
    return rows


def words(competitor: Competitor, options: Mapping[str, Any]) -> str:
    """What a row says was run."""
    typed = command(competitor.variant, options)
    return typed if competitor.loop == "gankit" else f"{competitor.loop} loop of {typed}"


def listed(times: Sequence[float]) -> str:
    """Times as a row has them."""
    return " ".join(f"{one:g}" for one in times)


def reached(rows: Sequence[Row], target: float) -> float | None:
    """Median seconds to ``target`` over the seeds of ``rows``, of one metric; None where half of them never get there.

    Between two judgings scores lie on a straight line; what is there at the first counts as reached then.
    """
    found = []
    for seed in dict.fromkeys(row["seed"] for row in rows):
        some = sorted((row for row in rows if row["seed"] == seed), key=lambda row: float(row["seconds"]))
        along = {name: np.array([float(row[name]) for row in some]) for name in ("steps", "images", "seconds", "value")}
        curve = Curve(along["steps"], along["images"], along["seconds"], along["value"])
        seconds = curve.reached("seconds", target, some[0]["better"])
        found.append(float("inf") if seconds is None else seconds)
    middle = median(found)
    return None if middle == float("inf") else middle


def document(rows: Sequence[Row]) -> str:
    """A table for each data set and metric that has targets."""
    parts = []
    for (data, metric), targets in TARGETS.items():
        some = [row for row in rows if (row["data"], row["metric"]) == (data, metric)]
        lines = []
        for name in dict.fromkeys(row["competitor"] for row in some):
            own = [row for row in some if row["competitor"] == name]
            last = max(float(row["at"]) for row in own)
            end = median(float(row["value"]) for row in own if float(row["at"]) == last)
            seconds = [reached(own, target) for target in targets]
            told = ["never" if one is None else f"{one:.0f}" for one in seconds]
            lines.append([name, *told, f"{end:.3g} ({last:g} s)", str(len({row["seed"] for row in own}))])
        if lines:
            head = ["competitor", *(f"s to {target:g}" for target in targets), "at the end", "seeds"]
            parts += [f"{data}, {metric}:", markdown(head, lines)]
    return "\n\n".join(parts)


def draw(rows: Sequence[Row], path: Path) -> None:
    """A panel for each data set and metric: medians over seeds against seconds, with the range of the seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = list(dict.fromkeys((row["data"], row["metric"]) for row in rows))
    figure, axes = plt.subplots(len(panels), 1, figsize=(8, 3 * len(panels)), squeeze=False)
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        some = [row for row in rows if (row["data"], row["metric"]) == panel]
        for name in dict.fromkeys(row["competitor"] for row in some):
            own = [row for row in some if row["competitor"] == name]
            at = sorted({float(row["at"]) for row in own})
            found = [[float(row["value"]) for row in own if float(row["at"]) == one] for one in at]
            (line,) = axis.plot(at, [median(each) for each in found], "o-", markersize=3, label=name)
            low, high = [min(each) for each in found], [max(each) for each in found]
            axis.fill_between(at, low, high, color=line.get_color(), alpha=0.15)
        axis.set(xlabel="seconds of training", ylabel=panel[1], title=panel[0], xscale="log")
        if panel[1] in ("fid", "swd"):
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.suptitle(f"{rows[0]['processor']}, torch {rows[0]['torch']}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


@click.command(help=__doc__)
@click.option("--data", "datas", multiple=True, type=click.Choice(list(DATA)), help="[default: all]")
@click.option("--only", multiple=True, type=click.Choice(list(COMPETITORS)), help="[default: all]")
@click.option("--seeds", default=3, show_default=True)
@click.option("--times", default="15,30,60,120,240", show_default=True, help="Seconds at which a run is judged.")
@click.option("--judged", default=10_000, show_default=True, help="Samples.")
@click.option(
    "--jobs", default=1, show_default=True, help="1: the default threads; more: one-thread runs side by side."
)
@click.option("--again", is_flag=True, help="Train what there are rows of, too.")
@click.option("--csv", "table", default=CSV, type=click.Path(path_type=Path))
@click.option("--pictures", default=Path("runs/quality"), type=click.Path(path_type=Path), help="Folder of samples.")
@click.option("--doc", is_flag=True, help="Write the table and the plot into docs/.")
def main(
    datas: tuple[str, ...], only: tuple[str, ...], seeds: int, times: str, judged: int, jobs: int, again: bool,
    table: Path, pictures: Path, doc: bool,
) -> None:  # fmt: skip
    moments = tuple(sorted(float(one) for one in times.split(",")))
    threads = None if jobs == 1 else 1
    there = {tuple(row[name] for name in (*KEY, "command", "times", "judged")) for row in read(table)}
    todo = []
    for data, name, seed in product(datas or DATA, only or COMPETITORS, range(seeds)):
        if data not in COMPETITORS[name].data:
            continue
        if data == "folder":
            write_folder()
        if why := lacking(data, name):
            click.echo(f"{name}: left out: {why}") if seed == 0 else None
            continue
        typed = words(COMPETITORS[name], options_of(data, COMPETITORS[name], seed, threads))
        if again or (data, name, str(seed), typed, listed(moments), str(judged)) not in there:
            todo.append((data, name, seed, threads, moments, judged, pictures))
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for rows in pool.map(trained, todo):
            keep(table, COLUMNS, rows, KEY)
            for row in rows:
                click.echo(f"{row['data']} {row['competitor']} {row['seed']}: {row['metric']} {row['value']:.4g} "
                           f"after {row['seconds']:.1f} s")  # fmt: skip
    if doc and (rows := read(table)):
        draw(rows, PNG)
        between_markers(DOC, "time to quality", document(rows))


if __name__ == "__main__":
    main()
