"""What a study makes of one run: its figures and pictures, in the process that trained it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gankit.core.errors import GankitError
from gankit.lab.measures import take
from gankit.lab.pictures import draw
from gankit.runs.folder import RunFolder


def make(root: Path, figures: Sequence[Mapping[str, Any]], pictures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The ``figures`` {"name", "measure", "parameters"} and ``pictures`` of the run in ``root``, as plain values.

    "figures": name -> number, of a measure that gives several "NAME KEY" -> number; "pictures": title -> path in the
    run folder; "lacking": what this run cannot give -> why. A number that is not finite is lacking.
    """
    run = RunFolder(root)
    found: dict[str, dict[str, Any]] = {"figures": {}, "pictures": {}, "lacking": {}}
    for figure in figures:
        name = figure["name"]
        try:
            value = take(run, figure["measure"], **figure["parameters"])
        except GankitError as error:
            found["lacking"][name] = str(error)
            continue
        values = {f"{name} {key}": each for key, each in value.items()} if isinstance(value, Mapping) else {name: value}
        for each, number in values.items():
            if math.isfinite(number):
                found["figures"][each] = float(number)
            else:
                found["lacking"][each] = f"is {number}"
    for picture in pictures:
        try:
            found["pictures"][picture["title"]] = draw(run, picture)
        except GankitError as error:
            found["lacking"][picture["title"]] = str(error)
    return found
