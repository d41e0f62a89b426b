"""A recipe that is wrong is refused in one line that says where and what, before anything is trained."""

from __future__ import annotations

import dataclasses
import re

import pytest
from paths import ROOT
from recipes import BASE, CLAIMS, FIGURES, HEAD, PANELS, PICTURES, RUNS, SCALES, recipe_file

from gankit import UsageError
from gankit.lab.studies.check import check
from gankit.lab.studies.pictures import KINDS
from gankit.lab.studies.recipe import Check, Claim, Figure, Panel, Picture, Recipe, Runs, Scale, load, read
from gankit.lab.studies.scale import scaled


def checked(path, scale="half"):
    """Everything that is looked at before the first run."""
    plan = scaled(read(path), scale)
    check(plan)
    return plan


def check_of(text):
    """The claims with one check of ``text``."""
    return f'[[claims]]\nsays = "It is so"\nchecks = [{{ {text} }}]\n'


WRONG = {
    "an unknown key": ({"head": HEAD + 'qestion = "x"\n'}, "unknown key 'qestion': did you mean 'question'?"),
    "an unknown key of a table": (
        {"panels": PANELS + 'titel = "x"\n'},
        r"panels\[0\]: unknown key 'titel': did you mean 'title'\?",
    ),
    "a name of its own": ({"head": HEAD + 'name = "x"\n'}, "unknown key 'name'; a recipe is called as its file"),
    "no question": ({"head": 'source = "x"\n'}, "has no 'question'"),
    "no variant": ({"runs": '[[runs]]\nname = "x"\n'}, r"runs\[0\]: has no 'variant'"),
    "no measure": ({"figures": '[[figures]]\nname = "x"\n'}, r"figures\[0\]: has no 'measure'"),
    "a number for text": ({"head": "question = 3\nsource = 'x'\n"}, "question: must be text, not 3"),
    "text for a number": (
        {"scales": SCALES.replace("seeds = 2", 'seeds = "two"')},
        "scales.half.seeds: must be a whole number, not 'two'",
    ),
    "a value for a list": (
        {"runs": RUNS.replace("ndf = [2, 4]", "ndf = 2")},
        r"runs\[0\].matrix.ndf: must be a list, not 2",
    ),
    "a value for a table": ({"base": "base = 3\n"}, "base: must be a table, not 3"),
    "no TOML": ({"base": "[base\n"}, "cannot be read as TOML"),
    "no runs": ({"runs": "runs = []\n", "base": ""}, r"has no \[\[runs\]\]"),
    "a scale called paper": (
        {"scales": '[scales.paper]\nsays = "x"\n'},
        "scales.paper: is the study as the recipe states it",
    ),
    "two figures of one name": (
        {"figures": FIGURES.replace("step time", "late D loss")},
        "figures: two are called 'late D loss'",
    ),
    "two panels of one title": ({"panels": PANELS * 2}, "panels: two are called 'D loss'"),
    "an unknown variant": ({"runs": RUNS.replace('variant = "dcgan"', 'variant = "dcgna"')}, "did you mean 'dcgan'?"),
    "an unknown option of a run": (
        {"runs": RUNS.replace("n_critic", "n_crtic")},
        "run 'wgan-gp': unknown option 'n_crtic': did you mean 'n_critic'?",
    ),
    "an unknown option of the base": (
        {"base": BASE + "batchsize = 3\n"},
        "base: unknown option 'batchsize': did you mean 'batch_size'?",
    ),
    "an unknown option of a scale": (
        {"scales": SCALES.replace("steps", "stepss")},
        "scales: times: unknown option 'stepss': did you mean 'steps'?",
    ),
    "a value out of range": ({"base": BASE.replace("nz = 4", "nz = 0")}, "run 'dcgan ndf=2': --nz 0 is out of range"),
    "scores of images of two sizes": (
        {
            "runs": RUNS.replace("options = { ndf = 2,", "options = { size = 16, evaluate_every = 2, ndf = 2,"),
            "figures": FIGURES + '[[figures]]\nname = "FID"\nmeasure = "score"\nmetric = "fid"\n',
            "claims": check_of('figure = "FID", of = "dcgan ndf=2", minus = "wgan-gp", least = 0'),
        },
        "claim 'It is so': scores cannot be compared where size differs",
    ),
    "an empty matrix": (
        {"runs": RUNS.replace("[2, 4]", "[]")},
        "run 'dcgan': its matrix has no values of ndf",
    ),
    "a clash of options and matrix": (
        {"runs": RUNS.replace("[runs.matrix]", "options = { ndf = 8 }\n[runs.matrix]")},
        "run 'dcgan': ndf is in its options and in its matrix",
    ),
    "two cells of one name": ({"runs": RUNS.replace("[2, 4]", "[2, 2]")}, "two runs are called 'dcgan ndf=2'"),
    "two runs of one name": ({"runs": RUNS.replace('"wgan-gp"', '"dcgan"', 1)}, "runs: two are called 'dcgan'"),
    "a seed in the base": ({"base": BASE + "seed = 3\n"}, "base: seeds are asked for with --seeds N"),
    "a seed in a matrix": ({"runs": RUNS.replace("ndf = [2, 4]", "seed = [2, 4]")}, "run 'dcgan': seeds are asked for"),
    "an unknown measure": (
        {"figures": FIGURES.replace('"term"', '"trem"')},
        "figure 'late D loss': unknown measure 'trem': did you mean 'term'?",
    ),
    "an unknown parameter of a measure": (
        {"figures": FIGURES.replace("start =", "strat =")},
        "figure 'late D loss': measure 'term' has no parameter 'strat': did you mean 'start'?",
    ),
    "a figure of no cell": (
        {"figures": FIGURES + 'of = ["dcgn*"]\n'},
        "figure 'step time': no run is called 'dcgn*'",
    ),
    "a scale's parameters of no figure": (
        {"scales": SCALES + '[scales.half.parameters."late G loss"]\nstart = 0.1\n'},
        "scale 'half': parameters: no figure 'late G loss': did you mean 'late D loss'?",
    ),
    "a scale that drops no cell": (
        {"scales": SCALES + 'drop = ["wgan-pg"]\n'},
        "scale 'half': drop: no run is called 'wgan-pg': did you mean 'wgan-gp'?",
    ),
    "a scale that drops every cell": ({"scales": SCALES + 'drop = ["*"]\n'}, "--scale half drops every run"),
    "an unknown kind of picture": (
        {"pictures": PICTURES + 'kind = "sampels"\n'},
        "picture 'Samples': unknown kind of picture 'sampels': did you mean 'samples'?",
    ),
    "a panel of nothing": ({"panels": '[[panels]]\ntitle = "x"\n'}, "panel 'x': shows a 'term' or a 'metric'"),
    "a panel of both": ({"panels": PANELS + 'metric = "fid"\n'}, "panel 'D loss': shows a 'term' or a 'metric'"),
    "a panel over hours": ({"panels": PANELS + 'over = "hours"\n'}, "'over' one of steps, images, seconds"),
    "a claim without checks": ({"claims": '[[claims]]\nsays = "x"\nchecks = []\n'}, "claim 'x': has no checks"),
    "a claim of a figure that no run has": (
        {"claims": CLAIMS.replace("late D loss", "late G loss")},
        "claim 'D's loss is not below zero': no run has a figure 'late G loss': did you mean 'late D loss'?",
    ),
    "a claim of a cell that is none": (
        {"claims": CLAIMS.replace("ndf=2", "ndf=3")},
        "no run is called 'dcgan ndf=3': did you mean 'dcgan ndf=",
    ),
    "a claim of a figure not taken of its cell": (
        {"figures": FIGURES.replace("start = 0.5", 'of = ["wgan-gp"]')},
        "the figure 'late D loss' is not taken of 'dcgan ndf=2'",
    ),
    "a check of nothing": ({"claims": check_of('figure = "step time", least = 1')}, "'of' one cell or 'along' several"),
    "a check along one": (
        {"claims": check_of('figure = "step time", along = ["wgan-gp"], least = 1')},
        "'along' needs two cells or more",
    ),
    "a check without a range": (
        {"claims": check_of('figure = "step time", of = "wgan-gp"')},
        "say 'least' or 'most'",
    ),
    "a check of an empty range": (
        {"claims": check_of('figure = "step time", of = "wgan-gp", least = 2, most = 1')},
        "'least' 2 is more than 'most' 1",
    ),
    "a check of a difference and a ratio": (
        {"claims": check_of('figure = "step time", of = "wgan-gp", minus = "wgan-gp", over = "wgan-gp", least = 1')},
        "a check takes one of 'minus' and 'over'",
    ),
    "a check of a difference from a cell and from a figure": (
        {"claims": check_of('figure = "step time", of = "wgan-gp", minus = "wgan-gp", over_figure = "x", least = 1')},
        "a check takes one of 'minus' and 'over_figure'",
    ),
    "a check of another figure that no run has": (
        {"claims": check_of('figure = "step time", of = "wgan-gp", over_figure = "late G loss", least = 1')},
        "no run has a figure 'late G loss': did you mean 'late D loss'?",
    ),
    "a check of a ratio of shares": (
        {"claims": check_of('figure = "step time", of = "wgan-gp", over = "dcgan ndf=2", share = true, least = 1')},
        "a share goes with 'of' and 'minus' only",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_recipe_is_refused_in_one_line_that_says_where(wrong, tmp_path):
    parts, message = WRONG[wrong]
    with pytest.raises(UsageError) as caught:
        checked(recipe_file(tmp_path, **parts))
    said = str(caught.value).replace("\\", "")
    assert message.replace("\\", "") in said
    assert "\n" not in said
    assert "width" in said or wrong == "an unknown variant"


def test_a_recipe_is_read_as_it_stands(tmp_path):
    recipe = read(recipe_file(tmp_path))
    assert recipe.name == "width"
    assert recipe.figures[0].parameters == {"term": "discriminator/loss or critic/loss", "start": 0.5}
    assert recipe.runs[0].matrix == {"ndf": [2, 4]}
    assert recipe.scales["half"].seeds == 2
    assert recipe.claims[0].checks[0].least == 0.0


def test_a_recipe_is_found_by_its_path_or_its_name_and_else_the_nearest_is_named(tmp_path):
    assert load(recipe_file(tmp_path)).name == "width"
    with pytest.raises(UsageError, match=r"nothing\.toml: no such file; `gankit study list`"):
        load(tmp_path / "nothing.toml")
    with pytest.raises(UsageError, match="unknown recipe 'no-such-recipe'"):
        load("no-such-recipe")


def test_an_unknown_scale_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"--scale hlaf: did you mean 'half'\?"):
        checked(recipe_file(tmp_path), "hlaf")


def test_the_example_of_the_docs_is_a_recipe_and_every_key_is_explained_there(tmp_path):
    docs = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8").split("## Studies")[1]
    path = tmp_path / "width.toml"
    path.write_text(docs.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    assert checked(path, "laptop").names == ["dcgan ndf=64", "dcgan ndf=128", "dcgan ndf=256"]
    for table in (Recipe, Runs, Figure, Picture, Panel, Claim, Check, Scale):
        for key in {field.name for field in dataclasses.fields(table)} - {"name", "text"}:
            assert re.search(rf"`{key}\b|\[{key}\b", docs), key
    assert all(f"`{kind}`" in docs for kind in KINDS)
