"""gankit sweep VARIANT"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gankit.cli.train import Variants, variant_flags
from gankit.core.progress import show
from gankit.registry import registry


class Sweeps(Variants):
    """One subcommand a variant, with the flags of `gankit train`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return sweep_command(cmd_name) if cmd_name in self.list_commands(ctx) else None


@click.group(cls=Sweeps, subcommand_metavar="VARIANT [OPTIONS]")
def sweep() -> None:
    """Train a variant once for each combination of options and each seed.

    \b
    gankit sweep wgan-gp --grid lr_g=1e-4,2e-4 --grid batch_size=256,512 --seeds 3 --out lr
    gankit compare lr

    The same command goes on with a sweep that was stopped or killed: cells that are done are kept, those begun go on
    exactly. `gankit sweep VARIANT --help` shows the options.
    """  # noqa: D301 -- click reads the control character as "do not rewrap"


def own_flags() -> list[click.Option]:
    """The flags that a sweep has besides those of a training."""
    path, number = click.Path(path_type=Path), click.IntRange(min=1)
    found = [
        click.Option(
            ["--grid"], multiple=True, metavar="NAME=V1,V2,...",
            help="Values that an option takes, one cell each; several grids are crossed. A value that holds a comma is "
            "quoted as in a CSV file.",
        ),
        click.Option(["--seeds"], type=number, default=1, show_default=True, help="Runs of each cell, from --seed on."),
        click.Option(["--jobs"], type=number, help="Cells at a time.  [default: as many as cores allow]"),
        click.Option(["--cluster"], metavar="ADDRESS", help="Run the cells on the Dask cluster of this scheduler."),
        click.Option(["--retry-failed"], is_flag=True, help="Try cells again that failed before."),
        click.Option(["--out"], type=path, help="Folder of the sweep.  [default: runs/sweep-VARIANT-DATA-NNN]"),
        click.Option(["--config"], type=path, help="Options from a .toml file or a run's config.json; flags win."),
        click.Option(["--quiet", "-q"], is_flag=True, help="Show no progress."),
    ]  # fmt: skip
    for each in found:
        each.group = "Sweep"  # type: ignore[attr-defined]
    return found


def sweep_command(name: str) -> click.Command:
    """The click command that sweeps variant ``name``."""
    from gankit.cli.options import GroupedCommand, typed

    def callback(grid: tuple[str, ...], seeds: int, out: Path | None, **given: Any) -> None:
        from gankit.lab.sweeps.cells import parse_grid
        from gankit.lab.sweeps.sweep import sweep as sweep_it

        made = sweep_it(name, parse_grid(name, grid), seeds, out=out, **typed(given))
        show(str(made), sys.stdout)
        for result in made.results.of("failed"):
            show(f"failed: {result.cell}: {result.reason}")
        for result in made.results.of("stopped"):
            show(f"stopped: {result.cell}: {result.reason}; the same command goes on with it")
        show(f"next: gankit compare {made.out}")
        if len(made.results.of("done")) < len(made.results):
            click.get_current_context().exit(1)

    summary = registry().entries["variants"][name].summary
    return GroupedCommand(
        name,
        params=[*own_flags(), *variant_flags(name)],
        callback=callback,
        help=f"Train a grid of runs: {summary}.",
        epilog="The same command goes on with a sweep that was stopped; `gankit compare OUT` compares its cells.",
    )
