"""Means, intervals and tests over seeds: against printed tables, closed forms, and how often they are right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gankit.lab.spread import (
    holm,
    interval,
    share_interval,
    spread,
    student_cdf,
    student_quantile,
    welch,
)


@pytest.mark.parametrize(
    ("p", "df", "printed"),
    [
        (0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.975, 4, 2.7764), (0.975, 8, 2.3060), (0.975, 30, 2.0423),
        (0.95, 5, 2.0150), (0.995, 3, 5.8409), (0.9995, 10, 4.5869), (0.975, 120, 1.9799),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_printed_tables(p, df, printed):
    assert student_quantile(p, df) == pytest.approx(printed, abs=5e-5)
    assert student_quantile(1 - p, df) == pytest.approx(-printed, abs=5e-5)


@pytest.mark.parametrize("t", [-1e6, -31.0, -1.3, -1e-3, 0.0, 0.4, 2.5, 700.0])
def test_with_one_and_two_degrees_of_freedom_the_distribution_has_its_closed_form(t):
    assert student_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-12)
    assert student_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-12)


def test_fractional_degrees_of_freedom_agree_with_the_integral_of_the_density():
    df, t = 5.7, 1.9
    x = np.linspace(0, t, 200_001)
    front = math.gamma((df + 1) / 2) / (math.gamma(df / 2) * math.sqrt(df * math.pi))
    density = front * (1 + x * x / df) ** (-(df + 1) / 2)
    inside = float(((density[1:] + density[:-1]) / 2 * np.diff(x)).sum())
    assert student_cdf(t, df) == pytest.approx(0.5 + inside, abs=1e-9)
    assert student_quantile(0.5 + inside, df) == pytest.approx(t, abs=1e-8)


@pytest.mark.parametrize("df", [0.3, 1, 2.5, 40, 1e6])
def test_quantile_and_distribution_undo_each_other_far_into_the_tails(df):
    for p in (1e-9, 1e-3, 0.2, 0.5, 0.9, 0.999):
        if df == 0.3 and p == 1e-9:
            continue  # some 1e29: a float holds it, but the share beside it is lost
        assert student_cdf(student_quantile(p, df), df) == pytest.approx(p, rel=1e-9)
    assert (student_cdf(-math.inf, df), student_cdf(math.inf, df)) == (0, 1)


def test_the_interval_of_a_mean_is_worked_out_by_hand():
    # mean 3, sd sqrt(2.5), five values: 3 -+ 2.7764 * sqrt(2.5 / 5)
    assert interval([1, 2, 3, 4, 5]) == pytest.approx((3 - 1.96324, 3 + 1.96324), abs=1e-4)
    found = spread([1, 2, 3, 4, 5])
    assert (found.n, found.mean, found.sd) == (5, 3, pytest.approx(math.sqrt(2.5)))
    assert (found.low, found.high) == interval([1, 2, 3, 4, 5])


def test_one_value_has_no_interval_and_values_without_spread_have_a_point():
    assert interval([7.0]) == (-math.inf, math.inf)
    assert math.isnan(spread([7.0]).sd)
    assert interval([0.1, 0.1, 0.1]) == (0.1, 0.1)  # their mean, rounded, is another number
    assert spread([0.1, 0.1, 0.1]).sd == 0


def test_the_interval_of_a_mean_covers_it_in_95_of_100_repetitions():
    rng = np.random.default_rng(1)
    trials = 4000
    covered = sum(low <= 10 <= high for low, high in (interval(rng.normal(10, 3, 3)) for _ in range(trials)))
    assert covered / trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf, 1.0]])
def test_figures_that_are_missing_or_not_finite_are_refused(values):
    for made in (interval, spread, lambda some: welch(some, [1.0, 2.0])):
        with pytest.raises(ValueError, match="not all of them finite"):
            made(values)


def test_the_exact_interval_of_a_share_solves_the_binomial_equations():
    low, high = share_interval(8, 10)
    assert (low, high) == pytest.approx((0.4439, 0.9748), abs=5e-5)  # printed in many textbooks
    assert sum(math.comb(10, k) * low**k * (1 - low) ** (10 - k) for k in range(8, 11)) == pytest.approx(0.025)
    assert sum(math.comb(10, k) * high**k * (1 - high) ** (10 - k) for k in range(9)) == pytest.approx(0.025)
    assert share_interval(0, 3) == (0, pytest.approx(1 - 0.025 ** (1 / 3)))
    assert share_interval(3, 3) == (pytest.approx(0.025 ** (1 / 3)), 1)
    for successes, n in ((4, 3), (-1, 3), (0, 0)):
        with pytest.raises(ValueError, match="no share"):
            share_interval(successes, n)


def test_two_groups_are_tested_as_worked_out_by_hand():
    # means 2 and 6, variances 1 and 4, three each: t = -4 / sqrt(5/3), df = (5/3)^2 / ((1/3)^2/2 + (4/3)^2/2)
    found = welch([1, 2, 3], [4, 6, 8])
    t, df = 4 / math.sqrt(5 / 3), (25 / 9) / (1 / 18 + 16 / 18)
    assert df == pytest.approx(2.941176)
    assert found.difference == -4
    assert found.p == pytest.approx(2 * student_cdf(-t, df))
    reach = student_quantile(0.975, df) * math.sqrt(5 / 3)
    assert (found.low, found.high) == pytest.approx((-4 - reach, -4 + reach))
    assert found.p > 0.05
    assert not found.called()
    assert found.called(0.1)
    other = welch([4, 6, 8], [1, 2, 3])
    assert (other.difference, other.low, other.high, other.p) == (4, -found.high, -found.low, found.p)


def test_a_difference_is_called_exactly_where_its_interval_leaves_out_0():
    rng = np.random.default_rng(2)
    for _ in range(300):
        found = welch(rng.normal(0, 1, rng.integers(2, 7)), rng.normal(1.5, 2, rng.integers(2, 7)))
        assert found.called() == (not found.low <= 0 <= found.high)


def test_with_one_seed_nothing_is_called_and_the_reason_is_said():
    found = welch([1.0], [9.0, 9.1, 9.2])
    assert (found.difference, found.low, found.high) == (pytest.approx(-8.1), -math.inf, math.inf)
    assert math.isnan(found.p)
    assert "one seed" in found.why
    assert not found.called(1.0)


def test_groups_without_any_spread_are_told_apart_by_the_number_of_seeds_alone():
    same = welch([5.0, 5.0], [5.0, 5.0, 5.0])
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    few = welch([0.0] * 3, [1.0] * 3)
    assert (few.p, few.called(), few.low, few.high) == (pytest.approx(2 / 20), False, -math.inf, math.inf)
    more = welch([0.0] * 4, [1.0] * 4)
    assert (more.p, more.called(), more.low, more.high) == (pytest.approx(2 / 70), True, -1, -1)
    one_sided = welch([0.0, 0.0, 0.0], [1.0, 1.1, 1.2])  # spread in one of them is enough
    assert one_sided.p == pytest.approx(2 * student_cdf(-1.1 / math.sqrt(0.01 / 3), 2))


def test_holm_raises_p_values_as_worked_out_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []
    found = holm([0.02, math.nan, 0.01])
    assert (found[0], found[2]) == pytest.approx((0.02, 0.02))
    assert math.isnan(found[1])


def rate_called(n, difference, spreads=(1.0, 1.0), trials=5000, seed=3):
    """How often welch calls a difference between two normal groups of ``n`` seeds, and the error of that."""
    rng = np.random.default_rng(seed)
    called = sum(
        welch(rng.normal(0, spreads[0], n), rng.normal(difference, spreads[1], n)).called() for _ in range(trials)
    )
    rate = called / trials
    return rate, 3 * math.sqrt(rate * (1 - rate) / trials)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_of_two_groups_that_do_not_differ_at_most_5_in_100_are_called_different(n):
    rate, error = rate_called(n, 0.0)
    assert 0.02 < rate < 0.05 + error


@pytest.mark.parametrize("n", [3, 5])
def test_spreads_that_differ_ten_times_leave_wrong_calls_at_about_5_in_100(n):
    rate, error = rate_called(n, 0.0, spreads=(1, 10))
    assert rate < 0.06 + error  # Student's test, which takes them for equal, makes 10 in 100 at three seeds


def test_two_standard_deviations_are_found_by_five_seeds_in_77_of_100_trials_and_by_six_in_87():
    # The most that an unbiased test of 5% can have at five is 79 (Student's, where the spreads are known to be equal).
    for n, power in ((5, 0.77), (6, 0.867)):
        rate, error = rate_called(n, 2.0)
        assert abs(rate - power) < error, n
