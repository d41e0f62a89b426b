"""Sweeps as a user runs them: kept through kills bit for bit, failures recorded, signals heeded, cells added."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import lab_work
import pytest
from paths import SUPPORT

import gankit
from gankit.core.errors import UsageError
from gankit.core.progress import JobsProgress
from gankit.lab.sweeps import sweep as sweeps
from gankit.lab.sweeps.cells import Cell, cells_of, folder_of
from gankit.lab.sweeps.executor import LocalExecutor
from gankit.lab.sweeps.outcome import read_sweep
from gankit.lab.sweeps.sweep import run_cells

RUN = {
    "data": "shapes", "arch": "mlp", "ngf": 2, "ndf": 2, "nz": 4, "batch_size": 8, "size": 8, "channels": 1,
    "limit": 40, "samples": 4,
}  # fmt: skip
LONG = {**RUN, "steps": 240, "checkpoint_every": 20, "log_every": 5, "sample_every": 120}
GRID = {"lr_g": [1e-4, 2e-4]}


def command(out, flags=LONG, *more):
    """The command line of a sweep over GRID with two seeds."""
    words = [word for name, value in flags.items() for word in ("--" + name.replace("_", "-"), str(value))]
    start = [sys.executable, "-c", "from gankit.cli import main; main()", "sweep", "dcgan"]
    return [*start, *words, "--grid", "lr_g=1e-4,2e-4", "--seeds", "2", "--jobs", "2", "--out", str(out), *more]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The same runs, trained one by one without a sweep."""
    out = tmp_path_factory.mktemp("one by one")
    for cell in cells_of("dcgan", GRID, 2, LONG):
        gankit.train("dcgan", out=out / cell.folder, quiet=True, threads=1, seed=cell.seed, **cell.flags)
    return lab_work.bits(out)


def started(out):
    """A sweep in a process group of its own, as a terminal gives it one, once a worker of it trains."""
    before = {path: path.stat().st_mtime for path in out.glob("*/*/timing.jsonl")}
    process = subprocess.Popen(command(out), start_new_session=True, stderr=subprocess.PIPE, text=True)

    def trains():
        now = {path: path.stat().st_mtime for path in out.glob("*/*/timing.jsonl")}
        return now != before or process.poll() is not None

    lab_work.until(trains)
    return process


def killed_at_random(out, moments, rounds):
    """Kill a sweep's parent or one of its workers at random, ``rounds`` times; start it again where it is gone."""
    process = started(out)
    for i in range(rounds):
        time.sleep(moments.uniform(0, 0.3))
        if i % 2 == 0 and (workers := lab_work.workers_of(process.pid)):
            os.kill(moments.choice(workers), signal.SIGKILL)
        else:
            process.kill()
            process.communicate()
            process = started(out)
    process.communicate(timeout=120)
    assert subprocess.run(command(out, LONG, "--retry-failed"), capture_output=True).returncode == 0


def test_a_sweep_whose_workers_and_parent_are_killed_ends_bit_for_bit_as_single_runs(tmp_path, uninterrupted):
    killed_at_random(tmp_path, random.Random(0), 2)
    assert lab_work.bits(tmp_path) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_sweep_killed_many_times_ends_bit_for_bit_as_single_runs(seed, tmp_path, uninterrupted):
    killed_at_random(tmp_path, random.Random(seed), 8)
    assert lab_work.bits(tmp_path) == uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_sweep_with_checkpoints_and_the_same_command_goes_on(number, tmp_path, uninterrupted):
    process = started(tmp_path)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # Ctrl-C reaches the workers too
    else:
        process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert "of 4 cells done; the same command, with --out" in said.splitlines()[-1]
    assert not (tmp_path / "failures.jsonl").exists()
    begun = [root.parent for root in tmp_path.glob("*/*/config.json")]
    assert begun
    assert all(list((root / "checkpoints").glob("*.pt")) for root in begun)
    if number == signal.SIGTERM:
        assert subprocess.run(command(tmp_path), capture_output=True).returncode == 0
        assert lab_work.bits(tmp_path) == uninterrupted


def plain_cells(seeds, **flags):
    return [Cell("plain", "dcgan", {**RUN, "steps": 2, **flags}, seed, folder_of("plain", seed)) for seed in seeds]


@pytest.fixture(scope="module")
def executor():
    with LocalExecutor(1, 1) as made:
        yield made


def test_a_cell_that_fails_is_recorded_the_others_go_on_and_it_is_tried_again_only_when_asked(
    tmp_path, executor, capsys
):
    good, bad = plain_cells([0, 1]), Cell("no place", "dcgan", {**RUN, "steps": 2}, 0, folder_of("no place", 0))
    (tmp_path / bad.folder).mkdir(parents=True)
    (tmp_path / bad.folder / "mine.txt").write_text("somebody's")
    results = run_cells(tmp_path, [bad, *good], executor=executor)
    assert [result.status for result in results] == ["failed", "done", "done"]
    (line,) = map(json.loads, (tmp_path / "failures.jsonl").read_text().splitlines())
    assert {"cell": "no place", "seed": 0, "folder": bad.folder}.items() <= line.items()
    assert "exists and is not empty" in line["reason"]
    assert "2 of 3 done, 0 running, 1 failed" in capsys.readouterr().err
    (tmp_path / bad.folder / "mine.txt").unlink()
    again = run_cells(tmp_path, [bad, *good], executor=executor, quiet=True)
    assert [result.status for result in again] == ["failed", "done", "done"]
    assert [result.status for result in read_sweep(tmp_path).results] == ["failed", "done", "done"]
    retried = run_cells(tmp_path, [bad, *good], executor=executor, quiet=True, retry_failed=True)
    assert [result.status for result in retried] == ["done"] * 3
    assert not (tmp_path / "failures.jsonl").exists()


def test_a_run_that_diverges_keeps_its_folder_and_says_so(tmp_path, executor):
    flags = {
        "data": "shapes", "arch": "mlp", "limit": 64, "size": 8, "batch_size": 8, "ngf": 8, "ndf": 8, "steps": 30,
        "optimizer": "sgd", "lr_g": 0.125, "lr_d": 0.125, "checkpoint_every": 4, "log_every": 2, "samples": 4,
    }  # fmt: skip
    cells = [Cell("hot", "wgan-gp", flags, 0, "hot/seed-0")]
    (result,) = run_cells(tmp_path, cells, executor=executor, quiet=True, threads=1, after=("lab_work:last_step", {}))
    assert result.status == "failed"
    assert result.diverged
    assert "finite" in result.reason
    figures = json.loads((tmp_path / "hot" / "seed-0" / "figures.json").read_text())["figures"]
    assert 0 < figures < 30  # what can be measured of it is: that it diverged is a result
    assert read_sweep(tmp_path).results.of("failed")[0].diverged


def test_finished_cells_are_not_touched_and_seeds_can_be_added(tmp_path, executor):
    run_cells(tmp_path, plain_cells([0]), executor=executor, quiet=True)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "plain" / "seed-0").rglob("*")}
    results = run_cells(tmp_path, plain_cells([0, 1]), executor=executor, quiet=True)
    assert [(result.status, result.seconds > 0) for result in results] == [("done", False), ("done", True)]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "plain" / "seed-0").rglob("*")} == before


def test_what_is_made_of_a_run_is_kept_until_it_would_be_made_otherwise(tmp_path, executor):
    root = tmp_path / "plain" / "seed-0"

    def figures(bonus):
        run_cells(
            tmp_path, plain_cells([0]), executor=executor, quiet=True, after=("lab_work:last_step", {"bonus": bonus})
        )
        return json.loads((root / "figures.json").read_text())["figures"], len((root / "called").read_text())

    assert [figures(0), figures(0), figures(5)] == [(2, 1), (2, 1), (7, 2)]


def test_another_sweep_in_the_folder_is_refused_with_what_differs(tmp_path, executor):
    run_cells(tmp_path, plain_cells([0]), executor=executor, quiet=True, threads=1)
    for cells, threads, words in (
        (plain_cells([1]), None, "with a cell plain, seed 0, which this one lacks"),
        (plain_cells([0], lr_g=0.5), None, "in its cell plain, seed 0: lr_g was unset, now 0.5"),
        (plain_cells([0], steps=3), None, "steps was 2, now 3"),
        (plain_cells([0]), 2, "was begun with 1"),
    ):
        with pytest.raises(UsageError, match=words):
            run_cells(tmp_path, cells, executor=executor, quiet=True, threads=threads)


def test_a_folder_that_holds_something_else_is_refused(tmp_path, cli):
    (tmp_path / "thesis.tex").write_text("")
    ended = cli("sweep", "dcgan", "--data", "shapes", "--out", tmp_path)
    assert ended.exit_code == 2
    assert "exists and is not empty, and holds no sweep" in ended.stderr


def test_images_that_are_not_there_are_named_before_anything_is_written(tmp_path, cli):
    out = tmp_path / "sweep"
    ended = cli("sweep", "dcgan", "--data", f"folder:{tmp_path / 'none'}", "--grid", "ndf=2,4", "--out", out)
    assert ended.exit_code == 2
    assert len(ended.stderr.splitlines()) == 1
    assert not out.exists()


def test_a_sweep_from_python_has_a_table_a_page_and_its_runs(tmp_path):
    sweep = gankit.sweep(
        "wgan-gp", {"n_critic": [1, 2]}, seeds=2, out=tmp_path / "s", quiet=True, **RUN, steps=2,
        evaluate_every=2, metric="swd", evaluate_images=8,
    )  # fmt: skip
    assert [(row["cell"], row["done"], row["failed"], row["metric"]) for row in sweep.table] == [
        ("n_critic=1", 2, 0, "swd"), ("n_critic=2", 2, 0, "swd"),
    ]  # fmt: skip
    scores = [json.loads((run.root / "evaluations.jsonl").read_text())["value"] for run in sweep.runs[:2]]
    assert sweep.table[0]["score"] == pytest.approx(sum(scores) / 2)
    assert "<td>n_critic=1</td><td>2 of 2</td>" in sweep._repr_html_()
    assert str(sweep).splitlines()[1].startswith("n_critic=1  2 of 2  0       swd")
    assert str(read_sweep(tmp_path / "s")) == str(sweep)
    assert all(run.config.train.threads == sweep.plan.threads for run in sweep.runs)


def test_a_worker_that_dies_once_is_replaced_and_one_that_dies_twice_is_a_failure(tmp_path):
    with LocalExecutor(1, 1) as executor:
        (result,) = run_cells(
            tmp_path, plain_cells([0]), executor=executor, quiet=True, after=("lab_work:die_the_first_time", {})
        )
        assert result.status == "done"
        (result,) = run_cells(tmp_path, plain_cells([0]), executor=executor, quiet=True, after=("lab_work:die", {}))
    assert result.status == "failed"
    assert "SIGKILL" in result.reason


def test_progress_says_what_ended_and_what_is_left(capsys):
    progress = JobsProgress("cells", 6)
    progress.update(1, 2, 0)
    progress.update(2, 2, 1, 75, "lr_g=1e-4, seed 0: done, 3 s")
    assert capsys.readouterr().err == (
        "cells: 2 of 6 done, 2 running, 1 failed, 1 min 15 s left  (lr_g=1e-4, seed 0: done, 3 s)\n"
    )


def test_time_left_follows_the_steps_of_what_runs(tmp_path):
    (tmp_path / "config.json").write_text('{"train": {"steps": 200}}')
    assert sweeps._share_done(tmp_path) == 0
    (tmp_path / "timing.jsonl").write_text('{"step": 5}\n{"step": 50}\n')
    assert sweeps._share_done(tmp_path) == 0.25


def test_two_sweeps_cannot_run_in_one_folder(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SUPPORT)!r}); import lab_work; "
         f"lab_work.hold_and_wait({str(tmp_path)!r})"], stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout.readline()
        with pytest.raises(UsageError, match="another process runs this sweep"):
            run_cells(tmp_path, plain_cells([0]), quiet=True)
    finally:
        holder.kill()
        holder.communicate()


def test_a_judged_run_is_done_whichever_of_its_checkpoints_is_the_best(tmp_path, executor):
    flags = {**RUN, "steps": 4, "checkpoint_every": 2, "evaluate_every": 2, "evaluate_images": 10, "metric": "swd"}
    cells = [Cell("judged", "dcgan", flags, 0, "judged/seed-0")]
    run_cells(tmp_path, cells, executor=executor, quiet=True, threads=1)
    index = tmp_path / "judged" / "seed-0" / "checkpoints" / "index.json"
    os.utime(index, (0, 0))  # as one that was written before the last checkpoint, because that was no better
    (result,) = run_cells(tmp_path, cells, executor=executor, quiet=True)
    assert (result.status, result.seconds) == ("done", 0)
    index.write_text('{"best": null}')  # as of one killed between its last checkpoint and the index
    (result,) = run_cells(tmp_path, cells, executor=executor, quiet=True)
    assert (result.status, result.seconds > 0) == ("done", True)
    assert json.loads(index.read_text())["best"]["metric"] == "swd"
