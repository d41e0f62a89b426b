"""gankit resume RUN"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gankit.core.lazy import uncollected
from gankit.core.progress import show


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--steps", type=click.IntRange(min=1), help="Train to this step instead of the one the run was made for.")
@click.option(
    "--epochs", type=click.FloatRange(min=0, min_open=True), help="Train until so many times the data was drawn."
)
@click.option("--data", help="Where its images are now, NAME:PATH.  [default: looked for near where they were]")
@click.option("--checkpoint", default="last", show_default=True, metavar="STEP|best|last", help="Go on from which.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where.  [default: where it was]")
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads.")
@click.option("--lr-g", type=float, help="Learning rate of the generator.")
@click.option("--lr-d", type=float, help="Learning rate of the discriminator or critic.")
@click.option("--lr", type=float, help="Learning rate of an autoencoder.")
@click.option(
    "--roll-back", type=click.IntRange(0, 100),
    help="Where a loss is no longer finite, go back to the last checkpoint and on with half the learning rates, at "
    "most so many times over the run.",
)  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def resume(run: Path, quiet: bool, checkpoint: str, **given: Any) -> None:
    """Go on with a run that was stopped, killed or finished.

    It continues from the last whole checkpoint, or from the start where there is none, with the options it was
    started with; on a CPU the result is that of a run that was never interrupted, bit for bit. Other steps, rates,
    threads or another device begin a new leg of the run, which config.json and the report tell of.
    """
    with uncollected():
        from gankit.core.ranks import is_first
        from gankit.training.loop import resume as resume_it

    root = resume_it(run, checkpoint=checkpoint, quiet=quiet, **given).root
    if is_first():
        show(str(root), sys.stdout)
