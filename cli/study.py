"""gankit study RECIPE"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from gankit.core.errors import UsageError, closest
from gankit.core.progress import show
from gankit.registry import RECIPE_COMMANDS, registry


class Recipes(click.Group):
    """``list``, ``show``, and one subcommand a recipe, which is a name that is registered or a .toml file."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or recipe_command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = [*RECIPE_COMMANDS, *registry().names("studies")]
        name = args[0]
        if name not in known and not name.startswith("-") and not is_file(name):
            near = closest(name, known)
            raise UsageError(f"unknown recipe '{name}': {near} (`gankit study list` shows them; a file's is its path)")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        if rows := questions():
            with formatter.section("Recipes"):
                formatter.write_dl(rows)


def is_file(name: str) -> bool:
    """Whether ``name`` is meant as the path of a recipe."""
    return name.endswith(".toml") or Path(name).expanduser().is_file()


def questions() -> list[tuple[str, str]]:
    """(name, question) of each recipe that is registered."""
    return [(entry.name, entry.line()) for entry in registry().entries["studies"].values()]


@click.group(cls=Recipes, subcommand_metavar="RECIPE [OPTIONS]")
def study() -> None:
    """Repeat a published study and say which of its claims hold here. `gankit study RECIPE --help` shows the options.

    A study that was stopped goes on with the same command and --out.
    """


@study.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the recipes that are installed, each with its question."""
    if as_json:
        entries = registry().entries["studies"].values()
        listed = [{"name": e.name, "question": e.line(), "from": e.owner, "file": str(e.target)} for e in entries]
        click.echo(json.dumps(listed, indent=2))
        return
    formatter = ctx.make_formatter()
    formatter.write_dl(questions() or [("none", "no recipe is installed; name a .toml file")])
    click.echo(formatter.getvalue(), nl=False)


@study.command("show")
@click.argument("recipe")
@click.option("--scale", help="Show its runs at this scale.  [default: laptop, or paper]")
def show_(recipe: str, scale: str | None) -> None:
    """Show all of RECIPE: source, scales, runs, figures, claims with their checks."""
    from gankit.lab.studies.description import described
    from gankit.lab.studies.recipe import load
    from gankit.lab.studies.scale import scaled

    click.echo(described(scaled(load(recipe), scale), recipe))


OPTIONS = (
    click.Option(["--data"], metavar="NAME[:PATH]", help="Another data set than the recipe's."),
    click.Option(["--scale"], help="How large; `gankit study show RECIPE` explains.  [default: laptop, or paper]"),
    click.Option(["--seeds"], type=click.IntRange(min=1), help="Runs of each cell.  [default: the scale's]"),
    click.Option(["--seed"], type=click.IntRange(min=0), default=0, help="The first seed.  [default: 0]"),
    click.Option(["--out"], type=click.Path(path_type=Path), help="Folder.  [default: runs/study-RECIPE-NNN]"),
    click.Option(["--jobs"], type=click.IntRange(min=1), help="Runs at a time.  [default: as many as cores]"),
    click.Option(["--threads"], type=click.IntRange(min=1), help="Threads of each run."),
    click.Option(["--cluster"], metavar="ADDRESS", help="Of a Dask scheduler that the runs are handed to."),
    click.Option(["--retry-failed"], is_flag=True, help="Train again what failed before."),
    click.Option(["--quiet", "-q"], is_flag=True, help="Show no progress."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print all findings, for programs."),
)


def recipe_command(name: str) -> click.Command:
    """The click command that runs recipe ``name``."""

    def callback(as_json: bool, **options: Any) -> None:
        from gankit.lab.studies.run import study as study_it

        found = study_it(name, **options)
        show(json.dumps(found.as_dict(), indent=2) if as_json else str(found), sys.stdout)
        lost = sum(made.status != "done" for made in found.made)
        if lost:
            show(f"{lost} of {len(found.made)} runs did not come to their end; the page says why")
        if found.page.exists():
            show(f"page: {found.page}", sys.stderr if as_json else sys.stdout)

    entry = registry().entries["studies"].get(name)
    about = entry.line() if entry else f"The recipe in {name}."
    return click.Command(name, params=list(OPTIONS), callback=callback, help=f"{about}")
