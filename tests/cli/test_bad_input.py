"""What is wrong with a call is said in one line, with what to do; the exit code tells, and nothing is lost."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

import gankit
from gankit.cli import main
from gankit.config import read

FAST = ["--arch", "mlp", "--ngf", "2", "--ndf", "2", "--nz", "4", "--batch-size", "8", "--size", "8", "--channels", "1",
        "--limit", "40", "--samples", "4", "--steps", "2", "-q"]  # fmt: skip


def call(*args, cwd=None):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def says(result, *words, code=2):
    """The call failed with ``code`` and one line that holds ``words``."""
    assert result.exit_code == code, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: "), result.stderr
    assert all(word in line for word in words), line
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", "wgangp"], ["wgangp", "did you mean 'wgan-gp'?"]),
        (["train", "dcgan", "--data", "shape"], ["data set 'shape'", "did you mean 'shapes'?"]),
        (["train", "dcgan", "--arch", "dgan"], ["architecture 'dgan'", "did you mean 'dcgan'?"]),
        (["train", "dcgan", "--learning-rate", "1"], ["--learning-rate"]),
        (["train", "dcgan", "--lr", "1"], ["--lr-g"]),
        (["train", "dcgan", "--loss", "hinge"], ["hinge"]),
        (["train", "dcgan", "--batch-size", "0"], ["--batch-size", "1 to 65536"]),
        (["train", "dcgan", "--batch-size", "many"], ["--batch-size", "many"]),
        (["train", "dcgan", "--lr-g", "nan"], ["--lr-g", "more than 0"]),
        (["train", "dcgan", "--lr-g", "-1"], ["--lr-g", "more than 0"]),
        (["train", "dcgan", "--size", "30"], ["--size 30", "28 and 32"]),
        (["train", "dcgan", "--size", "3"], ["--size", "4 to 4096"]),
        (["train", "dcgan", "--channels", "9"], ["--channels"]),
        (["train", "dcgan", "--seed", str(2**64)], ["--seed"]),
        (["train", "dcgan", "--steps", "5", "--epochs", "1"], ["--steps", "--epochs"]),
        (["train", "dcgan", "--data", "folder"], ["folder:PATH"]),
        (["train", "dcgan", "--data", "folder:/nowhere/at/all"], ["no such folder"]),
        (["train", "dcgan", "--data", "fashion-mnist:/nowhere"], ["put the published files there"]),
        (["train", "dcgan", "--split", "left", "--data", "fashion-mnist"], ["--split left"]),
        (["train", "dcgan", "--config", "/nowhere.toml"], ["/nowhere.toml"]),
        (["resume", "/nowhere"], ["not a run folder"]),
        (["sample", "/nowhere"], ["not a run folder"]),
        (["sample", "/nowhere", "-o", "x.gif"], ["x.gif", ".png"]),
        (["interpolate", "/nowhere"], ["not a run folder"]),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)  # fmt: skip
def test_a_wrong_call_says_what_is_wrong_and_starts_nothing(args, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    says(call(*args), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nstep = 3\n", ["'step'", "did you mean 'steps'?"]),
        ("[train]\nsteps = 'three'\n", ["--steps", "whole number"]),
        ("[training]\nsteps = 3\n", ["'training'", "did you mean 'train'?"]),
        ("[train\n", ["cannot be read as TOML"]),
        ("train = 3\n", ["[train] must be a table"]),
        ("[data]\nflip = 1\n", ["--flip", "true or false"]),
        ("variant = 'wgan-gp'\n", ["variant 'wgan-gp', not 'dcgan'"]),
    ],
)
def test_a_wrong_configuration_file_is_named_with_the_closest_key(text, words, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(text)
    says(call("train", "dcgan", "--config", path, "--out", tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["[1]", "5", "null", '"train"'])
def test_a_configuration_of_another_shape_is_named(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    says(
        call("train", "dcgan", "--config", tmp_path / "a.json", "--out", tmp_path / "run"),
        "must hold the sections of a configuration",
    )


@pytest.mark.parametrize(("name", "text"), [("a.toml", "[train]\nsteps = 3\n"), ("a.json", '{"train": {"steps": 3}}')])
def test_a_configuration_saved_with_a_byte_order_mark_is_read(name, text, tmp_path):
    (tmp_path / name).write_text(text, "utf-8-sig")
    assert read(tmp_path / name) == {"train": {"steps": 3}}


def test_an_output_that_exists_is_not_touched(tmp_path, finished):
    before = sorted((p, p.stat().st_mtime_ns) for p in finished.rglob("*"))
    says(call("train", "wgan-gp", "--out", finished, *FAST), "holds a run already", "gankit resume")
    assert before == sorted((p, p.stat().st_mtime_ns) for p in finished.rglob("*"))
    (tmp_path / "notes.txt").write_text("mine")
    says(call("train", "wgan-gp", "--out", tmp_path, *FAST), "not empty")
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "keep.txt").write_text("mine")
    says(call("sample", finished, "-o", folder), "not empty")


def test_an_empty_folder_of_images_is_an_error(tmp_path):
    says(call("train", "dcgan", "--data", f"folder:{tmp_path}", "--out", tmp_path / "run"), "no images in it")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_where_there_is_none_says_so(tmp_path):
    says(call("train", "dcgan", "--device", "cuda", "--out", tmp_path / "run", *FAST), "no CUDA device")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_stops_being_finite_ends_the_run_and_names_step_and_term(tmp_path):
    root = tmp_path / "run"
    result = call(
        "train",
        "wgan-gp",
        "--lr-d",
        0.3,
        "--optimizer",
        "sgd",
        "--out",
        root,
        *FAST,
        "--steps",
        200,
        "--checkpoint-every",
        1,
    )
    says(result, "critic/", "stopped being finite at step", "lower the learning rates", code=1)
    run = gankit.Run(root)
    rows = run.metrics()
    step = int(result.stderr.split("at step ")[1].split(";")[0])
    assert [row["step"] for row in rows] == list(range(1, step))
    tensors, meta = run.latest()
    assert meta["step"] == step - 1
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


@pytest.mark.parametrize("window", ["metrics.jsonl", ".pt"])
def test_a_full_disk_ends_the_run_with_what_was_written_intact(window, tmp_path, monkeypatch, tiny):
    root = tmp_path / "run"
    gankit.train("dcgan", out=root, steps=4, checkpoint_every=2, **tiny)
    whole, before = (root / "metrics.jsonl").read_bytes(), sorted(p.name for p in (root / "checkpoints").iterdir())
    opened = type(root).open

    def full(self, mode="r", *args, **kwargs):
        if window in self.name and mode != "r" and mode != "rb":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return opened(self, mode, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(root), "open", full)
        result = call("resume", root, "--steps", 8)
    says(result, "disk is full", "gankit resume", code=1)
    assert (root / "metrics.jsonl").read_bytes().startswith(whole)
    assert sorted(p.name for p in (root / "checkpoints").iterdir()) == before
    assert call("resume", root).exit_code == 0
    straight = gankit.train("dcgan", out=tmp_path / "straight", steps=8, checkpoint_every=2, **tiny)
    assert (root / "metrics.jsonl").read_bytes() == (straight.root / "metrics.jsonl").read_bytes()


def test_a_disk_that_really_takes_no_more_leaves_the_run_resumable(tmp_path):
    """The kernel itself refuses to let any file grow past 20 kB."""
    root = tmp_path / "run"

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-c", "from gankit.cli import main; main()", "train", "dcgan", "--out", str(root), *FAST]
    done = subprocess.run([*command, "--ngf", "16"], preexec_fn=limit, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "disk is full" in done.stderr
    assert list((root / "checkpoints").iterdir()) == []
    assert call("resume", root, "-q").exit_code == 0


def test_a_run_whose_configuration_is_damaged_says_so(tmp_path, finished):
    (tmp_path / "config.json").write_text("{")
    says(call("resume", tmp_path), "config.json", code=1)
    (tmp_path / "config.json").write_text('{"variant": "wgan-gp"}')
    says(call("sample", tmp_path, "-o", tmp_path / "x.png"), "spec", code=1)


def test_debug_shows_the_traceback():
    result = CliRunner().invoke(main, ["--debug", "resume", "/nowhere"])
    assert isinstance(result.exception, gankit.UsageError)


def test_an_impl_asked_for_by_name_runs_or_says_why_not(tmp_path):
    from gankit.kernels import implementations

    for each in implementations():
        result = call("train", "wgan-gp", "--impl", each.name, "--out", tmp_path / each.name, *FAST)
        if each.available:
            assert result.exit_code == 0, result.output
        else:
            says(result, f"--impl {each.name}")


def test_an_impl_asked_for_by_name_is_what_the_ops_run(tmp_path, tiny, monkeypatch):
    from gankit.kernels import dispatch

    ran = []
    choose = dispatch.choose
    op = sys.modules["gankit.kernels.interpolate"]  # as an attribute of the package that name is the function
    monkeypatch.setattr(op, "choose", lambda *args: ran.append(choose(*args)) or ran[-1])
    gankit.train("wgan-gp", out=tmp_path / "run", impl="ref", steps=1, **tiny)
    assert ran == ["ref"] * 5


def test_a_lack_of_memory_is_one_line_that_says_what_takes_less(tmp_path):
    """PyTorch's own allocator refuses with a RuntimeError of many lines."""
    words = ["train", "wgan-gp", "--data", "shapes", "--limit", 4, "--arch", "mlp", "--size", 512, "--ngf", 4096]
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (9 << 30, 9 << 30))"
    code = f"{limit}; from gankit.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, words), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert line.startswith("Error: out of memory (")
    assert "a smaller --batch-size" in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
