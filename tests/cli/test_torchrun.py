"""The command line under PyTorch's launcher, as a user starts it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from outcomes import assert_same
from several import in_ranks

import gankit
from gankit.cli import main

GANKIT = [sys.executable, "-c", "from gankit.cli import main; main()"]
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
FLAGS = {
    "data": "shapes", "size": 8, "channels": 1, "limit": 50, "batch-size": 8, "arch": "mlp", "ngf": 2, "ndf": 2,
    "nz": 4, "steps": 160, "checkpoint-every": 20, "log-every": 4, "sample-every": 200, "samples": 4,
}  # fmt: skip
TRAIN = ["train", "wgan-gp", *(f"--{name}={value}" for name, value in FLAGS.items())]


def launched(*words, launcher=()):
    """A running `torchrun ... gankit WORDS`."""
    code = "from gankit.cli import main; main()"
    script = ["--no-python", *GANKIT[:1], "-c", code, *map(str, words)]
    command = [*LAUNCHER, *launcher, *script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process, code):
    """Standard output and error of a command that ends with ``code``; the launcher's own is 1 for any failure."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out, err


def children(pid):
    """The processes that ``pid`` started."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    if not tasks.exists():
        pytest.skip("this system does not tell the children of a process")
    return [int(child) for child in tasks.read_text().split()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    root = tmp_path_factory.mktemp("launched") / "run"
    out, err = said(launched(*TRAIN, "--out", root), 0)
    assert out == f"{root}\n", "each rank told the run folder"
    assert err.count("step 160/160") == 1, "each rank showed its progress"
    return root


def test_a_rank_that_is_killed_is_started_again_by_the_launcher_and_the_run_ends_as_if_it_had_not_been(
    tmp_path, uninterrupted
):
    root = tmp_path / "run"
    process = launched(*TRAIN, "--out", root, launcher=["--max-restarts", "1"])
    while not list((root / "checkpoints").glob("*.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    _, err = said(process, 0)
    assert re.search(
        r"Error: rank 0 of 2 on \S+: lost rank 1 on \S+ \([^)]*\) after step \d+; the last checkpoint", err
    )
    assert_same(root, uninterrupted)


@pytest.mark.slow
def test_a_run_whose_folder_gankit_named_is_found_again_after_a_restart(tmp_path, monkeypatch, uninterrupted):
    monkeypatch.chdir(tmp_path)
    process = launched(*TRAIN, launcher=["--max-restarts", "1"])
    root = tmp_path / "runs" / "wgan-gp-shapes-001"
    while not list((root / "checkpoints").glob("*.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    assert said(process, 0)[0] == f"{root.relative_to(tmp_path)}\n"
    assert [path.name for path in root.parent.iterdir()] == [root.name]
    assert_same(root, uninterrupted)


@pytest.mark.slow
def test_a_request_to_end_writes_one_checkpoint_and_both_ranks_exit_with_143(tmp_path):
    root = tmp_path / "run"
    process = launched(*TRAIN, "--steps=100000", "--out", root)
    while not list((root / "checkpoints").glob("*.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert err.count("Error: stopped after step") == 1
    assert f"`gankit resume {root}`" in err
    metrics = gankit.Run(root).metrics()
    assert int(gankit.Run(root).checkpoints()[-1].stem) == metrics[-1]["step"] == len(metrics)


def test_a_wrong_option_is_told_once_a_host(tmp_path):
    _, err = said(launched("train", "wgan-gp", "--data", "shapes", "--size", "8", "--nz", "-4"), 1)
    assert err.count("Error:") - err.count("ChildFailedError:") == 1
    assert not (tmp_path / "runs").exists()


def test_a_command_that_is_one_process_says_so(uninterrupted):
    _, err = said(launched("report", uninterrupted), 1)
    assert "torchrun starts 2 of `gankit report`, which is one process" in err


def words_of(words, out):
    """What a rank prints for `gankit WORDS`, into a file of its own."""
    path = Path(f"{out}.{os.environ.get('RANK', 0)}")
    with path.open("w") as stream, contextlib.redirect_stdout(stream):
        main([str(word) for word in words], standalone_mode=False)
    return path.read_text()


def test_samples_and_scores_of_two_ranks_are_those_of_one(tmp_path, uninterrupted):
    for ranks, name in ((1, "one.npy"), (2, "two.npy")):
        words = ["sample", uninterrupted, "-n", 730, "-o", tmp_path / name]
        assert "".join(in_ranks(ranks, words_of, words, tmp_path / "said")) == f"{tmp_path / name}\n"
    assert np.array_equal(np.load(tmp_path / "two.npy"), np.load(tmp_path / "one.npy"))
    words = ["evaluate", uninterrupted, "--metric", "swd", "--images", "1300", "--json"]
    one, two = (json.loads("".join(in_ranks(ranks, words_of, words, tmp_path / "said"))) for ranks in (1, 2))
    assert [score["value"] for score in two] == [score["value"] for score in one]
    assert len((uninterrupted / "evaluations.jsonl").read_text().splitlines()) == 2
