"""Tables of the benchmarks: CSV files whose rows later ones of the same key replace, and tables in a document."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gankit.core.errors import UsageError
from gankit.core.files import atomic_write

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """The rows of ``path``, all values as text; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def keep(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], key: Sequence[str]) -> None:
    """Put ``rows`` into ``path`` in place of those that are alike in the columns ``key``; floats get five digits."""
    new = [
        {name: f"{value:.5g}" if isinstance(value := row[name], float) else str(value) for name in columns}
        for row in rows
    ]
    replaced = {tuple(row[name] for name in key) for row in new}
    kept = [row for row in read(path) if tuple(row[name] for name in key) not in replaced]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*kept, *new])
    atomic_write(path, text.getvalue().encode())


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def between_markers(path: Path, name: str, text: str) -> None:
    """Put ``text`` between the lines ``<!-- NAME -->`` and ``<!-- end of NAME -->`` of ``path``. UsageError where there
    are none.
    """
    whole = path.read_text(encoding="utf-8")
    first, last = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if first not in whole or last not in whole.partition(first)[2]:
        raise UsageError(f"{path}: has no lines {first.strip()} and {last}; put them where the table belongs")
    before, _, rest = whole.partition(first)
    atomic_write(path, f"{before}{first}{text}\n{last}{rest.partition(last)[2]}".encode())
