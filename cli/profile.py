"""`gankit profile`: how fast, beside PyTorch in the same run."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import click

from gankit.cli.train import Variants, variant_flags
from gankit.registry import registry

# By their files: importing them would load PyTorch for a help page.
OPS = sorted(path.stem.removesuffix("_triton") for path in (Path(__file__).parents[1] / "kernels").glob("*_triton.py"))


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
    from gankit.profiling import kernels as profile_kernels

    failed = False
    for row in profile_kernels.profile(op, impl, size, kinds, rounds, compare):
        click.echo(json.dumps(dataclasses.asdict(row)) if as_json else profile_kernels.line(row))
        failed |= bool(row.failure)
        if file is not None:
            profile_kernels.append(file, [row])
    sys.exit(1 if failed else 0)


class StepVariants(Variants):
    """One subcommand a variant, with the flags of `gankit train VARIANT`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return step_command(cmd_name) if cmd_name in registry().entries["variants"] else None


@profile.group(cls=StepVariants, subcommand_metavar="VARIANT [OPTIONS]")
def step() -> None:
    """Time a training step: by phase, beside its floor and two loops written by hand."""


def step_command(name: str) -> click.Command:
    """The click command that profiles the step of variant ``name``."""
    from gankit.cli.options import GroupedCommand, typed

    def callback(
        rounds: int, timed_steps: int, baselines: Path | None, trace: Path | None, as_json: bool, **flags: Any
    ) -> None:
        from gankit.config import configure
        from gankit.profiling.step import profile_step

        found = profile_step(configure(name, typed(flags)), timed_steps, rounds, baselines, trace)
        if as_json:
            click.echo(json.dumps(dataclasses.asdict(found)))
        else:
            for line in found.lines():
                click.echo(line)

    path = click.Path(path_type=Path)
    own: list[click.Parameter] = [
        click.Option(["--timed-steps"], type=click.IntRange(min=1), default=20, show_default=True, help="Each round."),
        click.Option(["--rounds"], type=click.IntRange(min=1), default=3, show_default=True, help="Turns taken."),
        click.Option(["--baselines", "--yardsticks"], type=path, help="Folder of careful.py and textbook.py."),
        click.Option(["--trace"], type=path, help="Write Chrome's trace of a few steps to this file."),
        click.Option(["--json", "as_json"], is_flag=True, help="For programs."),
    ]
    for each in own:
        each.group = "Profile"  # type: ignore[attr-defined]
    return GroupedCommand(
        name, params=[*own, *variant_flags(name)], callback=callback, help=f"Profile the step of {name}."
    )
