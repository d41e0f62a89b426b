"""Labels in a file beside the pictures: labels.csv, or dataset.json as StyleGAN's tools write it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from gankit.core.errors import DamagedFile, UsageError
from gankit.data.tree import Tree, is_picture

FILES = ("labels.csv", "dataset.json")


def labels_file(tree: Tree, under: str) -> str | None:
    """The file of labels in folder ``under``, None where there is none. UsageError where there are two."""
    start = f"{under}/" if under else ""
    here = [start + name for name in FILES if start + name in tree.files]
    if len(here) > 1:
        raise UsageError(f"{tree.root}: holds {' and '.join(here)}; keep the one that is right")
    return here[0] if here else None


def labels_in(tree: Tree, file: str, pictures: Sequence[str]) -> dict[str, str]:
    """The class of each of ``pictures``, as ``file`` gives it; {} where it holds no labels.

    DamagedFile naming the row where the file is of another form, names a picture that is not there, or one twice;
    where a picture has no row.
    """
    start, known = file.rpartition("/")[0], set(tree.files)
    rows = _csv(tree, file) if file.endswith(".csv") else _json(tree, file)
    found: dict[str, str] = {}
    for place, name, label in rows:
        inside = "/".join(part for part in (start, *name.replace("\\", "/").split("/")) if part not in ("", "."))
        if inside not in known:
            raise DamagedFile(
                f"{tree.root / file}: {place}: no picture {name}; mend the row, add the picture, or rename the table "
                "to leave it aside"
            )
        if inside in found:
            raise DamagedFile(f"{tree.root / file}: {place}: {name} has a row already; remove one of them")
        found[inside] = label
    lacking = [name for name in pictures if name not in found]
    if found and lacking:
        raise DamagedFile(
            f"{tree.root / file}: {len(lacking)} of {len(pictures)} pictures have no row, {lacking[0]} the first; "
            "add rows, or move the pictures elsewhere"
        )
    return found


def in_order(classes: Sequence[str]) -> list[str]:
    """Class names sorted: by value where all are whole numbers as a program writes them, else as text."""
    numbers = all(name.isdecimal() and len(name) < 19 and str(int(name)) == name for name in classes)
    return sorted(set(classes), key=int) if numbers else sorted(set(classes))


def _csv(tree: Tree, file: str) -> Iterator[tuple[str, str, str]]:
    """(which row, the picture, its class) of a table with two columns, under a heading or not."""
    reader = csv.reader(io.StringIO(tree.text(file), newline=""), strict=True)
    first = True
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            place = f"line {reader.line_num}"
            if len(row) != 2 or not all(cell.strip() for cell in row):
                raise DamagedFile(f"{tree.root / file}: {place}: {','.join(row)!r} is not FILE,CLASS")
            name, label = (cell.strip() for cell in row)
            if not (first and not is_picture(name)):
                yield place, name, label
            first = False
    except csv.Error as error:
        raise DamagedFile(f"{tree.root / file}: line {reader.line_num}: {error}; each line is FILE,CLASS") from error


def _json(tree: Tree, file: str) -> Iterator[tuple[str, str, str]]:
    """As ``_csv``, of {"labels": [[file, class], ...]}."""
    try:
        whole: Any = json.loads(tree.text(file))
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{tree.root / file}: cannot be read as JSON ({error})") from error
    rows = whole.get("labels") if isinstance(whole, dict) else None
    if isinstance(whole, dict) and "labels" in whole and rows is None:
        return  # how StyleGAN's tools write that there are none
    if not isinstance(rows, list):
        raise DamagedFile(f'{tree.root / file}: holds no "labels"; it is {{"labels": [[FILE, CLASS], ...]}}')
    for i, row in enumerate(rows):
        place = f"labels[{i}]"
        if not (isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and _is_class(row[1])):
            raise DamagedFile(f"{tree.root / file}: {place}: {json.dumps(row)[:80]} is not [FILE, CLASS]")
        yield place, row[0], str(row[1])


def _is_class(value: object) -> bool:
    return (isinstance(value, str) and bool(value)) or (isinstance(value, int) and not isinstance(value, bool))
