"""A sweep on a Dask cluster: a real scheduler and two worker processes on loopback, one of which is killed mid-cell."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import lab_work
import pytest
from paths import SUPPORT

from gankit.core.errors import UsageError
from gankit.lab.sweeps import executor as executors
from gankit.lab.sweeps.cells import cells_of
from gankit.lab.sweeps.sweep import run_cells

RUN = {
    "data": "shapes", "arch": "mlp", "ngf": 2, "ndf": 2, "nz": 4, "batch_size": 8, "size": 8, "channels": 1,
    "limit": 40, "samples": 4, "steps": 1500, "checkpoint_every": 50, "log_every": 5,
}  # fmt: skip


@pytest.fixture
def scheduler(tmp_path):
    """The address of a scheduler, and its two workers; each is a process of its own."""
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'gankit[cluster]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    port = address.rpartition(":")[2]
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "3"}
    common = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    start = [sys.executable, "-m"]
    server = [*start, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    server += ["--no-show", "--dashboard-address", "127.0.0.1:0"]
    worker = [*start, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    processes = [subprocess.Popen(server, **common), *(subprocess.Popen(worker, **common) for _ in range(2))]
    yield address, processes[1:]
    for process in processes:
        process.kill()
        process.wait()


def under_way(out):
    """The runs that have begun and not ended."""
    begun = {path.parent for path in out.glob("*/*/timing.jsonl")}
    return begun - {path.parent.parent for path in out.glob("*/*/checkpoints/001500.pt")}


def test_a_killed_workers_cell_is_run_again_and_the_sweep_ends_whole(scheduler, tmp_path):
    address, workers = scheduler
    out = tmp_path / "sweep"
    words = [word for name, value in RUN.items() for word in ("--" + name.replace("_", "-"), str(value))]
    command = [sys.executable, "-c", "from gankit.cli import main; main()", "sweep", "dcgan", *words]
    command += ["--seeds", "4", "--cluster", address, "--out", str(out)]
    sweep = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        lab_work.until(lambda: sweep.poll() is not None or len(under_way(out)) == 2)
        assert sweep.poll() is None, sweep.communicate()
        workers[0].send_signal(signal.SIGKILL)
        assert len(under_way(out)) == 2  # so each of the two workers was within a cell
        said = sweep.communicate(timeout=120)[1]
    finally:
        sweep.kill()
        sweep.wait()
    assert sweep.returncode == 0, said
    assert "4 of 4 done, 0 running, 0 failed" in said
    there = lab_work.bits(out)
    assert {step for _, step, _ in there.values()} == {1500}
    here = tmp_path / "here"
    run_cells(here, cells_of("dcgan", {}, 4, RUN), threads=1, jobs=1, quiet=True)
    assert lab_work.bits(here) == there


def test_a_cluster_that_is_not_there_or_not_installed_is_an_error_that_says_so(tmp_path, monkeypatch):
    cells = cells_of("dcgan", {}, 1, RUN)
    with pytest.raises(UsageError, match="--jobs is for this machine"):
        run_cells(tmp_path / "a", cells, cluster="tcp://127.0.0.1:1", jobs=1)

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(executors.importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install 'gankit\[cluster\]'"):
        run_cells(tmp_path / "b", cells, cluster="tcp://127.0.0.1:1")
    assert not list(tmp_path.iterdir())
