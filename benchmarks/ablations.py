"""What optional parts of gankit gain: each is timed with and without, in turns.

    python benchmarks/ablations.py --n 31 --append benchmarks/ablations.csv

Times are processor time, of all threads together. ratio: without / with, the median of n turns and its 20th and 80th
percentile; above 1 the part gains. wall_ratio: the same of wall time. The row of principal components compares the
subspace iteration that gankit once had with torch.pca_lowrank, which took its place.
"""

from __future__ import annotations

import datetime
import gc
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from unittest import mock

import click
import numpy as np
import torch
from steps import append as add_row

from gankit.config import configure
from gankit.cpu import keep_freed, strided_winograd
from gankit.cpu.plan import simplify
from gankit.kernels import cpu
from gankit.runs.folder import processor
from gankit.training.trainer import Trainer

Run = Callable[[], object]
MLP = {"size": 28, "channels": 1, "arch": "mlp", "engine": "planned", "batch_size": 64}


def trainer(variant: str, **flags: object) -> Trainer:
    """A trainer of ``variant`` on `shapes`, past the steps in which plans are made."""
    made = Trainer(
        configure(
            variant, {"preset": "paper", "data": "shapes", "threads": torch.get_num_threads(), "steps": 1000, **flags}
        )
    )
    for _ in range(2):
        made.step()
    return made


def interpolants(precision: str) -> tuple[Run, Run]:
    """Steps of WGAN-GP with MLPs, whose plan distributes linear layers over interpolation."""
    with mock.patch.object(simplify, "distribute_gemms"):
        without = trainer("wgan-gp", precision=precision, **MLP)
    return trainer("wgan-gp", precision=precision, **MLP).step, without.step


def layer(n: int, into: int, out: int, side: int, product: str) -> tuple[Run, Run]:
    """One of the three products of a 4x4 convolution with stride 2 to ``side`` pixels, by Winograd's algorithm."""
    x, weight, grad = (
        torch.randn(shape).contiguous(memory_format=torch.channels_last)
        for shape in ((n, into, 2 * side, 2 * side), (out, into, 4, 4), (n, out, side, side))
    )
    settings = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)
    backward = torch.ops.aten.convolution_backward
    runs: dict[str, tuple[Run, Run]] = {
        "output": (
            lambda: strided_winograd.convolve(x, weight, 1),
            lambda: torch.convolution(x, weight, None, *settings),
        ),
        "input": (
            lambda: strided_winograd.input_gradient(grad, weight, x.shape[2:], 1),
            lambda: backward(grad, x, weight, None, *settings, [True, False, False]),
        ),
        "weight": (
            lambda: strided_winograd.weight_gradient(grad, x, 1),
            lambda: backward(grad, x, weight, None, *settings, [False, True, False]),
        ),
    }
    return runs[product]


def strided_step(variant: str, size: int) -> tuple[Run, Run]:
    """Steps with strided layers by Winograd's algorithm wherever they are large enough."""
    made = trainer(variant, data="shapes", size=size, channels=1)

    def without() -> None:
        with mock.patch.object(strided_winograd, "fits", return_value=False):
            made.step()

    return made.step, without


ABLATIONS: dict[str, Callable[[], tuple[Run, Run]]] = {
    **{f"interpolants: step of wgan-gp-mlp {p}": lambda p=p: interpolants(p) for p in ("fp32", "bf16")},
    **{
        f"strided Winograd: {n}x{into}x{out}x{side} {product}": lambda a=(n, into, out, side, product): layer(*a)
        for n, into, out, side in ((64, 64, 128, 7), (128, 64, 128, 7), (64, 64, 128, 14))
        for product in ("output", "input", "weight")
    },
    **{
        f"strided Winograd: step of {variant}-28": lambda v=variant: strided_step(v, 28)
        for variant in ("dcgan", "wgan-gp")
    },
}


def timed(run: Run) -> tuple[float, float]:
    """Seconds of processor time and of the clock."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.process_time() - processor, time.perf_counter() - wall


def measured(runs: tuple[Run, Run], n: int) -> dict[str, object]:
    """Both of ``runs``, in turns whose order alternates."""
    for run in runs:
        run()
    found = np.empty((n, 2, 2))
    for i in range(n):
        for which in (0, 1) if i % 2 else (1, 0):
            found[i, which] = timed(runs[which])
    ratios = (found[:, 1] / found[:, 0]).T
    cuts = quantiles(ratios[0], n=5)
    return {
        "with_ms": round(1000 * median(found[:, 0, 0]), 2),
        "without_ms": round(1000 * median(found[:, 1, 0]), 2),
        "ratio": round(median(ratios[0]), 3),
        "ratio_p20": round(cuts[0], 3),
        "ratio_p80": round(cuts[3], 3),
        "wall_ratio": round(median(ratios[1]), 3),
        "n": n,
    }


@click.command(help=__doc__)
@click.option("--n", default=31, show_default=True, help="Turns.")
@click.option("--threads", default=1, show_default=True)
@click.option("--only", default="", help="Those whose name holds this.")
@click.option("--append", type=click.Path(path_type=Path), help="A CSV file that gets the rows.")
def main(n: int, threads: int, only: str, append: Path | None) -> None:
    """Time what is asked for, a row each."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    keep_freed()  # as in training
    for what, make in ABLATIONS.items():
        if only not in what:
            continue
        row = {"date": datetime.date.today(), "what": what, **measured(make(), n), "threads": threads,
               "machine": f"{processor()} {cpu._cpu and cpu._cpu.level()}", "torch": torch.__version__}  # fmt: skip
        print(", ".join(map(str, row.values())), flush=True)
        if append:
            add_row(append, row)
        gc.collect()


if __name__ == "__main__":
    main()
