"""Freed memory serves the next step; returned to the system it would cost up to a third of a step on a CPU."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gankit.cpu import keep_freed

SCRIPT = """
import resource, sys
import gankit.cpu
if sys.argv[1] == "off":
    gankit.cpu.keep_freed = lambda: False
from gankit.config import configure
from gankit.training.trainer import Trainer
flags = dict(data="shapes", limit=200, size=32, channels=1, arch="mlp", ngf=32, ndf=32, batch_size=64, steps=99)
trainer = Trainer(configure("wgan-gp", flags | {"threads": 1, "engine": "eager"}))  # a plan allocates nothing
for _ in range(4):
    trainer.step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    trainer.step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode):
    # Named, glibc's own thresholds stay; else they move with what happened to be freed while importing.
    fixed = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"} if mode == "off" else {}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True, env={**os.environ, **fixed}
    )
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed(), reason="this C library cannot be told to keep memory")
def test_a_step_uses_the_memory_of_the_one_before():
    assert 10 * faults("on") < faults("off")
