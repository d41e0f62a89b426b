"""A check: a name, why it matters, and what finds out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gankit.core.errors import GankitError
from gankit.registry import Entry, registry


class CheckFailed(AssertionError):
    """What is wrong with a plugin, why that matters, and what to change."""


@dataclass(frozen=True)
class Check:
    """``find`` raises CheckFailed or GankitError where the plugin ``of`` breaks the rule called ``name``; it returns
    why it had nothing to look at, or None.
    """

    of: str
    name: str
    why: str
    change: str
    find: Callable[[], str | None]

    def __call__(self) -> str | None:
        """Look. CheckFailed naming the plugin and the rule; returns why there was nothing to look at, or None."""
        try:
            return self.find()
        except CheckFailed as error:
            wrong = str(error)
        except GankitError as error:
            wrong = f"it was refused: {error}"
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
            raise CheckFailed(self.told(wrong)) from error
        raise CheckFailed(self.told(wrong))

    def told(self, wrong: str) -> str:
        """The whole message."""
        return f"{self.of}: {self.name}: {wrong}. Why it matters: {self.why}. What to change: {self.change}"

    def __str__(self) -> str:
        return self.name


def ensure(holds: object, wrong: str) -> None:
    """CheckFailed saying what is ``wrong`` where a rule does not hold."""
    if not holds:
        raise CheckFailed(wrong)


def parametrize_checks(*checks: Sequence[Check]) -> Callable[[Any], Any]:
    """A decorator for a test of one argument, ``check``, which pytest then runs once for each of ``checks``."""
    import pytest

    every = [check for some in checks for check in some]
    return pytest.mark.parametrize("check", every, ids=[f"{check.of}: {check.name}" for check in every])


Rule = tuple[str, str, str, Callable[[Any], str | None]]
"""A check's name, why it matters, what to change, and what finds out, which is shown the plugin."""


def checks_of(
    kind: str, plugin: str | type[Any], rules: Sequence[Rule], shown: Callable[[str], Any]
) -> tuple[Check, ...]:
    """A check for each of ``rules``; ``shown`` makes what they look at of the name that the plugin is known by."""
    of = plugin if isinstance(plugin, str) else str(getattr(plugin, "name", plugin.__name__))

    def finder(find: Callable[[Any], str | None]) -> Callable[[], str | None]:
        def run() -> str | None:
            with known(kind, plugin) as name:
                return find(shown(name))

        return run

    return tuple(Check(of, name, why, change, finder(find)) for name, why, change, find in rules)


@contextlib.contextmanager
def known(kind: str, plugin: str | type[Any]) -> Iterator[str]:
    """The name that ``plugin``, a registered one's or a class, is known by within this block."""
    if isinstance(plugin, str):
        yield plugin
        return
    entries = registry().entries[kind]
    name = str(getattr(plugin, "name", None) or plugin.__name__.lower())
    before = entries.get(name)
    entries[name] = Entry(name, str(getattr(plugin, "summary", name)), "gankit.testing", plugin)
    try:
        yield name
    finally:
        entries.pop(name)
        if before is not None:
            entries[name] = before
