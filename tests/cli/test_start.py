"""What a command must not import, since its user waits for it: a list, and the collector that rests meanwhile."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import pytest

from gankit.core.lazy import uncollected

FAST = ["--data", "shapes", "--arch", "mlp", "--ngf", "2", "--ndf", "2", "--nz", "4", "--batch-size", "8",
        "--size", "8", "--channels", "1", "--limit", "40", "--samples", "4", "--steps", "1", "--engine", "eager",
        "--quiet"]  # fmt: skip
COMPILERS = {"torch._dynamo", "torch._inductor", "torch.onnx", "torchvision", "triton", "sympy"}
OTHERS = {"gankit.lab", "gankit.report", "gankit.profiling", "matplotlib", "pandas", "scipy"}
CODE = """
import json, sys
from gankit.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
import gc
print(json.dumps([sorted(sys.modules), gc.isenabled(), gc.get_freeze_count()]))
"""


def ran(*args):
    done = subprocess.run([sys.executable, "-c", CODE, *map(str, args)], check=True, stdout=subprocess.PIPE, text=True)
    modules, collects, frozen = json.loads(done.stdout.splitlines()[-1])
    return set(modules), collects, frozen


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A training of one step, and samples of it: their modules, and what they did with the collector."""
    root = tmp_path_factory.mktemp("start")
    trained = ran("train", "wgan-gp", *FAST, "--out", root / "run")
    return {"train": trained, "sample": ran("sample", root / "run", "-n", 4, "-o", root / "grid.png")}


@pytest.mark.parametrize(
    ("command", "heavy"),
    [("train", COMPILERS | OTHERS), ("sample", COMPILERS | OTHERS | {"gankit.training"})],
    ids=["train", "sample"],
)
def test_nobody_waits_for_modules_that_the_command_does_not_use(started, command, heavy):
    modules = started[command][0]
    assert "torch" in modules
    assert heavy & modules == set()


@pytest.mark.parametrize("command", ["train", "sample"])
def test_pytorch_is_not_looked_through_for_garbage_but_a_run_still_collects_its_own(started, command):
    _, collects, frozen = started[command]
    assert collects
    assert frozen > 100_000


def test_a_program_that_has_imported_pytorch_keeps_its_collector_as_it_was():
    frozen = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_import_that_fails_does_not_leave_the_collector_off():
    with pytest.raises(ImportError), uncollected():
        raise ImportError("no such module")
    assert gc.isenabled()
