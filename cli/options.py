"""Click options from option dataclasses, and help in groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from gankit.core.options import OptionField, fields


class FieldOption(click.Option):
    """The flag of an option field. It gives no default, so that what was typed can be told from what was not."""

    def __init__(self, field: OptionField, default: Any, paper: Any) -> None:
        flags = [field.flag, *("--" + alias for alias in field.described.aliases)]
        is_bool = field.kind is bool
        if is_bool:
            flags = [f"{flag}/--no-{flag[2:]}" for flag in flags]
        kind: Any = click.Choice(field.described.choices) if field.described.choices else field.kind
        super().__init__(
            [field.name, *flags],
            type=None if is_bool else kind,
            is_flag=is_bool,
            default=None,
            help=help_line(field, default, paper),
            metavar=None if is_bool or field.described.choices else field.described.unit or field.kind.__name__.upper(),
        )
        self.group = field.described.group or "Options"


def help_line(field: OptionField, default: Any, paper: Any) -> str:
    """The field's help with its range, its default, and that of the paper where it is another."""
    facts = [field.described.range()] if field.described.range() else []
    if default is not None:
        facts.append(f"default: {_shown(default)}" + (f", the paper's: {_shown(paper)}" if paper != default else ""))
    return field.described.help + (f"  [{'; '.join(facts)}]" if facts else "")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def field_options(
    cls: type, defaults: Mapping[str, Any], paper: Mapping[str, Any], choices: Mapping[str, Iterable[str]]
) -> list[FieldOption]:
    """A click option for each field of ``cls``. ``defaults``, ``paper``: what options are where they are not given, and
    by the paper's preset, where that is not the field's own; ``choices`` names what a registry holds, for the help.
    """
    found = []
    for field in fields(cls):
        made = FieldOption(field, defaults.get(field.name, field.default), paper.get(field.name, field.default))
        if field.described.registry:
            made.help = f"{made.help}  one of: {', '.join(choices[field.described.registry])}"
        found.append(made)
    return found


class GroupedCommand(click.Command):
    """A command whose help lists its options by their group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "group", "Other"), []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


def typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given on the command line."""
    return {name: value for name, value in values.items() if value is not None}
