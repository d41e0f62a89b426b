"""gankit data"""

from __future__ import annotations

import click

from gankit.cli.plugins import table
from gankit.registry import registry


@click.group()
def data() -> None:
    """See which data sets there are."""


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(as_json: bool) -> None:
    """List the data sets, each a name for --data."""
    table([(e.name, e.summary, e.owner) for e in registry().entries["datasets"].values()], as_json)
