"""The page of a study: claims first, nothing loaded, names shown as text, and it fits a phone."""

from __future__ import annotations

import json
import re

import browser
import numpy as np
import pytest
from here import Here
from pages import HOSTILE, Reader, assert_alone
from recipes import CLAIMS, FIGURES, PANELS, PICTURES, recipe_file

import gankit

SECTIONS = ["Claims", "Curves", "Pictures", "Figures", "Options", "Runs", "Commands"]
SCORES = """
[[panels]]
title = "swd against images"
metric = "swd"
over = "images"

[[panels]]
title = "swd against time"
metric = "swd"
over = "seconds"

[[panels]]
title = "gradients of G"
term = "generator/grad norm *"
log = true
"""


def studied(folder, name="out", **parts):
    """A small study of recipe ``parts``, its runs judged twice."""
    scales = parts.pop("scales", "[scales.half]\nseeds = 2\nsays = 'Half as long.'\ntimes = { steps = 0.5 }\n")
    scales += "set = { evaluate_every = 1, evaluate_images = 20, metric = 'swd' }\n"
    recipe = recipe_file(folder, scales=scales, **parts)
    return gankit.study(recipe, scale="half", out=folder / name, threads=1, quiet=True, executor=Here())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    figures = FIGURES + '\n[[figures]]\nname = "share"\nmeasure = "share of terms"\nof = ["dcgan*"]\n'
    figures += 'terms = ["discriminator/real", "discriminator/fake"]\nsays = "which half rules"\nbetter = "lower"\n'
    return studied(tmp_path_factory.mktemp("study"), panels=PANELS + SCORES, figures=figures)


def parts_of(text):
    """The sections of a page's body, by their headings."""
    body = text.split("<main>")[1].split("</main>")[0]
    return dict(re.findall(r"<h2>([^<]*)</h2>(.*?)(?=<section id=|$)", body, re.DOTALL))


def test_the_page_begins_with_the_question_its_source_and_scale_and_has_the_claims_first(study):
    text = study.page.read_text()
    assert_alone(text)
    head = text.split("<nav")[0].split("<body>")[1]
    for words in ("Does a wider discriminator", "Source: a test", "At scale half: ", "Half as long.", "6 of 6 done"):
        assert words in head, words
    assert list(parts_of(text)) == SECTIONS
    claims = parts_of(text)["Claims"]
    for words in ("below zero", "0.69", "✓ holds", "claimed: at least 0", "95 % interval"):
        assert words in claims, words


def test_every_panel_has_a_line_and_a_band_of_each_cell(study):
    curves = parts_of(study.page.read_text())["Curves"]
    panels = curves.split("<figure")[1:]
    assert len(panels) == 4
    for panel in panels:
        assert panel.count('class="key"') == 3
        assert panel.count("fill-opacity") == 3
        assert {f"var(--run{i})" in panel for i in range(3)} == {True}
    assert "real images drawn" in panels[1]
    assert "time trained (s)" in panels[2]


def test_pictures_stand_side_by_side_and_figures_have_mean_and_spread(study):
    found = parts_of(study.page.read_text())
    assert found["Pictures"].count("data:image/png;base64,") == 3
    assert [f"{name}, seed 0" in found["Pictures"] for name in study.plan.names] == [True] * 3
    values = study.figures["late D loss"]["wgan-gp"]
    assert f"{np.mean(values):.2f}"[:3] in found["Figures"]
    assert found["Figures"].count("±") == 3 + 3 + 2 * 2
    assert "depends on the clock" in found["Figures"]
    assert "which half rules" in found["Figures"]


def test_options_are_shown_as_published_and_as_they_are_here(study):
    found = re.sub(r"<[^>]*>", " ", parts_of(study.page.read_text())["Options"])
    assert re.search(r"ndf\s+2\s+4\s+2", found)
    assert re.search(r"variant\s+dcgan\s+dcgan\s+wgan-gp", found)
    assert "2 (published: 4)" in found  # the steps
    assert "20 (published: 10000)" in found  # a default that the scale changed
    commands = parts_of(study.page.read_text())["Commands"]
    assert commands.count("gankit train") == 6
    assert "gankit study" in commands


def test_one_seed_draws_lines_without_bands(tmp_path):
    text = studied(tmp_path, scales="[scales.half]\nseeds = 1\n").page.read_text()
    assert "fill-opacity" not in parts_of(text)["Curves"]
    assert "one seed has no spread" in parts_of(text)["Claims"]


def test_a_cell_that_is_left_out_and_a_figure_that_is_lacking_are_told_of(tmp_path):
    pictures = PICTURES + '\n[[pictures]]\ntitle = "By class"\nkind = "classes"\n'
    scales = '[scales.half]\nseeds = 1\ndrop = ["dcgan ndf=2"]\n'
    claims = CLAIMS + '\n[[claims]]\nsays = "x"\nchecks = [{ figure = "late D loss", of = "wgan-gp", least = 0 }]\n'
    found = parts_of(studied(tmp_path, pictures=pictures, scales=scales, claims=claims).page.read_text())
    assert "no run of dcgan ndf=2 at this scale has it" in found["Claims"]
    assert "was not told the classes" in found["Pictures"]
    assert "What some runs lack (2)" in found["Figures"]


def quoted(text):
    """``text`` as TOML has it."""
    return json.dumps(text)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A study whose every name and sentence is markup."""
    name = quoted(HOSTILE)
    return studied(
        tmp_path_factory.mktemp("hostile"),
        head=f"question = {name}\nsource = {name}\n",
        runs=f'[[runs]]\nname = {name}\nvariant = "dcgan"\n',
        figures=f'[[figures]]\nname = {name}\nmeasure = "term"\nterm = "generator/loss"\nsays = {name}\n'
        f'[[figures]]\nname = "none"\nmeasure = "term"\nterm = {name}\n',
        pictures=f"[[pictures]]\ntitle = {name}\nsays = {name}\n",
        panels=f'[[panels]]\ntitle = {name}\nterm = "generator/loss"\nsays = {name}\n',
        claims=f"[[claims]]\nsays = {name}\npublished = {name}\nnote = {name}\n"
        f"checks = [{{ figure = {name}, of = {name}, least = 0 }}]\n",
        scales=f"[scales.half]\nseeds = 2\nsays = {name}\n",
    )


def test_names_and_sentences_that_are_markup_are_shown_as_text(hostile):
    text = hostile.page.read_text()
    assert_alone(text)
    assert Reader(text).text.count(HOSTILE) >= 15
    assert "<script" not in str(hostile._repr_html_())
    assert HOSTILE in Reader(hostile._repr_html_()).text


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_the_page_opens_in_a_browser_whole_and_asks_the_network_for_nothing(width, study, hostile, tmp_path):
    it = browser.Browser(tmp_path / "profile", width)
    try:
        for each, pictures in ((study, 3), (hostile, 1)):
            it.open(each.page)
            it.run("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
            it.run("document.querySelectorAll('details').forEach(each => each.open = true)")
            widths = it.run("return Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))")
            assert len(widths) == pictures
            assert min(widths) > 20
            assert it.run("return window.hacked") is None
            assert it.run("return document.documentElement.scrollWidth <= window.innerWidth")
            assert it.run("return document.querySelectorAll('figure.panel svg path').length") > 5
            top = "return document.querySelector('#claims').getBoundingClientRect().top + window.scrollY"
            assert it.run(top) < it.run(top.replace("#claims", "#curves"))
        assert [entry for entry in it.log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
        assert {address.partition(":")[0] for address in it.requests()} <= {"file", "data"}
    finally:
        it.close()
