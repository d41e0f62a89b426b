"""gankit resume RUN"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--steps", type=click.IntRange(min=1), help="Train to this step instead of the one the run was made for.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def resume(run: Path, steps: int | None, quiet: bool) -> None:
    """Go on with a run that was stopped, killed or finished.

    It continues from the last whole checkpoint, or from the start where there is none, with the options it was
    started with; on a CPU the result is that of a run that was never interrupted, bit for bit.
    """
    from gankit.training.loop import resume as resume_it

    click.echo(str(resume_it(run, steps=steps, quiet=quiet).root))
