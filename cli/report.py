"""gankit report RUN..."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="The page to write, .html; a file is replaced.  [default: RUN/report.html; for several runs report.html]",
)  # fmt: skip
def report(runs: tuple[Path, ...], output: Path | None) -> None:
    """Write what a run did, or several side by side, as one HTML page: curves, samples, metrics, health, options.

    A run may still be training. The page loads nothing else. It is drawn with matplotlib: pip install 'gankit[report]'.
    """
    from gankit.report import write

    click.echo(str(write(runs, output)))
