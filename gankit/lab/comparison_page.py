"""A comparison as a page that needs nothing else: first the answer, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from gankit.core.progress import duration
from gankit.core.version import __version__
from gankit.lab import comparison_text as text
from gankit.lab.commands import command
from gankit.lab.comparison import TEST, Findings, loss_terms
from gankit.lab.groups import written
from gankit.lab.rankings import AXES, Judging, Ranking
from gankit.report import tables
from gankit.report.curves import POINTS, RUNS, Line, Panel, figure, smoothed
from gankit.report.markup import Child, Markup, tag
from gankit.report.page import document, legend
from gankit.report.pictures import grid
from gankit.report.records import Floats
from gankit.report.tables import swatch

READING = (
    "Lines are means over the seeds, bands reach from the lowest seed to the highest; losses are smoothed seed by seed "
    "over 1/25 of the run before that. Where a seed ended early the rest go on alone."
)
LABELS = {"steps": "step", "images": "real images drawn", "seconds": "time trained (s)"}
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
        tag("header", tag("p", "gankit compare", class_="brand"), tag("h1", title), _cards(found)),
        tag("nav", [tag("a", name, href=f"#{key}") for key, name, _ in sections], aria_label="contents"),
        tag("main", [tag("section", tag("h2", name), content, id=key) for key, name, content in sections]),
        tag("footer", f"Written by gankit {__version__} on {datetime.now():%Y-%m-%d %H:%M}. {READING}"),
    ]
    return document(f"{title} · gankit compare", body)


def _cards(found: Findings) -> Markup:
    """A card for each group: its seeds, how far they are, how long they took."""
    cards = []
    for i, group in enumerate(found.groups):
        clocks = [run.clock.values[-1] for run in group.runs if len(run.clock)]
        facts = [("seeds", text.seeds(group.seeds)), ("steps", text.span([run.done for run in group.runs]))]
        facts += [("time trained, mean", duration(float(np.mean(clocks))))] if clocks else []
        named = sum(each.events for each in found.health if each.group == group.name)
        watched = any(run.events is not None for run in group.runs)
        facts.append(("health", (f"{named} event{'s' * (named != 1)}" if named else "no event") if watched else "-"))
        rows = [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts]
        data = group.runs[0].section("data").get("data")
        about = tag("p", f"{group.variant} on {data}")
        cards.append(tag("article", tag("h2", swatch(i), group.name), about, tag("dl", rows), class_="card"))
    return tag("div", cards, class_="cards")


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
        rows.append((kind, [rank, [swatch(places[name]), name], *cells]))
    said = [tag("p", line) for line in text.verdicts(ranking)]
    return tag("div", tables.table(text.HEAD, rows), said)


def _options(found: Findings) -> Child:
    if not found.options:
        return tag("p", "The groups have the same options." if len(found.groups) > 1 else "There is one group.")
    rows = [(None, [name, *map(written, values)]) for name, values in found.options.items()]
    return tables.table(_heads(found), rows)


def _scores(found: Findings, judged: Judging, rankings: Sequence[Ranking]) -> Markup:
    """The score's curves over steps, images and seconds, and the rankings after the first."""
    panels = []
    for axis in AXES:
        lines = [
            line
            for i in range(len(found.groups))
            if (line := _band(i, [(getattr(c, axis), c.values) for c in judged.curves[i] if c is not None])) is not None
        ]
        if lines:
            panels.append(Panel(judged.metric, lines, judged.metric, LABELS[axis], smooth=False))
    more = [[tag("h3", question), _ranking(found, ranking)] for question, ranking in text.told(rankings)[1:]]
    head = [tag("h3", judged.metric), tag("p", judged.described, class_="protocol")]
    return tag("section", head, _drawn(panels), more)


def _losses(found: Findings) -> Child:
    """The curves of each loss, smoothed seed by seed, and their means at the end."""
    panels = []
    for term in loss_terms([run for group in found.groups for run in group.runs]):
        lines = []
        for i, group in enumerate(found.groups):
            series = [run.rows[term] for run in group.runs if term in run.rows]
            line = _band(i, [smoothed(each.steps, each.values, POINTS // 2) for each in series])
            lines += [line] if line is not None else []
        panels.append(Panel(term, lines, "loss", smooth=False))
    if not panels:
        return tag("p", "Nothing is recorded yet.", class_="missing")
    _, rows = text.losses(found)
    late = tag("p", "Mean over the last tenth of the steps, in brackets its standard deviation over the seeds:")
    return [_drawn(panels), late, tables.table(_heads(found), [(None, row) for row in rows])]


def _band(group: int, curves: Sequence[tuple[Floats, Floats]]) -> Line | None:
    """Mean, least and most over the seeds' ``curves`` (x [n], y [n]) at every x of any of them, each on straight lines
    between its own points and absent outside them. None where there is nothing to draw.
    """
    kept = [(x[ok], y[ok]) for x, y in curves if (ok := np.isfinite(x) & np.isfinite(y)).any()]
    if not kept:
        return None
    at = np.unique(np.concatenate([x for x, _ in kept]))
    if len(at) > POINTS:  # smoothed curves of runs of different lengths
        at = max((x for x, _ in kept), key=lambda x: float(x[-1]))
    values = np.array([np.interp(at, x, y, left=np.nan, right=np.nan) for x, y in kept])
    some = np.isfinite(values).any(0)
    at, values = at[some], values[:, some]
    style = group // RUNS
    mean = np.nanmean(values, 0)
    if len(kept) == 1:
        return Line(group % RUNS, at, mean, style)
    return Line(group % RUNS, at, mean, style, np.nanmin(values, 0), np.nanmax(values, 0))


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
    return [*parts, tables.table(["group", "condition", "runs", "events", "first step"], rows)]


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
    return tag("div", [figure(panel) for panel in panels], class_="panels")


def _heads(found: Findings) -> list[Child]:
    return ["", *([swatch(i), group.name] for i, group in enumerate(found.groups))]
