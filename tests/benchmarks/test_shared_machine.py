"""What benchmarks/shared_machine.py says of a machine is what its runs recorded."""

from __future__ import annotations

import os
import sys

import click
import pytest
import shared_machine
import table
from shared_machine import Rate

from gankit import GankitError


def row(step, seconds, images):
    return {"step": step, "seconds per step": seconds, "images per second": images}


def test_a_rate_weighs_intervals_by_their_seconds_and_leaves_out_the_start():
    rows = [row(5, 9.0, 1.0), row(10, 1.0, 64.0), row(20, 0.5, 128.0)]  # 5 s of 64 and 5 s of 128
    found = shared_machine.rate(rows, 1)
    assert found.images_per_s == pytest.approx(96)
    assert found.s_per_step == pytest.approx(10 / 15)


def test_rows_compare_with_the_best_of_the_four_and_with_the_run_alone():
    found = {
        "default": [Rate(90, 1), Rate(80, 1), Rate(100, 1)],
        "2 threads": [Rate(50, 1)],
        "1 thread": [Rate(100, 1)],
    }
    rows = {each["setting"]: each for each in shared_machine.rows_of("busy", "so", "dcgan", found, {"default": 180})}
    assert (rows["default"]["images_per_s"], rows["default"]["to_best"]) == (90, 0.9)
    assert (rows["default"]["slower_than_alone"], rows["1 thread"]["slower_than_alone"]) == (2, "")


def test_the_settings_threads_stand_in_place_of_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = shared_machine.environment("2 threads, passive")
    assert "OMP_NUM_THREADS" not in environment
    assert environment["OMP_WAIT_POLICY"] == "passive"
    dcgan = shared_machine.WORKLOADS["dcgan"]
    assert "--threads" not in shared_machine.command(dcgan, "default", tmp_path)
    one = shared_machine.command(dcgan, "1 thread", tmp_path)
    assert one[one.index("--threads") + 1] == "1"


def test_a_run_that_ends_before_it_is_measured_is_an_error_that_says_its_last_words(tmp_path):
    dying = [sys.executable, "-c", "import sys; sys.exit('no such data')"]
    with pytest.raises(GankitError, match="no such data"):
        shared_machine.watched([dying], [tmp_path], "default", None, 0, 0)


def test_one_core_is_one_core_and_nothing_of_it_stays():
    before = os.sched_getaffinity(0)
    with shared_machine.one_core() as (how, _):
        assert how in ("cpu.max", "cpu.cfs_quota_us", "affinity mask")
    assert os.sched_getaffinity(0) == before
    assert not list(shared_machine.CGROUPS.glob("**/gankit-*"))


def test_the_document_shows_the_last_row_of_a_key_between_its_markers(tmp_path):
    known = dict.fromkeys(shared_machine.COLUMNS, "1")
    rows = [
        {**known, "condition": "one core", "how": "cpu.max", "workload": "dcgan", "setting": "default",
         "images_per_s": speed, "to_best": "0.97"}
        for speed in ("111", "1234")
    ]  # fmt: skip
    path = tmp_path / "doc.md"
    path.write_text("before\n<!-- x -->\nold\n<!-- end of x -->\nafter\n")
    table.between_markers(path, "x", shared_machine.document(rows))
    text = path.read_text()
    assert text.startswith("before\n<!-- x -->\n| workload")
    assert text.endswith("<!-- end of x -->\nafter\n")
    assert [word in text for word in ("1,234 (0.97)", "111", "old")] == [True, False, False]


def test_rows_replace_those_of_their_key_and_keep_all_others(tmp_path):
    path, columns = tmp_path / "t.csv", ("a", "b")
    table.keep(path, columns, [{"a": 1, "b": 0.123456}, {"a": 2, "b": 2}], ("a",))
    table.keep(path, columns, [{"a": 1, "b": 3}], ("a",))
    assert table.read(path) == [{"a": "2", "b": "2"}, {"a": "1", "b": "3"}]


@pytest.mark.parametrize("name", list(shared_machine.WORKLOADS))
def test_every_command_is_one_that_gankit_takes(name, tmp_path):
    from gankit.cli.train import variant_command

    workload = shared_machine.WORKLOADS[name]
    words = shared_machine.command(workload, "2 threads", tmp_path)
    at = words.index("train")
    context: click.Context = variant_command(workload.variant).make_context("x", words[at + 2 :])
    assert context.params["steps"] == 10**6
