"""The table of measures in docs/lab.md is what the code says."""

from __future__ import annotations

import json

import pytest
from paths import ROOT

from gankit.lab.measures import MEASURES, REQUIRED
from gankit.lab.measures.parts import Part

PART = list(Part.__dataclass_fields__)


def takes_of(measure, name):
    default = measure.parameters[name]
    if default is REQUIRED:
        return f"`{name}`"
    first = "none" if default is None else f"{default:g}" if isinstance(default, float) else json.dumps(default)
    others = [json.dumps(each) for each in measure.choices.get(name, ()) if each != default]
    return f"`{name}` {first}" + (f" (or {', '.join(others)})" if others else "")


def row(measure):
    """The line of the table for ``measure``; paste it where the test below fails."""
    names = list(measure.parameters)
    part = ["*part*"] if set(PART) <= set(names) else []
    own = [name for name in names if not part or name not in PART]
    takes = ", ".join([*(takes_of(measure, name) for name in own), *part])
    timed = " (by the clock)" if measure.timed else ""
    return f"| `{measure.name}`{timed} | {takes} | {measure.summary} |"


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_stands_in_the_table_as_the_code_has_it(name):
    lines = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8").splitlines()
    assert row(MEASURES[name]) in lines


def test_the_table_has_no_measure_that_there_is_not():
    text = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
    table = [line.split("`")[1] for line in text.partition("## Measures")[2].splitlines() if line.startswith("| `")]
    assert table == list(MEASURES)
