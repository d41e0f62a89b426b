"""The threads of a training: what the user said, what the machine has, what others leave of it."""

import pytest
import torch

import gankit
from gankit.core.cores import Load
from gankit.training import loop, threads


class Others(Load):
    """A reading since which others kept so many cores busy."""

    def others(self):
        return self.busy


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Four cores, nothing said by the user."""
    before = torch.get_num_threads()
    for name in threads.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_set", None)
    monkeypatch.setattr(threads, "cores", lambda: 4)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("busy", "left"), [(0.0, 4), (0.4, 4), (0.6, 3), (1.1, 3), (2.9, 1), (9.0, 1)])
def test_a_run_leaves_the_cores_that_others_use(busy, left):
    assert threads.choose_threads(Others(0.0, 0.0, busy)) == left


def test_a_run_that_waits_for_no_thread_takes_every_core():
    assert threads.choose_threads(None) == 4


def test_no_more_threads_than_the_container_has_cores(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 2)
    assert threads.choose_threads(None) == 2


@pytest.mark.parametrize("name", threads.SETTINGS)
def test_a_users_own_setting_wins(name, monkeypatch):
    monkeypatch.setenv(name, "3")
    monkeypatch.setattr(threads, "cores", lambda: 1)
    assert threads.choose_threads(Others(0.0, 0.0, 3.0)) == 4


def test_a_run_on_a_busy_machine_does_not_decide_for_the_next_one_in_the_process():
    threads.set_threads(threads.choose_threads(Others(0.0, 0.0, 3.0)))
    assert torch.get_num_threads() == 1
    assert threads.choose_threads(Others(0.0, 0.0, 0.0)) == 4


def test_a_number_that_the_program_gave_pytorch_is_kept():
    threads.set_threads(1)
    torch.set_num_threads(2)
    assert threads.choose_threads(None) == 2


def test_what_was_chosen_is_recorded_and_obeyed_by_a_resume(tiny, tmp_path, monkeypatch):
    chosen = iter((3, 2))
    monkeypatch.setattr("gankit.training.trainer.choose_threads", lambda since: next(chosen))
    run = gankit.train("gan", out=tmp_path / "run", **{**tiny, "steps": 2})
    assert run.config.train.threads == 3
    gankit.resume(run.root, steps=4, quiet=True)
    assert gankit.Run(run.root).config.train.threads == 3
    assert torch.get_num_threads() == 3


def test_a_run_that_is_held_up_says_so_once_with_a_remedy(monkeypatch):
    clock, waited = iter((0.0, 3.0, 6.0, 16.0, 26.0)), iter((1.0, 1.1, 4.1, 9.0))
    monkeypatch.setattr(threads.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(threads, "waited", lambda: next(waited))
    held_up = threads.HeldUp()
    assert held_up.told("wait") is None  # too short a time to tell
    assert held_up.told("wait") is None  # hardly waited
    assert held_up.told("wait") == (
        "other processes use the same cores: for 3 of the last 10 s threads of this run were ready and had none; wait"
    )
    assert held_up.told("wait") is None


def test_the_line_reaches_the_person_who_watches_with_a_command_that_helps(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop.HeldUp, "told", lambda self, remedy: f"held up; {remedy}")
    root = tmp_path / "run"
    gankit.train("gan", out=root, **{**tiny, "steps": 2, "threads": 2, "quiet": False})
    assert (
        f"Warning: held up; one thread waits for no other: stop it (Ctrl-C), and `gankit resume {root} --threads 1`"
        in (capsys.readouterr().err)
    )
