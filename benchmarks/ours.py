"""gankit's own loop on the baselines' workloads, with their clock.

    python benchmarks/ours.py wgan-gp-mlp --epochs 1 --threads 2 --engine compiled

Its time of data is within the step: a batch is drawn where it is needed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where this file is loaded by its path
from baseline import Job, Result, command, measure, prepare

from gankit.training.trainer import Trainer

READ_EVERY = 50


class Ours:
    """gankit's trainer as a loop."""

    def __init__(self, job: Job) -> None:
        self.trainer = Trainer(job.config, job.images)
        self.history: list[list[float]] = []
        self.names: tuple[str, ...] = ()

    def step(self, batches: Any) -> None:
        """One step of the trainer."""
        self.trainer.step()
        if self.trainer.done % READ_EVERY == 0:
            self.close()

    def close(self) -> None:
        """Read what was recorded."""
        for row in self.trainer.take_rows():
            self.names = tuple(row)
            self.history.append(list(row.values()))


def run(workload: str, steps: int | None = None, **flags: Any) -> Result:
    """Set up ``workload`` and time ``steps`` steps; ``flags`` as `baseline.prepare` takes them."""
    job = prepare(workload, steps=steps, **flags)
    loop = Ours(job)
    # The networks that the baselines would train make room for the trainer's own.
    result = measure("gankit", replace(job, model=loop.trainer.model), loop, iter(()))
    return replace(result, loop=f"gankit {loop.trainer.engine.name}")


if __name__ == "__main__":
    command(run, "Time gankit's loop.", precisions=("fp32", "bf16"), engines=True)()
