"""Verdicts on made-up figures, worked out by hand.

Student's t at 97.5 %: 12.7062 (1 degree of freedom), 4.3027 (2), 2.7764 (4), 2.3646 (7).
"""

from __future__ import annotations

import math

import pytest

from gankit.lab.studies.claims import FAILS, HOLDS, OPEN, judged, slope
from gankit.lab.studies.findings import chip, claims_table, interval_text, measured, rounded, spread_text
from gankit.lab.studies.recipe import Check, Claim

FIGURES = {
    "fid": {"a": [10.0, 11.0, 12.0], "b": [20.0, 22.0, 24.0], "c": [30.0, 33.0, 36.0], "one": [5.0]},
    "loss": {"a": [1.0, None, None], "b": [None, None, None], "c": [1.0, 1.0, 1.0], "d": [2.0, 2.0, 2.0]},
    "collapsed": {"a": [1.0, 1.0, 1.0, 1.0, 1.0], "b": [0.0, 0.0, 0.0, 0.0, 0.0], "c": [0.0, 1.0, 0.0, 1.0, 0.0]},
    "flat": {"a": [0.0, 0.0, 0.0], "b": [0.0, 0.0]},
    "late fid": {"a": [9.0, 10.0, 8.0], "b": [None, None, None]},
}


def finding(**check):
    """The one finding of a claim with one check."""
    (found,) = judged(Claim("it is so", [Check(**check)]), FIGURES).findings
    return found


def verdict(**check):
    return finding(**check).verdict


def test_a_mean_is_judged_by_students_interval():
    found = finding(figure="fid", of="a", most=14)  # mean 11, sd 1: 11 +- 4.3027 / sqrt(3) = 2.484
    assert (found.value, found.low, found.high) == pytest.approx((11, 8.516, 13.484), abs=1e-3)
    assert found.verdict == HOLDS
    assert verdict(figure="fid", of="a", most=13) == OPEN
    assert verdict(figure="fid", of="a", most=8.5) == FAILS
    assert verdict(figure="fid", of="a", least=8.5, most=13.5) == HOLDS
    assert verdict(figure="fid", of="a", least=13.5, most=20) == FAILS
    assert verdict(figure="fid", of="a", least=8.6) == OPEN


def test_a_difference_is_judged_by_welchs_interval():
    # b - a: 22 - 11, variances 4/3 and 1/3: error 1.29099, df = (5/3)^2 / ((4/3)^2/2 + (1/3)^2/2) = 50/17 = 2.941
    found = finding(figure="fid", of="b", minus="a", least=6)
    assert found.value == pytest.approx(11)
    assert found.high - found.value == pytest.approx(found.value - found.low)
    assert 3.1824 * 1.29099 < found.value - found.low < 4.3027 * 1.29099  # between 3 and 2 degrees of freedom
    assert found.verdict == HOLDS
    assert verdict(figure="fid", of="b", minus="a", least=11) == OPEN
    assert verdict(figure="fid", of="a", minus="b", least=0) == FAILS


def test_what_is_the_same_in_two_cells_is_not_more_in_one_of_them():
    assert verdict(figure="flat", of="a", minus="b", least=0) == FAILS
    assert verdict(figure="flat", of="a", minus="b", most=0) == FAILS
    assert verdict(figure="flat", of="a", minus="b", least=-1) == HOLDS
    assert verdict(figure="flat", of="a", most=0) == HOLDS  # no comparison: none of it is as good as claimed


def test_a_ratio_is_judged_on_logarithms():
    found = finding(figure="fid", of="c", over="b", least=1, most=2)  # c is 1.5 times b, each by each
    assert found.value == pytest.approx(1.5)
    assert found.high / found.value == pytest.approx(found.value / found.low)
    sd = math.sqrt(sum((math.log(v) - math.log(20 * 22 * 24) / 3) ** 2 for v in (20, 22, 24)) / 2)
    assert math.log(found.high / 1.5) == pytest.approx(2.7764 * sd * math.sqrt(2 / 3), abs=1e-4)  # 4 degrees: equal sds
    assert found.verdict == HOLDS
    assert verdict(figure="fid", of="c", over="b", least=3) == FAILS
    found = finding(figure="flat", of="a", over="b", least=1)
    assert (found.verdict, found.why) == (OPEN, "a ratio is taken of positive figures")


def test_a_share_is_judged_by_clopper_and_pearsons_interval():
    found = finding(figure="collapsed", of="a", share=True, least=0.4)  # 5 of 5: from .025^(1/5)
    assert (found.value, found.low, found.high) == pytest.approx((1, 0.025 ** (1 / 5), 1))
    assert found.verdict == HOLDS
    assert verdict(figure="collapsed", of="a", share=True, least=0.6) == OPEN
    assert verdict(figure="collapsed", of="b", share=True, least=0.6) == FAILS
    found = finding(figure="collapsed", of="a", minus="b", share=True, least=0.1)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1 - 2**0.5 * (1 - 0.025 ** (1 / 5)), 1))
    assert found.verdict == HOLDS
    assert verdict(figure="collapsed", of="b", minus="a", share=True, least=0.1) == FAILS
    assert verdict(figure="collapsed", of="c", minus="a", share=True, most=0) == OPEN
    found = finding(figure="fid", of="a", share=True, least=0.1)
    assert (found.verdict, found.why) == (OPEN, "a share is taken of figures that are 0 or 1")


def test_a_trend_along_cells_is_the_slope_over_their_mean():
    # 10 11 12 | 20 22 24 | 30 33 36: slope 66 / 6 = 11 over mean 22; residuals 1 0 1, 2 0 2, 3 0 3: squares sum to 28
    found = finding(figure="fid", along=["a", "b", "c"], least=0)
    reach = 2.3646 * math.sqrt(28 / 7 / 6) / 22
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5 - reach, 0.5 + reach), abs=1e-4)
    assert found.verdict == HOLDS
    assert verdict(figure="fid", along=["c", "b", "a"], least=0) == FAILS
    assert verdict(figure="fid", along=["a", "b", "c"], least=0.5) == OPEN
    assert finding(figure="flat", along=["a", "b"], least=0).why == "the figures' mean is 0"
    assert slope([[1.0], [2.0], [3.0]])[1:] == (-math.inf, math.inf)


def test_two_figures_of_the_same_runs_are_compared_run_by_run():
    found = finding(figure="fid", of="a", minus_figure="late fid", least=0)  # 1, 1, 4: mean 2, sd 3^0.5
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 - 4.3027, 2 + 4.3027), abs=1e-3)
    assert (found.verdict, found.quantity) == (OPEN, "fid less late fid, of a")
    found = finding(figure="fid", of="a", over_figure="late fid", most=10)
    assert found.value == pytest.approx((10 / 9 + 11 / 10 + 12 / 8) / 3)
    assert found.verdict == HOLDS
    assert finding(figure="fid", of="b", minus_figure="late fid", least=0).why == (
        "no run of b at this scale has a figure 'late fid'"
    )
    assert finding(figure="loss", of="a", over_figure="flat", least=0).verdict == OPEN


def test_one_seed_gives_a_figure_and_no_verdict():
    found = finding(figure="fid", of="one", most=100)
    assert (found.value, found.verdict, found.why) == (5, OPEN, "one seed has no spread")
    assert interval_text(found) == "5"
    found = finding(figure="fid", of="one", over="a", most=100)
    assert (found.verdict, found.why) == (OPEN, "one has one seed")
    assert interval_text(found) == rounded(5 / math.exp(math.log(10 * 11 * 12) / 3))


def test_figures_that_runs_lack_are_told_of():
    found = finding(figure="loss", of="a", most=100)
    assert (found.verdict, found.why) == (OPEN, "only 1 of 3 runs of a has it")
    found = finding(figure="loss", of="b", most=100)
    assert (found.verdict, found.why, interval_text(found)) == (OPEN, "no run of b at this scale has it", "no figure")
    assert finding(figure="loss", of="a", minus="gone", most=100).why == "no run of gone at this scale has it"
    assert finding(figure="no such", of="a", most=100).why == "no run of a at this scale has it"


def test_two_groups_without_spread_need_more_seeds_to_be_called_different():
    found = finding(figure="loss", of="d", minus="c", least=0.5)
    assert (found.value, found.verdict, found.why) == (1, OPEN, "too few seeds for figures without spread")
    assert verdict(figure="loss", of="d", least=1.5) == HOLDS


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((0, 0), HOLDS), ((0, 10.5), OPEN), ((0, 100), FAILS), ((10.5, 100), FAILS), ((100, 0), FAILS)],
)
def test_a_claim_holds_where_all_its_checks_do_and_not_where_one_does_not(limits, expected):
    checks = [Check("fid", of="a", least=limits[0]), Check("fid", of="a", least=limits[1])]
    assert judged(Claim("it is so", checks), FIGURES).verdict == expected


def test_findings_read_with_as_many_digits_as_their_spread_allows():
    assert spread_text([102.7131, 102.7868, 102.7499]) == "102.750 ± 0.037"
    assert spread_text([12345.0, 12445.0]) == "12395 ± 71"
    assert spread_text([1e-9, 3e-9]) == "2e-09 ± 1.414e-09"
    assert spread_text([1.5, None, 2.5]) == "2.00 ± 0.71 (2 of 3 seeds)"
    assert spread_text([None]) == "no figure"
    assert measured(finding(figure="fid", of="b", minus="a", least=6)).startswith("fid, b less a: 11.0 [6.")
    assert "claimed at least 6 (b 22.0 ± 2.0; a 11.0 ± 1.0)" in measured(
        finding(figure="fid", of="b", minus="a", least=6)
    )


def test_the_table_of_claims_can_be_read_without_colour_and_escapes_what_it_is_told():
    claim = Claim("<b>a</b> is so", [Check("fid", of="a", most=14), Check("fid", of="b", most=14)], published='"9" & x')
    table = claims_table([judged(claim, FIGURES)])
    assert "<b>a</b>" not in table
    assert "&lt;b&gt;a&lt;/b&gt; is so" in table
    assert "&quot;9&quot; &amp; x" in table
    assert chip(FAILS) in table
    assert "✗ does not hold" in table
    assert "✓ <b>11.0 [8.5, 13.5]</b>" in table
    assert {chip(each)[-len(each) - 9 :][0] for each in (HOLDS, FAILS, OPEN)} == {"✓", "✗", "?"}
