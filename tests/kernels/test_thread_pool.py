"""The threads of the C extension where they have to share a core."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from gankit.kernels import cpu

pytestmark = [
    pytest.mark.skipif(bool(cpu.REASON), reason=cpu.REASON),
    pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be tied to a core here"),
]

ONE_CORE = """
import hashlib, json, os, torch
from gankit.kernels import cpu
torch.set_num_threads(2)
draws = torch.Generator().manual_seed(0)
a, b = torch.randn(256, 512, generator=draws), torch.randn(512, 256, generator=draws)
out = torch.empty(256, 256)
found = set()
def run(times):
    for _ in range(times):
        cpu.gemm(a, b, out)
        found.add(hashlib.sha256(out.numpy().tobytes()).hexdigest())
run(20)                                     # the second thread exists by now
cores = sorted(os.sched_getaffinity(0))
for task in os.listdir("/proc/self/task"):  # and from here on both have one core
    os.sched_setaffinity(int(task), cores[:1])
run(400)
print(json.dumps([cpu.extension().held_up(), cpu.extension().contended(), len(found)]))
"""


def test_a_thread_without_a_core_is_not_waited_for_again_and_again_and_changes_no_bit():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run([sys.executable, "-c", ONE_CORE], env=environment, capture_output=True, text=True, check=True)
    held_up, contended, results = json.loads(done.stdout)
    assert results == 1
    assert contended
    assert 1 <= held_up <= 100  # of 400: after each it works alone for twice as long


@pytest.mark.parametrize("contended", [True, False])
def test_pytorchs_own_ops_have_one_thread_in_a_plans_step_only_where_others_use_the_cores(contended, monkeypatch):
    monkeypatch.setattr(cpu, "extension", lambda: SimpleNamespace(contended=lambda: contended))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with cpu.yielding():
            assert (torch.get_num_threads(), cpu.team()) == (1 if contended else 3, 3)
        assert (torch.get_num_threads(), cpu.team()) == (3, 3)
    finally:
        torch.set_num_threads(before)
