"""gankit interpolate RUN"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--mode", default="spherical", show_default=True, type=click.Choice(["spherical", "linear"]))
@click.option("--rows", default=8, show_default=True, type=click.IntRange(1, 1000), help="Paths, one a row.")
@click.option("--steps", default=10, show_default=True, type=click.IntRange(2, 1000), help="Images along a path.")
@click.option(
    "--between-classes", nargs=2, metavar="A B", help="From class A to class B at one latent a row, always in a line."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the latents.")
@click.option(
    "-o", "--output", default="interpolation.png", show_default=True, type=click.Path(path_type=Path),
    help=".png a grid, .npy the array uint8 [N,H,W,C], no ending a folder of PNGs.",
)  # fmt: skip
def interpolate(
    run: Path, mode: str, rows: int, steps: int, between_classes: tuple[str, str] | None, seed: int, output: Path
) -> None:
    """Draw paths between latents, or between classes: each row starts at one and ends at another."""
    from gankit.codes import between_classes as from_class_to_class
    from gankit.images import check_output, save
    from gankit.latents import interpolate as between
    from gankit.run import Run

    check_output(output)
    if between_classes:
        images = from_class_to_class(Run(run), *between_classes, rows, steps, seed)
    else:
        images = between(Run(run), rows, steps, mode, seed)
    click.echo(str(save(images, output, steps)))
