"""Building the extension where it cannot be built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

pytest.importorskip("setuptools")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of what the build needs."""
    for name in ("gankit", "kernels", "plugins", "cli"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so", "__pycache__", "_build_log.txt")
        )
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def build(folder: Path, *way: str, compiler: str) -> None:
    command = [sys.executable, "setup.py", "-q", "build", *way]
    environment = os.environ | {"CC": compiler, "LDSHARED": f"{compiler} -shared"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_failed_build_installs_everything_else_and_leaves_the_compilers_words(source: Path) -> None:
    broken = source / "kernels" / "csrc" / "common" / "thread_pool.h"
    broken.write_text("#error this compiler is too old\n", encoding="utf-8")
    build(source, compiler=os.environ.get("CC", "cc"))
    (built,) = (source / "build").glob("lib*")
    log = (built / "gankit" / "kernels" / "_build_log.txt").read_text(encoding="utf-8")
    assert "this compiler is too old" in log
    assert (built / "gankit" / "kernels" / "interpolate.py").exists()
    assert not list((built / "gankit" / "kernels").glob("_cpu*.so"))


def test_a_machine_without_a_compiler_is_told_so(source: Path) -> None:
    build(source, compiler="no-such-compiler")
    (built,) = (source / "build").glob("lib*")
    log = (built / "gankit" / "kernels" / "_build_log.txt").read_text(encoding="utf-8")
    assert "no-such-compiler" in log


def test_without_the_extension_the_reference_runs_and_the_reason_is_shown(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['gankit.kernels._cpu'] = None\n"
        "import torch, gankit.kernels as k\n"
        "print(k.norm_penalty(torch.ones(1, 4))[0].item())\n"
        "print(next(each.reason for each in k.implementations() if each.name == 'cpu'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    value, reason = done.stdout.splitlines()
    assert value == "1.0"
    assert "the C extension is missing" in reason
