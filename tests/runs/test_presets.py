"""Presets: what options are that nobody gives. The paper's are the classes' own, the tuned ones are measured."""

from __future__ import annotations

import json
import shlex

import pytest
from here import Here
from paths import ROOT

import gankit
from gankit.config import Config, configure, defaults, read_base
from gankit.core.errors import UsageError
from gankit.lab import commands
from gankit.lab.studies.recipe import load
from gankit.lab.studies.scale import scaled
from gankit.lab.sweeps import plan
from gankit.lab.sweeps.cells import cells_of, parse_grid
from gankit.lab.sweeps.sweep import run_cells
from gankit.registry import registry
from gankit.report.records import read

TUNED = {"lr_g": 4e-4, "discriminator_norm": "none", "batch_size": 32, "flip": True, "ema_halflife_images": 5000}


@pytest.fixture
def tuned(monkeypatch):
    monkeypatch.setattr(registry().get("variants", "wgan-gp"), "tuned", TUNED)


def values(config):
    flat = {
        name: value for section in ("data", "train", "options") for name, value in config.as_dict()[section].items()
    }
    return {name: flat[name] for name in TUNED}


def test_options_of_any_section_are_tuned_where_nobody_says_otherwise(tuned):
    assert values(configure("wgan-gp", {})) == TUNED
    paper = {"lr_g": 1e-4, "discriminator_norm": "layer", "batch_size": 64, "flip": False, "ema_halflife_images": 0}
    assert values(configure("wgan-gp", {"preset": "paper"})) == paper
    with pytest.raises(UsageError, match="--preset 'papre'"):
        configure("wgan-gp", {"preset": "papre"})


def test_what_a_flag_or_a_file_gives_wins_over_the_preset(tuned, tmp_path):
    file = tmp_path / "base.toml"
    file.write_text("[train]\nbatch_size = 16\n[options]\nlr_g = 3e-4\n")
    found = configure("wgan-gp", {"ema_halflife_images": 0}, read_base(file))
    assert values(found) == {**TUNED, "batch_size": 16, "lr_g": 3e-4, "ema_halflife_images": 0}
    file.write_text('[train]\npreset = "paper"\n')
    assert values(configure("wgan-gp", {}, read_base(file)))["ema_halflife_images"] == 0
    assert values(configure("wgan-gp", {"preset": "tuned"}, read_base(file))) == TUNED


@pytest.mark.parametrize("name", ["lrg", "preset", "threads"])
def test_a_variant_tuned_to_what_no_preset_can_set_is_told_so(name, monkeypatch):
    monkeypatch.setattr(registry().get("variants", "dcgan"), "tuned", {name: "paper"})
    with pytest.raises(TypeError, match=rf"DCGAN\.tuned.*: {name}\b"):
        configure("dcgan", {})


def test_a_run_older_than_presets_is_made_again_as_it_was(tuned, tmp_path, tiny):
    run = gankit.train("wgan-gp", out=tmp_path / "run", steps=1, preset="paper", **tiny)
    recorded = json.loads((run.root / "config.json").read_text())
    del recorded["train"]["preset"], recorded["options"]["lr_g"]  # an option that came later, even
    (run.root / "config.json").write_text(json.dumps(recorded))
    assert gankit.Run(run.root).config == run.config
    assert Config.from_dict(recorded).train.preset == "paper"
    assert configure("wgan-gp", {}, read_base(run.root / "config.json")) == run.config
    assert cells_of("wgan-gp", {}, config=run.root / "config.json")[0].flags["preset"] == "paper"
    assert "--preset paper" in commands.command(read(run.root, "r"))
    assert "--lr-g" not in commands.command(read(run.root, "r"))


def test_the_command_of_a_tuned_run_names_what_it_has_otherwise_alone(tuned, tmp_path, tiny):
    run = gankit.train("wgan-gp", out=tmp_path / "run", steps=1, ema_halflife_images=0, **tiny)
    words = shlex.split(commands.command(read(run.root, "r")))
    assert words[words.index("--ema-halflife-images") + 1] == "0"
    assert not {"--preset", "--lr-g", "--discriminator-norm", "--flip"} & set(words)


def test_the_help_shows_the_default_that_will_be_used_and_the_papers(tuned, cli):
    text = " ".join(cli("train", "wgan-gp", "--help").output.split())
    assert "default: 0.0004, the paper's: 0.0001]" in text
    assert "default: 5000, the paper's: 0]" in text


def test_a_sweep_older_than_presets_goes_on_as_the_papers_only(tmp_path):
    asked = {"steps": 3}
    old = cells_of("dcgan", {}, 1, asked)
    plan.adopt(tmp_path, old, None, 1)
    written = json.loads((tmp_path / plan.FILE).read_text())
    assert written["cells"][0]["flags"].pop("preset") == "tuned"
    (tmp_path / plan.FILE).write_text(json.dumps(written))
    with pytest.raises(UsageError, match="preset was paper, now tuned"):
        plan.adopt(tmp_path, old, None, 1)
    assert plan.adopt(tmp_path, cells_of("dcgan", {}, 1, {**asked, "preset": "paper"}), None, 1).threads == 1


def test_a_study_repeats_the_paper_unless_its_recipe_says_otherwise(tmp_path):
    text = 'question = "q"\nsource = "s"\n[base]\nsteps = 2\n[[runs]]\nname = "a"\nvariant = "dcgan"\n'
    (tmp_path / "r.toml").write_text(text)
    assert scaled(load(tmp_path / "r.toml")).cells[0].flags["preset"] == "paper"
    (tmp_path / "r.toml").write_text(text + 'options = { preset = "tuned" }\n')
    assert scaled(load(tmp_path / "r.toml")).cells[0].flags["preset"] == "tuned"


def test_the_docs_list_every_option_in_which_a_variant_leaves_the_papers():
    section = (ROOT / "docs" / "variants.md").read_text().partition("## Presets")[2].partition("\n## ")[0]
    rows = [
        [cell.strip().replace("`", "") for cell in line.split("|")[1:-1]]
        for line in section.splitlines()[2:]
        if line[:1] == "|"
    ]
    told = {(name, row[1]): tuple(row[2:4]) for row in rows[2:] for name in row[0].split(", ")}
    held = {}
    for variant in registry().names("variants"):
        kind = registry().get("variants", variant)
        paper = defaults(kind, "paper")
        held |= {(variant, name): (str(paper[name]), str(value)) for name, value in kind.tuned.items()}
    ours = {key: value for key, value in held.items() if registry().entries["variants"][key[0]].owner == "gankit"}
    assert told == ours


def test_a_run_says_that_its_pictures_are_of_averaged_weights(cli, tmp_path, tiny):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in tiny.items() if name != "quiet"]
    made = cli("train", "gan", "--steps=1", f"--out={tmp_path / 'run'}", "--quiet", *flags)
    assert "pictures and scores are of averaged weights (half-life 5,000 images)" in made.output
    assert gankit.Run(tmp_path / "run").config.train.preset == "tuned"
    drawn = cli("sample", tmp_path / "run", "-n", "4", "-o", tmp_path / "s.png")
    assert "drawn with averaged weights (half-life 5,000 images)" in drawn.output


def test_a_sweep_compares_the_presets_and_each_cell_is_the_run_that_its_preset_makes(tuned, tmp_path, tiny):
    grid = parse_grid("wgan-gp", ["preset=tuned,paper"])
    given = {name: value for name, value in tiny.items() if name not in ("quiet", "batch_size")}
    cells = cells_of("wgan-gp", grid, 1, {**given, "steps": 1})
    found = run_cells(tmp_path / "out", cells, threads=1, quiet=True, executor=Here()).results
    assert [(each.cell.name, each.status) for each in found] == [("preset=tuned", "done"), ("preset=paper", "done")]
    for preset in ("tuned", "paper"):
        made = gankit.Run(tmp_path / "out" / f"preset={preset}" / "seed-0").config
        assert values(made) == values(configure("wgan-gp", {"preset": preset}))
