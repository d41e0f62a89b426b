"""gankit translate RUN INPUT"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("input", type=click.Path(path_type=Path))
@click.option(
    "--direction",
    default="a2b",
    show_default=True,
    type=click.Choice(["a2b", "b2a"]),
    help="From which domain to which.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of dropout, if the run has any."
)
@click.option(
    "-o", "--output", default="translated", show_default=True, type=click.Path(path_type=Path),
    help="No ending: a folder of PNGs; .png a grid (one image: itself), .npy the array uint8 [N,H,W,C].",
)  # fmt: skip
def translate(run: Path, input: Path, direction: str, seed: int, output: Path) -> None:  # noqa: A002 -- the user's word
    """Translate images: a file, or all images in a folder, of any size.

    Each keeps its size. The run must be one of a variant that maps images to images, such as cyclegan.
    """
    from gankit.inference.translate import translate as translate_it
    from gankit.runs.folder import RunFolder

    click.echo(str(translate_it(RunFolder(run), input, output, direction, seed)))
