"""gankit grid RUN"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--code", help="Sweep this code of the model in every row, such as category or continuous0.")
@click.option("--rows", default=10, show_default=True, type=click.IntRange(1, 1000), help="Latents, with --code.")
@click.option("--columns", default=10, show_default=True, type=click.IntRange(1, 1000), help="Images in a row.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the latents.")
@click.option(
    "-o", "--output", default="grid.png", show_default=True, type=click.Path(path_type=Path),
    help=".png a grid, .npy the array uint8 [N,H,W,C], no ending a folder of PNGs.",
)  # fmt: skip
def grid(run: Path, code: str | None, rows: int, columns: int, seed: int, output: Path) -> None:
    """Draw what the classes or codes of a model do.

    Of a conditional variant: one class a row, one latent a column. Of one with codes, such as infogan: one code swept
    in each row, all at one latent; with --code that code in every row, each at a latent of its own.
    """
    from gankit.core.images import check_output, save
    from gankit.inference.class_grids import class_grid, code_grid
    from gankit.models.interface import Conditional
    from gankit.runs.folder import RunFolder

    check_output(output)
    trained = RunFolder(run)
    model = trained.load()
    if code is None and isinstance(model, Conditional) and "class" in model.conditions:
        images = class_grid(trained, columns, seed)
    else:
        images, columns = code_grid(trained, code, rows, columns, seed)
    click.echo(str(save(images, output, columns)))
