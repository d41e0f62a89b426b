"""Measures by name: what they are told, what they refuse."""

from __future__ import annotations

import math

import pytest
from made_up import made_up_run, steps

from gankit import UsageError
from gankit.lab.measures import MEASURES, REQUIRED, Measure, check, take


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("scoer", {}, "unknown measure 'scoer': did you mean 'score'?"),
        ("term", {"term": "x", "strat": 0.5}, "measure 'term' has no parameter 'strat': did you mean 'start'?"),
        ("term", {}, "measure 'term' needs 'term'"),
        ("term", {"term": 3}, "measure 'term': term takes text, not 3"),
        ("term", {"term": "x", "start": "half"}, "start takes a number, not 'half'"),
        ("term", {"term": "x", "start": 1.5}, "start = 1.5 is out of range: it takes a number, from 0 to 1"),
        ("term", {"term": "x", "first": 0}, "first = 0 is out of range: it takes a number, 1 or more"),
        ("term", {"term": "x", "first": True}, "first takes a whole number, not True"),
        ("term", {"term": "x", "take": "men"}, "take = 'men': did you mean 'mean'?"),
        ("term", {"term": "x", "start": 0.5, "end": 0.5}, "leave nothing of a run between them"),
        ("term", {"term": "x", "start": 0.5, "first": 3}, "by one"),
        ("term", {"term": "x", "last": 5, "after": 3}, "by one"),
        ("score", {"share": float("nan")}, "takes a number, not nan"),
        ("share of terms", {"terms": "a/b"}, "takes a list of text, not 'a/b'"),
        ("trend", {"term": "x", "relative": 1}, "relative takes true or false, not 1"),
        ("density score", {"kind": "vea"}, "kind = 'vea': did you mean 'vae'?"),
        ("smoothness", {"mode": "liner"}, "mode = 'liner': did you mean 'linear'?"),
        ("events", {"condition": "low diversity"}, "low diversity is unknown: did you mean 'low sample diversity'?"),
        ("judged", {"metric": "swdd"}, "metric = swdd is unknown: did you mean 'swd'?"),
        ("judged", {"metric": "fid,kid"}, "fid,kid is unknown"),
        ("judged", {"metric": "fid", "images": 1}, "images = 1 is out of range"),
    ],
)
def test_a_wrong_measure_or_parameter_is_one_clear_line_before_there_is_a_run(name, parameters, said):
    with pytest.raises(UsageError) as caught:
        check(name, parameters)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_right_one_is_let_pass_with_whole_numbers_for_numbers():
    check("term", {"term": "discriminator/loss", "start": 0, "take": "sd"})
    check("images to score", {"reach": 50})
    check("score", {"metric": None, "images": None})


def test_the_parameters_of_a_measure_are_told_with_their_defaults():
    assert dict(MEASURES["trend"].parameters) == {
        "term": REQUIRED, "start": 0.0, "end": 1.0, "first": None, "last": None, "after": None, "relative": True,
    }  # fmt: skip


def test_taking_a_figure_checks_its_parameters_as_well(tmp_path):
    run = made_up_run(tmp_path / "run", steps(discriminator__loss=[1.0]))
    with pytest.raises(UsageError, match="has no parameter 'terms'"):
        take(run, "term", terms="discriminator/loss")


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_says_in_a_line_what_it_is(name):
    summary = MEASURES[name].summary
    assert 20 < len(summary) < 330
    assert "\n" not in summary


def test_a_figure_that_is_no_finite_number_is_none(tmp_path):
    run = made_up_run(tmp_path / "run")
    assert Measure("endless", lambda run: math.inf)(run) is None
    assert Measure("several", lambda run: {"a": math.nan, "b": 2})(run) == {"a": None, "b": 2.0}
