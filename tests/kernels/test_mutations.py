"""Kernels broken on purpose: the shared cases must notice each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from gankit.kernels import cases, cpu, implementations

KERNELS = Path(cpu.__file__).parent
SOURCES = KERNELS / "csrc"
AVAILABLE = [each.name for each in implementations() if each.available]
COMPILER = shutil.which(os.environ.get("CC", "cc"))

IN_C = {
    "interpolate with a wrong sign": ("interpolate", "fused/interpolate.c", "base + t * (", "base - t * ("),
    "interpolate without its tail": (
        "interpolate",
        "fused/interpolate.c",
        "ELEM rest_real[WIDTH]",
        "return; ELEM rest_real[WIDTH]",
    ),
    "interpolate without its last block": (
        "interpolate",
        "common/rows.h",
        "item < end; item++",
        "item < end - (end > 3); item++",
    ),
    "a sum of squares without its tail": (
        "norm_penalty",
        "fused/norm_penalty.c",
        "rest, x + i, REST",
        "rest, x + i, 0 * REST",
    ),
    "a norm without its last block": (
        "norm_penalty",
        "fused/norm_penalty.c",
        "b < w->blocks",
        "b < w->blocks - (w->blocks > 1)",
    ),
    "a penalty that is not one-sided": ("norm_penalty", "fused/norm_penalty.c", "one_sided && over < 0", "0"),
    "a gradient that divides by a zero norm": (
        "norm_penalty",
        "fused/norm_penalty.c",
        "norm == 0 ? 0 : outer",
        "outer",
    ),
    "differences with an unmasked tail": (
        "l1_terms",
        "fused/l1_terms.c",
        "rest_b[LANES] = {0}",
        "rest_b[LANES] = {1, 1, 1, 1}",
    ),
    "the gradient to b with a's sign": (
        "l1_terms",
        "fused/l1_terms.c",
        "write_signs(w, p, b, a,",
        "write_signs(w, p, a, b,",
    ),
    "a sign that is not 0 at 0": ("l1_terms", "fused/l1_terms.c", "SELECT(x > y, c)", "SELECT(x >= y, c)"),
    "gather that never mirrors": ("gather", "fused/gather.c", "int flip = w->flip && w->flip[sample]", "int flip = 0"),
    "gather that ignores the left edge": (
        "gather",
        "fused/gather.c",
        "top * w->width + left",
        "top * w->width + 0 * left",
    ),
    "gather that drops its tail": (
        "gather",
        "fused/gather.c",
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
def test_the_cases_catch_c_code_with(
    name: str, objects: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    op, file, good, bad = IN_C[name]
    shutil.copytree(SOURCES, tmp_path / "csrc")
    broken = tmp_path / "csrc" / file
    text = broken.read_text(encoding="utf-8")
    assert good in text
    broken.write_text(text.replace(good, bad), encoding="utf-8")
    source = f"fused/{op}.c"
    made = objects | {source: compiled(tmp_path / "csrc", source, tmp_path)}
    monkeypatch.setattr(cpu, "_cpu", linked(made.values(), tmp_path))
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


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every C file compiled as it is, so that a broken one can be put in the place of its own."""
    folder = tmp_path_factory.mktemp("objects")
    sources = sorted(source.relative_to(SOURCES).as_posix() for source in SOURCES.rglob("*.c"))
    return {source: compiled(SOURCES, source, folder) for source in sources}


def compiled(root: Path, source: str, folder: Path) -> Path:
    """A C file below `root` made into an object in `folder`, without optimisation, which takes half a second."""
    assert COMPILER is not None
    target = folder / f"{Path(source).stem}.o"
    includes = [f"-I{root}", f"-I{sysconfig.get_path('include')}"]
    flags = ["-O0", "-w", "-fPIC", "-ffp-contract=off", "-fvisibility=hidden"]
    subprocess.run([COMPILER, *flags, *includes, "-c", str(root / source), "-o", str(target)], check=True)
    return target


def linked(objects: Iterable[Path], folder: Path) -> ModuleType:
    """The extension made of objects."""
    assert COMPILER is not None
    target = folder / "_cpu.so"
    subprocess.run([COMPILER, "-shared", *map(str, objects), "-o", str(target), "-lm"], check=True)
    loader = ExtensionFileLoader("gankit.kernels._cpu", str(target))
    spec = importlib.util.spec_from_file_location("gankit.kernels._cpu", target, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    module.openmp()
    return module
