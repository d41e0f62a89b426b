"""Matrix products of an MLP's training step beside torch.mm, in the same run: `make bench-gemm`.

The three cases of a layer with weights [n,k] and a batch of m: forward, X W^T; input, the gradient G W; weight, the
gradient G^T X. Rows are appended to benchmarks/gemm.csv: microseconds of one product, ours and torch.mm's in turn.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

import click
import torch
from steps import append as add_row
from torch import Tensor

from gankit.kernels import cpu

SHAPES = ((64, 784, 512), (64, 512, 784), (128, 784, 512), (192, 784, 512), (64, 512, 1024), (64, 1024, 784),
          (64, 512, 256))  # fmt: skip
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
COLUMNS = ("date", "shape", "case", "type", "threads", "ours_p50_us", "ours_p20_us", "ours_p80_us", "torch_p50_us", "n",
           "torch", "simd", "ours_gflops", "torch_gflops")  # fmt: skip


def operands(case: str, m: int, k: int, n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The factors as they lie in training, and the output."""
    x, g, w = torch.randn(m, k).to(dtype), torch.randn(m, n).to(dtype), torch.randn(n, k).to(dtype)
    a, b = {"forward": (x, w.t()), "input": (g, w), "weight": (g.t(), x)}[case]
    return a, b, torch.empty(a.shape[0], b.shape[1], dtype=dtype)


def timed(run: Callable[[], object]) -> float:
    """Microseconds."""
    start = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start) / 1e3


def measured(case: str, shape: tuple[int, int, int], name: str, n: int) -> dict[str, object]:
    """One row. Each way runs ten times in a row, in turn, so that both see the machine in the same state."""
    a, b, out = operands(case, *shape, TYPES[name])
    ways: list[Callable[[], object]] = [
        lambda: cpu.gemm(a, b, out, bf16=name == "bf16"),
        lambda: torch.mm(a, b, out=out),
    ]
    times: list[list[float]] = [[], []]
    while len(times[0]) < n:
        for way, each in zip(ways, times, strict=True):
            way()
            each += (timed(way) for _ in range(10))
    (p20, p50, p80), own = ([quantiles(each, n=10)[i] for i in (1, 4, 7)] for each in times)
    work = 2e-3 * shape[0] * shape[1] * shape[2]
    values = (datetime.date.today(), "x".join(map(str, shape)), case, name, torch.get_num_threads(), round(p50, 1),
              round(p20, 1), round(p80, 1), round(own[1], 1), n, torch.__version__, cpu._cpu and cpu._cpu.level(),
              round(work / p50), round(work / own[1]))  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


@click.command()
@click.option("--n", default=300, show_default=True, help="Products of each kind that are timed, in tens.")
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--append", type=click.Path(path_type=Path), help="A CSV file that gets the rows.")
def main(n: int, threads: tuple[int, ...], append: Path | None) -> None:
    """Print ours beside torch.mm's, m x k x n."""
    rows = []
    for count in threads:
        torch.set_num_threads(count)
        for name in TYPES:
            for case in ("forward", "input", "weight"):
                for shape in SHAPES:
                    rows.append(measured(case, shape, name, n))
                    print(*(f"{key} {rows[-1][key]}" for key in COLUMNS if key not in ("date", "n", "torch", "simd")))
    for row in rows if append else ():
        add_row(append, row)


if __name__ == "__main__":
    main()
