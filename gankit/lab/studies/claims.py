"""Claims: what the seeds allow one to say of a published sentence.

A check puts a quantity in a range. Its verdict is by the quantity's 95 % interval over the seeds: the check holds where
the whole interval lies in the range, it does not hold where the whole of it lies outside, and else nobody can tell. So
a verdict is wrong with probability 5 % at most, as far as the figures of one cell's seeds are independent and about
normal, and the power to reach one at all grows with the seeds. One seed has no spread, and no verdict. A claim of
several checks holds where all do, which needs no correction; it does not hold where one does not, and of that the
chance to be wrong is up to the sum of theirs.

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
from gankit.lab.spread import LEVEL, interval, share_interval, student_quantile, welch
from gankit.lab.studies.recipe import Check, Claim

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot tell"

Figures = Mapping[str, Mapping[str, Sequence[float | None]]]
"""By figure, by cell: the value of each seed, None where a run has none."""


Sides = tuple[tuple[str, tuple[float | None, ...]], ...]
"""(cell, the figure's value of each of its seeds)."""


@dataclass(frozen=True)
class Finding:
    """What came of a check: the quantity with its interval, its verdict, and in ``why`` the reason where it is open.
    ``sides``: (cell, or figure of the one cell; its values) of each that is looked at.
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
            for cell in check.cells:
                if cell not in cells:
                    raise UsageError(f"{said}no run is called '{cell}': {closest(cell, cells)}")
            for figure in filter(None, (check.figure, check.other)):
                name = known_figure(figure, of)
                if name is None:
                    known = [each.removesuffix(" *") for each in of]
                    raise UsageError(f"{said}no run has a figure '{figure}': {closest(figure, known)}")
                for cell in check.cells:
                    if cell not in of[name]:
                        raise UsageError(f"{said}the figure '{figure}' is not taken of '{cell}'")


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
    ways = ("minus", "over", "minus_figure", "over_figure", "along")
    given = [name for name in ways if getattr(check, name)]
    if len(given) > 1:
        raise UsageError(f"{said}a check takes one of '{given[0]}' and '{given[1]}'")
    if check.share and given and given != ["minus"]:
        raise UsageError(f"{said}a share goes with 'of' and 'minus' only")
    if check.least is None and check.most is None:
        raise UsageError(f"{said}say 'least' or 'most'")
    if check.least is not None and check.most is not None and check.least > check.most:
        raise UsageError(f"{said}'least' {check.least:g} is more than 'most' {check.most:g}")


def _finding(check: Check, figures: Figures) -> Finding:
    sides = _sides(check, figures)
    try:
        value, low, high = _measured(check, sides)
    except ValueError as error:
        return Finding(check, quantity(check), math.nan, -math.inf, math.inf, OPEN, str(error), sides)
    verdict = _verdict(check, low, high)
    why = _why_open(sides, high) if verdict == OPEN else ""
    return Finding(check, quantity(check), value, low, high, verdict, why, sides)


def _sides(check: Check, figures: Figures) -> Sides:
    """(name, the values of all seeds) of what is compared: cells, or two figures of one cell."""
    ran = {cell for by_cell in figures.values() for cell in by_cell}

    def values(figure: str, cell: str) -> tuple[float | None, ...]:
        return tuple(figures.get(figure, {}).get(cell, (None,) if cell in ran else ()))

    if check.other:
        return tuple((figure, values(figure, check.of)) for figure in (check.figure, check.other))
    return tuple((cell, values(check.figure, cell)) for cell in check.cells)


def _why_open(sides: Sides, high: float) -> str:
    """Why nobody can tell, of ``sides`` of which each has some value, and the upper end of the interval."""
    if all(len(some) == 1 for _, some in sides):
        return "one seed has no spread"
    if alone := next(((name, some) for name, some in sides if len(_finite(some)) == 1), None):
        return (
            f"only 1 of {len(alone[1])} runs of {alone[0]} has it" if len(alone[1]) > 1 else f"{alone[0]} has one seed"
        )
    return "too few seeds for figures without spread" if high == math.inf else "the seeds' spread is too wide"


def _finite(values: Sequence[float | None]) -> list[float]:
    """Those of ``values`` that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]


def quantity(check: Check) -> str:
    """What is checked, in words."""
    what = f"share of seeds with {check.figure}" if check.share else check.figure
    if check.along:
        return f"{what}, relative change from each of {len(check.along)} cells to the next"
    if check.minus:
        return f"{what}, {check.of} less {check.minus}"
    if check.other:
        return f"{what} {'over' if check.over_figure else 'less'} {check.other}, of {check.of}"
    return f"{what}, {check.of} over {check.over}" if check.over else f"{what} of {check.of}"


def range_of(check: Check) -> str:
    """The range that a claim puts its quantity in, in words."""
    if check.least is not None and check.most is not None:
        return f"{check.least:g} to {check.most:g}"
    return f"at least {check.least:g}" if check.least is not None else f"at most {check.most:g}"


def _verdict(check: Check, low: float, high: float) -> str:
    """HOLDS, FAILS or OPEN. Of a comparison without spread a bound itself is outside: what is the same is not more."""
    least, most = (-math.inf if check.least is None else check.least), (math.inf if check.most is None else check.most)
    if low == high and low in (least, most) and (len(check.cells) > 1 or check.other):
        return FAILS
    if least <= low and high <= most:
        return HOLDS
    return FAILS if high < least or low > most else OPEN


def _measured(check: Check, sides: Sides) -> tuple[float, float, float]:
    """The checked quantity and its interval. ValueError, saying why, where there is none."""
    for name, values in sides:
        cell, what = (check.of, f"a figure '{name}'") if check.other else (name, "it")
        if not _finite(values):
            raise ValueError(f"no run of {cell} at this scale has {what}")
    if check.other:
        return _paired(check, [values for _, values in sides])
    groups = [_finite(values) for _, values in sides]
    if check.along:
        return slope(groups)
    if check.share:
        return _share(*groups)
    if check.minus:
        found = welch(groups[0], groups[1])
        return found.difference, found.low, found.high
    if check.over:
        if min(map(min, groups)) <= 0:
            raise ValueError("a ratio is taken of positive figures")
        found = welch(*(np.log(group).tolist() for group in groups))
        return math.exp(found.difference), _exp(found.low), _exp(found.high)
    return float(np.mean(groups[0])), *interval(groups[0])


def _paired(check: Check, sides: Sequence[Sequence[float | None]]) -> tuple[float, float, float]:
    """The difference, or the ratio, of two figures of the same runs, with Student's interval of its mean over them."""
    pairs = [(a, b) for a, b in zip(*sides, strict=True) if a is not None and b is not None]
    if not pairs:
        raise ValueError("no run has both figures")
    if check.over_figure and any(b == 0 for _, b in pairs):
        raise ValueError("a ratio is taken of figures that are not 0")
    found = [a / b if check.over_figure else a - b for a, b in pairs]
    return float(np.mean(found)), *interval(found)


def _exp(value: float) -> float:
    """E to ``value``, infinite where that is too large for a float."""
    return math.exp(value) if value < 700 else math.inf


def _share(some: Sequence[float], other: Sequence[float] | None = None) -> tuple[float, float, float]:
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
