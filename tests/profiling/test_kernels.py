"""`gankit profile kernels`: right before fast."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gankit.cli.profile import profile
from gankit.kernels import cases
from gankit.profiling import kernels as profile_kernels

QUICK = ["--size", "0.01", "--rounds", "20", "--no-compile"]


def test_each_op_is_checked_timed_and_compared_in_the_same_run() -> None:
    result = CliRunner().invoke(profile, ["kernels", "--json", "--impl", "ref", *QUICK])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert {row["op"] for row in rows} == set(cases.OPS)
    for row in rows:
        assert 0 < row["p20_us"] <= row["p50_us"] <= row["p80_us"]
        assert row["n"] == 20
        assert row["copy_share"] == pytest.approx(row["gb_per_s"] / row["copy_gb_per_s"], rel=0.1)
        assert row["vs_eager"] > 0
        assert row["device"]


def test_an_op_without_ways_of_its_own_is_timed_as_its_cases_call_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cases.CASES, "twin", cases.CASES["norm_penalty"])
    (row,) = profile_kernels.profile(("twin",), "ref", (0.01,), ("bf16",), 20, False)
    assert (row.op, row.way, row.failure) == ("twin", "as in its cases", "")
    assert row.p50_us > 0


def test_an_op_that_fails_its_check_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_kernels.cases, "failures", lambda case, impl: ["out: off by 1, allowed 0"])
    result = CliRunner().invoke(profile, ["kernels", "--op", "gather", *QUICK])
    assert result.exit_code == 1
    assert "not timed: case N3-C1-7x5-fp32: out: off by 1" in result.output
    assert " us " not in result.output


def test_an_implementation_that_cannot_run_is_named_with_its_reason() -> None:
    result = CliRunner().invoke(profile, ["kernels", "--op", "interpolate", "--impl", "cpu", "--type", "fp64", *QUICK])
    assert result.exit_code in (0, 1)
    assert ("cannot run here" in result.output) == (result.exit_code == 1)


def test_rows_are_appended_under_one_header(tmp_path: Path) -> None:
    file = tmp_path / "kernels.csv"
    command = ["kernels", "--op", "gather", "--impl", "ref", "--append", str(file), *QUICK]
    for _ in range(2):
        assert CliRunner().invoke(profile, command).exit_code == 0
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 6
    assert {row["way"] for row in rows} == {"fresh", "into a buffer", "mirrored, into a buffer"}
    assert all(float(row["p50_us"]) > 0 for row in rows)
