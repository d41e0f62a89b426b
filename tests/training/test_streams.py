"""A training outlives its terminal: signals end in a checkpoint, and no stream that is gone ends a training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import gankit
from gankit.core.progress import Progress, ProgressBar, show, warn

TRAIN = [sys.executable, "-c", "from gankit.cli import main; main()", "train", "dcgan", "--arch", "mlp"]
FLAGS = [
    "--size", "8", "--channels", "1", "--limit", "16", "--batch-size", "4", "--ngf", "2", "--ndf", "2", "--nz", "4",
    "--threads", "1", "--samples", "4",
]  # fmt: skip


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1"])
def test_a_closed_terminal_or_a_clusters_warning_ends_in_a_checkpoint(name, tmp_path, tiny, monkeypatch):
    if not hasattr(signal, name):
        pytest.skip(f"this system has no {name}")
    number = getattr(signal, name)
    step = gankit.Trainer.step

    def signalled(self):
        step(self)
        if self.done == 3:
            signal.raise_signal(number)

    monkeypatch.setattr(gankit.Trainer, "step", signalled)
    before = signal.getsignal(number)
    with pytest.raises(gankit.Interrupted, match="a checkpoint was written") as caught:
        gankit.train("dcgan", out=tmp_path / "run", steps=50, **tiny)
    assert caught.value.exit_code == 128 + number
    assert gankit.Run(tmp_path / "run").latest()[1]["step"] == 3
    assert signal.getsignal(number) is before


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path, tiny, monkeypatch):
    step = gankit.Trainer.step

    def signalled(self):
        step(self)
        signal.raise_signal(signal.SIGHUP)

    monkeypatch.setattr(gankit.Trainer, "step", signalled)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = gankit.train("dcgan", out=tmp_path / "run", steps=4, **tiny)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert run.latest()[1]["step"] == 4


def test_a_system_without_these_signals_trains(tmp_path, tiny, monkeypatch):
    for name in ("SIGHUP", "SIGUSR1"):
        monkeypatch.delattr(signal, name, raising=False)
    assert gankit.train("dcgan", out=tmp_path / "run", steps=2, **tiny).latest()[1]["step"] == 2


@pytest.mark.parametrize("stream", ["full", "closed", "no reader"])
def test_a_training_ends_well_whatever_becomes_of_its_streams(stream, tmp_path):
    if stream == "full" and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    root = tmp_path / "run"
    command = [*TRAIN, *FLAGS, "--steps", "6", "--log-every", "1", "--out", str(root)]
    if stream == "closed":
        closing = "import os, sys; [os.close(i) for i in range(3)]; os.execv(sys.argv[1], sys.argv[1:])"
        ended = subprocess.run([sys.executable, "-c", closing, *command])
    elif stream == "full":
        with open("/dev/full", "w") as full:
            ended = subprocess.run(command, stdout=full, stderr=full)
    else:
        reading, writing = os.pipe()
        os.close(reading)
        ended = subprocess.run(command, stdout=writing, stderr=writing)
        os.close(writing)
    assert ended.returncode == 0
    run = gankit.Run(root)
    assert run.latest()[1]["step"] == 6
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4, 5, 6]


class Broken:
    """A stream that fails with ``error``."""

    def __init__(self, error):
        self.error = error

    def isatty(self):
        raise self.error

    def write(self, text):
        raise self.error

    flush = isatty


@pytest.mark.parametrize("error", [OSError(28, "full"), ValueError("closed"), BrokenPipeError()], ids=lambda e: repr(e))
def test_progress_and_notes_do_not_mind_a_broken_stream(error, monkeypatch):
    stream = Broken(error)
    progress = Progress(10, stream)
    progress.update({"step": 1, "generator/loss": 0.5}, 1.0, 1.0)
    progress.note("a note")
    progress.close()
    bar = ProgressBar("preparing", 10, "images", stream=stream)
    bar._next = 0
    bar.update(5)
    bar.close()
    monkeypatch.setattr(sys, "stderr", stream)
    warn("a warning")
    monkeypatch.setattr(sys, "stderr", None)
    warn("a warning")
    show("words")


def test_files_of_others_in_a_run_folder_are_passed_over(tmp_path, tiny, cli):
    root = tmp_path / "run"
    gankit.train("dcgan", out=root, steps=4, checkpoint_every=2, sample_every=2, **tiny)
    strangers = [
        "samples/._000001.png", "samples/mine.png", "samples/000009x.png", "samples/Copy of 000002.png",
        "samples/²³.png",
        "checkpoints/notes.txt", "checkpoints/._000002.pt", "checkpoints/best.pt", "checkpoints/12.pt", ".DS_Store",
        "checkpoints/index.json.bak", "notes.md",
    ]  # fmt: skip
    for name in strangers:
        (root / name).write_bytes(b"mine")
    assert cli("resume", root, "--steps", 6, "-q").exit_code == 0
    assert cli("report", root, "-o", tmp_path / "report.html").exit_code == 0
    assert cli("sample", root, "-n", 4, "-o", tmp_path / "s.png").exit_code == 0
    run = gankit.Run(root)
    assert [step for step, _ in run.grids()] == [2, 4, 6]
    assert [int(path.stem) for path in run.checkpoints()] == [4, 6]
    assert {(root / name).read_bytes() for name in strangers} == {b"mine"}


def test_a_stranger_in_the_samples_of_a_run_that_begins_does_not_end_it(tmp_path, tiny, cli, monkeypatch):
    step = gankit.Trainer.step

    def with_stranger(self):
        (tmp_path / "run" / "samples" / "._000001.png").touch()
        step(self)

    monkeypatch.setattr(gankit.Trainer, "step", with_stranger)
    done = cli("train", "dcgan", "--arch", "mlp", *FLAGS, "--steps", 2, "--out", tmp_path / "run", "-q")
    assert done.exit_code == 0, done.output
