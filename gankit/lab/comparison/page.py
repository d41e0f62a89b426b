"""A comparison as a page that needs nothing else: first the answer, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from gankit.core.progress import duration
from gankit.core.version import __version__
from gankit.lab.bands import READING, band
from gankit.lab.commands import command
from gankit.lab.comparison import text as text
from gankit.lab.comparison.findings import TEST, Findings, loss_terms
from gankit.lab.comparison.groups import Group
from gankit.lab.comparison.rankings import AXES, Judging, Ranking, finished
from gankit.report import tables
from gankit.report.curves import POINTS, RUNS, Line, Panel, figure, smoothed
from gankit.report.markup import Child, Markup, tag
from gankit.report.page import document, legend
from gankit.report.pictures import grid
from gankit.report.tables import swatch

LABELS = {"steps": "step", "images": "real images drawn", "seconds": "time trained (s)"}
MOST_CARDS = 4
"""Groups that have a card above the answer at most: more would push it out of sight."""
MOST_NAMED = 16
"""Groups that the legend at the edge of the window names at most: more would hide the page."""


def page(found: Findings) -> str:
    """The comparison as HTML."""
    sections: list[tuple[str, str, Child]] = [
        ("answer", "Answer", _answer(found)),
        ("options", "Options that differ", _options(found)),
        ("scores", "Scores", [_scores(found, each, some) for each, some in text.by_judging(found)]),
        ("losses", "Losses", _losses(found)),
        ("health", "Health", _health(found)),
        ("samples", "Samples", _samples(found)),
        ("repeat", "Commands", _commands(found)),
    ]
    runs = sum(len(group.runs) for group in found.groups)
    title = f"{len(found.groups)} group{'s' * (len(found.groups) != 1)}, {runs} run{'s' * (runs != 1)}"
    names = [group.name for group in found.groups]
    body = [
        legend(names) if 1 < len(names) <= MOST_NAMED else None,
        tag(
            "header",
            tag("p", "gankit compare", class_="brand"),
            tag("h1", title),
            _cards(found) if len(names) <= MOST_CARDS else None,
        ),
        tag("nav", [tag("a", name, href=f"#{key}") for key, name, _ in sections], aria_label="contents"),
        tag("main", [tag("section", tag("h2", name), content, id=key) for key, name, content in sections]),
        tag("footer", f"Written by gankit {__version__} on {datetime.now():%Y-%m-%d %H:%M}. {READING}"),
    ]
    return document(f"{title} · gankit compare", body)


def _cards(found: Findings) -> Markup:
    """A card for each group."""
    cards = []
    for i, group in enumerate(found.groups):
        rows = [tag("div", tag("dt", name), tag("dd", value)) for name, value in _facts(found, group).items()]
        about = tag("p", f"{group.variant} on {group.runs[0].section('data').get('data')}")
        cards.append(tag("article", tag("h2", swatch(i), group.name), about, tag("dl", rows), class_="card"))
    return tag("div", cards, class_="cards")


def _facts(found: Findings, group: Group) -> dict[str, str]:
    """Its seeds, how far they are, how long they took, their health."""
    clocks = [float(run.clock.values[-1]) for run in group.runs if len(run.clock)]
    named = sum(each.events for each in found.health if each.group == group.name)
    watched = any(run.events is not None for run in group.runs)
    return {
        "seeds": text.seeds(group.seeds),
        "steps": text.span([run.done for run in group.runs]),
        "time trained, mean": duration(float(np.mean(clocks))) if clocks else "-",
        "health": (f"{named} event{'s' * (named != 1)}" if named else "no event") if watched else "not watched",
    }


def _answer(found: Findings) -> Child:
    """The first ranking of each metric, what is not ranked and why, and what limits it all."""
    parts: list[Child] = []
    for judged, some in text.by_judging(found):
        question, ranking = text.told(some)[0]
        parts.append(tag("h3", f"{judged.metric}, {question} ({judged.better} is better)"))
        parts.append(tag("p", judged.described, class_="protocol"))
        parts.append(_ranking(found, ranking))
    parts += [tag("p", tag("b", "Not ranked: "), why) for why in found.refused]
    if any(ranking.pairs for ranking in found.rankings):
        parts.append(tag("p", f"Differences are called by {TEST}.", class_="protocol"))
    if found.notes:
        parts.append(tag("h3", "What limits this"))
        parts.append(tag("ul", [tag("li", note) for note in found.notes]))
    return parts


def _ranking(found: Findings, ranking: Ranking) -> Markup:
    """The ranking as a table, with what is called of it."""
    places = {group.name: i for i, group in enumerate(found.groups)}
    best = min((each.rank for each in ranking.standings if each.rank is not None), default=None)
    alone = [each.group for each in ranking.standings if each.rank == best]
    rows = []
    for each in ranking.standings:
        rank, name, *cells = text.row(each)
        kind = "differs" if best is not None and alone == [each.group] else None
        rows.append((kind, [[swatch(places[name]), name], rank, *cells]))
    said = [tag("p", line) for line in text.verdicts(ranking)]
    head = (text.HEAD[1], text.HEAD[0], *text.HEAD[2:])
    return tag("div", tables.table(head, rows, "whole"), said)


def _options(found: Findings) -> Child:
    parts: list[Child] = []
    if found.options:
        parts.append(_table(found, text.options(found)))
    else:
        parts.append(tag("p", "The groups have the same options." if len(found.groups) > 1 else "There is one group."))
    if len(found.groups) > MOST_CARDS:
        rows = [(group.name, *_facts(found, group).values()) for group in found.groups]
        head = ("group", *_facts(found, found.groups[0]))
        parts.append(tag("div", tag("h3", "Runs"), _table(found, (head, rows)), class_="follows"))
    return parts


def _scores(found: Findings, judged: Judging, rankings: Sequence[Ranking]) -> Markup:
    """The score's curves over steps, images and seconds, and the rankings after the first."""
    panels = []
    for axis in AXES if any(len(c.steps) > 1 for some in judged.curves for c in some if c is not None) else ():
        lines: list[Line] = []
        for i, group in enumerate(found.groups):
            curves = [
                (getattr(curve, axis), curve.values, finished(run))
                for run, curve in zip(group.runs, judged.curves[i], strict=True)
                if curve is not None
            ]
            lines += band(i, curves)
        if lines:
            panels.append(Panel(judged.metric, lines, judged.metric, LABELS[axis], _keys(found), smooth=False))
    more = [
        tag("section", tag("h3", question), _ranking(found, ranking), class_="sub")
        for question, ranking in text.told(rankings)[1:]
    ]
    head = [tag("h3", judged.metric), tag("p", judged.described, class_="protocol")]
    return tag("section", head, _drawn(panels), tag("div", more, class_="follows"))


def _losses(found: Findings) -> Child:
    """The curves of each loss, smoothed seed by seed, and their means at the end."""
    panels = []
    for term in loss_terms([run for group in found.groups for run in group.runs]):
        lines = []
        for i, group in enumerate(found.groups):
            series = [(run.rows[term], finished(run)) for run in group.runs if term in run.rows]
            lines += band(i, [(*smoothed(s.steps, s.values, POINTS // 2), done) for s, done in series])
        panels.append(Panel(term, lines, "loss", keys=_keys(found), smooth=False))
    if not panels:
        return tag("p", "Nothing is recorded yet.", class_="missing")
    late = tag("p", "Mean over the last tenth of the steps, in brackets its standard deviation over the seeds:")
    return [
        _drawn(panels),
        tag("div", late, _table(found, text.losses(found)), class_="follows"),
    ]


def _keys(found: Findings) -> list[str]:
    """What the styles of lines mean where groups share a colour."""
    n = len(found.groups)
    return [f"groups {i + 1} to {min(i + RUNS, n)}" for i in range(0, n, RUNS)] if n > RUNS else []


def _health(found: Findings) -> Child:
    unwatched = [group.name for group in found.groups if all(run.events is None for run in group.runs)]
    parts: list[Child] = [tag("p", f"{name}: its health was not watched.") for name in unwatched]
    if not found.health:
        return [*parts, tag("p", "No condition was met.", class_="healthy")]
    places = {group.name: i for i, group in enumerate(found.groups)}
    rows = [
        (
            None,
            [
                [swatch(places[each.group]), each.group],
                each.condition,
                f"{each.runs} of {each.of}",
                str(each.events),
                f"{each.first:,}",
            ],
        )
        for each in found.health
    ]
    return [*parts, tables.table(["group", "condition", "runs", "events", "first step"], rows, "whole")]


def _samples(found: Findings) -> Markup:
    """The last grid of the first seed of each group, side by side."""
    grids = []
    for i, group in enumerate(found.groups):
        run, seed = group.runs[0], group.seeds[0]
        if run.grids:
            step, path = run.grids[-1]
            grids.append(grid(run, step, path, [swatch(i), f"{group.name}, seed {seed}, step {step:,}"]))
    return tag("div", grids, class_="strip", tabindex="0") if grids else tag("p", "None yet.", class_="missing")


def _commands(found: Findings) -> Child:
    """What trains each run again, and what compares them."""
    parts: list[Child] = []
    for i, group in enumerate(found.groups):
        parts.append(tag("h3", swatch(i), group.name))
        if any(run.legs for run in group.runs):
            parts.append(tag("p", "Runs of it went on with other options later: see `gankit report`."))
        parts.append(tag("pre", "\n".join(command(run) for run in group.runs), class_="scroll", tabindex="0"))
    return parts


def _drawn(panels: Sequence[Panel]) -> Markup:
    return tag("div", [figure(panel) for panel in panels], class_="panels") if panels else Markup()


def _table(found: Findings, cells: text.Cells) -> Markup:
    """A table of the groups, each name with its colour."""
    places = {group.name: i for i, group in enumerate(found.groups)}

    def marked(cell: str) -> Child:
        return [swatch(places[cell]), cell] if cell in places else cell

    head, rows = cells
    return tables.table(list(map(marked, head)), [(None, [marked(row[0]), *row[1:]]) for row in rows], "whole")
