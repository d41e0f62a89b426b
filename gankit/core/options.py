"""Options: frozen dataclasses whose fields carry their help, unit and range.

A field is declared once; the command-line flag, its help, the check of its range, the TOML key and the entry in a
run's config.json all follow from it.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gankit.core.errors import UsageError, closest

T = TypeVar("T")


def option(
    default: Any,
    help: str,  # noqa: A002 -- click's own word for it
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] = (),
    group: str = "",
    aliases: tuple[str, ...] = (),
    registry: str = "",
    neutral: bool = False,
    parse: Callable[[Any], Any] | None = None,
    later: bool = False,
) -> Any:
    """Declare a dataclass field as an option.

    ``low`` and ``high`` are inclusive bounds, ``above`` an exclusive lower one. ``choices`` lists the values of a
    string; ``registry`` names the registry that holds them instead. ``neutral``: it changes
    no weight, so a run can be resumed with another value. ``parse``: for values of several types, makes the one form
    that is kept of what was given, or raises ValueError with what the flag takes. ``later``, of a
    variant's option: runs are older than it; at its default it stands in no digest of options, so that theirs hold. A
    subclass that only changes the default writes ``field: type = value``; the rest is inherited.
    """
    described = Described(help, unit, low, high, above, choices, group, aliases, registry, neutral, parse, later)
    return dataclasses.field(default=default, metadata={"option": described})


@dataclass(frozen=True)
class Described:
    """What ``option`` was told about a field."""

    help: str
    unit: str
    low: float | None
    high: float | None
    above: float | None
    choices: tuple[str, ...]
    group: str
    aliases: tuple[str, ...]
    registry: str
    neutral: bool
    parse: Callable[[Any], Any] | None
    later: bool

    def range(self) -> str:
        """The allowed range in words a person reads, or an empty string."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{self.low:g} or more"
        if self.above is not None:
            return f"more than {self.above:g}" + (f", up to {self.high:g}" if self.high is not None else "")
        return f"up to {self.high:g}" if self.high is not None else ""


@dataclass(frozen=True)
class OptionField:
    """A dataclass field seen as an option: its name, type, default and description."""

    name: str
    kind: type
    optional: bool
    default: Any
    described: Described

    @property
    def flag(self) -> str:
        """The command-line spelling: ``--lr-g`` for ``lr_g``."""
        return "--" + self.name.replace("_", "-")

    def check(self, value: Any) -> Any:
        """``value`` in this option's type; UsageError naming the flag where it is of another type or out of range."""
        if value is None and self.optional:
            return None
        about = self.described
        if about.parse is not None:
            try:
                value = about.parse(value)
            except ValueError as error:
                raise UsageError(f"{self.flag} {error}") from error
        elif self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                value = float(value)
            except OverflowError as error:
                raise UsageError(f"{self.flag} takes a number; this one is too large to be one") from error
        if about.parse is None and type(value) is not self.kind:
            raise UsageError(f"{self.flag} takes {_TYPE_NAMES[self.kind]}, not {_brief(value)}")
        if about.choices and value not in about.choices:
            raise UsageError(f"{self.flag} {value!r}: {closest(str(value), about.choices)}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            outside = (
                (not math.isfinite(value) if isinstance(value, float) else abs(value) > LARGEST)
                or (about.low is not None and value < about.low)
                or (about.high is not None and value > about.high)
                or (about.above is not None and value <= about.above)
            )
            if outside:
                raise UsageError(
                    f"{self.flag} {_brief(value)} is out of range: it takes {about.range() or 'a finite number'}"
                )
        return value


LARGEST = 2**64 - 1
"""No option counts further."""


def _brief(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 128:
        return "a very long number"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_TYPE_NAMES: dict[type, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def fields(cls: type) -> tuple[OptionField, ...]:
    """The options that dataclass ``cls`` declares, base classes first. TypeError for a field no flag can be made of."""
    hints = typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        described = _described(cls, field.name)
        if described is None:
            raise TypeError(f"{cls.__qualname__}.{field.name} is not declared with gankit.option(...)")
        kind, optional = _kind(hints[field.name])
        kind = kind if described.parse is None else str
        if kind not in _TYPE_NAMES:
            raise TypeError(
                f"{cls.__qualname__}.{field.name}: an option is int, float, str or bool, or one of them | None"
            )
        found.append(OptionField(field.name, kind, optional, field.default, described))
    return tuple(found)


def _described(cls: type, name: str) -> Described | None:
    """The description of field ``name`` from the nearest class that gave one."""
    for base in cls.__mro__:
        field = base.__dict__.get("__dataclass_fields__", {}).get(name)
        if field is not None and "option" in field.metadata:
            return typing.cast(Described, field.metadata["option"])
    return None


def _kind(hint: Any) -> tuple[type, bool]:
    """(the plain type, whether None is allowed) of an annotation."""
    if isinstance(hint, types.UnionType):
        kinds = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
        return kinds[0] if len(kinds) == 1 else object, types.NoneType in typing.get_args(hint)
    return hint, False


def build(cls: type[T], values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> T:
    """An instance of ``cls`` from ``values`` over ``defaults`` over the class's own.

    UsageError for a name it does not have (with the closest one), a wrong type, or a value out of range.
    """
    known = {field.name: field for field in fields(cls)}
    for name in values:
        if name not in known:
            raise UsageError(f"unknown option '{name}': {closest(name, known)}")
    merged = {**(defaults or {}), **values}
    return cls(**{name: known[name].check(value) for name, value in merged.items()})
