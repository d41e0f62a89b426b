"""gankit doctor"""

from __future__ import annotations

import json
import sys
from typing import Any

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(as_json: bool) -> None:
    """Tell what gankit found on this machine: versions, devices, fused ops, plugins, and why anything is missing."""
    found = examine()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for section, values in found.items():
        click.echo(f"{section}:")
        for name, value in values.items():
            click.echo(f"  {name}: {value}")


def examine() -> dict[str, dict[str, Any]]:
    """Sections of named facts."""
    import torch

    from gankit.data.catalogue import cache_folder
    from gankit.kernels import build_log, implementations
    from gankit.registry import registry
    from gankit.runs.folder import environment

    machine = environment()
    machine["executable"] = sys.executable
    machine["threads"] = torch.get_num_threads()
    if machine["gpu"] is None:
        machine["gpu"] = "none that PyTorch can use"
    ops = {each.name: each.detail if each.available else f"not available: {each.reason}" for each in implementations()}
    if log := build_log():
        ops["why the C extension was not built"] = log
    plugins: dict[str, Any] = {owner: f"{len(what)} registered" for owner, what in registry().plugins.items()}
    plugins |= {each.plugin: f"broken: {each.cause}" for each in registry().broken}
    return {"machine": machine, "fused ops": ops, "plugins": plugins, "folders": {"cache": str(cache_folder())}}
