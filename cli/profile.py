"""`gankit profile`: how fast, beside PyTorch in the same run."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

OPS = ("interpolate", "norm_penalty", "l1_terms", "gather")


@click.group()
def profile() -> None:
    """Measure this machine."""


@profile.command()
@click.option("--op", type=click.Choice(OPS), multiple=True, help="Only this op; may be repeated.  [default: all]")
@click.option("--impl", type=click.Choice(["auto", "triton", "cpu", "ref"]), default="auto", show_default=True)
@click.option("--size", type=click.FloatRange(min=0.001), multiple=True, default=(1.0, 3.0, 50.0), show_default=True)
@click.option("--type", "kinds", type=click.Choice(["fp64", "fp32", "bf16", "fp16"]), multiple=True, default=("fp32",))
@click.option("--rounds", type=click.IntRange(min=1), default=300, show_default=True, help="Timed calls of each.")
@click.option("--compile/--no-compile", "compare", default=True, show_default=True, help="Also time torch.compile.")
@click.option("--append", "file", type=click.Path(dir_okay=False, path_type=Path), help="Add the rows to a CSV file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def kernels(
    op: tuple[str, ...],
    impl: str,
    size: tuple[float, ...],
    kinds: tuple[str, ...],
    rounds: int,
    compare: bool,
    file: Path | None,
    as_json: bool,
) -> None:
    """Check the fused ops, then time them; sizes are MiB of a tensor.

    Per op, size and type: the time, the bandwidth and its share of a copy's, and how many times faster than
    PyTorch's eager ops, torch.compile and torch.lerp. An op that fails its check is not timed, and the exit
    code is 1.
    """
    from gankit import profile_kernels

    failed = False
    for row in profile_kernels.profile(op or OPS, impl, size, kinds, rounds, compare):
        click.echo(json.dumps(dataclasses.asdict(row)) if as_json else profile_kernels.line(row))
        failed |= bool(row.failure)
        if file is not None:
            profile_kernels.append(file, [row])
    sys.exit(1 if failed else 0)
