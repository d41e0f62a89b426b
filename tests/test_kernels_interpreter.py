"""The Triton kernels on a machine without a GPU: under Triton's interpreter, which must be chosen before they load."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run on the GPU itself")
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="this is the interpreter's own run")
def test_the_triton_kernels_pass_under_the_interpreter() -> None:
    files = [str(HERE / f"test_kernels_{name}.py") for name in ("cases", "contract", "mutations")]
    command = [
        str(Path(sys.executable).with_name("pytest")),
        "-q",
        "-k",
        "triton",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        *files,
    ]
    environment = os.environ | {"TRITON_INTERPRET": "1", "GANKIT_IMPL": "auto"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=HERE.parent)
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 150, "the Triton cases were not collected"
