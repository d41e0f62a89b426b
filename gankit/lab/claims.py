"""Claims: what the seeds allow one to say of a published sentence.

A check puts a quantity in a range. Its verdict is by the quantity's 95 % interval over the seeds: the check holds where
the whole interval lies in the range, it does not hold where the whole of it lies outside, and else nobody can tell. So
a verdict is wrong with probability 5 % at most, as far as the figures of one cell's seeds are independent and about
normal, and the power to reach one at all grows with the seeds. One seed has no spread, and no verdict.

A mean's interval is Student's, a difference's Welch's, a ratio's Welch's on logarithms, a share's is Clopper and
Pearson's, that of two shares put together of theirs (Newcombe 1998; of three seeds each wrong 8 in 100 times at worst,
1 on average), a slope's that of least squares over all seeds and cells, whose errors are taken to be alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gankit.core.errors import UsageError, closest
from gankit.lab.recipe import Check, Claim
from gankit.lab.spread import LEVEL, interval, share_interval, student_quantile, welch

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot tell"

Figures = Mapping[str, Mapping[str, Sequence[float | None]]]
"""By figure, by cell: the value of each seed, None where a run has none."""


Sides = tuple[tuple[str, tuple[float | None, ...]], ...]
"""(cell, the figure's value of each of its seeds)."""


@dataclass(frozen=True)
class Finding:
    """What came of a check: the quantity with its interval, its verdict, and in ``why`` the reason where it is open.
    ``sides``: each cell looked at.
    """

    check: Check
    quantity: str
    value: float
    low: float
    high: float
    verdict: str
    why: str
    sides: Sides


@dataclass(frozen=True)
class Verdict:
    """A claim with the findings of its checks: it holds where all hold, does not where one does not."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """One of HOLDS, FAILS and OPEN."""
        found = [finding.verdict for finding in self.findings]
        return FAILS if FAILS in found else OPEN if OPEN in found else HOLDS


def judged(claim: Claim, figures: Figures) -> Verdict:
    """The verdict on ``claim`` by ``figures``."""
    return Verdict(claim, tuple(_finding(check, figures) for check in claim.checks))


def check_claims(claims: Sequence[Claim], cells: Sequence[str], of: Mapping[str, Sequence[str]], where: str) -> None:
    """UsageError where one of ``claims`` has no check, or one that is of another form, looks at a cell that is none of
    ``cells`` or at a figure that none of ``of`` (figure -> the cells that have it; "NAME *" where a measure gives
    several) is.
    """
    for claim in claims:
        said = f"{where}: claim '{claim.says}': "
        if not claim.checks:
            raise UsageError(said + "has no checks")
        for check in claim.checks:
            _check_form(check, said)
            name = known_figure(check.figure, of)
            if name is None:
                known = [each.removesuffix(" *") for each in of]
                raise UsageError(f"{said}no run has a figure '{check.figure}': {closest(check.figure, known)}")
            for cell in check.cells:
                if cell not in cells:
                    raise UsageError(f"{said}no run is called '{cell}': {closest(cell, cells)}")
                if cell not in of[name]:
                    raise UsageError(f"{said}the figure '{check.figure}' is not taken of '{cell}'")


def known_figure(figure: str, of: Mapping[str, Sequence[str]]) -> str | None:
    """Which of ``of`` figure ``figure`` is, None where it is none."""
    if figure in of:
        return figure
    return next((name for name in of if name.endswith(" *") and figure.startswith(name[:-1])), None)


def _check_form(check: Check, said: str) -> None:
    """UsageError where the keys of ``check`` do not go together."""
    if bool(check.of) == bool(check.along):
        raise UsageError(f"{said}a check is 'of' one cell or 'along' several; give one of them")
    if check.along and len(check.along) < 2:
        raise UsageError(f"{said}'along' needs two cells or more")
    if (check.minus and check.over) or (check.along and (check.minus or check.over)):
        raise UsageError(f"{said}of 'minus', 'over' and 'along' a check takes one")
    if check.share and (check.over or check.along):
        raise UsageError(f"{said}a share goes with 'of' and 'minus' only")
    if check.least is None and check.most is None:
        raise UsageError(f"{said}say 'least' or 'most'")
    if check.least is not None and check.most is not None and check.least > check.most:
        raise UsageError(f"{said}'least' {check.least:g} is more than 'most' {check.most:g}")


def _finding(check: Check, figures: Figures) -> Finding:
    by_cell = figures.get(check.figure, {})
    sides = tuple((cell, tuple(by_cell.get(cell, ()))) for cell in check.cells)
    values = {cell: [value for value in some if value is not None and math.isfinite(value)] for cell, some in sides}
    what = quantity(check)
    if without := next((cell for cell in check.cells if not values[cell]), None):
        why = f"no run of {without} at this scale has it"
        return Finding(check, what, math.nan, -math.inf, math.inf, OPEN, why, sides)
    try:
        value, low, high = _measured(check, values)
    except ValueError as error:
        return Finding(check, what, math.nan, -math.inf, math.inf, OPEN, str(error), sides)
    verdict = _verdict(check, low, high)
    why = _why_open(sides, values, high) if verdict == OPEN else ""
    return Finding(check, what, value, low, high, verdict, why, sides)


def _why_open(sides: Sides, values: Mapping[str, Sequence[float]], high: float) -> str:
    """Why nobody can tell, by the cells' values, of which each has some, and the upper end of the interval."""
    if all(len(some) == 1 for _, some in sides):
        return "one seed has no spread"
    if alone := next(((cell, some) for cell, some in sides if len(values[cell]) == 1), None):
        return (
            f"only 1 of {len(alone[1])} runs of {alone[0]} has it" if len(alone[1]) > 1 else f"{alone[0]} has one seed"
        )
    return "too few seeds for figures without spread" if high == math.inf else "the seeds' spread is too wide"


def quantity(check: Check) -> str:
    """What is checked, in words."""
    what = f"share of seeds with {check.figure}" if check.share else check.figure
    if check.along:
        return f"{what}, relative change from each of {len(check.along)} cells to the next"
    if check.minus:
        return f"{what}, {check.of} less {check.minus}"
    return f"{what}, {check.of} over {check.over}" if check.over else f"{what} of {check.of}"


def range_of(check: Check) -> str:
    """The range that a claim puts its quantity in, in words."""
    if check.least is not None and check.most is not None:
        return f"{check.least:g} to {check.most:g}"
    return f"at least {check.least:g}" if check.least is not None else f"at most {check.most:g}"


def _verdict(check: Check, low: float, high: float) -> str:
    least, most = (-math.inf if check.least is None else check.least), (math.inf if check.most is None else check.most)
    if least <= low and high <= most:
        return HOLDS
    return FAILS if high < least or low > most else OPEN


def _measured(check: Check, values: Mapping[str, Sequence[float]]) -> tuple[float, float, float]:
    """The checked quantity and its interval. ValueError, saying why, where there is none."""
    if check.along:
        return slope([values[cell] for cell in check.along])
    some = values[check.of]
    if check.share:
        return _share(some, values[check.minus] if check.minus else None)
    if check.minus:
        found = welch(some, values[check.minus])
        return found.difference, found.low, found.high
    if check.over:
        other = values[check.over]
        if min(*some, *other) <= 0:
            raise ValueError("a ratio is taken of positive figures")
        found = welch(np.log(some).tolist(), np.log(other).tolist())
        return math.exp(found.difference), _exp(found.low), _exp(found.high)
    return float(np.mean(some)), *interval(some)


def _exp(value: float) -> float:
    """E to ``value``, infinite where that is too large for a float."""
    return math.exp(value) if value < 700 else math.inf


def _share(some: Sequence[float], other: Sequence[float] | None) -> tuple[float, float, float]:
    """The share of ones among ``some``, less that among ``other``, with its interval: Clopper and Pearson's, which is
    exact, and for a difference the two put together as Newcombe 1998 does.
    """
    if any(value not in (0, 1) for value in (*some, *(other or ()))):
        raise ValueError("a share is taken of figures that are 0 or 1")
    if len(some) == 1:
        return float(some[0]), -math.inf, math.inf
    share, (low, high) = float(np.mean(some)), share_interval(int(sum(some)), len(some))
    if other is None:
        return share, low, high
    less, (least, most) = float(np.mean(other)), share_interval(int(sum(other)), len(other))
    down, up = math.hypot(share - low, most - less), math.hypot(high - share, less - least)
    return share - less, share - less - down, share - less + up


def slope(groups: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """The slope of a line through the values of ``groups``, which stand at 0, 1, 2, ..., as a share of their mean's
    size, with its interval. ValueError where there are too few values, or their mean is 0.
    """
    x = np.repeat(np.arange(len(groups), dtype=np.float64), [len(group) for group in groups])
    y = np.concatenate([np.asarray(group, dtype=np.float64) for group in groups])
    size, df = abs(float(y.mean())), len(y) - 2
    if size == 0:
        raise ValueError("the figures' mean is 0")
    centred = x - x.mean()
    across = float(centred @ centred)
    found = float(centred @ y) / across
    if df < 1 or all(len(group) < 2 for group in groups):
        return found / size, -math.inf, math.inf
    residual = y - y.mean() - found * centred
    reach = student_quantile((1 + LEVEL) / 2, df) * math.sqrt(float(residual @ residual) / df / across)
    return found / size, (found - reach) / size, (found + reach) / size
