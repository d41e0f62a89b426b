"""Kernels broken on purpose: the shared cases must notice each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from gankit.kernels import cases, cpu, implementations

KERNELS = Path(cpu.__file__).parent
AVAILABLE = [each.name for each in implementations() if each.available]
COMPILER = shutil.which(os.environ.get("CC", "cc"))

IN_C = {
    "interpolate with a wrong sign": ("interpolate", "_cpu_loops.h", "base + t * (", "base - t * ("),
    "interpolate without its tail": (
        "interpolate",
        "_cpu_loops.h",
        "ELEM rest_real[WIDTH]",
        "return; ELEM rest_real[WIDTH]",
    ),
    "interpolate without its last block": (
        "interpolate",
        "_cpu_ops.h",
        "item < end; item++",
        "item < end - (end > 3); item++",
    ),
    "a sum of squares without its tail": ("norm_penalty", "_cpu_loops.h", "rest, x + i, REST", "rest, x + i, 0 * REST"),
    "a norm without its last block": ("norm_penalty", "_cpu_ops.h", "b < w->blocks", "b < w->blocks - (w->blocks > 1)"),
    "a penalty that is not one-sided": ("norm_penalty", "_cpu_ops.h", "one_sided && over < 0", "0"),
    "a gradient that divides by a zero norm": ("norm_penalty", "_cpu_ops.h", "norm == 0 ? 0 : outer", "outer"),
    "differences with an unmasked tail": (
        "l1_terms",
        "_cpu_loops.h",
        "rest_b[LANES] = {0}",
        "rest_b[LANES] = {1, 1, 1, 1}",
    ),
    "the gradient to b with a's sign": (
        "l1_terms",
        "_cpu_pairs.h",
        "write_signs(w, p, b, a,",
        "write_signs(w, p, a, b,",
    ),
    "a sign that is not 0 at 0": ("l1_terms", "_cpu_loops.h", "SELECT(x > y, c)", "SELECT(x >= y, c)"),
    "gather that never mirrors": ("gather", "_cpu_gather.h", "int flip = w->flip && w->flip[sample]", "int flip = 0"),
    "gather that ignores the left edge": (
        "gather",
        "_cpu_gather.h",
        "top * w->width + left",
        "top * w->width + 0 * left",
    ),
    "gather that drops its tail": (
        "gather",
        "_cpu_loops.h",
        "memcpy(rest, x + i, (size_t)(n - i))",
        "memset(rest, 0, sizeof rest)",
    ),
}
IN_TRITON = {
    "interpolate with a wrong sign": ("interpolate", "base + weight", "base - weight"),
    "interpolate that masks too much": ("interpolate", "inside < elements", "inside < elements - 1"),
    "interpolate in 32-bit samples": ("interpolate", "sample * elements", "0 * elements"),
    "a sum with an unmasked tail": ("norm_penalty", "mask=at < left, other=0", "mask=at < left, other=1"),
    "a sum without its last block": ("norm_penalty", "in range(STEPS)", "in range(STEPS - 1)"),
    "a gradient that divides by the target": ("norm_penalty", "/ samples", "/ (samples + 1)"),
    "a penalty that is not one-sided": ("norm_penalty", "tl.where(over < 0, 0.0, over)", "over"),
    "a pair that loses a block": ("l1_terms", "firsts[k + 1], BLOCK):", "firsts[k + 1] - 1, BLOCK):"),
    "differences with an unmasked tail": (
        "l1_terms",
        "b[k] + start + at, mask=at < left, other=0",
        "b[k] + start + at, mask=at < left, other=1",
    ),
    "the gradient to b with a's sign": ("l1_terms", "-signed", "signed"),
    "gather that never mirrors": ("gather", "columns - 1 - x", "x"),
    "gather that ignores the left edge": ("gather", "x + left", "x"),
}


def caught(op: str, impl: str) -> bool:
    """Whether any case of the op fails, by a wrong result and not by an exception."""
    return any(cases.failures(case, impl) for case in cases.cases(op))


@pytest.mark.skipif(COMPILER is None or "cpu" not in AVAILABLE, reason="there is no compiler")
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter's run is for Triton")
@pytest.mark.parametrize("name", IN_C)
def test_the_cases_catch_c_code_with(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    op, file, good, bad = IN_C[name]
    for source in KERNELS.glob("_cpu*.[ch]"):
        text = source.read_text(encoding="utf-8")
        if source.name == file:
            assert good in text
            text = text.replace(good, bad)
        (tmp_path / source.name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(cpu, "_cpu", built(tmp_path))
    assert caught(op, "cpu")


@pytest.mark.skipif("triton" not in AVAILABLE, reason="Triton needs a GPU or its interpreter")
@pytest.mark.parametrize("name", IN_TRITON)
def test_the_cases_catch_a_triton_kernel_with(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    op, good, bad = IN_TRITON[name]
    source = (KERNELS / f"{op}_triton.py").read_text(encoding="utf-8")
    assert good in source
    path = tmp_path / f"{op}_triton.py"
    path.write_text(source.replace(good, bad), encoding="utf-8")
    module_name = f"gankit.kernels.{op}_triton"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module_name, module)
    spec.loader.exec_module(module)
    assert caught(op, "triton")


def built(folder: Path) -> ModuleType:
    """The extension made of the sources in a folder, without optimisation, which compiles in a second."""
    assert COMPILER is not None
    target = folder / "_cpu.so"
    include = f"-I{sysconfig.get_path('include')}"
    command = [
        COMPILER,
        "-O0",
        "-w",
        "-shared",
        "-fPIC",
        "-ffp-contract=off",
        include,
        "_cpu.c",
        "-o",
        str(target),
        "-lm",
    ]
    subprocess.run(command, check=True, cwd=folder)
    loader = ExtensionFileLoader("gankit.kernels._cpu", str(target))
    spec = importlib.util.spec_from_file_location("gankit.kernels._cpu", target, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    module.openmp()
    return module
