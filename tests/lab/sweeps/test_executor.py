"""LocalExecutor: processes that fail alone, say nothing between answers, and do not outlive us."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import wait
from pathlib import Path

import lab_work
import pytest
from paths import SUPPORT

from gankit.core import cores
from gankit.core.errors import UsageError
from gankit.lab.sweeps import plan
from gankit.lab.sweeps.executor import LocalExecutor, WorkerDied


@pytest.fixture(scope="module")
def executor(tmp_path_factory):
    with LocalExecutor(2, 1, log=tmp_path_factory.mktemp("log") / "log.txt") as made:
        yield made


def test_a_killed_worker_fails_its_own_call_alone_and_is_replaced(executor):
    killed = executor.submit(lab_work.kill_oneself)
    others = [executor.submit(lab_work.whoami) for _ in range(6)]
    with pytest.raises(WorkerDied, match="SIGKILL, too little memory"):
        killed.result(60)
    assert os.getpid() not in {other.result(60) for other in others}


def test_no_more_calls_run_at_a_time_than_jobs(executor, tmp_path):
    calls = [executor.submit(lab_work.overlap, str(tmp_path), 0.1) for _ in range(8)]
    assert max(call.result(60) for call in calls) <= 2


def test_what_a_call_prints_does_not_come_between_the_answers(executor):
    assert executor.submit(lab_work.chatter).result(60) == ""
    assert "past Python" in executor.log.read_text()


def test_an_error_of_a_call_is_the_futures_and_the_worker_goes_on(executor):
    with pytest.raises(KeyError, match="word"):
        executor.submit(lab_work.refuse, "word").result(60)
    assert executor.submit(lab_work.environment, "OMP_NUM_THREADS").result(60) == "1"


def test_each_place_sees_a_gpu_of_its_own():
    executor = LocalExecutor(3, 2, gpus=("4", "7"))
    seen = [executor.environment(place)["CUDA_VISIBLE_DEVICES"] for place in range(3)]
    executor.shutdown()
    assert seen == ["4", "7", "4"]


def test_a_worker_does_not_outlive_a_parent_that_is_killed(tmp_path):
    mark = tmp_path / "pid"
    code = (
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r}); import lab_work\n"
        "from gankit.lab.sweeps.executor import LocalExecutor\n"
        f"LocalExecutor(1, 1).submit(lab_work.announce_and_wait, {str(mark)!r}).result()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    lab_work.until(lambda: mark.exists() and mark.read_text())
    worker = int(mark.read_text())
    parent.kill()
    parent.wait()
    lab_work.until(lambda: not _runs(worker), 20)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_stop_begins_nothing_new():
    executor = LocalExecutor(1, 1)
    executor.stop()
    call = executor.submit(lab_work.whoami)
    wait([call], 10)
    assert isinstance(call.exception(), WorkerDied)
    executor.shutdown()


@pytest.mark.parametrize(
    ("cells", "jobs", "threads", "shared"),
    [
        (6, None, None, (4, 1)), (2, None, None, (2, 2)), (1, None, None, (1, 4)), (6, None, 2, (2, 2)),
        (6, 2, None, (2, 1)), (2, 1, None, (1, 4)), (6, 2, 2, (2, 2)),
    ],
)  # fmt: skip
def test_cores_are_shared_out_and_never_oversubscribed(cells, jobs, threads, shared, monkeypatch):
    monkeypatch.setattr(plan, "cores", lambda: 4)
    found = plan.share(cells, jobs, threads)
    assert (found.jobs, found.threads) == shared
    assert found.jobs * found.threads <= 4


def test_more_cores_than_there_are_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(plan, "cores", lambda: 4)
    for jobs, threads in ((3, 2), (5, None), (None, 8)):
        with pytest.raises(UsageError, match="this process may use 4"):
            plan.share(6, jobs, threads)
    assert plan.share(6, None, 8, pinned=True) == plan.Shares(1, 8)  # begun on a larger machine
    assert plan.share(6, None, None, gpus=2) == plan.Shares(2, 2)


def test_a_containers_quota_counts(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "own").write_text("0::/a/b\n")
    (tmp_path / "a" / "b" / "cpu.max").write_text("max 100000\n")
    (tmp_path / "a" / "cpu.max").write_text("250000 100000\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN", tmp_path / "own")
    assert cores.quota(8) == 2
    monkeypatch.setattr(cores, "OWN", tmp_path / "none")
    assert cores.quota(8) == 8
