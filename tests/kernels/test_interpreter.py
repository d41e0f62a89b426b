"""The Triton kernels on a machine without a GPU: under Triton's interpreter, which must be chosen before they load."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from paths import ROOT, TESTS

import gankit


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run on the GPU itself")
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="this is the interpreter's own run")
def test_the_triton_kernels_pass_under_the_interpreter() -> None:
    files = [str(TESTS / "kernels" / f"test_{name}.py") for name in ("cases", "contract", "mutations")]
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
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 150, "the Triton cases were not collected"


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run on the GPU itself")
@pytest.mark.parametrize("variant", ["wgan-gp", "cyclegan"])
def test_a_training_with_triton_under_the_interpreter_gives_the_references_figures(variant, tmp_path, tiny) -> None:
    tiny |= {"batch_size": 2, "flip": True, "steps": 2}
    code = (
        "import gankit, json, sys; gankit.train(sys.argv[1], out=sys.argv[2], impl='triton', **json.loads(sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, variant, str(tmp_path / "triton"), json.dumps(tiny)]
    subprocess.run(command, check=True, env=os.environ | {"TRITON_INTERPRET": "1"})
    reference = gankit.train(variant, out=tmp_path / "ref", impl="ref", **tiny)
    ran = gankit.Run(tmp_path / "triton")
    assert ran.recorded["machine"]["ops"] == "triton"
    for one, two in zip(ran.metrics(), reference.metrics(), strict=True):
        assert one == pytest.approx(two, rel=1e-4, abs=1e-5)
