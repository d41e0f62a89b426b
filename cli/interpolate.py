"""gankit interpolate RUN"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--mode", default="spherical", show_default=True, type=click.Choice(["spherical", "linear"]))
@click.option("--rows", default=8, show_default=True, type=click.IntRange(1, 1000), help="Paths, one a row.")
@click.option("--steps", default=10, show_default=True, type=click.IntRange(2, 1000), help="Images along a path.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the latents.")
@click.option(
    "-o", "--output", default="interpolation.png", show_default=True, type=click.Path(path_type=Path),
    help=".png a grid, .npy the array uint8 [N,H,W,C], no ending a folder of PNGs.",
)  # fmt: skip
def interpolate(run: Path, mode: str, rows: int, steps: int, seed: int, output: Path) -> None:
    """Draw paths between latents: each row starts at one and ends at another."""
    from gankit.images import check_output, save
    from gankit.latents import interpolate as between
    from gankit.run import Run

    check_output(output)
    click.echo(str(save(between(Run(run), rows, steps, mode, seed), output, steps)))
