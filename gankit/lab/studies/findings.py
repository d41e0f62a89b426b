"""How the verdicts of a study read: in words, and as the table of claims."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from gankit.lab.studies.claims import FAILS, HOLDS, OPEN, Finding, Verdict, range_of
from gankit.report.markup import Child, Markup, tag

SIGNS = {HOLDS: "✓", FAILS: "✗", OPEN: "?"}
"""A verdict without its words, for those who see no colours."""
_KINDS = {HOLDS: "holds", FAILS: "fails", OPEN: "open"}
HEADS = ("claim", "published", "measured here", "verdict")


def row(verdict: Verdict) -> dict[str, Any]:
    """Plain values: "claim", "published", "measured", "verdict", and "why" where nobody can tell."""
    return {
        "claim": verdict.claim.says,
        "published": verdict.claim.published,
        "measured": "; ".join(measured(finding) for finding in verdict.findings),
        "verdict": verdict.verdict,
        "why": "; ".join(dict.fromkeys(each.why for each in verdict.findings if each.why)) * (verdict.verdict == OPEN),
    }


def measured(finding: Finding) -> str:
    """What came of a check, in a line: the quantity with its interval, the range claimed, the values it is made of."""
    return f"{finding.quantity}: {interval_text(finding)}, claimed {range_of(finding.check)} ({values_text(finding)})"


def interval_text(finding: Finding) -> str:
    """The quantity with its 95 % interval."""
    if not math.isfinite(finding.value):
        return "no figure"
    if not (math.isfinite(finding.low) and math.isfinite(finding.high)):
        return rounded(finding.value)
    reach = (finding.high - finding.low) / 2
    value, low, high = (rounded(each, reach) for each in (finding.value, finding.low, finding.high))
    return f"{value} [{low}, {high}]"


def values_text(finding: Finding) -> str:
    """The figures of each cell that was looked at."""
    if len(finding.sides) == 1:
        return spread_text(finding.sides[0][1])
    return "; ".join(f"{cell} {spread_text(values)}" for cell, values in finding.sides)


def spread_text(values: Sequence[float | None]) -> str:
    """Mean and standard deviation of the seeds' values, and how many seeds have one where some lack it."""
    some = [value for value in values if value is not None]
    if not some:
        return "no figure"
    sd = statistics.stdev(some) if len(some) > 1 else 0.0
    text = rounded(statistics.fmean(some), sd) + (f" ± {rounded(sd, sd)}" if len(some) > 1 else "")
    return text + (f" ({len(some)} of {len(values)} seeds)" if len(some) < len(values) else "")


def rounded(value: float, spread: float = 0.0) -> str:
    """``value`` to the second digit of its ``spread``, to four digits where that is 0: 102.713 ± 0.037 is 102.713."""
    if not math.isfinite(value) or spread <= 0 or not math.isfinite(spread):
        return f"{value:.4g}"
    decimals = max(0, 1 - math.floor(math.log10(spread)))
    return f"{value:.{decimals}f}" if decimals <= 6 and abs(value) < 1e7 else f"{value:.4g}"


def chip(verdict: str) -> Markup:
    """The verdict as a word with its sign, coloured where the page's style is at hand."""
    return tag("span", f"{SIGNS[verdict]} {verdict}", class_=f"chip {_KINDS[verdict]}")


def claims_table(verdicts: Sequence[Verdict]) -> Markup:
    """The table of claims: what is claimed, the published figure, what was measured here, and the verdict."""
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in HEADS]))
    lines = [tag("tr", _cells(verdict)) for verdict in verdicts]
    return tag("table", head, tag("tbody", lines), class_="claims")


def _cells(verdict: Verdict) -> list[Markup]:
    claim, several = verdict.claim, len(verdict.findings) > 1
    note = tag("small", claim.note) if claim.note else None
    found = [_finding(finding, several) for finding in verdict.findings]
    says = tag("th", claim.says, tag("br") if note else None, note, scope="row")
    why = "" if several else verdict.findings[0].why
    called: list[Child] = [chip(verdict.verdict), *([tag("br"), tag("small", why)] if why else [])]
    cells: tuple[Child, ...] = (claim.published or "-", found, called)
    return [says, *(tag("td", cell, data_label=name) for name, cell in zip(HEADS[1:], cells, strict=True))]


def _finding(finding: Finding, several: bool) -> Markup:
    """A check's figures; its own verdict's sign before them where the claim has ``several``."""
    sign = f"{SIGNS[finding.verdict]} " if several else None
    return tag(
        "div",
        sign,
        tag("b", interval_text(finding)),
        f" {finding.quantity}; claimed: {range_of(finding.check)}",
        tag("br"),
        tag("small", values_text(finding) + (f"; {finding.why}" if several and finding.why else "")),
    )
