"""The command that trains a run again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from gankit.config import SECTIONS, TrainOptions, variant_class
from gankit.core.errors import UsageError
from gankit.core.options import OptionField, fields
from gankit.data.catalogue import DataOptions
from gankit.report.records import Record
from gankit.runs.legs import before


def command(record: Record) -> str:
    """`gankit train ...` with every option of the run that is not the variant's default, as a shell takes it. Where the
    variant is not installed it reads the options from the run's config.json.
    """
    variant = str(record.config.get("variant"))
    values = before(record.config, record.legs, 0)
    try:
        chosen = variant_class(variant)
    except UsageError:
        return f"gankit train {shlex.quote(variant)} --config {shlex.quote(str(record.root / 'config.json'))}"
    kinds: Mapping[str, type] = {"data": DataOptions, "train": TrainOptions, "options": chosen.Options}
    flags = [
        flag(field, values[section][field.name])
        for section in SECTIONS
        for field in fields(kinds[section])
        if field.name in values[section]
        and values[section][field.name] not in (None, chosen.defaults.get(field.name, field.default))
    ]
    return " ".join(["gankit train", shlex.quote(variant), *flags])


def flag(field: OptionField, value: Any) -> str:
    """The option as it is typed."""
    if isinstance(value, bool):
        return field.flag if value else f"--no-{field.flag[2:]}"
    return f"{field.flag} {shlex.quote(str(value))}"
