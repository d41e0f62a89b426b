"""gankit export RUN"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", default="generator.safetensors", show_default=True, type=click.Path(path_type=Path),
    help="A .safetensors file; it is replaced.",
)  # fmt: skip
def export(run: Path, output: Path) -> None:
    """Write a run's generator to one file that needs no run folder.

    The file is loaded again before it gets its name, and must give the same images bit for bit.
    """
    from gankit.runs.export import export as export_it
    from gankit.runs.folder import RunFolder

    click.echo(str(export_it(RunFolder(run), output)))
