"""gankit interpolate RUN"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--mode", default="spherical", show_default=True, type=click.Choice(["spherical", "linear"]))
@click.option(
    "--rows", default=8, show_default=True, type=click.IntRange(1, 1000), help="Paths, one a row; of images: the pairs."
)
@click.option("--steps", default=10, show_default=True, type=click.IntRange(2, 1000), help="Images along a path.")
@click.option(
    "--between-classes", nargs=2, metavar="A B", help="From class A to class B at one latent a row, always in a line."
)
@click.option(
    "--between-codes",
    nargs=3,
    metavar="CODE A B",
    help="From value A of a code, such as infogan's category or continuous0, to value B, always in a line.",
)
@click.option(
    "--between-images", nargs=2, multiple=True, metavar="A B",
    help="From the latent of image A to that of image B, of a run that encodes: files, or numbers of images of its "
    "data set. May be repeated: each a row.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the latents.")
@click.option(
    "-o", "--output", default="interpolation.png", show_default=True, type=click.Path(path_type=Path),
    help=".png a grid, .npy the array uint8 [N,H,W,C], no ending a folder of PNGs.",
)  # fmt: skip
def interpolate(
    run: Path,
    mode: str,
    rows: int,
    steps: int,
    between_classes: tuple[str, str] | None,
    between_codes: tuple[str, str, str] | None,
    between_images: tuple[tuple[str, str], ...],
    seed: int,
    output: Path,
) -> None:
    """Draw paths between latents, classes, values of a code or images: each row starts at one and ends at another."""
    from gankit.core.errors import UsageError
    from gankit.core.images import check_output, save
    from gankit.inference import class_grids as codes
    from gankit.inference import interpolate as latents
    from gankit.inference import reconstruct as encoding
    from gankit.runs.folder import RunFolder

    check_output(output)
    ends = {"classes": between_classes, "codes": between_codes, "images": between_images}
    given = [f"--between-{name}" for name, value in ends.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)}: choose one of them")
    trained = RunFolder(run)
    if between_classes:
        images = codes.between_classes(trained, *between_classes, rows, steps, seed)
    elif between_codes:
        images = codes.between_codes(trained, *between_codes, rows, steps, seed)
    elif between_images:
        images = encoding.between_images(trained, between_images, steps, mode)
    else:
        images = latents.interpolate(trained, rows, steps, mode, seed)
    click.echo(str(save(images, output, steps)))
