"""What a study makes of its runs: figures and pictures, in the process that trained each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gankit.lab.measures import take
from gankit.lab.studies.pictures import draw
from gankit.lab.sweeps.worker import one_line
from gankit.runs.folder import RunFolder

Wanted = Mapping[str, Sequence[Mapping[str, Any]]]
"""What is to be made: "figures" {"name", "measure", "parameters"}, and "pictures", the fields of a recipe's."""


def make(root: Path, of: Mapping[str, Wanted]) -> dict[str, Any]:
    """The figures and pictures of the run in ``root``, as plain values; ``of`` says what, by the cell's folder.

    "figures": name -> number, of a measure that gives several "NAME KEY" -> number; "pictures": title -> path in the
    run folder; "lacking": what this run cannot give -> why. A number that is not finite is lacking.
    """
    run, wanted = RunFolder(root), of[root.parent.name]
    found: dict[str, dict[str, Any]] = {"figures": {}, "pictures": {}, "lacking": {}}
    for figure in wanted["figures"]:
        name = figure["name"]
        try:
            value = take(run, figure["measure"], **figure["parameters"])
        except Exception as error:  # whatever one figure lacks, a study of hours keeps the others
            found["lacking"][name] = _said(error, root)
            continue
        values = {f"{name} {key}": each for key, each in value.items()} if isinstance(value, Mapping) else {name: value}
        for each, number in values.items():
            if number is not None and math.isfinite(number):
                found["figures"][each] = float(number)
            else:
                found["lacking"][each] = "the run gives none"
    for picture in wanted["pictures"]:
        try:
            found["pictures"][picture["title"]] = draw(run, picture)
        except Exception as error:
            found["lacking"][picture["title"]] = _said(error, root)
    return found


def _said(error: Exception, root: Path) -> str:
    """What went wrong, in one line, the same wherever the run lies."""
    return one_line(error).replace(f"{root}: ", "", 1)
