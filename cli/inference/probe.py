"""gankit probe RUN"""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-n", "--count", default=5000, show_default=True, type=click.IntRange(min=2), help="Images to use.")
@click.option(
    "--held-out", default=0.2, show_default=True, type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of them that is tested on.",
)  # fmt: skip
@click.option("-k", "--neighbours", default=5, show_default=True, type=click.IntRange(min=1), help="Neighbours asked.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the division.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def probe(run: Path, count: int, held_out: float, neighbours: int, seed: int, as_json: bool) -> None:
    """Read the class of an image off its latent, and print how often that is right.

    By logistic regression, linear support vector machines and nearest neighbours; beside the same encoder untrained,
    and beside the pixels.
    """
    from gankit.inference.probe import probe as probe_it
    from gankit.runs.folder import RunFolder

    rows = probe_it(RunFolder(run), count, held_out, neighbours, seed)
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows], indent=2))
        return
    click.echo(f"{'':<17}  {'width':>6}  {'linear':>6}  {'SVM':>6}  {'k-NN':>6}")
    for row in rows:
        click.echo(f"{row.features:<17}  {row.width:>6}  {row.linear:>6.3f}  {row.svm:>6.3f}  {row.knn:>6.3f}")
