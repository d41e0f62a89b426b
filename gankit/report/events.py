"""Health events as a report tells of them: numbered over all its runs, each start with its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gankit.report.records import Record, number

WORDS = ("condition", "of", "seen", "means", "helps")


@dataclass
class Named:
    """A condition of run ``run``, from step ``start`` to ``end``, None where it lasts."""

    number: int
    run: int
    start: float
    condition: str
    of: str
    seen: str
    means: str
    helps: str
    end: float | None = None

    @property
    def phase(self) -> str:
        """The phase, or "samples", whose panels it is marked in."""
        return self.of.partition("/")[0]


def named(records: Sequence[Record]) -> list[Named]:
    """All events of all runs, in the order of runs and steps."""
    found: list[Named] = []
    for run, record in enumerate(records):
        lasting: dict[tuple[str, str], Named] = {}
        for row in record.events or ():
            step = number(row.get("step"))
            condition, of, seen, means, helps = (str(row.get(name, "")) for name in WORDS)
            key = condition, of
            if step is not None and row.get("ended") and key in lasting:
                lasting.pop(key).end = step
            elif step is not None and not row.get("ended"):
                lasting[key] = Named(len(found) + 1, run, step, condition, of, seen, means, helps)
                found.append(lasting[key])
    return found
