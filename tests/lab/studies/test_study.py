"""A study from its recipe to its findings: as the command line and as Python have it, stopped and gone on with."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from here import Here
from recipes import BASE, CLAIMS, FIGURES, RUNS, recipe_file

import gankit
from gankit import UsageError
from gankit.lab.studies.study import FINDINGS, PAGE


def run(recipe, out, **options):
    """The study in this process, on one thread a run, at scale half where nothing else is said."""
    usual = {"scale": "half", "out": out, "threads": 1, "quiet": True, "executor": Here()}
    return gankit.study(recipe, **{**usual, **options})


def findings(out):
    """What the study found, but for what the clock says."""
    found = json.loads((out / FINDINGS).read_text())
    for made in found["runs"]:
        assert set(made.pop("clock")) == {"step time"}
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study: the object, its recipe, its folder."""
    folder = tmp_path_factory.mktemp("study")
    recipe = recipe_file(folder)
    return run(recipe, folder / "out"), recipe, folder / "out"


def test_a_study_has_a_figure_of_each_seed_of_each_cell_and_a_verdict_on_each_claim(done):
    study, _, out = done
    assert set(study.figures) == {"late D loss", "step time"}
    assert set(study.figures["late D loss"]) == {"dcgan ndf=2", "dcgan ndf=4", "wgan-gp"}
    assert all(None not in values and len(values) == 2 for values in study.figures["late D loss"].values())
    last = [json.loads(line) for line in (out / "dcgan-ndf=4" / "seed-1" / "metrics.jsonl").read_text().splitlines()][
        -1
    ]
    assert study.figures["late D loss"]["dcgan ndf=4"][1] == pytest.approx(last["discriminator/loss"])
    (row,) = study.table
    assert (row["claim"], row["published"], row["verdict"]) == ("D's loss is not below zero", "0.69", "holds")
    assert findings(out)["claims"][0]["measured"] == row["measured"]
    assert "✓ holds" in study._repr_html_()
    assert "holds: D's loss is not below zero" in str(study)
    assert "at scale half: Half as long." in str(study)


def test_every_run_is_a_run_folder_with_the_pictures_asked_for(done):
    study, _, out = done
    for made in study.made:
        assert gankit.Run(made.root).config.train.steps == 2
        assert (made.root / made.pictures["Samples"]).read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in out.glob("*/seed-*")) == ["seed-0"] * 3 + ["seed-1"] * 3


def test_the_commands_of_a_study_train_its_runs_again(done, cli, tmp_path):
    study, recipe, _ = done
    assert study.command() == f"gankit study {recipe} --scale half --seeds 2"
    first, second = study.commands()["dcgan ndf=4"]
    assert "--ndf 4" in second
    assert second.endswith("--seed 1")
    assert first != second
    result = cli(*second.split()[1:], "--out", tmp_path / "again", "-q")
    assert result.exit_code == 0, result.output
    made = next(made for made in study.made if (made.cell, made.seed) == ("dcgan ndf=4", 1))
    assert (tmp_path / "again" / "metrics.jsonl").read_bytes() == (made.root / "metrics.jsonl").read_bytes()


def test_a_study_that_was_stopped_goes_on_and_finds_the_same_bit_for_bit(done, tmp_path):
    _, recipe, out = done
    shutil.copytree(out, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "wgan-gp" / "seed-1")
    (tmp_path / "out" / "dcgan-ndf=2" / "seed-0" / "figures.json").unlink()
    for name in (FINDINGS, PAGE, "recipe.toml"):
        (tmp_path / "out" / name).unlink()
    run(recipe, tmp_path / "out", executor=None)  # in processes of its own, as a user's
    assert findings(tmp_path / "out") == findings(out)
    assert (tmp_path / "out" / PAGE).is_file()
    assert (tmp_path / "out" / "recipe.toml").read_text() == recipe.read_text()


def test_a_study_may_get_more_seeds_and_keeps_those_it_has(done, tmp_path):
    _, recipe, out = done
    shutil.copytree(out, tmp_path / "out")
    before = (tmp_path / "out" / "wgan-gp" / "seed-0" / "metrics.jsonl").stat().st_mtime_ns
    more = run(recipe, tmp_path / "out", seeds=3)
    assert len(more.made) == 9
    assert (tmp_path / "out" / "wgan-gp" / "seed-0" / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_folder_that_holds_something_else_is_refused(done, tmp_path):
    _, recipe, out = done
    other = recipe_file(tmp_path, claims=CLAIMS.replace("least = 0", "least = 1"))
    with pytest.raises(UsageError, match="holds a study with another recipe; choose another --out"):
        run(other, out)
    with pytest.raises(UsageError, match="holds a study with another scale and data; choose another --out"):
        run(recipe, out, scale="paper", data="stripes")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="exists and is not empty; choose another --out"):
        run(recipe, tmp_path / "used")


def test_nothing_is_made_where_the_recipe_is_wrong(tmp_path):
    with pytest.raises(UsageError, match="no run has a figure"):
        run(recipe_file(tmp_path, claims=CLAIMS.replace("late D loss", "late G loss")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_diverges_is_told_of_and_the_rest_have_their_verdicts(tmp_path):
    runs = RUNS.replace("options = { ndf = 2,", "options = { ndf = 2, optimizer = 'sgd', lr_d = 10.0,")
    figures = FIGURES + '\n[[figures]]\nname = "diverged"\nmeasure = "diverged"\n'
    base = BASE.replace("steps = 4", "steps = 12")
    study = run(recipe_file(tmp_path, runs=runs, base=base, figures=figures), tmp_path / "out")
    lost = [made for made in study.made if made.status != "done"]
    assert {made.cell for made in lost} == {"wgan-gp"}
    assert all("finite" in made.reason for made in lost)
    assert study.figures["diverged"] == {"dcgan ndf=2": [0, 0], "dcgan ndf=4": [0, 0], "wgan-gp": [1, 1]}
    assert study.table[0]["verdict"] == "holds"
    page = study.page.read_text()
    assert lost[0].reason in page
    assert "4 of 6 done" in page


def test_a_measure_that_does_not_fit_a_run_costs_it_that_figure_alone(tmp_path):
    figures = '[[figures]]\nname = "late D loss"\nmeasure = "term"\nterm = "foo/bar"\n'
    figures += '[[figures]]\nname = "steady"\nmeasure = "unsteadiness"\nterm = "generator/loss"\n'
    figures += '[[figures]]\nname = "last"\nmeasure = "term"\nterm = "generator/loss"\n'
    study = run(recipe_file(tmp_path, figures=figures), tmp_path / "out", seeds=1)
    assert set(study.figures) == {"last"}
    assert "recorded no term 'foo/bar'" in study.made[0].lacking["late D loss"]
    assert str(tmp_path) not in study.made[0].lacking["late D loss"]
    assert study.made[0].lacking["steady"] == "the run gives none"
    (row,) = study.table
    assert (row["verdict"], row["why"]) == ("cannot tell", "no run of dcgan ndf=2 at this scale has it")


def test_without_matplotlib_the_findings_stand_and_the_missing_page_is_warned_of(done, tmp_path, monkeypatch, capsys):
    _, recipe, out = done
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "out" / PAGE).unlink()
    for name in ("gankit.report.curves", "gankit.lab.studies.page", "gankit.lab.studies.curves", "gankit.lab.bands"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("gankit.report.tables", "gankit.report.page", "gankit.report.panels"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    study = run(recipe, tmp_path / "out")
    assert not study.page.exists()
    assert "but they have no page: a report is drawn with matplotlib" in capsys.readouterr().err
    assert study.table[0]["verdict"] == "holds"


def test_the_command_prints_the_verdicts_and_where_the_page_is(done, cli):
    _, recipe, out = done
    result = cli("study", recipe, "--scale", "half", "--out", out, "--threads", 1, "-q")
    assert result.exit_code == 0, result.output
    assert "holds: D's loss is not below zero" in result.stdout
    assert f"page: {out / PAGE}" in result.stdout
    result = cli("study", recipe, "--scale", "half", "--out", out, "--threads", 1, "-q", "--json")
    assert json.loads(result.stdout)["claims"][0]["verdict"] == "holds"


def test_show_says_what_would_be_run_and_when_a_claim_holds(done, cli):
    _, recipe, _ = done
    shown = cli("study", "show", recipe, "--scale", "half").stdout
    for text in (
        "Source: a test",
        "half (this one): Half as long.",
        "multiplies steps=0.5",
        "Runs at scale half, seeds 0 to 1:",
        "as published: data=shapes, size=8",
        "here: steps=2",
        "depends on the clock",
        "published: 0.69",
        "holds if late D loss of dcgan ndf=2 is at least 0",
        f"gankit study {recipe} --scale half",
    ):
        assert text in shown, text


def test_the_recipes_that_are_installed_are_listed_with_their_questions(cli):
    listed = json.loads(cli("study", "list", "--json").stdout)
    names = gankit.registry.registry().names("studies")
    assert [each["name"] for each in listed] == names
    assert all(each["question"] and each["from"] == "gankit" for each in listed)
    words = cli("study", "list").stdout
    assert all(name in words for name in names)
    assert all(name in cli("study", "--help").stdout for name in names)


def test_a_recipe_that_is_none_is_an_error_of_one_line(cli, tmp_path):
    result = cli("study", "dcgan-knob")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "unknown recipe 'dcgan-knob'" in result.stderr
    assert "no such file" in cli("study", tmp_path / "nothing.toml").stderr
    assert "unknown recipe" in cli("study", "show", "dcgan-knob").stderr
    assert "--scale huge" in cli("study", recipe_file(tmp_path), "--scale", "huge").stderr
