"""gankit plugins"""

from __future__ import annotations

import json

import click

from gankit.registry import registry


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


def table(rows: list[tuple[str, str, str]], as_json: bool) -> None:
    """Print (name, summary, owner) rows in columns, or as JSON."""
    if as_json:
        keys = ("name", "summary", "from")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for name, summary, owner in rows:
        click.echo(f"  {name:<{widths[0]}}  {summary:<{widths[1]}}  {owner}")
