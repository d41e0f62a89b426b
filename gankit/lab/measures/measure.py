"""What a measure is: a function of a finished run with a name, a line about it, and parameters with types and ranges.

The function's signature is the declaration: a parameter's annotation is its type and range, its default its default.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Protocol

from gankit.core.errors import UsageError, closest
from gankit.registry import registry
from gankit.runs.folder import RunFolder

Number = float | None
"""A figure; None where the run gives none: a score never reached, an evaluation that it did not live to see."""
Figure = Number | dict[str, Number]
"""What a measure gives: one number, or several by name."""

REQUIRED: Final = inspect.Parameter.empty
"""The default of a parameter that has to be given."""


class Limit(Protocol):
    """What a parameter's annotation says besides its type."""

    def wrong(self, value: Any) -> str:
        """What is wrong with ``value``, or ""."""


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``."""

    low: float
    high: float = math.inf

    def wrong(self, value: Any) -> str:
        """What is wrong with ``value``, or ""."""
        within = f"{self.low:g} or more" if self.high == math.inf else f"from {self.low:g} to {self.high:g}"
        return "" if self.low <= value <= self.high else f"out of range: it takes a number, {within}"


@dataclass(frozen=True)
class OneOf:
    """One of ``names``, or of those registered as ``kind``."""

    names: tuple[str, ...] = ()
    kind: str = ""

    def wrong(self, value: Any) -> str:
        """What is wrong with ``value``, or ""."""
        known = registry().names(self.kind) if self.kind else self.names
        return "" if value in known else f"unknown: {closest(value, known)}"


Share = Annotated[float, Range(0, 1)]
Count = Annotated[int, Range(1)]
AtLeastTwo = Annotated[int, Range(2)]
Positive = Annotated[float, Range(0)]
MetricName = Annotated[str, OneOf(kind="metrics")]


@dataclass(frozen=True)
class Measure:
    """``function`` takes a run and the ``parameters`` by keyword. ``timed``: the figure depends on the clock, so it is
    not the same again bit for bit. A parameter whose annotation is a dataclass stands for that dataclass's fields.
    """

    name: str
    function: Callable[..., Figure]
    timed: bool = False

    @property
    def summary(self) -> str:
        """What it says of a run, in one line: the first sentence of the function's docstring."""
        text = " ".join((self.function.__doc__ or "").split("\n\n")[0].split())
        return text.removesuffix(".").replace("``", "`")

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The default of each parameter by its name, ``REQUIRED`` where it has none."""
        return {name: default for name, (_, default) in self._declared.items()}

    @cached_property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """The words that a parameter takes, of those that take one of several."""
        hints = {name: hint for name, (hint, _) in self._declared.items()}
        return {
            name: typing.get_args(hint) for name, hint in hints.items() if typing.get_origin(hint) is typing.Literal
        }

    @cached_property
    def _declared(self) -> dict[str, tuple[Any, Any]]:
        """(annotation, default) of each parameter by its name."""
        found: dict[str, tuple[Any, Any]] = {}
        for name, (hint, default) in _signature(self.function).items():
            found |= _fields(hint) if dataclasses.is_dataclass(hint) else {name: (hint, default)}
        return found

    def check(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the function for ``parameters``. UsageError for an unknown one (with the closest), one that
        is missing, of another type or out of range.
        """
        for name in parameters:
            if name not in self._declared:
                raise UsageError(f"measure '{self.name}' has no parameter '{name}': {closest(name, self._declared)}")
        given: dict[str, Any] = {}
        for name, (hint, default) in self._declared.items():
            if name in parameters:
                given[name] = checked(hint, parameters[name], f"measure '{self.name}': {name}")
            elif default is REQUIRED:
                raise UsageError(f"measure '{self.name}' needs '{name}': say {name} = ...")
        arguments: dict[str, Any] = {}
        for name, (hint, _) in _signature(self.function).items():
            if dataclasses.is_dataclass(hint):
                own = {field: given.pop(field) for field in _fields(hint) if field in given}
                arguments[name] = typing.cast(Any, hint)(**own)
            elif name in given:
                arguments[name] = given[name]
        return arguments

    def __call__(self, run: RunFolder, /, **parameters: Any) -> Figure:
        """The figure of ``run``; a number that is not finite is None. UsageError for parameters that are wrong, and for
        a run that the measure does not fit.
        """
        found = self.function(run, **self.check(parameters))
        return {name: _finite(value) for name, value in found.items()} if isinstance(found, dict) else _finite(found)


def _finite(value: Number) -> Number:
    return float(value) if value is not None and math.isfinite(value) else None


def _signature(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """(annotation, default) of the keyword parameters of ``function``."""
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    return {each.name: (hints[each.name], each.default) for each in parameters if each.kind is each.KEYWORD_ONLY}


def _fields(kind: Any) -> dict[str, tuple[Any, Any]]:
    """(annotation, default) of the fields of dataclass ``kind``."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: (hints[field.name], field.default) for field in dataclasses.fields(kind)}


def checked(hint: Any, value: Any, where: str) -> Any:
    """``value`` in the type that annotation ``hint`` names. UsageError, saying ``where``, for another type, a number
    out of range, or a word that is none of the choices.
    """
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
        return None if value is None and len(kinds) < len(typing.get_args(hint)) else checked(kinds[0], value, where)
    if typing.get_origin(hint) is Annotated:
        kind, limits = typing.get_args(hint)
        value = checked(kind, value, where)
        if said := limits.wrong(value):
            raise UsageError(f"{where} = {value} is {said}")
        return value
    if typing.get_origin(hint) is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise UsageError(f"{where} = {value!r}: {closest(str(value), choices)}")
        return value
    if typing.get_origin(hint) is list:
        if not isinstance(value, list | tuple) or not value or not all(isinstance(each, str) for each in value):
            raise UsageError(f"{where} takes a list of text, not {value!r}")
        return list(value)
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise UsageError(f"{where} takes {_WORDS[hint]}, not {value!r}")
    return value


_WORDS: dict[type, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
