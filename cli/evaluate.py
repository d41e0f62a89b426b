"""gankit evaluate RUN|FOLDER|FILE.npy"""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("samples", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--metric", "metrics", multiple=True, default=("fid",), show_default=True,
    help="What to judge by; may be repeated, or be several separated by commas.",
)  # fmt: skip
@click.option("--data", help="Real images, NAME or NAME:PATH.  [default: what a run was trained on]")
@click.option("--split", help="Part of the data set.  [default: a run's own, else train]")
@click.option("--data-root", help="Folder in which to look for data sets.")
@click.option("--extractor", default="classifier", show_default=True, help="Network whose features are looked at.")
@click.option("--weights", type=click.Path(path_type=Path), help="File of the extractor's weights.")
@click.option("--images", default=10_000, show_default=True, type=click.IntRange(2, 10**7), help="Samples to judge.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of a run's latents.")
@click.option("--checkpoint", default="last", show_default=True, metavar="STEP|best|last", help="Which weights.")
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def evaluate(
    samples: tuple[Path, ...],
    metrics: tuple[str, ...],
    data: str | None,
    split: str | None,
    data_root: str | None,
    extractor: str,
    weights: Path | None,
    images: int,
    seed: int,
    checkpoint: str,
    device: str,
    as_json: bool,
) -> None:
    """Judge samples against real images: of a run, in a folder, or in a .npy file uint8 [N,H,W,C].

    Each score comes with its protocol. Several are put side by side; where their protocols differ that is said. A
    run's scores are added to its evaluations.jsonl. `gankit plugins list` shows metrics and extractors.
    """
    from gankit.evaluation.evaluate import evaluate as evaluate_them
    from gankit.evaluation.score import table

    scores = evaluate_them(
        samples,
        metrics,
        data=data,
        extractor=extractor,
        weights=weights,
        images=images,
        seed=seed,
        checkpoint=checkpoint,
        split=split,
        data_root=data_root,
        device=device,
    )
    if as_json:
        click.echo(json.dumps([{"subject": score.subject, **score.as_dict()} for score in scores], indent=2))
        return
    for line in table(scores):
        click.echo(line)
