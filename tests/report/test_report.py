"""The report: one page that needs nothing else, of any run folder whatever its names say."""

from __future__ import annotations

import base64
import importlib
import io
import json
import re
import sys
import time

import browser
import numpy as np
import pytest
from click.testing import CliRunner
from pages import HOSTILE, Reader, assert_alone
from PIL import Image

import gankit
from gankit import report
from gankit.cli import main
from gankit.report import curves, events, pictures, records
from gankit.report.markup import tag
from gankit.training.health import LOW_DIVERSITY, Event


def made(root, steps=300, name="t", grids=(100, 200, 300), channels=1, **options):
    """A run folder as training leaves it, without the training. ``name``: of a loss term."""
    (root / "samples").mkdir(parents=True)
    train = {"steps": steps, "batch_size": 16, "seed": 0, "device": "cpu", "threads": 1}
    config = {"variant": "dcgan", "data": {"data": "shapes"}, "train": train, "options": {"lr_g": 1e-3, **options}}
    config |= {"spec": {"size": 8, "channels": channels}, "machine": {"ops": "cpu"}}
    (root / "config.json").write_text(json.dumps(config))
    (root / "environment.json").write_text(json.dumps({"gankit": "0.1.0", "processor": "AMD EPYC"}))
    wave = np.sin(np.arange(steps + 1) / 9)
    with (root / "metrics.jsonl").open("w") as file:
        for step in range(1, steps + 1):
            row = {"step": step, "discriminator/real": 0.5 + 0.1 * wave[step], f"discriminator/{name}": 0.25}
            row |= {"discriminator/loss": 0.75 + 0.1 * wave[step], "discriminator/D(x)": 0.6}
            row |= {"discriminator/D(G(z))": 0.4, "discriminator/slope": 1.1, "discriminator/grad norm d": 3.0 + step}
            row |= {"discriminator/first layer grad norm d": 1.0, "generator/adversarial": 0.7, "generator/loss": 0.7}
            file.write(json.dumps(row) + "\n")
    lines = [{"step": s, "seconds per step": 0.5, "images per second": 32.0} for s in range(50, steps + 1, 50)]
    (root / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in grids:
        pixels = np.random.default_rng(step).integers(0, 255, (38, 38, 3) if channels == 3 else (38, 38), np.uint8)
        Image.fromarray(pixels).save(root / "samples" / f"{step:06d}.png")
    lines = [{"step": step, "diversity": 0.9, "images": 16} for step in grids]
    (root / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "health.jsonl").write_text("")
    return root


def add(root, file, *lines):
    with (root / file).open("a") as opened:
        opened.writelines(json.dumps(line) + "\n" for line in lines)


def written(*roots, output=None):
    return report.write(list(roots), output).read_text()


def test_a_report_shows_every_recorded_name_option_and_picture_of_a_run(finished, tmp_path):
    out = tmp_path / "report.html"
    text = written(finished, output=out)
    assert_alone(text)
    found = Reader(text)
    for name in gankit.Run(finished).metrics()[0]:
        phase, _, term = name.partition("/")
        assert term in ("", "adversarial") or term.split(" grad norm")[0].removeprefix("first layer") in found.text, (
            name
        )
        assert phase in found.text
    for section in ("data", "train", "options"):
        for name in gankit.Run(finished).recorded[section]:
            assert name in found.texts, name
    assert found.tags.count("img") == len(list((finished / "samples").glob("*.png")))
    for name in ("Health", "Samples", "Metrics", "Losses", "Gradient norms", "Options", "Time and machine"):
        assert found.texts.count(name) == 2, name  # in the contents and above its section


def test_names_and_values_that_are_markup_are_shown_as_text(tmp_path):
    root = made(tmp_path / "run", name=HOSTILE, note=HOSTILE, **{HOSTILE: 3})
    add(root, "health.jsonl", {"step": 120, "condition": HOSTILE, "of": f"discriminator/{HOSTILE}", "seen": HOSTILE})
    add(root, "evaluations.jsonl", {"step": 100, "metric": HOSTILE, "value": 3.5, "protocol": {HOSTILE: HOSTILE}})
    other = made(tmp_path / HOSTILE.replace("/", "_"))
    for roots in ((root,), (other, root)):
        text = written(*roots, output=tmp_path / "r.html")
        assert_alone(text)
        assert Reader(text).text.count(HOSTILE) >= 7


def test_a_name_with_half_a_surrogate_or_a_long_path_does_not_stop_the_report(tmp_path):
    root = made(tmp_path / "run", name="\ud800 \x00 $x_", note="a" * 5000)
    assert_alone(written(root))


def test_a_run_that_goes_on_is_reported_up_to_its_last_whole_line(tmp_path):
    root = made(tmp_path / "run", steps=40, grids=())
    for name in ("metrics.jsonl", "timing.jsonl", "samples.jsonl", "health.jsonl"):
        with (root / name).open("a") as file:
            file.write('{"step": 41, "discrim')
    text = Reader(written(root)).text
    assert "40 of 40" in text
    assert "None yet." in text
    assert "Not evaluated yet." in text


def test_a_run_without_its_first_record_is_reported(tmp_path):
    root = made(tmp_path / "run", steps=0, grids=())
    for name in ("metrics.jsonl", "timing.jsonl", "samples.jsonl", "health.jsonl", "environment.json"):
        (root / name).unlink()
    text = written(root)
    assert_alone(text)
    assert "Nothing is recorded yet." in text
    assert "its health was not watched" in text


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    root = made(tmp_path / "run", steps=10)
    (root / "metrics.jsonl").write_text(
        '{"step": 1, "a/loss": NaN, "a/b": "x", "c": null}\n{"step": "x", "a/loss": 1}\n{"step": 2, "a/loss": 1e400}\n'
        '{"step": 3, "a/loss": 1e300, "a/b": [1], "no phase": true}\n{"step": 4, "a/loss": -1e300, "": 4}\n[3]\n'
    )
    add(root, "evaluations.jsonl", {"metric": "fid"}, {"step": 3, "metric": "fid", "value": "low"}, {"step": None})
    assert_alone(written(root))
    assert list(records.read(root, "r").rows) == ["a/loss", ""]


def test_several_runs_share_their_axes_and_show_what_differs(tmp_path):
    one, two = made(tmp_path / "one", lr_d=1.5), made(tmp_path / "two", steps=150, grids=(), lr_d=2.5)
    text = written(one, two, output=tmp_path / "both.html")
    assert_alone(text)
    assert "2 runs side by side" in text
    (marked,) = set(re.findall(r'<tr class="differs"><th scope="row">(lr_d)</th><td>1.5</td><td>2.5</td>', text))
    assert marked == "lr_d"
    assert not re.findall(r'<tr class="differs"><th scope="row">lr_g', text)
    svg = text.split("discriminator/loss: sum of 2 terms</b>")[1].split("</svg>")[0]
    assert {f"var(--run{i})" in svg for i in (0, 1)} == {True}
    assert "var(--run2)" not in svg


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    roots = [made(tmp_path / parent / "run") for parent in "ab"]
    assert records.names(roots) == [str(root) for root in roots]
    assert records.names([roots[0]]) == ["run"]


def test_health_events_are_numbered_marked_in_their_panels_and_listed_with_their_ends(tmp_path):
    root = made(tmp_path / "run")
    start = Event(120, LOW_DIVERSITY, "samples", "0.1 of it").as_dict()
    end = Event(200, LOW_DIVERSITY, "samples", "0.9 of it", ended=True).as_dict()
    spikes = {"step": 250, "condition": "spikes", "of": "discriminator/loss", "seen": "5", "means": "m", "helps": "h"}
    add(root, "health.jsonl", start, end, spikes)
    first, second = events.named([records.read(root, "run")])
    assert (first.number, first.start, first.end, first.phase) == (1, 120, 200, "samples")
    assert (second.number, second.start, second.end, second.phase) == (2, 250, None, "discriminator")
    text = written(root)
    found = Reader(text).text
    assert "steps 120 to 200" in found
    assert "from step 250 on" in found
    assert LOW_DIVERSITY.helps in found
    panels = {part.split("</b>")[0]: part.split("</svg>")[0] for part in text.split("<figcaption><b>")[1:]}
    assert {title for title, svg in panels.items() if ">2</text>" in svg and "var(--mark)" in svg} >= {
        "discriminator/loss: sum of 2 terms", "discriminator/slope", "discriminator/grad norm d",
    }  # fmt: skip
    assert "var(--mark)" in panels["sample diversity"]
    assert "var(--mark)" not in panels["generator/loss: adversarial alone"]


def test_figures_of_different_protocols_are_never_drawn_in_one_panel(tmp_path):
    root = made(tmp_path / "run")
    for seed in (0, 1):
        for step in (100, 200, 300):
            line = {"step": step, "metric": "fid", "value": 90.0 - step / 10, "protocol": {"seed": seed, "real": 1000}}
            add(root, "evaluations.jsonl", line)
    text = written(root)
    assert text.count("<b>fid</b>") == 4  # two protocols, each against images drawn and against time
    assert "not comparable" in text
    assert "seed 0, real 1000" in text
    svg = text.split("<b>fid</b>")[1].split("</svg>")[0]
    assert "real images drawn" in svg
    record = records.read(root, "run")
    assert list(record.images.values) == [16.0 * step for step in range(50, 301, 50)]
    assert list(record.clock.values) == [0.5 * step for step in range(50, 301, 50)]


def test_thinning_keeps_every_peak_and_smoothing_the_mean():
    x, y = np.arange(100_000.0), np.zeros(100_000)
    y[54_321] = 7
    short, peaks = curves.envelope(x, y, 600)
    assert len(short) == len(peaks) <= 600
    assert (peaks.max(), peaks.min(), np.abs(short[peaks.argmax()] - 54_321) < 400) == (7, 0, True)
    assert curves.envelope(x[:9], y[:9], 600)[0] is not None
    middle, mean = curves.smoothed(x, 3 * x + 1, 300)
    np.testing.assert_allclose(mean[20:-20], 3 * middle[20:-20] + 1, rtol=1e-3)  # stretches of 333 and 334
    np.testing.assert_allclose(curves.smoothed(x, np.full(100_000, 5.0), 300)[1], 5)
    short = curves.smoothed(x[:7], x[:7], 300)
    np.testing.assert_allclose(short, [x[:7], x[:7]])


def test_a_panel_of_huge_tiny_or_constant_values_can_be_drawn():
    x = np.arange(1.0, 51)
    for y in (x * 1e300, x * 1e-300, x * 0, -x, x * 0 + 3, np.array([np.nan] * 50)[:0]):
        for log in (False, True):
            drawn = curves.draw(curves.Panel("t", [curves.Line(0, x[: len(y)], y)], log=log, level=1.0))
            assert drawn.startswith("<svg viewBox=")
            assert "nan" not in drawn


def test_numbers_on_axes_are_short():
    assert [curves.compact(value) for value in (0, 0.25, 1500, 12_000, 2.5e6, -3e9, 1e-5)] == [
        "0", "0.25", "1500", "12k", "2.5M", "-3G", "1e-05",
    ]  # fmt: skip


def test_a_large_grid_is_cut_between_its_images_and_a_damaged_one_named(tmp_path):
    tiles = np.zeros((8 * 66 - 2, 8 * 66 - 2, 3), np.uint8)
    tiles[::3] = 200
    Image.fromarray(tiles).save(tmp_path / "000100.png")
    data = base64.b64decode(pictures.picture(tmp_path / "000100.png", 64, 64).split(",")[1])
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (4 * 66 - 2, 4 * 66 - 2)
    root = made(tmp_path / "run", channels=3)
    (root / "samples" / "000200.png").write_bytes(b"torn")
    text = written(root)
    assert "000200.png cannot be read" in text
    assert text.count("<img") == 2


def test_of_many_grids_the_first_the_last_and_some_between_are_shown(tmp_path):
    grids = [(step, tmp_path) for step in range(500, 100_001, 500)]
    some = [step for step, _ in pictures.chosen(grids, 12)]
    assert (some[0], some[-1]) == (500, 100_000)
    assert 6 <= len(some) <= 12
    assert [step for step, _ in pictures.chosen(grids[:5], 12)] == [500, 1000, 1500, 2000, 2500]


def assert_small_and_quick(root, steps, megabytes, seconds):
    made(root, steps=steps, grids=range(500, 20_001, 500), channels=3)
    start = time.perf_counter()
    path = report.write([root])
    assert time.perf_counter() - start < seconds
    assert path.stat().st_size < megabytes * 1e6


def test_the_page_of_a_long_run_is_small_and_soon_made(tmp_path):
    assert_small_and_quick(tmp_path / "run", 10_000, 2, 60)


@pytest.mark.slow
def test_the_page_of_a_run_of_a_hundred_thousand_steps_is_small_and_soon_made(tmp_path):
    assert_small_and_quick(tmp_path / "run", 100_000, 2, 60)


def test_the_command_writes_beside_the_run_or_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    roots = [str(made(tmp_path / name, steps=20)) for name in ("one", "two")]

    def call(*args):
        return CliRunner().invoke(main, ["report", *args])

    assert call(roots[0]).stdout.strip() == f"{roots[0]}/report.html"
    assert call(*roots).stdout.strip() == "report.html"
    assert call(*roots, "-o", "new/both.html").stdout.strip() == "new/both.html"
    assert (tmp_path / "new" / "both.html").read_text().startswith("<!DOCTYPE html>")
    wrong = call(roots[0], "-o", "x.pdf")
    assert (wrong.exit_code, wrong.stderr) == (2, "Error: -o x.pdf: end it with .html\n")
    assert call("/nowhere").exit_code == 2
    assert "not a run folder" in call("/nowhere").stderr
    assert call().exit_code == 2


def test_without_matplotlib_the_error_names_what_to_install(finished, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gankit.report.")]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(f"gankit.report.{name.rpartition('.')[2]}")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = CliRunner().invoke(main, ["report", str(finished)])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: a report is drawn with matplotlib")
    assert "pip install 'gankit[report]'" in result.stderr
    importlib.invalidate_caches()


def test_tags_escape_text_and_attributes_and_leave_out_what_is_none():
    assert tag("a", "<b>", None, [tag("i", "&"), 3], href='"x" & y', class_=None) == (
        '<a href="&quot;x&quot; &amp; y">&lt;b&gt;<i>&amp;</i>3</a>'
    )
    assert tag("img", src="x") == '<img src="x">'


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_the_page_opens_in_a_browser_whole_and_asks_the_network_for_nothing(width, tmp_path):
    root = made(tmp_path / "run", name=HOSTILE, note=HOSTILE)
    add(root, "health.jsonl", {"step": 120, "condition": HOSTILE, "of": "samples", "seen": "x" * 300})
    add(root, "evaluations.jsonl", {"step": 100, "metric": HOSTILE, "value": 3.5, "protocol": {"seed": 1}})
    paths = [report.write([root]), report.write([root, made(tmp_path / "other")], tmp_path / "both.html")]
    it = browser.Browser(tmp_path / "profile", width)
    try:
        for path in paths:
            it.open(path)
            it.run("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
            pictures = "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
            widths = it.run(f"return {pictures}")
            assert len(widths) == 3 * (1 + (path != paths[0]))
            assert set(widths) == {38}
            assert it.run("return window.hacked") is None
            text = it.run("return document.body.innerText")
            for words in ("discriminator/loss: sum of 2 terms", "sample diversity", HOSTILE, "step 300"):
                assert words in text, words
            assert it.run("return document.querySelectorAll('figure.panel svg path').length") > 50
            assert it.run("return document.documentElement.scrollWidth <= window.innerWidth")
        assert [entry for entry in it.log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
        assert {address.partition(":")[0] for address in it.requests()} <= {"file", "data"}
        opened = {address for address in it.requests() if address.startswith("file:")}
        assert opened <= {path.resolve().as_uri() for path in paths}
    finally:
        it.close()
