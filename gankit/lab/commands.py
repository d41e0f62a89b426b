"""The command that trains a run again."""

from __future__ import annotations

import shlex
from typing import Any

from gankit.config import SECTIONS, TrainOptions, defaults, variant_class
from gankit.core.errors import UsageError
from gankit.core.options import OptionField, fields
from gankit.data.catalogue import DataOptions
from gankit.report.records import Record
from gankit.runs.legs import before


def command(record: Record) -> str:
    """`gankit train ...` with every option of the run that its preset does not give, as a shell takes it. Where the
    variant is not installed it reads the options from the run's config.json.
    """
    variant = str(record.config.get("variant"))
    values = before(record.config, record.legs, 0)
    try:
        chosen = variant_class(variant)
    except UsageError:
        return f"gankit train {shlex.quote(variant)} --config {shlex.quote(str(record.root / 'config.json'))}"
    paper = defaults(chosen, "paper")  # of a run that is older than an option, and of one older than presets
    flat = paper | {name: value for section in SECTIONS for name, value in values[section].items()}
    usual = defaults(chosen, flat["preset"]) | {"preset": TrainOptions.preset}
    flags = [
        flag(field, flat[field.name])
        for kind in (DataOptions, TrainOptions, chosen.Options)
        for field in fields(kind)
        if flat[field.name] not in (None, usual[field.name])
    ]
    return " ".join(["gankit train", shlex.quote(variant), *flags])


def flag(field: OptionField, value: Any) -> str:
    """The option as it is typed."""
    if isinstance(value, bool):
        return field.flag if value else f"--no-{field.flag[2:]}"
    return f"{field.flag} {shlex.quote(str(value))}"
