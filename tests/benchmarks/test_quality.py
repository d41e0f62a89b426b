"""What time_to_quality.py and defaults.py write is what was trained and judged."""

from __future__ import annotations

from types import SimpleNamespace

import defaults
import pytest
import time_to_quality as quality

from gankit import UsageError
from gankit.registry import registry


def row(seed, seconds, value, **more):
    return {"data": "shapes", "competitor": "dcgan", "seed": str(seed), "at": str(seconds), "seconds": str(seconds),
            "steps": "1", "images": "1", "metric": "fid", "value": str(value), "better": "lower", **more}  # fmt: skip


def test_the_clock_counts_steps_alone_and_stops_at_each_time(monkeypatch):
    now = iter(range(0, 1000, 2))  # each reading 2 s after the one before: a step takes 2, judging the rest
    monkeypatch.setattr(quality.time, "perf_counter", lambda: float(next(now)))
    assert list(quality.clocked(lambda: None, (3, 4, 9))) == [(4.0, 2), (4.0, 2), (10.0, 5)]


def test_seconds_to_a_score_are_a_median_over_seeds_that_counts_those_who_never_get_there():
    rows = [row(0, 10, 40), row(0, 20, 20), row(1, 10, 50), row(1, 20, 30)]
    assert quality.reached(rows, 30) == pytest.approx((15 + 20) / 2)
    assert quality.reached(rows, 20) is None  # one of two
    assert quality.reached([*rows, row(2, 10, 5)], 20) == 20


def test_the_document_has_a_line_for_each_competitor_with_its_last_score():
    text = quality.document([row(0, 10, 40), row(0, 20, 15)])
    assert "| dcgan | 10 | 18 | never | 15 (20 s) | 1 |" in text


def test_a_competitor_that_this_version_lacks_says_why_and_others_can_be_trained():
    known = set(registry().names("variants"))
    for name, competitor in quality.COMPETITORS.items():
        why = [quality.lacking(data, name) for data in competitor.data]
        assert (
            all("unknown" in one for one in why) if competitor.variant not in known else why.count("") in (0, len(why))
        )
    assert quality.lacking("shapes", "dcgan") == ""


@pytest.mark.parametrize("name", ["dcgan", "dcgan, textbook"])
def test_a_run_is_judged_by_what_its_steps_made_of_the_model(name, tmp_path):
    from gankit.config import configure

    flags = {"data": "shapes", "size": 8, "channels": 1, "limit": 40, "ngf": 2, "ndf": 2, "nz": 4, "batch_size": 8,
             "threads": 1, "steps": 10}  # fmt: skip
    config = configure("dcgan", flags)
    images = quality.load_images(config)
    step, model, per_step = quality.stepper(config, quality.COMPETITORS[name].loop, images)
    judge = quality.Judge(["swd"], images, config.data)
    before = quality.values(judge, model(), images, config, 20)[0].value
    for _ in range(3):
        step()
    assert per_step == 8
    assert quality.values(judge, model(), images, config, 20)[0].value != before


def test_the_grid_of_an_axis_holds_the_papers_values():
    for variant, sweeps in defaults.SWEEPS.items():
        for axis in sweeps.axes:
            assert all(sweeps.paper[name] in values for name, values in defaults.grid_of(sweeps, axis).items()), variant
            flags = defaults.flags_of(sweeps, axis, "shapes", 100)
            if variant in registry().names("variants"):
                assert defaults.lacking(variant, flags, defaults.grid_of(sweeps, axis)) == ""
    assert "unknown variant" in defaults.lacking("no such", {}, {})


def test_presets_are_compared_by_the_options_that_they_set():
    sweeps = defaults.SWEEPS["csngan"]
    flags = defaults.flags_of(sweeps, "preset", "shapes", 100)
    assert not {"lr_g", "lr_d", "batch_size", "steps"} & set(flags)
    known = defaults.papers("csngan", sweeps, defaults.grid_of(sweeps, "preset"))
    assert known == {"batch_size": 64, "lr_g": 2e-4, "lr_d": 2e-4}
    assert defaults.papers("csngan", sweeps, defaults.grid_of(sweeps, "rates")) == {"lr_g": 2e-4, "lr_d": 2e-4}


def test_a_cell_is_better_than_the_papers_only_where_that_is_called_whichever_is_named_first():
    def cell(name, lr, mean):
        return {"metric": "fid", "better": "lower", "at": "end", "rank": 1, "group": name, "n": 3, "of": 3,
                "mean": mean, "low": mean, "high": mean, "option lr_g": lr}  # fmt: skip

    def pair(a, b, difference, called):
        return {"at": "end", "a": a, "b": b, "difference": difference, "p corrected": 0.01, "called": called, "why": ""}

    table = [cell("a", 1, 10.0), cell("b", 2, 5.0), cell("c", 3, 20.0), cell("d", 4, 9.0)]
    differences = [pair("a", "b", 5.0, True), pair("c", "a", 10.0, True), pair("a", "d", 1.0, False)]
    rows = defaults.rows_of(SimpleNamespace(table=table, differences=differences), {"lr_g": 1})
    assert [each["verdict"] for each in rows] == ["paper", "better", "worse", "cannot tell"]
    assert [each["less_paper"] for each in rows] == ["", -5.0, 10.0, -1.0]
    with pytest.raises(UsageError, match="0 cells"):
        defaults.rows_of(SimpleNamespace(table=table, differences=differences), {"lr_g": 9})
