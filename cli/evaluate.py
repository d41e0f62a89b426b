"""gankit evaluate RUN|FOLDER|FILE.npy"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gankit.core.lazy import uncollected

PATIENCE = 3600
"""Seconds that ranks wait for one another: a metric of many images may take long on one of them."""


@click.command()
@click.argument("samples", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--metric", "metrics", multiple=True,
    help="What to judge by; may be repeated, or be several separated by commas.  [default: fid; swd without labels]",
)  # fmt: skip
@click.option(
    "--data", help="Real images, NAME or NAME:PATH, or FILE.npz of their statistics.  [default: what a run had]"
)
@click.option("--split", help="Part of the data set, and of a run's sources.  [default: a run's own, else train]")
@click.option("--data-root", help="Folder in which to look for data sets.")
@click.option("--extractor", help="Network whose features are looked at.  [default: classifier; inception for .npz]")
@click.option("--weights", type=click.Path(path_type=Path), help="File of the extractor's weights.")
@click.option("--images", type=click.IntRange(2, 10**7), help="Samples to judge.  [default: 10000 of a run, all files]")
@click.option("--seed", type=click.IntRange(min=0), help="Of a run's latents, or the choice of files.  [default: 0]")
@click.option("--checkpoint", metavar="STEP|best|last", help="Which weights of a run.  [default: last]")
@click.option(
    "--class-shares", type=click.Choice(["data", "even"]),
    help="How often each class is among a conditional run's samples.  [default: data]",
)  # fmt: skip
@click.option(
    "--save-statistics", type=click.Path(path_type=Path),
    help="Write mean and covariance of the real images' features, as pytorch-fid does, to FILE.npz.",
)  # fmt: skip
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda", "mps"]))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def evaluate(samples: tuple[Path, ...], metrics: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Judge samples against real images: of a run, in a folder, or in a .npy file uint8 [N,H,W,C].

    Each score comes with its protocol. Several are put side by side; where their protocols differ that is said. A
    run's scores are added to its evaluations.jsonl. `gankit plugins list` shows metrics and extractors.
    """
    with uncollected():
        from gankit.core.ranks import joined
        from gankit.evaluation.evaluate import record, scores_of
        from gankit.evaluation.score import table

    if not samples and options["save_statistics"] is None:
        raise click.UsageError("Missing argument 'SAMPLES...'.")
    with joined(PATIENCE) as ranks:
        scores = scores_of(samples, metrics or None, **options)
    if not ranks.first:
        return
    if as_json:
        click.echo(json.dumps([{"subject": score.subject, **score.as_dict()} for score in scores], indent=2))
    else:
        for line in table(scores):
            click.echo(line)
    record(scores)  # last: a run that cannot be written to has its scores shown all the same
    if options["save_statistics"] is not None:
        click.echo(f"statistics of the real images: {options['save_statistics']}", err=True)
