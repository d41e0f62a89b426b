"""How many cores there are to use: what a container, a mask and other processes leave."""

import os

import pytest

from gankit.core import cores

STAT = """cpu  300 0 100 1000 0 0 0 0 0 0
cpu0 {0} 20 50 500 10 5 5 10 0 0
cpu1 {1} 0 50 500 0 0 0 0 0 0
cpu2 9999 0 50 500 0 0 0 0 0 0
intr 1
"""


def test_a_quota_of_the_first_version_of_control_groups_counts(tmp_path, monkeypatch):
    own, top = tmp_path / "own", tmp_path / "cpu,cpuacct"
    own.write_text("5:memory:/a\n3:cpu,cpuacct:/box/inner\n0::/\n")
    (top / "box" / "inner").mkdir(parents=True)
    for folder, limit in ((top / "box" / "inner", -1), (top / "box", 150_000)):
        (folder / "cpu.cfs_quota_us").write_text(f"{limit}\n")
        (folder / "cpu.cfs_period_us").write_text("50000\n")
    monkeypatch.setattr(cores, "OWN", own)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    assert cores.quota(8) == 3
    assert cores.quota(2) == 2


def test_less_than_a_core_is_one(monkeypatch):
    monkeypatch.setattr(cores, "quota", lambda most: 0)
    assert cores.cores() == 1


def test_the_affinity_mask_counts(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5}, raising=False)
    monkeypatch.setattr(cores, "quota", lambda most: most)
    assert cores.cores() == 2


def test_what_others_do_on_cores_of_ones_own_is_seen_and_what_they_do_on_other_cores_is_not(tmp_path, monkeypatch):
    stat = tmp_path / "stat"
    monkeypatch.setattr(cores, "STAT", stat)
    monkeypatch.setattr(cores, "allowed", lambda: [0, 1])
    clock, own = iter((100.0, 102.0)), iter((5.0, 6.5))
    monkeypatch.setattr(cores.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(os, "times", lambda: (next(own), 0.0, 0.0, 0.0, 0.0))
    tick = os.sysconf("SC_CLK_TCK")
    stat.write_text(STAT.format(0, 0))
    before = cores.Load.now()
    stat.write_text(STAT.format(int(1.9 * tick), int(0.8 * tick)))
    assert before.others() == pytest.approx((1.9 + 0.8 - 1.5) / 2)


def test_a_system_that_tells_of_no_load_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "STAT", tmp_path / "none")
    monkeypatch.setattr(cores, "DELAYS", tmp_path / "none")
    assert cores.Load.now().others() == 0
    assert cores.waited() == 0


def test_waiting_for_a_core_is_added_up_over_all_threads(tmp_path, monkeypatch):
    for name, delay in (("1", 1_500_000_000), ("2", 250_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "schedstat").write_text(f"77 {delay} 3\n")
    monkeypatch.setattr(cores, "DELAYS", tmp_path)
    assert cores.waited() == 1.75
