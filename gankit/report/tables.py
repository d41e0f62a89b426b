"""The tables of a report: options, environment, health, figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gankit.core.progress import duration
from gankit.report.curves import RUNS
from gankit.report.events import Named
from gankit.report.markup import Child, Markup, tag
from gankit.report.records import Record

SECTIONS = {"data": "Data", "train": "Training", "options": "Variant"}
LISTED = 100
"""Events listed at most."""


def swatch(run: int) -> Markup:
    """The colour of a run."""
    return tag("i", class_=f"swatch run{run % RUNS}")


def table(head: Sequence[Child], rows: Sequence[tuple[str | None, Sequence[Child]]], class_: str = "") -> Markup:
    """A table that scrolls by itself where the page is narrow; ``rows``: (class, cells), the first cell a heading."""
    lines = [
        tag("tr", tag("th", cells[0], scope="row"), [tag("td", cell) for cell in cells[1:]], class_=kind)
        for kind, cells in rows
    ]
    top = tag("thead", tag("tr", [tag("th", cell, scope="col") for cell in head])) if any(head) else None
    return tag("div", tag("table", top, tag("tbody", lines)), class_=f"scroll {class_}".strip())


def by_run(title: str, records: Sequence[Record], values: Sequence[dict[str, Any]], *, mark: bool = True) -> Markup:
    """One row a name, one column a run; where ``mark`` says so, rows whose values differ are marked."""
    names = list(dict.fromkeys(name for some in values for name in some))
    rows = []
    for name in names:
        cells = [shown(some[name]) if name in some else "-" for some in values]
        rows.append(("differs" if mark and len(set(cells)) > 1 else None, [name, *cells]))
    heads = [[swatch(i), record.name] for i, record in enumerate(records)] if len(records) > 1 else [""]
    return tag("section", tag("h3", title), table(["", *heads], rows), class_="sub")


def shown(value: Any) -> str:
    """An option's value for a reader."""
    if value is None:
        return "unset"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def options(records: Sequence[Record]) -> list[Markup]:
    """What differs between several runs, then every option by section."""
    found = []
    flat = [
        {"variant": record.config.get("variant"), **{k: v for s in SECTIONS for k, v in record.section(s).items()}}
        for record in records
    ]
    if len(records) > 1:
        names = list(dict.fromkeys(name for some in flat for name in some))
        other = [name for name in names if len({shown(some.get(name)) for some in flat}) > 1]
        if other:
            found.append(
                by_run("Where the runs differ", records, [{n: s.get(n) for n in other} for s in flat], mark=False)
            )
        else:
            found.append(tag("p", "The runs have the same options."))
    if any(record.legs for record in records):
        found.append(by_run("Legs", records, [_legs(record) for record in records], mark=False))
    parts = [by_run(title, records, [record.section(name) for record in records]) for name, title in SECTIONS.items()]
    return [*found, tag("details", tag("summary", "Every option"), tag("div", parts, class_="columns"), open="")]


def _legs(record: Record) -> dict[str, str]:
    """What each leg of a run after its first changed, and from which step on."""
    found = {}
    for number, leg in enumerate(record.legs, 2):
        changes = [f"{name} {shown(now)} (was {shown(was)})" for name, (was, now) in leg.changes.items()]
        if leg.rolled_back:
            changes.append(f"rolled back {leg.rolled_back} time{'s' * (leg.rolled_back > 1)}")
        found[f"leg {number}, from step {leg.start + 1:,}"] = ", ".join(changes) or "as before"
    return found


def environment(records: Sequence[Record]) -> Markup:
    """Versions and machine."""
    machines = [record.config.get("machine") for record in records]
    kinds = [{"fused ops": some.get("ops")} if isinstance(some, dict) else {} for some in machines]
    train = [{name: record.section("train").get(name) for name in ("device", "threads")} for record in records]
    merged = [{**record.environment, **a, **b} for record, a, b in zip(records, train, kinds, strict=True)]
    return by_run("Versions and machine", records, merged)


def health(records: Sequence[Record], events: Sequence[Named]) -> list[Markup]:
    """The events, each with what it means and what helps."""
    found: list[Markup] = []
    for i, record in enumerate(records):
        own = [event for event in events if event.run == i]
        name = [swatch(i), record.name, ": "] if len(records) > 1 else None
        if record.events is None:
            found.append(tag("p", name, "its health was not watched (it has no health.jsonl)."))
        elif not own:
            found.append(tag("p", name, "no condition was met.", class_="healthy"))
        found += [_event(event, records) for event in own[:LISTED]]
        if len(own) > LISTED:
            found.append(tag("p", f"… and {len(own) - LISTED} more."))
    return found


def _event(event: Named, records: Sequence[Record]) -> Markup:
    lasting = (
        f"from step {event.start:,.0f} on" if event.end is None else f"steps {event.start:,.0f} to {event.end:,.0f}"
    )
    run = [swatch(event.run), records[event.run].name, ", "] if len(records) > 1 else None
    head = tag(
        "p", tag("span", str(event.number), class_="mark"), tag("b", event.condition), " ", tag("span", run, lasting)
    )
    facts = [("seen", f"{event.of}: {event.seen}"), ("means", event.means), ("helps", event.helps)]
    return tag("article", head, tag("dl", [[tag("dt", name), tag("dd", text)] for name, text in facts if text]))


def summary(records: Sequence[Record], events: Sequence[Named]) -> Markup:
    """A card for each run: how far it is, how long it took, its last figures, its health."""
    return tag("div", [_card(i, records, events) for i in range(len(records))], class_="cards")


def _card(i: int, records: Sequence[Record], events: Sequence[Named]) -> Markup:
    record = records[i]
    data = record.section("data").get("data")
    steps = f"{record.done:,} of {record.planned:,}" if record.planned is not None else f"{record.done:,}"
    facts: list[tuple[str, str]] = [("steps", steps)]
    if len(record.clock):
        per_step = float(np.median(record.seconds.values))
        facts += [
            ("real images drawn", f"{record.images.values[-1]:,.0f}"),
            ("time trained", duration(record.clock.values[-1])),
            ("time per step", f"{per_step * 1e3:,.1f} ms" if per_step < 1 else f"{per_step:,.2f} s"),
        ]
    facts += [(one.metric, f"{one.series.values[-1]:.4g}") for one in record.judged if len(one.series)][:4]
    own = sum(event.run == i for event in events)
    health = "not watched" if record.events is None else f"{own} event{'s' * (own != 1)}" if own else "no event"
    facts.append(("health", health))
    rows = [tag("div", tag("dt", name), tag("dd", text)) for name, text in facts]
    title = tag("h2", swatch(i), record.name) if len(records) > 1 else None
    return tag("article", title, tag("p", f"{record.config.get('variant')} on {data}"), tag("dl", rows), class_="card")


def protocol(values: dict[str, object]) -> str:
    """How a figure was come by, in one line."""
    return ", ".join(f"{name} {shown(value)}" for name, value in values.items() if value is not None)
