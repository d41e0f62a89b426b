"""Which runs make a group, what it is called, and what a reader is told of runs that are not there."""

from __future__ import annotations

import json

import pytest
from made_runs import made_run, write

from gankit.core.errors import UsageError
from gankit.lab.comparison.groups import differing, find, written
from gankit.report.records import read


def told(*paths):
    """{name of a group: its seeds}, and the notes."""
    found = find(paths)
    return {group.name: group.seeds for group in found.groups}, found.notes


def planned(root, cells):
    """The plan of a sweep with ``cells`` [(name, seed)]; their folders are NAME/seed-N."""
    root.mkdir(parents=True, exist_ok=True)
    plan = [
        {"name": name, "variant": "dcgan", "flags": {}, "seed": s, "folder": f"{name}/seed-{s}"} for name, s in cells
    ]
    (root / "sweep.json").write_text(json.dumps({"cells": plan}))
    return root


def test_runs_that_differ_by_their_seed_alone_are_one_group_named_by_what_differs(tmp_path):
    for rate in (1e-4, 2e-4):
        for seed in (2, 0, 10):
            made_run(tmp_path / f"{rate}-{seed}", seed=seed, lr_g=rate)
    assert told(f"{tmp_path}/*") == ({"lr_g=1e-4": [0, 2, 10], "lr_g=2e-4": [0, 2, 10]}, ())


def test_the_machine_and_what_is_put_out_part_no_group(tmp_path):
    made_run(tmp_path / "a", seed=0, train={"threads": 1, "engine": "eager", "log_every": 50})
    made_run(tmp_path / "b", seed=1, train={"threads": 2, "engine": "planned", "log_every": 10, "evaluate_every": 5})
    made_run(tmp_path / "c", seed=2, data={"data_root": "/elsewhere"})
    assert told(f"{tmp_path}/*")[0] == {"dcgan": [0, 1, 2]}


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"train": {"precision": "bf16"}}, "precision=bf16"),
        ({"train": {"roll_back": 3}}, "roll_back=3"),
        ({"data": {"limit": 40}}, "limit=40"),
        ({"planned": 200}, "steps=200"),
        ({"loss": 1.0, "init": "default"}, "init=default"),
    ],
)
def test_what_decides_where_a_run_tends_to_parts_groups(other, name, tmp_path):
    made_run(tmp_path / "a", seed=0)
    made_run(tmp_path / "b", seed=1, **other)
    groups, _ = told(tmp_path / "a", tmp_path / "b")
    assert name in groups
    assert len(groups) == 2


def test_other_images_under_the_same_name_part_groups(tmp_path):
    made_run(tmp_path / "a", seed=0)
    config = json.loads((made_run(tmp_path / "b", seed=1) / "config.json").read_text())
    (tmp_path / "b" / "config.json").write_text(json.dumps({**config, "images": "e" * 32}))
    assert list(told(tmp_path / "a", tmp_path / "b")[0]) == ["images=dddddddd", "images=eeeeeeee"]


def test_of_several_variants_each_is_named_by_itself_and_by_what_parts_it_from_its_like(tmp_path):
    made_run(tmp_path / "a", variant="wgan-gp", gp_weight=10.0, n_critic=5, seed=0)
    made_run(tmp_path / "b", variant="dcgan", ndf=32, seed=0)
    made_run(tmp_path / "c", variant="dcgan", ndf=64, seed=0)
    groups, _ = told(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert list(groups) == ["wgan-gp", "dcgan ndf=32", "dcgan ndf=64"]


def test_of_many_options_that_differ_a_name_has_as_many_as_tell_it_apart(tmp_path):
    for i in range(3):
        made_run(tmp_path / str(i), seed=i, ngf=8 * 2**i, ndf=8 * 2**i, nz=10 + i, beta1=i / 10, kernel=4 + i % 2)
    groups, _ = told(f"{tmp_path}/*")
    assert len(groups) == 3
    assert all(name.count("=") == 1 for name in groups)
    options = [group.options for group in find([f"{tmp_path}/*"]).groups]
    assert differing(options) == ["ngf", "ndf", "nz", "beta1", "kernel"]


def test_groups_of_a_pattern_are_in_the_order_of_their_options_and_others_as_they_were_named(tmp_path):
    for width in (128, 32, 64):
        made_run(tmp_path / str(width), ndf=width)
    assert list(told(f"{tmp_path}/*")[0]) == ["ndf=32", "ndf=64", "ndf=128"]
    assert list(told(*(tmp_path / str(width) for width in (128, 32, 64)))[0]) == ["ndf=128", "ndf=32", "ndf=64"]


def test_a_sweep_is_read_by_its_plan_which_names_its_groups(tmp_path):
    root = planned(tmp_path / "s", [("b", 0), ("b", 1), ("a", 0), ("a", 1)])
    for name, rate in (("a", 1e-3), ("b", 1e-4)):
        for seed in (0, 1):
            made_run(root / name / f"seed-{seed}", seed=seed, lr_g=rate)
    made_run(root / "stranger", seed=5)
    assert told(root) == ({"b": [0, 1], "a": [0, 1]}, ())
    assert told(f"{root}/*/seed-1")[0] == {"a": [1], "b": [1]}


def test_cells_of_a_plan_stay_apart_where_their_options_are_the_same(tmp_path):
    root = planned(tmp_path / "s", [("one", 0), ("two", 0)])
    for name in ("one", "two"):
        made_run(root / name / "seed-0", seed=0)
    assert told(root) == ({"one": [0], "two": [0]}, ())


def test_runs_of_a_plan_that_failed_or_have_not_begun_are_told(tmp_path):
    root = planned(tmp_path / "s", [("a", 0), ("a", 1), ("a", 2), ("a", 3)])
    made_run(root / "a" / "seed-0", seed=0)
    made_run(root / "a" / "seed-2", seed=2, steps=40, planned=100)
    failed = [{"cell": "a", "seed": s, "folder": f"a/seed-{s}", "reason": "loss is nan"} for s in (1, 2)]
    write(root / "failures.jsonl", failed)
    groups, notes = told(root)
    assert groups == {"a": [0, 2]}
    assert notes == (
        "a, seed 1 failed: loss is nan",
        "a, seed 2 failed: loss is nan",
        f"{root}: 1 of 4 runs of its plan have not begun",
    )


def test_a_repeat_of_a_seed_is_left_out_and_named_and_the_furthest_kept(tmp_path):
    made_run(tmp_path / "first", seed=0, steps=50, planned=100)
    made_run(tmp_path / "second", seed=0, steps=100)
    made_run(tmp_path / "third", seed=1)
    found = find([f"{tmp_path}/*", tmp_path / "first"])
    assert [run.name for run in found.groups[0].runs] == ["second", "third"]
    assert found.notes == (
        "first repeats second: the same options and seed 0; it is left out, because a repeat says nothing new",
    )


def test_a_run_that_went_on_with_other_options_is_no_seed_of_one_that_did_not(tmp_path):
    made_run(tmp_path / "a", seed=0)
    root = made_run(tmp_path / "b", seed=1, lr_g=5e-4)
    config = json.loads((root / "config.json").read_text())
    change = {"lr_g": {"was": 1e-3, "now": 5e-4}}
    leg = {"from": 50, "schedule from": 50, "rolled back": 0, "changes": change}
    (root / "config.json").write_text(json.dumps({**config, "legs": [leg]}))
    assert list(told(tmp_path / "a", root)[0]) == ["changed later=-", "changed later=lr_g=5e-4 from step 50"]
    # where the run itself went back and halved its rates, it is one seed's fate
    (root / "config.json").write_text(json.dumps({**config, "legs": [{**leg, "rolled back": 1}]}))
    assert told(tmp_path / "a", root)[0] == {"dcgan": [0, 1]}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere", "no such folder; name a run, a sweep, or a pattern in quotes"),
        ("no*/*", "no run folder is named like this"),
        ("many", "not a run folder (it has no config.json); for the runs in it write '{}/*/*'"),
        ("flat", "not a run folder (it has no config.json); for the runs in it write '{}/*'"),
        ("empty", "not a run folder (it has no config.json); name one that `gankit train` made"),
        ("waits", "no run of this sweep has begun"),
    ],
)
def test_a_path_without_runs_is_one_line_that_says_what_to_write(path, words, tmp_path):
    made_run(tmp_path / "many" / "a" / "seed-0")
    made_run(tmp_path / "flat" / "a")
    (tmp_path / "empty").mkdir()
    planned(tmp_path / "waits", [("a", 0)])
    with pytest.raises(UsageError) as error:
        find([tmp_path / path])
    assert words.format(tmp_path / path) in str(error.value)
    assert str(error.value).startswith(str(tmp_path / path))
    assert "\n" not in str(error.value)


def test_no_path_at_all_is_an_error():
    with pytest.raises(UsageError, match="name run folders"):
        find([])


def test_a_folder_whose_name_looks_like_a_pattern_is_read_as_it_is(tmp_path):
    made_run(tmp_path / "[a]*")
    assert told(tmp_path / "[a]*")[0] == {"dcgan": [0]}


def test_values_are_written_as_one_types_them():
    values = (1e-4, 2e-4, 0.5, 1.0, 512, 1.5e-4, 1e22, True, None, -3e-3, 0.01, "adam", "ab12" * 8)
    assert [written(value) for value in values] == [
        "1e-4", "2e-4", "0.5", "1", "512", "1.5e-4", "1e22", "on", "unset", "-3e-3", "0.01", "adam", "ab12ab12",
    ]  # fmt: skip


def test_a_made_run_reads_as_a_run_does(tmp_path, finished):
    made, real = read(made_run(tmp_path / "r", [(100, 3.0)]), "made"), read(finished, "real")
    assert set(made.section("train")) <= set(real.section("train"))
    assert set(made.config) <= set(real.config)
    assert (made.done, made.images.values[-1], made.clock.values[-1]) == (100, 1600, pytest.approx(1))
