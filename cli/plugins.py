"""gankit plugins"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gankit.core.errors import GankitError, UsageError, closest
from gankit.core.progress import show
from gankit.registry import registry

if TYPE_CHECKING:
    from gankit.testing import Check


@click.group()
def plugins() -> None:
    """See what plugins add, and which of them fail."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(as_json: bool) -> None:
    """List everything that is registered, with the package it comes from."""
    found = registry()
    if as_json:
        listed = [{"kind": kind, "name": e.name, "summary": e.line(), "from": e.owner} for kind, e in found]
        broken = [{"plugin": each.plugin, "cause": each.cause} for each in found.broken]
        click.echo(json.dumps({"registered": listed, "broken": broken}, indent=2))
        return
    for kind, entries in found.entries.items():
        if entries:
            click.echo(f"{kind}:")
            table([(e.name, e.line(), e.owner) for e in entries.values()], as_json=False)
    for each in found.broken:
        click.echo(f"broken: {each.plugin}: {each.cause}")


@plugins.command()
@click.argument("name")
@click.option("--data", help="Of a data set that needs a path: NAME:PATH.")
def check(name: str, data: str | None) -> None:
    """Check the variant, architecture, data set or metric called NAME against what gankit relies on."""
    from gankit.testing import CheckFailed, check_architecture, check_dataset, check_metric, check_variant

    kinds = [kind for kind, entries in registry().entries.items() if name in entries]
    checkers: dict[str, Callable[[str], tuple[Check, ...]]] = {
        "variants": check_variant,
        "architectures": check_architecture,
        "datasets": lambda name: check_dataset(name, **({} if data is None else {"data": data})),
        "metrics": check_metric,
    }
    known = [kind for kind in kinds if kind in checkers]
    if not known:
        names = [entry for kind in checkers for entry in registry().names(kind)]
        raise UsageError(f"unknown plugin '{name}': {closest(name, names)}")
    failed = 0
    for kind in known:
        for each in checkers[kind](name):
            try:
                nothing = each()
                click.echo(f"  {each}: {'passed' if nothing is None else f'nothing to look at: {nothing}'}")
            except CheckFailed as error:
                failed += 1
                click.echo(f"  {each}: FAILED: {error}")
    if failed:
        raise GankitError(f"{name}: {failed} of its checks failed")


@plugins.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder.  [default: gankit-NAME]")
def new(name: str, output: Path | None) -> None:
    """Write a package with a variant called NAME to start from, and a test that runs its checks."""
    from gankit.cli.new_plugin import write

    root = write(name, output or Path(f"gankit-{name}"))
    click.echo(str(root))
    show(f"`pip install -e {root}`, then `gankit plugins check {name}` and `gankit train {name} --data shapes`")


def table(rows: list[tuple[str, str, str]], as_json: bool) -> None:
    """Print (name, summary, owner) rows in columns, or as JSON."""
    if as_json:
        keys = ("name", "summary", "from")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for name, summary, owner in rows:
        click.echo(f"  {name:<{widths[0]}}  {summary:<{widths[1]}}  {owner}")
