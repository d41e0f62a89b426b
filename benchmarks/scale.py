"""What several ranks cost and gain: `make bench-scale`.

    python benchmarks/scale.py ranks --n 3       # two ranks of one thread beside one process of two, on this machine
    python benchmarks/scale.py link --n 5        # what of a slow link's time is hidden behind the backward pass
    python benchmarks/scale.py paper --ms 20     # a step on 1 to 256 GPUs on paper, from a step measured on one

Rows go to benchmarks/scale.csv, tables into docs/scale.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from table import Row, between_markers, keep, markdown, read
from torch import Tensor

from gankit.config import configure
from gankit.core.files import lines
from gankit.core.ranks import Ranks
from gankit.runs.folder import processor
from gankit.training.reduction import BUCKET, Reduction
from gankit.training.trainer import Trainer

ROOT = Path(__file__).parent.parent
CSV, DOC = ROOT / "benchmarks" / "scale.csv", ROOT / "docs" / "scale.md"
COLUMNS = ("kind", "workload", "setting", "n", "s_per_step", "min", "max", "note", "processor", "torch")
KEY = ("kind", "workload", "setting")
WORKLOADS: dict[str, tuple[str, Mapping[str, Any], int]] = {
    "wgan-gp mlp": ("wgan-gp", {"arch": "mlp", "data": "fashion-mnist", "size": 28, "preset": "paper"}, 60),
    "dcgan-32": ("dcgan", {"arch": "dcgan", "data": "shapes", "size": 32, "channels": 3, "preset": "paper"}, 12),
}
"""Variant, flags, steps."""
SETTINGS = {
    "one process, two threads": (1, {"threads": 2}),
    "two ranks, one thread each": (2, {"threads": 1}),
    "one process, one thread": (1, {"threads": 1}),
}
LINKS = {"1 Gbit/s": (2e-4, 1.25e8), "10 Gbit/s": (5e-5, 1.25e9), "100 Gbit/s": (2e-5, 1.25e10)}
"""Delay in seconds and bytes a second."""
PAYS = 0.8
"""The efficiency below which more GPUs do not pay."""
WAYS = ("no link", "in parts", "all at the end")


def about() -> Row:
    return {"processor": processor(), "torch": torch.__version__}


def row(kind: str, workload: str, setting: str, seconds: list[float], note: str = "") -> Row:
    spread = {"s_per_step": median(seconds), "min": min(seconds), "max": max(seconds)}
    return {
        "kind": kind,
        "workload": workload,
        "setting": setting,
        "n": len(seconds),
        **spread,
        "note": note,
        **about(),
    }


def step_of(workload: str, ranks: int, flags: Mapping[str, Any]) -> float:
    """Seconds a step of a `gankit train` in processes of its own, the first third of the steps left out."""
    variant, own, steps = WORKLOADS[workload]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        given = {**own, **flags, "steps": steps, "log_every": steps // 6, "sample_every": 10**6, "out": out}
        words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        main = [sys.executable, "-c", "from gankit.cli import main; main()", "train", variant, *words, "--quiet"]
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}",
                    "--no-python"]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        subprocess.run(main if ranks == 1 else launcher + main, check=True, capture_output=True, env=environment)
        found = [line["seconds per step"] for line in lines(out / "timing.jsonl")]
        return median(found[2:])


class Link(Ranks):
    """Two ranks that hold the same and a link between them: what is sent while other things are on their way comes
    after them, and a sum is there a delay after its last byte.
    """

    def __init__(self, delay: float, bandwidth: float) -> None:
        super().__init__(0, 2)
        object.__setattr__(self, "between", (delay, bandwidth))
        object.__setattr__(self, "free", [0.0])

    def sum_later(self, tensor: Tensor) -> Callable[[], None]:
        (delay, bandwidth), free = self.between, self.free  # type: ignore[attr-defined]
        free[0] = max(time.monotonic(), free[0]) + tensor.nbytes / bandwidth
        there = free[0] + delay

        def wait() -> None:
            time.sleep(max(0.0, there - time.monotonic()))
            tensor.mul_(2)

        return wait


def linked(workload: str, way: str, link: tuple[float, float]) -> tuple[float, int]:
    """(median seconds a step over a simulated link, bytes sent a step)."""
    variant, own, steps = WORKLOADS[workload]
    trainer = Trainer(configure(variant, {**own, "threads": 1, "steps": steps, "engine": "eager"}))
    sent = 0
    for state in trainer.phases:
        sent += sum(p.nbytes for p in state.parameters) * state.phase.times(0)
        if way != "no link":
            bucket = BUCKET if way == "in parts" else 10**12
            state.reduction = Reduction(state.parameters, [], Link(*link), 0.5, bucket)
    found = []
    for _ in range(steps // 3):
        began = time.perf_counter()
        trainer.step()
        found.append(time.perf_counter() - began)
    return median(found[1:]), sent


def on_paper(ms: float, megabytes: float, gpus: int, per_host: int, inside: float, between: float) -> float:
    """Milliseconds of a step: computing, and a ring's 2 (n - 1) / n of the gradients over its slowest link, half of
    which the backward pass hides, where that takes no longer than half of the computing.

    ``inside`` and ``between``: gigabytes a second within a host and between hosts; 20 us a message.
    """
    if gpus == 1:
        return ms
    bandwidth = inside if gpus <= per_host else between
    sending = 2 * (gpus - 1) / gpus * megabytes / bandwidth + 2 * (gpus - 1) * 0.02
    return ms + max(sending / 2, sending - ms / 2)


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.option("--n", default=3, show_default=True, help="Turns.")
def ranks(n: int) -> None:
    for workload in WORKLOADS:
        found: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
        for _ in range(n):
            for setting, (count, flags) in SETTINGS.items():
                found[setting].append(step_of(workload, count, flags))
        rows = [row("ranks", workload, setting, some) for setting, some in found.items()]
        keep(CSV, COLUMNS, rows, KEY)
        click.echo(json.dumps(rows, indent=1))
    document()


@main.command()
@click.option("--n", default=3, show_default=True, help="Turns.")
def link(n: int) -> None:
    for workload in WORKLOADS:
        for name, between in LINKS.items():
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            sent = 0
            for _ in range(n):
                for way in WAYS:
                    seconds, sent = linked(workload, way, between)
                    found[way].append(seconds)
            note = f"{sent / 2**20:.1f} MiB a step"
            keep(
                CSV, COLUMNS, [row("link", workload, f"{name}, {way}", some, note) for way, some in found.items()], KEY
            )
            click.echo(f"{workload} {name}: { {way: round(median(some), 4) for way, some in found.items()} }")
    document()


@main.command()
@click.option("--ms", default=20.0, show_default=True, help="A step on one GPU, of --batch images.")
@click.option("--megabytes", default=25.0, show_default=True, help="Gradients that are summed in a step.")
@click.option("--batch", default=64, show_default=True, help="Images a step on one GPU.")
@click.option("--inside", default=200.0, show_default=True, help="Gigabytes a second within a host.")
@click.option("--between", default=12.5, show_default=True, help="Gigabytes a second between hosts.")
@click.option("--per-host", default=8, show_default=True, help="GPUs.")
def paper(ms: float, megabytes: float, batch: int, inside: float, between: float, per_host: int) -> None:
    rows = []
    for gpus in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        whole = on_paper(ms, megabytes, gpus, per_host, inside, between)
        least = next(
            size for size in (2**i for i in range(20))
            if ms * size / batch >= PAYS * on_paper(ms * size / batch, megabytes, gpus, per_host, inside, between)
        )  # fmt: skip
        rows.append([str(gpus), f"{batch * gpus:,}", f"{whole:.1f}", f"{ms / whole:.2f}", f"{least}"])
    head = ["GPUs", f"batch, {batch} on each", "ms a step", "efficiency", f"least images on each for {PAYS}"]
    between_markers(DOC, "on paper", markdown(head, rows))
    click.echo(markdown(head, rows))


def document() -> None:
    """The tables of benchmarks/scale.csv in docs/scale.md."""
    found = read(CSV)
    last = {(one["kind"], one["workload"], one["setting"]): one for one in found}
    cells = [
        [workload, *(f"{float(last['ranks', workload, setting]['s_per_step']):.4f}" for setting in SETTINGS)]
        for workload in WORKLOADS
        if ("ranks", workload, next(iter(SETTINGS))) in last
    ]
    if cells:
        one = next(one for one in found if one["kind"] == "ranks")
        note = f"Seconds a step, medians of {one['n']} runs in turns; {one['processor']}, torch {one['torch']}."
        between_markers(DOC, "ranks", markdown(["workload", *SETTINGS], cells) + "\n\n" + note)
    cells = []
    for workload in WORKLOADS:
        for name in LINKS:
            some = {way: last.get(("link", workload, f"{name}, {way}")) for way in WAYS}
            if all(some.values()):
                none, parts, end = (float(some[way]["s_per_step"]) for way in WAYS)
                hidden = f"{(end - parts) / (end - none):.2f}" if end > none else ""
                cells.append(
                    [workload, some["no link"]["note"], name, f"{none:.4f}", f"{parts:.4f}", f"{end:.4f}", hidden]
                )
    if cells:
        one = next(one for one in found if one["kind"] == "link")
        note = f"Seconds a step of one thread, medians of {one['n']} turns; {one['processor']}, torch {one['torch']}."
        head = ["workload", "sent", "link", *WAYS, "hidden"]
        between_markers(DOC, "link", markdown(head, cells) + "\n\n" + note)


if __name__ == "__main__":
    main()
