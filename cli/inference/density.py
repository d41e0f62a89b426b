"""gankit density RUN"""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--kind", default="mixture", show_default=True, type=click.Choice(["mixture", "vae"]),
    help="Gaussians on principal components, or a VAE on the codes of a vq-vae.",
)  # fmt: skip
@click.option("--components", default=16, show_default=True, type=click.IntRange(1, 10_000), help="Gaussians.")
@click.option(
    "--dims", default=256, show_default=True, type=click.IntRange(1, 65536), help="Principal components at most."
)
@click.option("--latents", default=5000, show_default=True, type=click.IntRange(min=2), help="Images to fit to.")
@click.option("--steps", default=2000, show_default=True, type=click.IntRange(min=1), help="Steps that a VAE trains.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of start and training.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def density(
    run: Path, kind: str, components: int, dims: int, latents: int, steps: int, seed: int, as_json: bool
) -> None:
    """Fit a density to a run's latents; `gankit sample` then draws from it.

    It is kept in the run folder and takes the place of one fitted before.
    """
    from gankit.inference.density import fit
    from gankit.runs.folder import RunFolder

    about = fit(RunFolder(run), kind, components, dims, latents, steps, seed)
    about.pop("options")
    if as_json:
        click.echo(json.dumps(about))
        return
    click.echo(str(run / "density.pt"))
    click.echo(
        ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in about.items()
        )
    )
