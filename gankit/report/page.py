"""The page: sections in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gankit.core.version import __version__
from gankit.report import tables
from gankit.report.curves import Panel, figure
from gankit.report.events import named
from gankit.report.markup import Child, Markup, tag
from gankit.report.panels import Panels
from gankit.report.pictures import timeline
from gankit.report.records import Record
from gankit.runs.weights import in_words

ALONE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The page may load nothing and run nothing, whatever a name in it says."""
READING = (
    "Thin lines are single steps, thick ones running means over 1/25 of the run; axes leave out the outermost 0.5 % of "
    "single steps; dashed upright lines carry the numbers of health events, dotted ones are where a run went on with "
    "other options."
)


def page(records: Sequence[Record]) -> str:
    """The report of ``records`` as HTML."""
    events = named(records)
    panels = Panels(records, events)
    sections: list[tuple[str, str, Child]] = [
        ("health", "Health", tables.health(records, events)),
        ("samples", "Samples", [_samples(records), _drawn(panels.diversity()) if panels.diversity() else None]),
        ("metrics", "Metrics", _metrics(panels)),
        ("losses", "Losses", _drawn(panels.losses())),
        ("scores", "Scores and slopes", _drawn(panels.scores())),
        ("gradients", "Gradient norms", _drawn(panels.gradients())),
        ("options", "Options", tables.options(records)),
        ("machine", "Time and machine", [_drawn(panels.time()), tables.environment(records)]),
    ]
    title = records[0].name if len(records) == 1 else f"{len(records)} runs side by side"
    contents = tag("nav", [tag("a", name, href=f"#{key}") for key, name, _ in sections], aria_label="contents")
    body = [
        tag("header", tag("p", "gankit report", class_="brand"), tag("h1", title), tables.summary(records, events)),
        contents,
        tag("main", [tag("section", tag("h2", name), content, id=key) for key, name, content in sections]),
        tag("footer", f"Written by gankit {__version__} on {datetime.now():%Y-%m-%d %H:%M}. {READING}"),
    ]
    colours = legend([record.name for record in records]) if len(records) > 1 else None
    return document(f"{title} · gankit report", [colours, *body])


def document(title: str, body: Child) -> str:
    """A whole page that needs and loads nothing else, of ``body`` in our style."""
    style = Markup(Path(__file__).with_name("page.css").read_text(encoding="utf-8"))
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=ALONE),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", style),
    ]
    return "<!DOCTYPE html>\n" + tag("html", tag("head", head), tag("body", body), lang="en")


def legend(names: Sequence[str]) -> Markup:
    """The colours of several runs or groups, at the edge of the window."""
    return tag("div", [tag("span", tables.swatch(i), name) for i, name in enumerate(names)], class_="legend")


def _drawn(panels: Sequence[Panel]) -> Child:
    if not panels:
        return tag("p", "Nothing is recorded yet.", class_="missing")
    return tag("div", [figure(panel) for panel in panels], class_="panels")


def _samples(records: Sequence[Record]) -> list[Markup]:
    found = []
    for i, record in enumerate(records):
        name = tag("h3", tables.swatch(i), record.name) if len(records) > 1 else None
        grids = timeline(record, len(records))
        strip = tag("div", grids, class_="strip", tabindex="0") if grids else tag("p", "None yet.", class_="missing")
        words = f"Drawn with {in_words(record.section('train').get('ema_halflife_images'))}."
        found.append(tag("div", name, strip, tag("p", words, class_="protocol") if grids else None))
    return found


def _metrics(panels: Panels) -> Child:
    found = [
        tag("section", tag("h3", metric), tag("p", tables.protocol(protocol), class_="protocol"), _drawn(drawn))
        for metric, protocol, drawn in panels.metrics()
    ]
    if not found:
        return tag("p", "Not evaluated yet.", class_="missing")
    same = {metric for metric, _, _ in panels.metrics()}
    if len(same) < len(found):
        found.append(tag("p", "Figures of different protocols are not comparable, so each has panels of its own."))
    return found
