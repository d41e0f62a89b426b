"""What becomes of a run when one of its ranks fails, is killed, or is asked to stop."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from outcomes import assert_same
from several import ended, in_ranks, start_ranks

import gankit
from gankit.core import ranks
from gankit.core.ranks import RankLost
from gankit.evaluation.evaluate import scores_of
from gankit.training import trainer
from gankit.training.loop import Interrupted

FLAGS = {
    "data": "shapes", "size": 8, "channels": 1, "limit": 50, "batch_size": 8, "arch": "dcgan", "ngf": 2, "ndf": 2,
    "nz": 4, "steps": 30, "ema_halflife_images": 100, "flip": True, "checkpoint_every": 7, "log_every": 4,
    "sample_every": 10, "samples": 4, "threads": 1, "evaluate_every": 14, "evaluate_images": 1200, "metric": "swd",
    "rank_timeout": 20,
}  # fmt: skip
SOON = 15
"""Seconds within which a failed run has ended: the machine may be busy."""


def train_or_resume(root, pause=0.0, more=None):
    """A rank's part of a run whose steps take ``pause`` seconds more; where it is up to in a file of its own."""
    step = trainer.Trainer.step

    def slow(self):
        time.sleep(pause)
        Path(f"{root}.{os.environ.get('RANK', 0)}.at").write_text(str(self.done))
        step(self)

    trainer.Trainer.step = slow
    if (root / "config.json").exists():
        gankit.resume(root, quiet=True)
    else:
        gankit.train("dcgan", out=root, quiet=True, **{**FLAGS, **(more or {})})
    return os.getpid()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    root = tmp_path_factory.mktemp("two ranks") / "run"
    in_ranks(2, train_or_resume, root)
    return root


def killed_and_resumed(root, rng, uninterrupted):
    """Kill one of two ranks at a random step; the other ends soon and says so; two more take the run to its end."""
    running = start_ranks(2, train_or_resume, root, 0.02)
    victim, at = rng.randrange(2), rng.randrange(28)
    file, deadline = Path(f"{root}.{victim}.at"), time.monotonic() + 60
    while not (file.exists() and (file.read_text() or "0") >= f"{at}" and int(file.read_text() or 0) >= at):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.02))
    running[victim][0].kill()
    killed = time.monotonic()
    results = [ended(one) for one in running]
    assert time.monotonic() - killed < SOON
    if isinstance(results[victim], ChildProcessError):
        left = results[1 - victim]
        assert isinstance(left, RankLost), left
        assert re.search(rf"lost rank {victim} on \S+ \(.+\) after step \d+; the last checkpoint is", str(left))
        assert f"`gankit resume {root}`" in str(left)
    in_ranks(2, train_or_resume, root)
    assert_same(root, uninterrupted)


@pytest.mark.parametrize("trial", range(3))
def test_a_run_of_which_a_rank_was_killed_ends_at_once_and_resumed_is_as_if_it_had_not_been(
    trial, tmp_path, uninterrupted
):
    killed_and_resumed(tmp_path / "run", random.Random(trial), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(3, 23))
def test_a_run_of_which_a_rank_was_killed_again_and_again_is_as_if_it_had_not_been(trial, tmp_path, uninterrupted):
    killed_and_resumed(tmp_path / "run", random.Random(trial), uninterrupted)


def test_a_run_of_two_ranks_is_the_same_each_time(tmp_path, uninterrupted):
    in_ranks(2, train_or_resume, tmp_path / "run")
    assert_same(tmp_path / "run", uninterrupted)


def test_a_run_without_batch_norm_goes_on_with_another_number_of_ranks_to_rounding(tmp_path):
    plain = {"discriminator_norm": "none", "generator_norm": "none", "precision": "fp64", "evaluate_every": 30}
    one, two = tmp_path / "one", tmp_path / "two"
    in_ranks(1, train_or_resume, one, 0.0, plain)
    in_ranks(2, train_or_resume, two, 0.0, plain)
    shutil.copytree(two, tmp_path / "again")
    (tmp_path / "again" / "checkpoints" / "000030.pt").unlink()
    in_ranks(1, train_or_resume, tmp_path / "again")
    ours, again, theirs = (gankit.Run(root).latest()[0] for root in (two, tmp_path / "again", one))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(again[name], tensor, rtol=1e-9, atol=1e-9)


def stopped(root, number, whom):
    """Train until step 5, when rank ``whom`` gets a signal."""
    step = trainer.Trainer.step

    def told(self):
        step(self)
        if self.done == 5 and self.ranks.rank == whom:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # the terminal's and the launcher's

    trainer.Trainer.step = told
    gankit.train("dcgan", out=root, quiet=True, **FLAGS)


@pytest.mark.parametrize("whom", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_one_rank_ends_all_after_the_same_checkpoint(number, whom, tmp_path, uninterrupted):
    root = tmp_path / "run"
    results = [ended(one) for one in start_ranks(2, stopped, root, number, whom)]
    for result in results:
        assert "Interrupted" in repr(result) or isinstance(result, Interrupted), result
        assert "stopped after step 6; a checkpoint was written" in str(result)
    assert [path.name for path in gankit.Run(root).checkpoints()] == ["000006.pt"]
    in_ranks(2, train_or_resume, root)
    shutil.copytree(root, tmp_path / "whole")
    assert_same(tmp_path / "whole", uninterrupted)


def failing(root, how, whom):
    """Train until step 9, when rank ``whom`` fails in a way."""
    step = trainer.Trainer.step

    def fails(self):
        step(self)
        if self.done == 9 and self.ranks.rank == whom:
            if how == "loss":
                for _, vectors in self.rows[-1][1]:
                    vectors[0].fill_(float("nan"))
            else:
                raise MemoryError("cannot allocate")

    trainer.Trainer.step = fails
    gankit.train("dcgan", out=root, quiet=True, **FLAGS)


def test_a_loss_that_is_not_finite_names_the_rank_it_began_on(tmp_path):
    for result in [ended(one) for one in start_ranks(2, failing, tmp_path / "run", "loss", 1)]:
        assert re.search(r"stopped being finite at step 9 on rank 1 \(\S+\)", str(result)), result
        assert "the last checkpoint is 000007.pt" in str(result)
    assert len(gankit.Run(tmp_path / "run").metrics()) == 8


def test_a_rank_that_runs_out_of_memory_ends_the_others_within_seconds(tmp_path):
    began = time.monotonic()
    other, failed = (ended(one) for one in start_ranks(2, failing, tmp_path / "run", "memory", 1))
    assert isinstance(failed, MemoryError)
    assert isinstance(other, RankLost)
    assert "lost rank 1 on" in str(other)
    assert time.monotonic() - began < 2 * SOON


def other_images(root):
    with ranks.joined(20) as these:
        gankit.train("dcgan", out=root, quiet=True, **{**FLAGS, "limit": 50 - these.rank})


def test_hosts_with_different_images_are_refused_before_anything_is_written(tmp_path):
    for result in [ended(one) for one in start_ranks(2, other_images, tmp_path / "run")]:
        assert re.search(r"rank 1 on \S+ has other images than rank 0", str(result)), result
    assert not (tmp_path / "run").exists()


def scores(root):
    with ranks.joined(60) as these:
        found = scores_of(root, ["swd", "fid"], images=1700, extractor="classifier")
        return these.rank, [score.value for score in found]


def test_all_ranks_judge_and_find_the_score_of_one(uninterrupted):
    ((_, alone),) = in_ranks(1, scores, uninterrupted, seconds=120)
    for _, found in in_ranks(3, scores, uninterrupted, seconds=120):
        assert found == pytest.approx(alone, rel=1e-6)
