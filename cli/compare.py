"""gankit compare RUN|SWEEP|PATTERN..."""

from __future__ import annotations

from pathlib import Path

import click

from gankit.core.progress import show


@click.command()
@click.argument("runs", metavar="RUN|SWEEP|PATTERN...", nargs=-1, required=True)
@click.option("--metric", metavar="NAME,...", help="Only these.  [default: all that runs were judged by]")
@click.option(
    "--to", type=float, metavar="SCORE",
    help="Say what it took to get to this score.  [default: the best that all runs got to]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For programs: everything.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets: a row a group, metric and question.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a page, too: .html; a file is replaced.")
def compare(
    runs: tuple[str, ...], metric: str | None, to: float | None, as_json: bool, as_csv: bool, output: Path | None
) -> None:
    """Compare groups of runs that differ by their seed alone: scores, what it took, health, losses.

    Names run folders, folders of sweeps or studies, or patterns in quotes: 'OUT/*/seed-*'. A difference is called one
    only where the seeds' spread allows it; with one seed nothing is. Scores of different protocols are not ranked.
    """
    from gankit.lab.comparison.compare import compare as compare_it

    if as_json and as_csv:
        raise click.UsageError("--json and --csv: choose one of them.")
    found = compare_it(*runs, metric=metric, to=to)
    click.echo((found.to_json() if as_json else found.to_csv() if as_csv else str(found)).rstrip("\n"))
    if output is not None:
        show(f"page: {found.save(output)}")
