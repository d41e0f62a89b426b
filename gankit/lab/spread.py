"""What a few seeds allow one to say: means with their intervals, and whether two groups differ.

Assumed throughout: the seeds of a group are independent of one another and of those of other groups, and its figures
are about normal (Clopper and Pearson's interval assumes independence alone). The spreads of two groups may differ, and
often do: a run that shakes has more of it. None of this holds for figures of the same run at several steps.

Of two groups of five seeds that do not differ Welch's test calls 4.4 in 100 different, and 77 in 100 that lie two
standard deviations apart (six seeds: 87). Student's, which takes the spreads for equal, finds 79, the most of any
unbiased test at 5 in 100, but is wrong 10 times in 100 where they are not (three seeds, spreads 1 and 10; Welch's: 6).
A permutation test finds 77 at five seeds and can call nothing at three, whose least p is 2/20.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Of intervals; a difference is called one where its p-value is at most 1 - LEVEL."""
ALPHA = 0.05
ROUNDING = 1e-13
"""Figures that differ by this share of them differ by how they were added up."""


@dataclass(frozen=True)
class Spread:
    """``n`` figures: their mean, standard deviation (of the sample, over n - 1; NaN of one), and the interval of the
    mean.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Mean of a group less that of another, the interval of that, and the probability ``p`` of means at least so far
    apart where the groups do not differ; NaN where it cannot be said, and ``why``.
    """

    difference: float
    low: float
    high: float
    p: float
    why: str = ""

    def called(self, alpha: float = ALPHA) -> bool:
        """Whether it is a difference at level ``alpha``: never where ``p`` is NaN."""
        return self.p <= alpha


def spread(values: Sequence[float], level: float = LEVEL) -> Spread:
    """Mean, standard deviation and interval of ``values`` [n]. ValueError where there are none or one is not finite."""
    mean, variance = _moments(values)
    low, high = interval(values, level)
    return Spread(len(values), mean, math.sqrt(variance), low, high)


def interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Student's interval of the mean of ``values`` [n]: it covers the true mean in ``level`` of all repetitions.

    Of one value it reaches from minus to plus infinity; of values without spread it is the point. ValueError where
    there are none or one is not finite. Student 1908.
    """
    mean, variance = _moments(values)
    if len(values) == 1:
        return -math.inf, math.inf
    reach = student_quantile((1 + level) / 2, len(values) - 1) * math.sqrt(variance / len(values)) if variance else 0.0
    return mean - reach, mean + reach


def share_interval(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a probability that came true ``successes`` of ``n`` times: it covers it in at least
    ``level`` of all repetitions. ValueError where that cannot be. Clopper and Pearson 1934.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} times is no share")
    tail = (1 - level) / 2
    low = _solve(lambda p: _beta_share(p, successes, n - successes + 1), tail) if successes else 0.0
    high = _solve(lambda p: _beta_share(p, successes + 1, n - successes), 1 - tail) if successes < n else 1.0
    return low, high


def welch(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Difference:
    """Whether the means of ``a`` [n] and ``b`` [m] differ, two-sided, their spreads being unknown and maybe different.

    Fewer than two values in either: nothing can be called. Neither has any spread: the statistic has nothing to go by,
    so ``p`` is 1 where they are equal and else the share of all splits of the n + m values that part them so far,
    2 / (n + m over n), with an interval that is the point where that is small enough and else unbounded. ValueError
    where there are no values or one is not finite. Welch 1947.
    """
    (mean_a, variance_a), (mean_b, variance_b) = _moments(a), _moments(b)
    n, m, difference = len(a), len(b), mean_a - mean_b
    if min(n, m) < 2:
        why = "one seed has no spread"
        return Difference(difference, -math.inf, math.inf, math.nan, why)
    part_a, part_b = variance_a / n, variance_b / m
    if part_a + part_b == 0:
        p = 2 / math.comb(n + m, n) if difference else 1.0
        reach = 0.0 if p <= 1 - level or not difference else math.inf
        return Difference(difference, difference - reach, difference + reach, p, "neither group has any spread")
    share = part_a / (part_a + part_b)
    df = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
    error = math.sqrt(part_a + part_b)
    reach = student_quantile((1 + level) / 2, df) * error
    p = min(1.0, 2 * student_cdf(-abs(difference) / error, df))
    return Difference(difference, difference - reach, difference + reach, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """``p_values`` of tests made together, each raised so that calling all of at most alpha makes any wrong call at
    all with probability alpha at most, however the tests depend on each other. NaN stays, and counts for none.
    Holm 1979.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    found, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        found[i] = largest
    return found


def student_cdf(t: float, df: float) -> float:
    """Probability that Student's t of ``df`` > 0 degrees of freedom, which may be a fraction, is at most ``t``."""
    if not df > 0:
        raise ValueError(f"{df} degrees of freedom")
    if math.isinf(t):
        return float(t > 0)
    tail = _beta_share(df / (df + t * t), df / 2, 0.5) / 2
    return tail if t < 0 else 1 - tail


def student_quantile(p: float, df: float) -> float:
    """The t that ``student_cdf`` gives ``p`` for, 0 < p < 1."""
    if not 0 < p < 1:
        raise ValueError(f"{p} is no probability between 0 and 1")
    if p > 0.5:
        return -student_quantile(1 - p, df)
    if p == 0.5:
        return 0.0
    # Left of 0 the distribution is convex, so Newton's steps come down to the solution and never pass it.
    log_front = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    t, last = 0.0, math.inf
    while t < last:
        density = math.exp(log_front - (df + 1) / 2 * math.log1p(t * t / df))
        last, t = t, t - (student_cdf(t, df) - p) / density
    return last


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean and variance over n - 1, NaN of one; exactly 0 where all are equal but for rounding, which is no spread."""
    found = np.asarray(values, dtype=np.float64)
    if not found.size or not np.isfinite(found).all():
        raise ValueError(f"{len(values)} figures, not all of them finite: nothing to take a mean of")
    if float(np.ptp(found)) <= ROUNDING * float(np.abs(found).max()):
        return float(found[0]), 0.0 if len(found) > 1 else math.nan
    return float(found.mean()), float(found.var(ddof=1))


def _solve(rising: Callable[[float], float], wanted: float) -> float:
    """Where in [0, 1] ``rising`` takes the value ``wanted``, by halving as far as floats go."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return high


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by Lentz's continued fraction (Numerical Recipes 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # there the fraction of the other tail converges sooner
        return 1 - _beta_share(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    value = d
    for m in range(1, 10_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + factor * d or tiny), 1 + factor / c or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * value / a
