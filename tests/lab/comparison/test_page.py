"""The page of a comparison: the answer first, nothing loaded, names shown as text, and it fits a phone."""

from __future__ import annotations

import importlib
import re
import shlex
import sys

import browser
import numpy as np
import pytest
from made_runs import add_scores, made_run
from pages import HOSTILE, Reader, assert_alone

import gankit
from gankit.cli import main
from gankit.config import configure
from gankit.core.errors import GankitError
from gankit.lab import bands, commands
from gankit.report.records import read


def made_groups(root, groups=2, seeds=3, **options):
    """Groups of runs whose scores fall towards 20, 25, ...; the pattern that names them all."""
    rng = np.random.default_rng(0)
    for i in range(groups):
        for seed in range(seeds):
            scores = [(step, 20 + 5 * i + 100 / step + rng.normal()) for step in range(20, 101, 20)]
            made_run(root / f"{i}-{seed}", scores, seed=seed, ndf=8 * (i + 1), **options)
    return f"{root}/*"


def test_the_page_has_the_answer_first_then_what_it_rests_on(tmp_path):
    found = gankit.compare(made_groups(tmp_path))
    text = found.save(tmp_path / "p.html").read_text()
    assert_alone(text)
    reader = Reader(text)
    titles = ["Answer", "Options that differ", "Scores", "Losses", "Health", "Samples", "Commands"]
    headings = re.findall(r"<h2>([^<]*)</h2>", text.split("<main>")[1])
    assert headings == titles
    assert "ndf=8 is better than ndf=16 by" in reader.text
    assert "Welch" in reader.text
    assert reader.tags.count("img") == 2  # the last grid of each group's first seed
    assert "ndf=16, seed 0, step 100" in reader.text
    for axis in ("step", "real images drawn", "time trained (s)"):
        assert f">{axis}</text>" in text
    assert text.count("fill-opacity") == 2 * (3 + 4)  # a band for each group in each panel: scores, losses
    assert "discriminator/loss" in reader.texts


def test_names_and_values_that_are_markup_are_shown_as_text(tmp_path):
    event = {"step": 20, "condition": HOSTILE, "of": "samples", "seen": HOSTILE}
    for i in range(2):
        for seed in range(2):
            root = made_run(
                tmp_path / f"{i}-{seed}", seed=seed, note=f"{i}{HOSTILE}", variant=HOSTILE, events=[event],
                data={"data": HOSTILE},
            )  # fmt: skip
            add_scores(root, [(50, 3.0 + i), (100, 2.0 + i)], metric=HOSTILE, protocol={"split": HOSTILE})
    text = gankit.compare(f"{tmp_path}/*").save(tmp_path / "p.html").read_text()
    assert_alone(text)
    assert Reader(text).text.count(HOSTILE) > 10


def test_a_band_reaches_from_the_lowest_seed_to_the_highest_as_far_as_all_finished_ones_go():
    x = np.array([1.0, 2, 3])
    curves = [(x, x, True), (x, 3 * x, True), (x[:2], 5 * x[:2], False), (x[:0], x[:0], True)]
    (line,) = bands.band(9, curves)
    assert line.x.tolist() == [1, 2, 3]
    assert line.y.tolist() == [3, 6, 6]  # at 3 the run that failed is gone
    assert line.low is not None
    assert line.high is not None
    assert (line.low.tolist(), line.high.tolist()) == ([1, 2, 3], [5, 10, 9])
    assert (line.run, line.style) == (1, 1)  # the tenth group: the second colour, dashed
    (short,) = bands.band(0, [(x, x, True), (x[:2], x[:2], True)])
    assert short.x.tolist() == [1, 2]
    (alone,) = bands.band(0, [(x, x, True)])
    assert alone.low is None
    assert bands.band(0, [(x, x * np.nan, True)]) == []


def test_one_group_one_run_without_scores_and_many_groups_have_a_page(tmp_path):
    for pattern in (made_groups(tmp_path / "one", 1, 1), made_groups(tmp_path / "many", 20, 2)):
        found = gankit.compare(pattern)
        text = found.save(tmp_path / "p.html").read_text()
        assert_alone(text)
        assert all(group.name in text for group in found.groups)
    made_run(tmp_path / "bare", steps=5, grid=False)
    text = gankit.compare(tmp_path / "bare").save(tmp_path / "p.html").read_text()
    assert "no run was judged" in text
    assert "There is one group" in text


def test_the_commands_of_a_page_make_the_same_configuration(tmp_path, tiny):
    run = gankit.train(
        "wgan-gp", out=tmp_path / "r", steps=2, seed=3, lr_g=1.5e-4, discriminator_norm="layer", flip=True, **tiny
    )
    words = shlex.split(commands.command(read(run.root, "r")))
    assert words[:3] == ["gankit", "train", "wgan-gp"]
    train = main.commands["train"].get_command(None, "wgan-gp")
    flags = train.make_context("x", words[3:]).params
    given = {name: value for name, value in flags.items() if value is not None and name not in ("quiet", "out")}
    assert configure("wgan-gp", given) == run.config
    assert "--data" not in words  # the default


def test_a_command_of_a_variant_that_is_not_installed_reads_the_runs_own_options(tmp_path):
    root = made_run(tmp_path / "a b", variant="gan-of-mine")
    assert commands.command(read(root, "r")) == f"gankit train gan-of-mine --config '{root}/config.json'"


def test_without_matplotlib_the_table_is_there_and_the_page_names_what_to_install(tmp_path, monkeypatch):
    pattern = made_groups(tmp_path)
    gone = ("gankit.report.curves", "gankit.report.tables", "gankit.report.page", "gankit.lab.comparison.page")
    for name in [name for name in sys.modules if name in gone]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = gankit.compare(pattern)
    assert "is better than" in str(found)
    assert "is better than" in found._repr_html_()
    with pytest.raises(GankitError, match=r"gankit\[report\]"):
        found.save(tmp_path / "p.html")
    importlib.invalidate_caches()


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_the_page_opens_in_a_browser_whole_and_no_wider_than_its_window(width, tmp_path):
    few, many = made_groups(tmp_path / "few"), made_groups(tmp_path / "many", 6, 2, note="x" * 80)
    it = browser.Browser(tmp_path / "profile", width)
    try:
        for pattern in (few, many):
            it.open(gankit.compare(pattern).save(tmp_path / "p.html"))
            assert it.run("return document.documentElement.scrollWidth <= window.innerWidth")
            assert "is better than" in it.run("return document.body.innerText") or pattern == many
            assert it.run("return document.querySelectorAll('figure.panel svg path').length") > 50
        assert [entry for entry in it.log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
        assert {address.partition(":")[0] for address in it.requests()} <= {"file", "data"}
    finally:
        it.close()
