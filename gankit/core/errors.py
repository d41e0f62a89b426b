"""Errors meant for the person at the keyboard: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable


class GankitError(Exception):
    """A run that failed. The command line prints the message after ``Error:`` and exits with ``exit_code``."""

    exit_code = 1
    everywhere = False
    """Whether all ranks of a run raise it at the same step, so that one of them tells it for all."""


class UsageError(GankitError):
    """A call that could not be carried out as it was made; nothing was started."""

    exit_code = 2


class DamagedFile(GankitError):
    """A file that cannot be read as what it should be."""


def closest(name: str, known: Iterable[str]) -> str:
    """A sentence that helps someone who mistyped ``name``: the nearest known name, or all of them."""
    import difflib  # slow to import, and only needed once something went wrong

    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(names)}" if names else "none are known"
