"""A comparison as lines for a terminal, as CSV, and as the tables that a notebook shows."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gankit.lab.comparison.findings import TEST, Findings
from gankit.lab.comparison.groups import written
from gankit.lab.comparison.rankings import Judging, Pair, Ranking, Standing, listed
from gankit.report.markup import Markup, tag

HEAD = ("rank", "group", "mean", "sd", "95 % of the mean", "best", "seeds", "called better than")
PAIRS = 3
"""Differences written out in words at most; all are in the JSON."""
ALIGN_RIGHT = {"rank", "mean", "sd", "best", "seeds"}


def lines(found: Findings) -> list[str]:
    """The comparison for a person at a terminal."""
    runs = sum(len(group.runs) for group in found.groups)
    out = [f"{_count(len(found.groups), 'group')}, {_count(runs, 'run')}"]
    out += indented(
        columns(
            ("group", "seeds", "steps"),
            [(g.name, seeds(g.seeds), span([run.done for run in g.runs])) for g in found.groups],
        )
    )
    if found.options:
        out += ["", "options that differ", *indented(columns(*options(found)))]
    for judged, some in by_judging(found):
        out += ["", f"{judged.metric} ({judged.better} is better): {judged.described}"]
        for question, ranking in told(some):
            rows = [row(each) for each in ranking.standings]
            out += [f"  {question}", *indented(columns(HEAD, rows), 4), *(f"    {text}" for text in verdicts(ranking))]
    out += [f"refused: {text}" for text in found.refused]
    if found.health:
        rows = [
            (each.group, each.condition, f"{each.runs} of {each.of}", str(each.events), str(each.first))
            for each in found.health
        ]
        out += ["", "health", *indented(columns(("group", "condition", "runs", "events", "first step"), rows))]
    if found.losses:
        title = "losses, mean over the last tenth of the steps (sd over seeds)"
        out += ["", title, *indented(columns(*losses(found)))]
    if any(ranking.pairs for ranking in found.rankings):
        out += ["", f"differences are called by {TEST}"]
    out += ["", *(f"note: {text}" for text in found.notes)] if found.notes else []
    return out


def by_judging(found: Findings) -> list[tuple[Judging, list[Ranking]]]:
    """Each metric under each protocol that anything can be said of, with its rankings."""
    whole = [(each, [r for r in found.rankings if r.judging == i]) for i, each in enumerate(found.judged)]
    return [(each, some) for each, some in whole if some]


def told(rankings: Sequence[Ranking]) -> list[tuple[str, Ranking]]:
    """The questions that have figures of their own, in words, each with those that have the same."""
    found = []
    for ranking in rankings:
        if not ranking.same:
            like = [words(other) for other in rankings if other.same == ranking.at]
            found.append((", ".join([words(ranking), *like]), ranking))
    return found


def words(ranking: Ranking) -> str:
    """What a ranking answers: "at equal seconds (31.2)"."""
    if ranking.at == "end" or ranking.x is None:
        return "at the end"
    if ranking.at.startswith("reaching"):
        return f"{ranking.at.partition(' ')[2]} to get to {number(ranking.x)}"
    return f"at equal {ranking.at} ({number(ranking.x)})"


def verdicts(ranking: Ranking) -> list[str]:
    """In words: the differences between few groups, and why nothing is called of some."""
    if not ranking.pairs:
        return []
    tested = [pair for pair in ranking.pairs if not math.isnan(pair.p)]
    found = [difference(pair, ranking) for pair in tested] if len(ranking.pairs) <= PAIRS else []
    if not found and tested and not any(pair.called for pair in tested):
        found.append("no difference is called: the seeds' spread does not allow it")
    why = dict.fromkeys(pair.why for pair in ranking.pairs if pair.why and math.isnan(pair.p))
    return [*found, *(f"nothing is called{' of some' if tested else ''}: {each}" for each in why)]


def difference(pair: Pair, ranking: Ranking) -> str:
    """A is better than B by 11.7 (1.88 to 21.6), p = 0.035."""
    sign = -1 if (ranking.better == "lower") == (pair.of.difference < 0) else 1
    by, ends = abs(pair.of.difference), sorted((abs(pair.of.low), abs(pair.of.high)))
    if not pair.called:
        between = "" if math.isinf(pair.of.low) else f" ({number(pair.of.low)} to {number(pair.of.high)})"
        return f"{pair.a} and {pair.b} are not told apart: {number(pair.of.difference)}{between}, p = {pair.p:.2g}"
    first, second = (pair.a, pair.b) if sign < 0 else (pair.b, pair.a)
    word = "gets there sooner" if ranking.at.startswith("reaching") else "is better"
    return f"{first} {word} than {second} by {number(by)} ({number(ends[0])} to {number(ends[1])}), p = {pair.p:.2g}"


def row(each: Standing) -> tuple[str, ...]:
    """A standing's cells under HEAD."""
    between = "-" if each.low is None or each.high is None else f"{number(each.low)} to {number(each.high)}"
    whole = str(each.n) if each.n == each.of else f"{each.n} of {each.of}"
    rank = "-" if each.rank is None else str(each.rank)
    return (
        rank, each.group, number(each.mean), number(each.sd), between, number(each.best), whole,
        listed(each.better_than) or "-",
    )  # fmt: skip


Cells = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""(head, rows) of a table."""


def options(found: Findings) -> Cells:
    """The options that differ, by group."""
    columns = {name: [written(value) for value in values] for name, values in found.options.items()}
    return _upright(found, columns)


def losses(found: Findings) -> Cells:
    """The losses, by group."""
    cells = {(each.group, each.term): f"{number(each.mean)} ({number(each.sd)})" for each in found.losses}
    terms = list(dict.fromkeys(each.term for each in found.losses))
    return _upright(found, {term: [cells.get((group.name, term), "-") for group in found.groups] for term in terms})


def _upright(found: Findings, columns: Mapping[str, Sequence[str]]) -> Cells:
    """``columns``, of one cell a group each, as a table with a row a group, or with a column a group where that is the
    narrower one.
    """
    names = [group.name for group in found.groups]
    if len(columns) < len(names):
        return ("group", *columns), [(name, *(some[i] for some in columns.values())) for i, name in enumerate(names)]
    return ("", *names), [(name, *some) for name, some in columns.items()]


def notebook(found: Findings) -> Markup:
    """The tables, without styles of their own."""
    parts = []
    for judged, some in by_judging(found):
        parts.append(tag("p", tag("b", judged.metric), f" ({judged.better} is better): {judged.described}"))
        for question, ranking in told(some):
            body = [tag("tr", [tag("td", cell) for cell in row(each)]) for each in ranking.standings]
            head = tag("tr", [tag("th", name) for name in HEAD])
            caption = tag("caption", question[:1].upper() + question[1:])
            parts.append(tag("table", caption, tag("thead", head), tag("tbody", body)))
            parts += [tag("p", text) for text in verdicts(ranking)]
    parts += [tag("p", text) for text in (*found.refused, *found.notes)]
    return tag("div", parts)


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """``rows`` as CSV, their names as its head."""
    names = list(dict.fromkeys(name for some in rows for name in some))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for some in rows:
        writer.writerow({name: _cell(value) for name, value in some.items()})
    return file.getvalue()


def number(value: float | None) -> str:
    """Four significant digits, thousands apart: 12.35, 48,210; "-" for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def seeds(values: Sequence[int]) -> str:
    """0 to 4, where they follow one another; else 3, 17."""
    if len(values) > 2 and list(values) == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))


def span(values: Sequence[int]) -> str:
    """One number where all are equal, else the least and the most."""
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,} to {max(values):,}"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells under one another."""
    whole = [head, *rows]
    widths = [max(len(line[i]) for line in whole) for i in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if name in ALIGN_RIGHT else cell.ljust(width)
            for name, cell, width in zip(head, line, widths, strict=True)
        ).rstrip()
        for line in whole
    ]


def indented(texts: Sequence[str], by: int = 2) -> list[str]:
    """Each further to the right."""
    return [" " * by + text for text in texts]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
