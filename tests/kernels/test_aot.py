"""The Triton kernels compiled for GPUs that this machine does not have."""

from __future__ import annotations

import csv
import os
from dataclasses import asdict

import pytest
from paths import ROOT

pytest.importorskip("triton")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("interpreted kernels are not compiled", allow_module_level=True)

import aot
import triton

RECORD = ROOT / "benchmarks" / "kernels_aot.csv"


def check(kinds: tuple[str, ...]) -> None:
    with RECORD.open(newline="", encoding="utf-8") as file:
        recorded = {(row["kernel"], row["type"], row["target"]): row for row in csv.DictReader(file)}
    faults, changed = [], []
    for kernel, record in aot.compile_all(kinds):
        faults += aot.faults(kernel, record)
        row = {name: str(value) for name, value in asdict(record).items()}
        old = recorded[record.kernel, record.type, record.target]
        if row != old and old["triton"] == triton.__version__:
            changed.append((old, row))
    assert faults == []
    assert changed == [], "run `make aot` and commit benchmarks/kernels_aot.csv"


def test_every_kernel_compiles_for_every_target_without_spills_or_narrow_accesses() -> None:
    check(("fp32", "bf16"))


@pytest.mark.slow
def test_every_kernel_compiles_in_the_other_types_too() -> None:
    check(("fp64", "fp16"))


def test_a_spill_and_a_narrow_load_are_faults() -> None:
    kernel = aot.Kernel("k", None, {}, {}, load=128, store=128)
    good = aot.Record("k", "fp32", "sm_90", 32, 0, 128, 128, "3")
    assert aot.faults(kernel, good) == []
    assert (
        "8 bytes of registers spilled" in aot.faults(kernel, aot.Record("k", "fp32", "sm_90", 32, 8, 128, 128, "3"))[0]
    )
    assert "loads are 32 bits" in aot.faults(kernel, aot.Record("k", "fp32", "sm_90", 32, 0, 32, 128, "3"))[0]


def test_the_record_covers_every_kernel_type_and_target() -> None:
    with RECORD.open(newline="", encoding="utf-8") as file:
        rows = {(row["kernel"], row["type"], row["target"]) for row in csv.DictReader(file)}
    expected = {
        (kernel.name, kind, target)
        for kind in aot.SIZES
        for target in aot.TARGETS
        for kernel in aot.kernels(kind, aot.TABLE[target])
    }
    assert rows == expected
