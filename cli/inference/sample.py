"""gankit sample RUN"""

from __future__ import annotations

from pathlib import Path

import click

from gankit.core.lazy import uncollected


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-n", "--count", default=64, show_default=True, type=click.IntRange(1, 1_000_000), help="Images.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the latents.")
@click.option("--checkpoint", default="last", show_default=True, metavar="STEP|best|last", help="Which weights.")
@click.option(
    "--class", "classes", multiple=True, metavar="NAME|NUMBER",
    help="Only this class, of a conditional variant; may be repeated: each in turn.",
)  # fmt: skip
@click.option("--columns", type=click.IntRange(min=1), help="Columns of a grid.")
@click.option("--data", help="Where the run's images are now, NAME:PATH.  [default: looked for near where they were]")
@click.option(
    "-o", "--output", default="samples.png", show_default=True, type=click.Path(path_type=Path),
    help=".png a grid, .npy the array uint8 [N,H,W,C], no ending a folder of PNGs; a file is replaced.",
)  # fmt: skip
@click.option(
    "--density/--no-density", default=None,
    help="Draw from the density that `gankit density` fitted.  [default: where there is one]",
)  # fmt: skip
def sample(
    run: Path,
    data: str | None,
    count: int,
    seed: int,
    checkpoint: str,
    classes: tuple[str, ...],
    columns: int | None,
    output: Path,
    density: bool | None,
) -> None:
    """Draw images from a trained generator. An array or a folder is written as they are drawn, however many."""
    with uncollected():
        from gankit.core.errors import UsageError
        from gankit.core.images import check_output, save_parts
        from gankit.core.progress import show
        from gankit.core.ranks import joined
        from gankit.inference.sample import stream
        from gankit.runs.folder import RunFolder
        from gankit.runs.weights import in_words

    check_output(output)
    if columns is not None and output.suffix != ".png":
        raise UsageError(f"--columns: only a grid has some; end -o {output} with .png, or leave it out")
    folder = RunFolder(run, data)
    with joined() as ranks:
        parts = ranks.in_turn(stream(folder, count, seed, checkpoint, density=density, classes=classes))
        if ranks.first:
            click.echo(str(save_parts(parts, count, output, columns)))
        else:
            list(parts)  # which makes this rank's, and hands them to rank 0
    if not ranks.first:
        return
    show(f"drawn with {in_words(folder.config.train.ema_halflife_images)}")
