"""A run that was killed, at whatever moment, ends as if it had never been."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from outcomes import assert_same, outcome
from paths import SUPPORT
from tiny import fitted, options_of

import gankit
from gankit.core import checkpoint
from gankit.registry import registry
from gankit.runs.folder import locked

DRIVER = SUPPORT / "killed_run.py"
FLAGS = {
    "variant": "wgan-gp", "data": "shapes", "size": 8, "channels": 1, "limit": 50, "batch_size": 8, "arch": "mlp",
    "ngf": 2, "ndf": 2, "nz": 4, "steps": 30, "n_critic": 5, "ema_halflife_images": 100, "decay_start": 0.5,
    "dropout": 0.5, "flip": True, "checkpoint_every": 7, "log_every": 4, "sample_every": 10, "samples": 4, "threads": 1,
    "evaluate_every": 4, "evaluate_images": 20, "metric": "swd",
}  # fmt: skip
WINDOWS = ("before the first checkpoint", "steps", "around", "writing", "rename")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    root = tmp_path_factory.mktemp("uninterrupted") / "run"
    gankit.train(out=root, quiet=True, **FLAGS)
    return root


class Server:
    """The process in which runs are trained and killed."""

    def __init__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(DRIVER)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self, window, root):
        """Start training; the child's process number."""
        self.process.stdin.write(json.dumps([window, str(root), FLAGS]) + "\n")
        self.process.stdin.flush()
        word, number = self.line()
        assert word == "pid"
        return int(number)

    def line(self):
        words = self.process.stdout.readline().split()
        assert words, "the training server died"
        return words

    def status(self):
        """Wait for the child's end."""
        while (words := self.line())[0] != "ended":
            pass
        return int(words[1])

    def kill_in(self, window, root, rng):
        """Train until the run is in ``window`` for the so-many-th time, and kill it a random moment later."""
        pid = self.start(window, root)
        for _ in range(rng.randrange(1, 4)):
            if (words := self.line())[0] == "ended":
                assert words[1] == "0"
                return False
        time.sleep(rng.uniform(0, 0.04))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return self.status() == signal.SIGKILL


@pytest.fixture(scope="module")
def server():
    it = Server()
    yield it
    it.process.stdin.close()
    it.process.stdout.close()
    assert it.process.wait() == 0


def killed_run_matches(window, times, root, uninterrupted, seed, server):
    """Kill a run in ``window`` until it was really killed ``times`` times, each time a new run if one got through."""
    rng = random.Random(f"{window} {seed}")
    killed = 0
    while killed < times:
        if server.kill_in(window, root, rng):
            killed += 1
        else:
            assert_same(root, uninterrupted)
            shutil.rmtree(root)
    server.start("never", root)
    assert server.status() == 0
    assert_same(root, uninterrupted)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_run_killed_three_times_ends_as_one_never_interrupted(window, tmp_path, uninterrupted, server):
    killed_run_matches(window, 3, tmp_path / "run", uninterrupted, "quick", server)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(8))
@pytest.mark.parametrize("window", WINDOWS)
def test_a_run_killed_again_and_again_ends_as_one_never_interrupted(window, trial, tmp_path, uninterrupted, server):
    killed_run_matches(window, 5, tmp_path / "run", uninterrupted, trial, server)


@pytest.mark.parametrize("variant", [*registry().names("variants"), "cyclegan with resnets"])
def test_every_variant_taken_up_again_ends_bit_for_bit_as_one_never_stopped(variant, tiny, tmp_path):
    variant, _, resnet = variant.partition(" ")
    options = {**fitted(variant, tiny), "flip": True, "decay_start": 0.5, "ema_halflife_images": 50}
    drawn = {"dropout": 0.5, "instance_noise": 0.1, "augment": "diffaug"}
    options |= {name: value for name, value in drawn.items() if name in options_of(variant)}
    if resnet:
        options |= {"arch": "resnet", "blocks": 1, "batch_size": 3, "pool": 4}
    if variant == "wgan":
        options["warmup"] = 7
    run = gankit.train(variant, out=tmp_path / "run", steps=6, checkpoint_every=3, log_every=2, **options)
    again = tmp_path / "again"
    shutil.copytree(run.root, again)
    (again / "checkpoints" / "000006.pt").unlink()
    gankit.resume(again, quiet=True)
    assert_same(again, run.root)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_writes_a_checkpoint_and_says_how_to_resume(number, tmp_path, uninterrupted):
    root = tmp_path / "run"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in FLAGS.items() if name not in ("variant", "flip")]
    command = [
        sys.executable,
        "-c",
        "from gankit.cli import main; main()",
        "train",
        "wgan-gp",
        "--flip",
        "--out",
        str(root),
        *flags,
    ]
    # Slowed to a crawl by its record interval of one step, so that the signal falls within the run.
    process = subprocess.Popen([*command, "--log-every=1", "--steps=3000"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(number)
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 128 + number
    assert "gankit resume" in said
    step = max(int(p.stem) for p in (root / "checkpoints").glob("*.pt"))
    assert len(gankit.Run(root).metrics()) == step > 0


def test_a_run_stopped_between_checkpoints_and_resumed_matches(tmp_path, uninterrupted, monkeypatch):
    root = tmp_path / "run"
    step = gankit.Trainer.step

    def interrupted_step(self):
        step(self)
        if self.done == 10:  # neither a checkpoint nor an epoch ends here
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(gankit.Trainer, "step", interrupted_step)
        with pytest.raises(gankit.Interrupted) as caught:
            gankit.train(out=root, quiet=True, **FLAGS)
    assert caught.value.exit_code == 143
    gankit.resume(root, quiet=True)
    assert_same(root, uninterrupted)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, uninterrupted, capsys):
    root = tmp_path / "run"
    shutil.copytree(uninterrupted, root)
    last = root / "checkpoints" / "000030.pt"
    content = bytearray(last.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)  # more than the gaps between tensors
    last.write_bytes(content)
    gankit.resume(root, quiet=True)
    assert "000030.pt" in capsys.readouterr().err
    assert_same(root, uninterrupted)


@pytest.mark.parametrize("content", [b"", b"torn", None], ids=["empty", "torn", "foreign"])
def test_a_file_that_is_no_checkpoint_of_ours_is_passed_over(content, tmp_path, uninterrupted, capsys):
    root = tmp_path / "run"
    shutil.copytree(uninterrupted, root)
    stranger = root / "checkpoints" / "000031.pt"
    if content is None:
        torch.save({"weights": torch.zeros(3)}, stranger)
    else:
        stranger.write_bytes(content)
    gankit.resume(root, quiet=True)
    assert "000031.pt" in capsys.readouterr().err


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, capsys):
    import pickle

    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    (tmp_path / "000001.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(gankit.DamagedFile):
        checkpoint.load(tmp_path / "000001.pt")
    assert not (tmp_path / "ran").exists()


def test_a_run_with_changed_options_is_not_resumed(tmp_path, uninterrupted):
    root = tmp_path / "run"
    shutil.copytree(uninterrupted, root)
    values = json.loads((root / "config.json").read_text())
    values["options"]["gp_weight"] = 3.0
    (root / "config.json").write_text(json.dumps(values))
    with pytest.raises(gankit.UsageError, match="was changed since"):
        gankit.resume(root, quiet=True)


def test_a_run_can_be_taken_further(tmp_path, tiny):
    long, short = tmp_path / "long", tmp_path / "short"
    gankit.train("dcgan", out=long, steps=9, **tiny)
    gankit.train("dcgan", out=short, steps=5, **tiny)
    gankit.resume(short, steps=9, quiet=True)
    one, two = outcome(short), outcome(long)
    assert all(torch.equal(one[0][name], two[0][name]) for name in two[0])
    assert one[1:3] == two[1:3]  # but for one more picture, of step 5


def test_two_processes_cannot_train_one_run(finished):
    run = gankit.Run(finished)
    with locked(run.root), pytest.raises(gankit.UsageError, match="another process"):
        gankit.resume(finished, steps=9, quiet=True)


def test_two_checkpoints_and_the_milestones_are_kept(tmp_path, tiny):
    run = gankit.train("dcgan", out=tmp_path / "run", steps=12, checkpoint_every=2, milestone_every=4, **tiny)
    assert [int(p.stem) for p in run.checkpoints()] == [4, 8, 10, 12]


def test_checkpoints_are_in_the_order_of_their_steps_beyond_six_digits(tmp_path, finished):
    root = tmp_path / "run"
    shutil.copytree(finished, root)
    run = gankit.Run(root)
    tensors, _ = run.latest()
    for step in (999_500, 1_000_000):
        run.save_checkpoint(tensors, step, step)
    assert [int(p.stem) for p in run.checkpoints()] == [999_500, 1_000_000]


def test_damaged_checkpoints_do_not_push_out_new_ones(tmp_path, tiny):
    root = tmp_path / "run"
    gankit.train("dcgan", out=root, steps=9, checkpoint_every=3, **tiny)
    for name in ("000006.pt", "000009.pt"):
        (root / "checkpoints" / name).write_bytes(b"torn")
    with pytest.raises(gankit.GankitError, match="none of 2 checkpoints can be read"):
        gankit.resume(root, quiet=True)
    assert len(gankit.Run(root).metrics()) == 9  # nothing was cut


def test_damaged_checkpoints_are_set_aside_when_an_older_one_is_used(tmp_path, tiny):
    root = tmp_path / "run"
    gankit.train("dcgan", out=root, steps=9, checkpoint_every=3, milestone_every=3, **tiny)
    for name in ("000006.pt", "000009.pt"):
        (root / "checkpoints" / name).write_bytes(b"torn")
    run = gankit.resume(root, quiet=True)
    assert [p.name for p in run.checkpoints()] == ["000003.pt", "000006.pt", "000009.pt"]
    assert run.latest()[1]["step"] == 9
    assert {p.name for p in (root / "checkpoints").glob("*.damaged")} == {"000006.pt.damaged", "000009.pt.damaged"}


def test_a_signal_during_the_records_of_a_step_still_ends_in_a_checkpoint(tmp_path, tiny, monkeypatch):
    root = tmp_path / "run"
    take_rows = gankit.Trainer.take_rows

    def interrupted(self):
        if self.done == 4:
            signal.raise_signal(signal.SIGTERM)
        return take_rows(self)

    monkeypatch.setattr(gankit.Trainer, "take_rows", interrupted)
    with pytest.raises(gankit.Interrupted, match="stopped after step 5"):
        gankit.train("dcgan", out=root, steps=20, log_every=2, **tiny)
    assert gankit.Run(root).latest()[1]["step"] == 5


@pytest.mark.parametrize("steps", [0, 2])
def test_a_number_of_steps_that_cannot_be_is_refused_before_anything_is_written(steps, tmp_path, finished):
    root = tmp_path / "run"
    shutil.copytree(finished, root)
    before = (root / "config.json").read_bytes()
    with pytest.raises(gankit.UsageError, match=f"--steps {steps}"):
        gankit.resume(root, steps=steps, quiet=True)
    assert (root / "config.json").read_bytes() == before


def test_a_run_killed_while_its_folder_was_made_can_be_started_again(tmp_path, tiny):
    root = tmp_path / "run"
    (root / "samples").mkdir(parents=True)
    (root / "environment.json").write_text("{}")
    (root / ".config.json.tmp").write_text("{")
    assert gankit.train("dcgan", out=root, steps=1, **tiny).metrics()[-1]["step"] == 1


@pytest.mark.parametrize("mine", ["Makefile", "samples/000001.png", "src/a.py"])
def test_a_folder_with_files_of_somebodys_own_is_not_written_into(mine, tmp_path, tiny):
    path = tmp_path / "run" / mine
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(gankit.UsageError, match="not empty"):
        gankit.train("dcgan", out=tmp_path / "run", steps=1, **tiny)
    assert path.read_text() == "mine"


def test_runs_without_a_name_get_folders_of_their_own(tmp_path):
    from gankit.runs.folder import claim

    (tmp_path / "dcgan-shapes-999").mkdir()
    assert [claim("dcgan", "shapes", tmp_path).name for _ in range(2)] == ["dcgan-shapes-1000", "dcgan-shapes-1001"]


def test_a_run_whose_images_changed_is_not_resumed(tmp_path, tiny):
    from PIL import Image

    for i in range(8):
        Image.new("L", (8, 8), 20 * i).save(tmp_path / f"{i}.png")
    run = gankit.train("dcgan", out=tmp_path / "run", data=f"folder:{tmp_path}", steps=2, **{**tiny, "limit": 8})
    Image.new("L", (8, 8), 255).save(tmp_path / "3.png")
    with pytest.raises(gankit.UsageError, match="holds other images"):
        gankit.resume(run.root, steps=4, quiet=True)


def test_a_run_on_a_programs_images_asks_for_them_again(tmp_path, tiny):
    images = gankit.ImageSet(gankit.RandomStream(0, "own").integers(256, 30, 1, 8, 8).to(torch.uint8))
    run = gankit.train("dcgan", images=images, out=tmp_path / "run", steps=2, **tiny)
    with pytest.raises(gankit.UsageError, match=r"images=\.\.\."):
        gankit.resume(run.root, steps=4, quiet=True)
    assert gankit.resume(run.root, images=images, steps=4, quiet=True).metrics()[-1]["step"] == 4


def test_another_machine_is_warned_about_when_resuming(tmp_path, finished, capsys):
    root = tmp_path / "run"
    shutil.copytree(finished, root)
    values = json.loads((root / "config.json").read_text())
    values["machine"] |= {"simd": "AVX1024", "torch": "1.0"}
    (root / "config.json").write_text(json.dumps(values))
    gankit.resume(root, quiet=True)
    said = capsys.readouterr().err
    assert "simd AVX1024" in said
    assert "torch 1.0" in said
