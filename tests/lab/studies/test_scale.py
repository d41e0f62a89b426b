"""What a scale makes of a recipe's options, rule by rule."""

from __future__ import annotations

import pytest
from recipes import BASE, RUNS, recipe_file

from gankit import UsageError
from gankit.lab.studies.recipe import Scale, read
from gankit.lab.studies.scale import default, scaled, shrunk

FLAGS = {"steps": 1000, "ngf": 64, "lr_g": 1e-3, "batch_size": 128, "data": "fashion-mnist"}


def made(**rules):
    """FLAGS of a DCGAN by the rules of a scale."""
    return shrunk("dcgan", FLAGS, Scale(**rules))


def test_without_rules_nothing_is_changed():
    assert made() == FLAGS


def test_what_is_set_takes_the_place_of_what_is_published():
    assert made(set={"data": "shapes", "size": 8}) == {**FLAGS, "data": "shapes", "size": 8}


def test_what_is_multiplied_stays_a_whole_number_where_it_was_one():
    found = made(times={"ngf": 0.1, "lr_g": 2.0})
    assert (found["ngf"], found["lr_g"]) == (6, 2e-3)
    assert type(found["ngf"]) is int
    assert made(times={"ngf": 0.001})["ngf"] == 1


def test_nothing_that_is_multiplied_falls_below_the_least_and_nothing_small_is_raised_to_it():
    assert made(times={"ngf": 0.1}, least={"ngf": 16})["ngf"] == 16
    assert made(times={"ngf": 0.1}, least={"ngf": 100})["ngf"] == 64


def test_what_is_set_is_not_multiplied_too():
    assert made(set={"ngf": 8}, times={"ngf": 0.5})["ngf"] == 8


def test_a_default_is_multiplied_where_the_recipe_says_nothing():
    assert made(times={"nz": 0.5})["nz"] == default("dcgan", "nz") // 2
    assert made(times={"samples": 0.25})["samples"] == default("dcgan", "samples") // 4


def test_a_default_that_the_variant_has_otherwise_is_that_which_is_multiplied():
    assert default("vq-vae", "batch_size") != default("dcgan", "batch_size")
    found = shrunk("vq-vae", {}, Scale(times={"batch_size": 0.5}))
    assert found["batch_size"] == default("vq-vae", "batch_size") // 2


def test_what_is_unset_or_no_number_or_unknown_to_the_variant_stays_as_it_is():
    assert made(times={"limit": 0.5, "data": 0.5, "flip": 0.5, "n_codes": 0.5}) == FLAGS
    assert made(set={"n_codes": 3}) == FLAGS


def test_a_scale_may_count_in_epochs_where_the_recipe_counts_in_steps_and_the_other_way_round():
    assert "steps" not in made(set={"epochs": 0.5})
    found = shrunk("dcgan", {"epochs": 20}, Scale(set={"steps": 30}))
    assert found == {"steps": 30}
    assert shrunk("dcgan", {"epochs": 20}, Scale(times={"epochs": 0.02}))["epochs"] == pytest.approx(0.4)


def test_cells_have_their_names_as_published_and_their_options_at_the_scale(tmp_path):
    plan = scaled(read(recipe_file(tmp_path)), "half")
    assert plan.names == ["dcgan ndf=2", "dcgan ndf=4", "wgan-gp"]
    assert [(cell.name, cell.seed) for cell in plan.cells][:3] == [
        ("dcgan ndf=2", 0), ("dcgan ndf=2", 1), ("dcgan ndf=4", 0),
    ]  # fmt: skip
    assert (plan.cells[2].flags["ndf"], plan.cells[2].flags["steps"]) == (4, 2)
    assert plan.published["dcgan ndf=4"]["steps"] == 4
    assert len({cell.folder for cell in plan.cells}) == 6


def test_a_value_stands_in_a_cells_name_in_its_shortest_form(tmp_path):
    runs = '[[runs]]\nname = "x"\nvariant = "dcgan"\n[runs.matrix]\nlr_g = [0.001, 0.5, 1]\nflip = [true]\n'
    names = ["x lr_g=1e-3 flip=true", "x lr_g=0.5 flip=true", "x lr_g=1 flip=true"]
    assert scaled(read(recipe_file(tmp_path, runs=runs)), "half").names == names


def test_seeds_and_data_are_those_asked_for(tmp_path):
    plan = scaled(read(recipe_file(tmp_path)), "half", data="stripes", seeds=1, seed=7)
    assert [cell.seed for cell in plan.cells] == [7, 7, 7]
    assert {cell.flags["data"] for cell in plan.cells} == {"stripes"}


def test_cells_are_left_out_by_their_names(tmp_path):
    path = recipe_file(tmp_path, scales='[scales.half]\ndrop = ["dcgan*=4"]\n')
    assert scaled(read(path), "half").names == ["dcgan ndf=2", "wgan-gp"]
    assert scaled(read(path), "paper").names == ["dcgan ndf=2", "dcgan ndf=4", "wgan-gp"]


def test_laptop_is_the_usual_scale_where_there_is_one_and_else_the_published(tmp_path):
    assert scaled(read(recipe_file(tmp_path))).name == "paper"
    assert scaled(read(recipe_file(tmp_path, scales="[scales.laptop]\n"))).name == "laptop"


def test_options_of_the_base_reach_those_runs_only_that_have_them(tmp_path):
    runs = RUNS + '\n[[runs]]\nname = "vae"\nvariant = "vae"\n'
    plan = scaled(read(recipe_file(tmp_path, runs=runs, base=BASE + "n_critic = 3\n")), "half")
    by_name = {cell.name: cell.flags for cell in plan.cells}
    assert "ngf" not in by_name["vae"]
    assert by_name["wgan-gp"]["n_critic"] == 2
    assert by_name["dcgan ndf=2"]["n_critic"] == 3


def test_what_one_run_cannot_have_is_refused_by_its_name(tmp_path):
    path = recipe_file(tmp_path, base=BASE.replace('arch = "mlp"', 'arch = "dcgan"').replace("size = 8", "size = 4097"))
    with pytest.raises(UsageError, match="width: run 'dcgan ndf=2': --size"):
        scaled(read(path), "half")
