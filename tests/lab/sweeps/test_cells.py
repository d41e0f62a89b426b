"""The cells of a grid, their names and folders, and what is refused before anything is trained."""

from __future__ import annotations

import pytest

from gankit.core.errors import UsageError
from gankit.lab.sweeps.cells import cells_of, check_distinct, folder_of, parse_grid, shown


def test_a_grid_is_crossed_with_the_seeds_first_option_slowest():
    cells = cells_of("wgan-gp", {"lr_g": [1e-4, 2e-4], "batch-size": [256, 512]}, 2, {"seed": 5, "steps": 3})
    assert [(cell.name, cell.seed) for cell in cells[:4]] == [
        ("lr_g=1e-4,batch_size=256", 5),
        ("lr_g=1e-4,batch_size=256", 6),
        ("lr_g=1e-4,batch_size=512", 5),
        ("lr_g=1e-4,batch_size=512", 6),
    ]
    assert len(cells) == 8
    assert cells[-1].flags == {"steps": 3, "lr_g": 2e-4, "batch_size": 512}
    assert cells[-1].folder == "lr_g=2e-4,batch_size=512/seed-6"


def test_a_sweep_without_a_grid_is_one_cell_of_several_seeds():
    assert [str(cell) for cell in cells_of("dcgan", {}, 2)] == ["dcgan, seed 0", "dcgan, seed 1"]


def test_values_are_read_in_their_options_types_and_a_quoted_one_may_hold_a_comma():
    grid = parse_grid("wgan-gp", ["n-critic=1,2", "--lr_g=1e-4", 'data="folder:a,b",shapes', "same_batch=true,false"])
    assert grid == {
        "n_critic": [1, 2], "lr_g": [1e-4], "data": ["folder:a,b", "shapes"], "same_batch": [True, False],
    }  # fmt: skip


def test_a_config_file_gives_what_the_flags_and_the_grid_do_not(tmp_path):
    file = tmp_path / "base.toml"
    file.write_text('variant = "dcgan"\n[train]\nsteps = 9\nseed = 4\nbatch_size = 16\n[options]\nndf = 8\n')
    (cell,) = cells_of("dcgan", {"ndf": [2]}, 1, {"epochs": 2.0}, file)
    assert (cell.seed, dict(cell.flags)) == (4, {"batch_size": 16, "ndf": 2, "epochs": 2.0})


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-4, "1e-4"), (0.00025, "2.5e-4"), (0.5, "0.5"), (0.01, "0.01"), (10.0, "10"), (512, "512"), (True, "true")],
)
def test_a_number_is_named_by_the_shortest_text_that_reads_back_as_it(value, text):
    assert shown(value) == text
    assert isinstance(value, bool) or float(text) == value


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (["lrg=1"], "--grid lrg: unknown option 'lrg': did you mean 'lr_g'?"),
        (["lr_g="], "--grid lr_g= names no values"),
        (["lr_g"], "--grid lr_g: write an option and its values"),
        (["lr_g=-1"], "--grid lr_g=-1: --lr-g -1.0 is out of range"),
        (["n_critic=two"], "--grid n_critic=two: --n-critic takes a whole number, not 'two'"),
        (["lr_g=1e-4,"], "--grid lr_g=1e-4,: --lr-g takes a number, not ''"),
        (["same_batch=yes"], "--same-batch takes true or false, not 'yes'"),
        (["lr_g=1", "lr-g=2"], "--grid lr_g: given twice"),
        (["lr_g=1e-4,0.0001"], "--grid lr_g: has 1e-4 twice"),
        (["batch_size=8,16"], "--batch-size is given as a flag and in the grid"),
        (["seed=1,2"], "--grid seed: seeds are asked for with --seeds N"),
        (["threads=1,2"], "--grid threads: a sweep shares the cores out evenly"),
        (['data="a'], "its quotes do not pair"),
        (["epochs=1,2"], "cell epochs=1: --steps and --epochs both say how long to train"),
    ],
)
def test_a_bad_grid_is_one_line_that_names_it(grid, words, cli, tmp_path):
    out = tmp_path / "sweep"
    grids = [word for text in grid for word in ("--grid", text)]
    ended = cli("sweep", "wgan-gp", "--data", "shapes", "--batch-size", 8, "--steps", 2, *grids, "--out", out)
    assert ended.exit_code == 2
    (line,) = ended.stderr.splitlines()
    assert words in line
    assert not out.exists()


def test_a_bad_call_from_python_is_refused_alike():
    for flags, grid, words in (
        ({"lrg": 1}, {}, "unknown option 'lrg': did you mean 'lr_g'"),
        ({}, {"lr_g": "1e-4"}, "takes a list of values"),
        ({}, {"lr_g": []}, "names no values"),
        ({}, {"lr_g": [1e-4, "much"]}, "--lr-g takes a number, not 'much'"),
    ):
        with pytest.raises(UsageError, match=words):
            cells_of("wgan-gp", grid, 1, flags)
    with pytest.raises(UsageError, match="--seeds 0"):
        cells_of("wgan-gp", {}, 0)


def test_folders_are_safe_and_names_that_lose_something_get_a_mark():
    assert folder_of("dcgan ndf=128", 3) == "dcgan-ndf=128/seed-3"
    odd = [folder_of(name, 0) for name in ("data=folder:/a/b", "data=folder:-a/b", "[x]*", "..", "n" * 300)]
    assert len(set(odd)) == len(odd)
    for folder in odd:
        name = folder.removesuffix("/seed-0")
        assert not set(name) & set("/\\:*?[]<>| ")
        assert not name.startswith(".")
        assert len(name) < 140


def test_cells_that_only_capitals_tell_apart_are_refused():
    one, two = (cells_of("gan", {"metric": [name]})[0] for name in ("fid", "kid"))
    check_distinct([one, two])
    other = type(one)("METRIC=fid", "gan", {}, 0, one.folder.upper().replace("SEED", "seed"))
    with pytest.raises(UsageError, match="two cells are called alike"):
        check_distinct([one, other])
