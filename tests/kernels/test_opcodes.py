"""Numbers that stand in C and in Python are the same."""

from __future__ import annotations

import pytest
import torch

from gankit.cpu.plan import emit, fuse, ir
from gankit.kernels import cpu

pytestmark = pytest.mark.skipif(cpu._cpu is None, reason=cpu.REASON)


def test_the_plans_opcodes_are_those_of_the_c_extension() -> None:
    assert cpu.extension().opcodes() == emit.OPCODES


def test_every_constant_that_c_exports_is_the_one_that_python_uses() -> None:
    steps = {name: getattr(emit, name) for name in ("STEP_GEMM", "STEP_TILES", "IN_SCRATCH", "IN_PARTIAL")}
    shapes = {f"SHAPE_{name}": getattr(fuse, name) for name in ("TILE", "ROWS", "COLUMNS", "SCALAR")}
    types = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64, "BOOL": torch.bool}
    codes = {name: ir.TYPES[dtype] for name, dtype in types.items()} | {"F16": cpu.TYPES[torch.float16]}
    winograd = {"WINOGRAD_TILE": cpu.TILE, "WINOGRAD_POINTS": cpu.POINTS, **cpu.Transform.__members__}
    phases = {name: getattr(cpu, name) for name in ("PHASE_TILE", "PHASE_POINTS", "PHASE_LINE")}
    assert cpu.extension().constants() == steps | shapes | codes | winograd | phases


def test_the_ops_and_the_plans_number_the_types_alike() -> None:
    both = cpu.TYPES.keys() & ir.TYPES.keys()
    assert {dtype: cpu.TYPES[dtype] for dtype in both} == {dtype: ir.TYPES[dtype] for dtype in both}
