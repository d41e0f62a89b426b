"""A run that goes on with other steps, rates or another machine: a new leg, written down, exact within itself."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import gankit
from gankit.core import checkpoint
from gankit.training.schedule import rate

DECAYING = {"preset": "paper", "decay_start": 0.5, "checkpoint_every": 2, "milestone_every": 2, "log_every": 1,
            "ema_halflife_images": 50}  # fmt: skip


def config(root):
    return json.loads((root / "config.json").read_text())


def same(one, other):
    """Whether two runs have the same tensors and records, bit for bit."""
    ours, theirs = gankit.Run(one).latest()[0], gankit.Run(other).latest()[0]
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours) and (
        (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    )


@pytest.fixture(scope="module")
def decayed(tmp_path_factory):
    from tiny import TINY

    root = tmp_path_factory.mktemp("decayed") / "run"
    gankit.train("dcgan", out=root, steps=6, **DECAYING, **TINY)
    return root


@pytest.fixture
def again(decayed, tmp_path):
    return shutil.copytree(decayed, tmp_path / "run")


def used_rates(monkeypatch, root, **changes):
    """The learning rate of each phase at every step that a resumed run takes."""
    found = []
    step = gankit.Trainer.step

    def told(self):
        step(self)
        found.append((self.done, *(state.optimizer.rate for state in self.phases)))

    with monkeypatch.context() as patch:
        patch.setattr(gankit.Trainer, "step", told)
        gankit.resume(root, quiet=True, **changes)
    return found


def test_a_finished_run_goes_on_with_lower_rates_that_decay_over_the_new_leg(again, monkeypatch):
    found = used_rates(monkeypatch, again, steps=10, lr_g=2e-5, lr_d=4e-5)
    factors = [rate(step, 4, 0.5) for step in range(4)]
    assert factors == [1, 1, 1, 0.5]
    assert found == [(7 + i, 4e-5 * factor, 2e-5 * factor) for i, factor in enumerate(factors)]
    changes = {
        "steps": {"was": 6, "now": 10},
        "lr_g": {"was": 2e-4, "now": 2e-5},
        "lr_d": {"was": 2e-4, "now": 4e-5},
    }
    assert config(again)["legs"] == [{"from": 6, "schedule from": 6, "rolled back": 0, "changes": changes}]
    assert [row["step"] for row in gankit.Run(again).metrics()] == list(range(1, 11))


@pytest.mark.parametrize("kept", [6, 8], ids=["before its first checkpoint", "after one"])
def test_a_run_killed_within_a_leg_ends_bit_for_bit_alike(kept, again, tmp_path):
    gankit.resume(again, steps=10, lr_g=2e-5, quiet=True)
    killed = shutil.copytree(again, tmp_path / "killed")
    for path in gankit.Run(killed).checkpoints():
        if int(path.stem) > kept:
            path.unlink()
    gankit.resume(killed, quiet=True)
    assert same(again, killed)
    assert config(again) == config(killed)


def test_a_leg_whose_first_checkpoint_is_lost_starts_at_the_one_before(again, capsys):
    gankit.resume(again, steps=10, lr_g=2e-5, quiet=True)
    for step in (6, 8, 10):
        (again / "checkpoints" / f"{step:06d}.pt").write_bytes(b"torn")
    gankit.resume(again, quiet=True)
    (leg,) = config(again)["legs"]
    assert (leg["from"], leg["schedule from"]) == (4, 4)
    assert "000010.pt" in capsys.readouterr().err
    assert gankit.Run(again).latest()[1]["step"] == 10


def test_a_change_of_threads_alone_leaves_the_schedule_where_it_was(again, monkeypatch):
    (again / "checkpoints" / "000006.pt").unlink()
    found = used_rates(monkeypatch, again, threads=2)
    assert [round(each[1] / 2e-4, 6) for each in found] == [round(rate(4, 6, 0.5), 6), round(rate(5, 6, 0.5), 6)]
    (leg,) = config(again)["legs"]
    assert (leg["schedule from"], leg["changes"]) == (0, {"threads": {"was": 1, "now": 2}})


def test_a_run_goes_back_to_an_earlier_checkpoint_and_on_from_there(again):
    gankit.resume(again, checkpoint="2", lr_d=1e-5, quiet=True)
    (leg,) = config(again)["legs"]
    assert (leg["from"], leg["changes"]) == (2, {"lr_d": {"was": 2e-4, "now": 1e-5}})
    assert {path.name for path in (again / "checkpoints").glob("*.undone")} == {"000004.pt.undone", "000006.pt.undone"}
    assert [int(path.stem) for path in gankit.Run(again).checkpoints()] == [2, 4, 6]


def test_a_run_that_goes_back_with_its_first_rates_is_the_run_it_was(again, decayed):
    gankit.resume(again, checkpoint="2", lr_d=1e-5, quiet=True)
    gankit.resume(again, checkpoint="2", lr_d=2e-4, quiet=True)
    assert config(again)["train"]["steps"] == 6
    legs = config(again).get("legs", [])
    assert all(not leg["changes"] for leg in legs)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lr": 1e-4}, "--lr: dcgan does not have this option.*--lr-g, --lr-d"),
        ({"gp_weight": 1.0}, "--gp-weight: dcgan does not have this option"),
        ({"lr_g": -1.0}, "--lr-g -1.0 is out of range"),
        ({"steps": 8, "epochs": 2.0}, "give one of them"),
        ({"epochs": 0.1}, "--epochs 0.1: .* is at step 6 already"),
        ({"device": "cuda"}, "PyTorch sees no CUDA device"),
        ({"checkpoint": "5"}, "has those of steps 2, 4, 6"),
    ],
)
def test_what_cannot_change_is_refused_and_nothing_is_written(changes, says, again):
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    before = {path: path.read_bytes() for path in again.rglob("*") if path.is_file()}
    with pytest.raises(gankit.UsageError, match=says):
        gankit.resume(again, quiet=True, **changes)
    assert {path: path.read_bytes() for path in again.rglob("*") if path.is_file()} == before


def test_epochs_count_from_the_start_of_the_run(again):
    gankit.resume(again, epochs=4.0, quiet=True)  # of 40 images, 8 at a time
    assert gankit.Run(again).latest()[1]["step"] == 20


def test_an_autoencoder_takes_its_one_rate(tmp_path, tiny):
    from tiny import fitted

    run = gankit.train("vae", out=tmp_path / "run", steps=2, **fitted("vae", tiny))
    gankit.resume(run.root, steps=3, lr=1e-5, quiet=True)
    assert config(run.root)["legs"][0]["changes"]["lr"] == {"was": 1e-3, "now": 1e-5}


def as_if_gpu(root, engine):
    """Make ``root`` what a run on a GPU leaves."""
    values = config(root)
    values["train"] |= {"device": "cuda", "engine": engine, "threads": 16}
    (root / "config.json").write_text(json.dumps(values))
    run = gankit.Run(root)
    for path in run.checkpoints():
        tensors, meta = checkpoint.load(path)
        checkpoint.save(path, tensors, {**meta, "options": run.fingerprint()})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("engine", ["graph", "eager", "compiled"])
def test_a_run_of_a_gpu_goes_on_on_the_cpu_and_says_so(engine, again, capsys):
    as_if_gpu(again, engine)
    threads = torch.get_num_threads()
    gankit.resume(again, steps=8, quiet=True)
    said = capsys.readouterr().err
    assert "goes on on the CPU" in said
    assert "not bit for bit" in said
    now = config(again)
    assert (now["train"]["device"], now["train"]["threads"]) == ("cpu", threads)
    assert now["legs"][0]["changes"]["device"] == {"was": "cuda", "now": "cpu"}
    once = shutil.copytree(again, again.with_name("once"))
    (once / "checkpoints" / "000008.pt").unlink()
    gankit.resume(once, quiet=True)
    assert "goes on on the CPU" not in capsys.readouterr().err
    assert same(once, again)


DIVERGING = {
    "arch": "mlp", "limit": 64, "size": 8, "batch_size": 8, "ngf": 8, "ndf": 8, "threads": 1, "optimizer": "sgd",
    "lr_g": 0.125, "lr_d": 0.125, "steps": 30, "checkpoint_every": 4, "quiet": True, "log_every": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    root = tmp_path_factory.mktemp("diverged") / "run"
    with pytest.raises(gankit.GankitError) as caught:
        gankit.train("wgan-gp", out=root, **DIVERGING)
    return root, str(caught.value)


def test_a_loss_that_is_not_finite_ends_with_the_command_that_goes_on(diverged, tmp_path, cli):
    root, said = diverged
    assert "stopped being finite" in said
    assert f"`gankit resume {root} --lr-g 0.0625 --lr-d 0.0625`" in said
    run = shutil.copytree(root, tmp_path / "run")
    done = cli("resume", run, "--lr-g", "0.001", "--lr-d", "0.001", "-q")
    assert done.exit_code == 0, done.output
    assert gankit.Run(run).latest()[1]["step"] == 30


def test_rolling_back_halves_the_rates_and_is_the_same_in_one_go_or_taken_up(diverged, tmp_path):
    taken_up = shutil.copytree(diverged[0], tmp_path / "taken up")
    gankit.resume(taken_up, roll_back=9, quiet=True)
    legs = config(taken_up)["legs"]
    often = sum(leg["rolled back"] for leg in legs)
    assert 1 <= often <= 9
    assert config(taken_up)["options"]["lr_d"] == 0.125 / 2**often
    gankit.train("wgan-gp", out=tmp_path / "one go", roll_back=9, **DIVERGING)
    assert same(taken_up, tmp_path / "one go")
    killed = shutil.copytree(taken_up, tmp_path / "killed")
    gankit.Run(killed).checkpoints()[-1].unlink()
    gankit.resume(killed, quiet=True)
    assert same(taken_up, killed)


def test_rolling_back_ends_after_so_many_times(diverged, tmp_path):
    run = shutil.copytree(diverged[0], tmp_path / "run")
    with pytest.raises(gankit.GankitError, match="lower the learning rates"):
        gankit.resume(run, roll_back=1, quiet=True)
    assert [leg["rolled back"] for leg in config(run)["legs"]] == [1]
    with pytest.raises(gankit.GankitError, match="lower the learning rates"):
        gankit.resume(run, quiet=True)
    assert config(run)["options"]["lr_d"] == 0.0625


def test_rolling_back_before_the_first_checkpoint_starts_anew(tmp_path):
    flags = {**DIVERGING, "lr_d": 10.0, "lr_g": 10.0, "checkpoint_every": 1000, "steps": 6, "roll_back": 40}
    run = gankit.train("wgan-gp", out=tmp_path / "run", **flags)
    assert config(run.root)["legs"][0]["from"] == 0
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4, 5, 6]


def test_a_run_of_an_earlier_version_goes_on(again, tmp_path):
    """It had where the images are among the options that its checkpoints name, and no options of today."""
    import hashlib

    from gankit.config import TrainOptions, configure
    from gankit.core.options import fields

    values = config(again)
    for new in ("init_from", "roll_back", "preset", "sync_batchnorm", "rank_timeout"):
        del values["train"][new]
    for field in fields(configure("dcgan", {}).options.__class__):
        if field.described.later:
            del values["options"][field.name]
    (again / "config.json").write_text(json.dumps(values))
    neutral = {field.name for field in fields(TrainOptions) if field.described.neutral}
    old = {name: values[name] for name in ("variant", "data", "train", "options")}
    old["train"] = {name: value for name, value in old["train"].items() if name not in neutral}
    digest = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()[:16]
    for path in gankit.Run(again).checkpoints():
        tensors, meta = checkpoint.load(path)
        checkpoint.save(path, tensors, {**meta, "options": digest})
    gankit.resume(again, steps=8, quiet=True)
    assert gankit.Run(again).latest()[1]["step"] == 8
    # Its first leg's checkpoints are still known, though config.json now names the options that came later.
    assert config(again)["options"]["bias"] == "auto"
    assert "bias" not in config(again)["legs"][0]["changes"]
    gankit.resume(again, checkpoint="4", lr_d=1e-5, quiet=True)
    assert config(again)["legs"][-1]["from"] == 4


def test_options_that_came_later_count_where_they_are_not_at_their_default(again):
    values = config(again)
    path = again / "checkpoints" / "000006.pt"
    meta = checkpoint.load(path)[1]
    for name, value in {"bias": "auto", "joint_width": None, "first_norm": "maps"}.items():
        del values["options"][name]
        (again / "config.json").write_text(json.dumps(values))
        gankit.Run(again).check_options(path, meta)
        values["options"][name] = value
    values["options"]["bias"] = "on"
    (again / "config.json").write_text(json.dumps(values))
    with pytest.raises(gankit.UsageError, match=r"was changed since 000006\.pt was made"):
        gankit.Run(again).check_options(path, meta)


def test_a_finished_run_with_other_rates_but_no_more_steps_is_left_as_it_was(again, capsys):
    before = config(again)
    gankit.resume(again, lr_g=1e-5, quiet=True)
    assert "--steps takes it further" in capsys.readouterr().err
    assert config(again) == before


def test_several_legs_are_each_exact_and_known_by_their_checkpoints(again, tmp_path):
    gankit.resume(again, steps=8, lr_g=1e-4, quiet=True)
    gankit.resume(again, steps=10, lr_g=5e-5, quiet=True)
    gankit.resume(again, steps=12, threads=2, quiet=True)
    assert [leg["from"] for leg in config(again)["legs"]] == [6, 8, 10]
    for step in (2, 6, 8, 10, 12):
        path = again / "checkpoints" / f"{step:06d}.pt"
        gankit.Run(again).check_options(path, checkpoint.load(path)[1])
    values = config(again)
    values["legs"][0]["changes"]["lr_g"]["now"] = 3e-4
    values["legs"][1]["changes"]["lr_g"]["was"] = 3e-4
    (again / "config.json").write_text(json.dumps(values))
    path = again / "checkpoints" / "000008.pt"
    with pytest.raises(gankit.UsageError, match=r"was changed since 000008\.pt was made"):
        gankit.Run(again).check_options(path, checkpoint.load(path)[1])


@pytest.mark.parametrize("after", [1, 2, 3], ids="killed after step {} of the first leg after a roll-back".format)
def test_a_run_killed_soon_after_it_rolled_back_ends_as_one_that_was_not(after, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    gankit.train("wgan-gp", out=tmp_path / "whole", roll_back=9, **DIVERGING)
    step, seen = gankit.Trainer.step, []

    def killed(self):
        seen.append(self.done)
        back = next((i for i in range(1, len(seen)) if seen[i] < seen[i - 1]), None)
        if back is not None and len(seen) - back > after:
            raise Killed
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(gankit.Trainer, "step", killed)
        with pytest.raises(Killed):
            gankit.train("wgan-gp", out=tmp_path / "run", roll_back=9, **DIVERGING)
    assert [leg["rolled back"] for leg in config(tmp_path / "run")["legs"]] == [1]
    gankit.resume(tmp_path / "run", quiet=True)
    assert same(tmp_path / "run", tmp_path / "whole")
    assert config(tmp_path / "run")["legs"] == config(tmp_path / "whole")["legs"]
