"""Measures of recorded terms, at numbers worked out by hand."""

from __future__ import annotations

import pytest
from made_up import made_up_run, steps, timed

from gankit import UsageError
from gankit.lab.measures import take


@pytest.fixture
def ramp(tmp_path):
    """D's loss goes from 1 to 12 in twelve steps, G's is 10 in all."""
    rows = steps(discriminator__loss=[float(i) for i in range(1, 13)], generator__loss=[10.0] * 12)
    return made_up_run(tmp_path / "run", rows)


@pytest.mark.parametrize(
    ("parameters", "value"),
    [
        ({}, 6.5),
        ({"start": 0.5}, 9.5),
        ({"end": 0.25}, 2.0),
        ({"start": 0.25, "end": 0.5}, 5.0),
        ({"first": 3}, 2.0),
        ({"last": 2}, 11.5),
        ({"after": 10, "take": "min"}, 11.0),
        ({"take": "max"}, 12.0),
        ({"take": "first"}, 1.0),
        ({"take": "last"}, 12.0),
        ({"take": "median", "first": 4}, 2.5),
        ({"take": "sd", "first": 3}, 1.0),
        ({"take": "sd", "first": 1}, None),
        ({"after": 100}, None),
    ],
)
def test_a_term_is_taken_over_the_part_of_the_run_that_was_asked_for(ramp, parameters, value):
    assert take(ramp, "term", term="discriminator/loss", **parameters) == value


def test_terms_can_be_added_subtracted_matched_and_named_by_several_names(ramp, tmp_path):
    assert take(ramp, "term", term="critic/loss or discriminator/loss") == 6.5
    assert take(ramp, "term", term="discriminator/loss + generator/loss", take="last") == 22
    assert take(ramp, "term", term="generator/loss - discriminator/loss", take="last") == -2
    assert take(ramp, "term", term="*/loss", take="first") == 11
    assert take(ramp, "ratio of terms", term="discriminator/loss", other="generator/loss") == 0.65
    with pytest.raises(UsageError, match=r"recorded no term 'discriminator/los'.*did you mean 'discriminator/loss'"):
        take(ramp, "term", term="discriminator/los")


def test_a_sum_of_terms_is_taken_over_the_steps_that_have_all_of_them(tmp_path):
    rows = [
        {"step": 1, "critic/loss": 1.0},
        {"step": 2, "critic/loss": 2.0, "generator/loss": 5.0},
        {"step": 3, "critic/loss": 4.0},
        {"step": 4, "critic/loss": 8.0, "generator/loss": 7.0},
    ]
    assert take(made_up_run(tmp_path / "run", rows), "term", term="critic/loss + generator/loss") == (7 + 15) / 2


def test_a_run_that_ended_before_anything_was_recorded_has_no_figures_and_no_error(tmp_path):
    run = made_up_run(tmp_path / "run")
    for name in ("term", "unsteadiness", "trend", "spikes"):
        assert take(run, name, term="discriminator/loss") is None
    assert take(run, "epochs until", term="discriminator/loss", above=1) is None
    assert take(run, "largest of terms", terms=["a/x", "a/y"]) == {"a/x": None, "a/y": None}


def test_a_loss_that_falls_evenly_is_steady_and_one_that_jumps_is_not(tmp_path):
    even = [20.0 - i for i in range(12)]
    shaken = [value + (1.0 if i % 2 else -1.0) for i, value in enumerate(even)]
    run = made_up_run(tmp_path / "run", steps(discriminator__even=even, discriminator__shaken=shaken))
    assert take(run, "unsteadiness", term="discriminator/even") == pytest.approx(0, abs=1e-12)
    # Windows of 3: the mean of -1, 1, -1 is -1/3, so a value is 4/3 from its window's mean.
    found = take(run, "unsteadiness", term="discriminator/shaken", window=3, relative="none")
    assert found == pytest.approx(4 / 3)
    relative = take(run, "unsteadiness", term="discriminator/shaken", window=3)
    assert relative == pytest.approx(4 / 3 / 14.5)  # the values are 14.5 on average


def test_unsteadiness_does_not_depend_on_the_scale_of_a_loss(tmp_path):
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    run = made_up_run(tmp_path / "run", steps(critic__loss=values, critic__large=[-50 * x for x in values]))
    small, large = (take(run, "unsteadiness", term=f"critic/{name}") for name in ("loss", "large"))
    assert small == pytest.approx(large)
    assert small > 0.3


def test_the_trend_is_the_last_third_against_the_first(ramp):
    assert take(ramp, "trend", term="discriminator/loss") == pytest.approx((10.5 - 2.5) / 2.5)
    assert take(ramp, "trend", term="discriminator/loss", relative=False) == 8
    assert take(ramp, "trend", term="generator/loss") == 0
    assert take(ramp, "trend", term="discriminator/loss", first=2) is None


def test_a_negative_loss_that_rises_towards_0_has_a_positive_trend(tmp_path):
    run = made_up_run(tmp_path / "run", steps(critic__loss=[-4.0, -3.0, -2.0]))
    assert take(run, "trend", term="critic/loss") == 0.5


def test_spikes_are_counted_where_they_are(tmp_path):
    values = [1.0 + 0.01 * (i % 5) for i in range(250)]
    for at in (30, 120, 180, 240):
        values[at] = 9.0
    run = made_up_run(tmp_path / "run", steps(discriminator__loss=values))
    assert take(run, "spikes", term="discriminator/loss", take="count") == 4
    assert take(run, "spikes", term="discriminator/loss", after=100, take="count") == 3
    assert take(run, "spikes", term="discriminator/loss", first=100) == 0.01
    assert take(run, "spikes", term="discriminator/loss", first=20) == 0


def test_spikes_are_those_that_the_health_of_a_run_speaks_of(tmp_path):
    level = [1.0, 1.1] * 50
    level[10] = 1.9  # within 8 interquartile ranges of the median
    run = made_up_run(tmp_path / "run", steps(discriminator__loss=level))
    assert take(run, "spikes", term="discriminator/loss") == 0


def test_the_shares_of_terms_and_how_long_each_is_the_largest(tmp_path):
    rows = steps(
        generator__cycle_a=[3.0] * 6, generator__cycle_b=[1.0] * 6, generator__adversarial=[-1.0] * 4 + [-13.0] * 2
    )
    run = made_up_run(tmp_path / "run", rows)
    names = ["generator/cycle_*", "generator/adversarial"]
    assert take(run, "share of terms", terms=names) == pytest.approx({names[0]: 4 / 9, names[1]: 5 / 9})
    assert take(run, "share of terms", terms=names, first=4) == {names[0]: 0.8, names[1]: 0.2}
    assert take(run, "largest of terms", terms=names, window=2) == {names[0]: 2 / 3, names[1]: 1 / 3}
    assert take(run, "largest of terms", terms=names) == {names[0]: 0.0, names[1]: 1.0}  # one window, of all steps
    with pytest.raises(UsageError, match="name two"):
        take(run, "share of terms", terms=[names[0], names[0]])


def test_the_epoch_in_which_a_term_passes_a_limit(tmp_path):
    values = [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    timing = [timed(2, 0.5, 20), timed(6, 0.25, 20)]  # 20 images a step of a data set of 100
    run = made_up_run(tmp_path / "run", steps(discriminator__gap=values), files={"timing": timing})
    # The mean of two values is above 0.9 at step 4, when 80 images were drawn.
    assert take(run, "epochs until", term="discriminator/gap", above=0.9, window=2) == pytest.approx(0.8)
    assert take(run, "epochs until", term="discriminator/gap", below=-1.0) is None
    assert take(run, "epochs until", term="discriminator/gap", above=0.5) == pytest.approx(1.2)
    with pytest.raises(UsageError, match="above = LIMIT or below = LIMIT"):
        take(run, "epochs until", term="discriminator/gap")
