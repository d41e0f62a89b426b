"""gankit reconstruct RUN [IMAGES]"""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), required=False)
@click.option("-n", "--count", default=32, show_default=True, type=click.IntRange(1, 100_000), help="Images shown.")
@click.option(
    "--judge", default=1000, show_default=True, type=click.IntRange(1, 10_000_000), help="Images the error is over."
)
@click.option("--split", help="Part of the data set, such as test.  [default: what the run was trained on]")
@click.option(
    "--extractor", help="Also count the images whose class it sees again, such as classifier.  [default: none]"
)
@click.option("--columns", type=click.IntRange(min=1), help="Columns of a grid; an even number keeps pairs together.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--data", help="Where the run's images are now, NAME:PATH.  [default: looked for near where they were]")
@click.option(
    "-o", "--output", default="reconstructions.png", show_default=True, type=click.Path(path_type=Path),
    help=".png a grid, .npy the array uint8 [2N,H,W,C], no ending a folder of PNGs; a file is replaced.",
)  # fmt: skip
def reconstruct(
    run: Path,
    data: str | None,
    images: Path | None,
    count: int,
    judge: int,
    split: str | None,
    extractor: str | None,
    columns: int | None,
    as_json: bool,
    output: Path,
) -> None:
    """Show images beside what a model makes of their latents, and how far it is off.

    Of a file or a folder of images, else of the run's data set. The error is the mean squared difference of a pixel on
    the [-1, 1] scale, beside that of the training images' mean.
    """
    from gankit.core.errors import UsageError
    from gankit.core.images import check_output, save
    from gankit.inference.reconstruct import reconstruct as reconstruct_it
    from gankit.runs.folder import RunFolder

    check_output(output)
    if columns is not None and output.suffix != ".png":
        raise UsageError(f"--columns: only a grid has some; end -o {output} with .png, or leave it out")
    found = reconstruct_it(RunFolder(run, data), images, count, judge, split, extractor)
    path = str(save(found.pairs, output, columns or 2 * max(1, round((len(found.pairs) / 4) ** 0.5))))
    if as_json:
        values = {"error": found.error, "mean image": found.mean_image, "ratio": found.ratio, "images": found.images}
        values |= {} if found.same_class is None else {"same class": found.same_class}
        click.echo(json.dumps({"output": path, **values}))
        return
    click.echo(path)
    click.echo(
        f"mean squared error {found.error:.5f}; of the mean image {found.mean_image:.5f} "
        f"(ratio {found.ratio:.3f}, {found.images} images)"
    )
    if found.same_class is not None:
        click.echo(f"same class seen in {found.same_class:.3f} of {found.images}")
