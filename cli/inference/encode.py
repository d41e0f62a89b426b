"""gankit encode RUN [IMAGES]"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), required=False)
@click.option("-n", "--count", type=click.IntRange(min=1), help="Only the first so many images.")
@click.option("--split", help="Part of the data set, such as test.  [default: what the run was trained on]")
@click.option(
    "-o", "--output", default="latents.npy", show_default=True, type=click.Path(path_type=Path),
    help="An .npy file, the array [N, width]; it is replaced.",
)  # fmt: skip
def encode(run: Path, images: Path | None, count: int | None, split: str | None, output: Path) -> None:
    """Write the latents of images, in their order.

    Of a file or a folder of images (in the order of their names), else of the run's data set.
    """
    import io

    import numpy as np

    from gankit.core.errors import UsageError
    from gankit.core.files import atomic_write, explained
    from gankit.inference import reconstruct as encoding
    from gankit.runs.folder import RunFolder

    if output.suffix != ".npy":
        raise UsageError(f"-o {output}: end it with .npy")
    if images is not None:
        encoding.check_no_split(split, images)
    it = RunFolder(run)
    model = encoding.load(it)
    found = encoding.images_of(it, split, count) if images is None else encoding.images_in(images, it)
    buffer = io.BytesIO()
    np.save(buffer, encoding.encode(model, found.images[:count], it.spec.sides).numpy())
    with explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(output, buffer.getbuffer())
    click.echo(str(output))
