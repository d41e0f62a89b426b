"""What a command must not import, since its user waits for it: a list, and the collector that rests meanwhile."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from typing import NamedTuple

import pytest

from gankit.core.lazy import uncollected

FAST = ["--data", "shapes", "--arch", "mlp", "--ngf", "2", "--ndf", "2", "--nz", "4", "--batch-size", "8",
        "--size", "8", "--channels", "1", "--limit", "40", "--samples", "4", "--steps", "1", "--engine", "eager",
        "--quiet"]  # fmt: skip
COMPILERS = {"torch._dynamo", "torch._inductor", "torch.onnx", "torchvision", "triton", "sympy"}
OTHERS = {"gankit.lab", "gankit.report", "gankit.profiling", "matplotlib", "pandas", "scipy"}
CODE = """
import gc, json, sys
from gankit.cli import main

class Watch:
    def find_spec(self, name, path=None, target=None):
        if not gc.isenabled():
            quiet.append(name)

sys.meta_path.insert(0, Watch())
for words in json.loads(sys.argv[1]):
    quiet = []
    try:
        main(words)
    except SystemExit as end:
        assert not end.code
    print(json.dumps([sorted(sys.modules), quiet, gc.isenabled(), gc.get_freeze_count()]))
"""


class Start(NamedTuple):
    """What is imported after a command, what of it while nothing was collected, and what became of the collector."""

    modules: set[str]
    quiet: set[str]
    collects: bool
    frozen: int


@pytest.fixture(scope="module")
def started(finished, tmp_path_factory):
    """Samples of a run, and then, in the same process, a training of one step."""
    root = tmp_path_factory.mktemp("start")
    commands = {
        "sample": ["sample", finished, "-n", 4, "-o", root / "grid.png"],
        "train": ["train", "wgan-gp", *FAST, "--out", root / "run"],
    }
    words = json.dumps([[str(word) for word in command] for command in commands.values()])
    done = subprocess.run([sys.executable, "-c", CODE, words], check=True, stdout=subprocess.PIPE, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]
    return {name: Start(set(a), set(b), *rest) for name, (a, b, *rest) in zip(commands, found, strict=True)}


@pytest.mark.parametrize(
    ("command", "heavy"),
    [("sample", COMPILERS | OTHERS | {"gankit.training"}), ("train", COMPILERS | OTHERS)],
    ids=["sample", "train"],
)
def test_nobody_waits_for_modules_that_the_command_does_not_use(started, command, heavy):
    assert "torch" in started[command].modules
    assert heavy & started[command].modules == set()


@pytest.mark.parametrize(("command", "module"), [("sample", "torch"), ("train", "gankit.training")])
def test_imports_are_not_looked_through_for_garbage_but_a_run_still_collects_its_own(started, command, module):
    assert module in started[command].quiet
    assert started[command].collects
    assert started[command].frozen > 100_000


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
