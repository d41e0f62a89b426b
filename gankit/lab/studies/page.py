"""A study as a page that needs nothing else: the question, the verdicts on its claims, then what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from PIL import Image

from gankit.core.files import atomic_write
from gankit.core.version import __version__
from gankit.data.decoding import UNREADABLE
from gankit.lab.bands import READING
from gankit.lab.studies.curves import Curves
from gankit.lab.studies.description import how_measured
from gankit.lab.studies.findings import claims_table, spread_text
from gankit.lab.studies.pictures import KINDS, PARTS
from gankit.lab.studies.recipe import Picture, matches
from gankit.lab.studies.scale import default
from gankit.lab.studies.study import Made, Study
from gankit.report import tables
from gankit.report.markup import Child, Markup, tag
from gankit.report.page import document
from gankit.report.pictures import SIDE, picture
from gankit.report.records import Record, read

RULE = (
    "A claim holds where the 95 % interval over the seeds, in brackets, lies within the range that is claimed. It does "
    "not hold where all of the interval lies outside, and else nobody can tell. Behind ± stands the standard deviation "
    "of the seeds."
)
WIDE = 1.5
"""Width over height from which on a picture takes the room of two."""


def write(study: Study) -> Path:
    """Write the page of ``study`` into its folder; returns its path."""
    atomic_write(study.page, Page(study).text().encode("utf-8", "replace"))
    return study.page


class Page:
    """The page of a study, section by section."""

    def __init__(self, study: Study) -> None:
        self.study, self.recipe = study, study.recipe
        self.names = study.plan.names
        self.runs: dict[str, list[Made]] = {name: [m for m in study.made if m.cell == name] for name in self.names}
        self.records: dict[str, list[Record]] = {
            name: [read(made.root, name) for made in some if (made.root / "config.json").is_file()]
            for name, some in self.runs.items()
        }

    def text(self) -> str:
        """The page as HTML."""
        sections: list[tuple[str, str, Child]] = [
            ("claims", "Claims", self.claims()),
            ("curves", "Curves", self.curves()),
            ("pictures", "Pictures", self.pictures()),
            ("figures", "Figures", self.figures()),
            ("options", "Options", self.options()),
            ("runs", "Runs", self.ends()),
            ("repeat", "Commands", self.commands()),
        ]
        sections = [section for section in sections if section[2]]
        body = [
            self.header(),
            tag("nav", [tag("a", name, href=f"#{key}") for key, name, _ in sections], aria_label="contents"),
            tag("main", [tag("section", tag("h2", name), content, id=key) for key, name, content in sections]),
            tag("footer", f"Written by gankit {__version__} on {datetime.now():%Y-%m-%d %H:%M}. {READING}"),
        ]
        return document(f"{self.recipe.name} · gankit study", body)

    def header(self) -> Markup:
        """The question, its source, and what limits the answer: scale, data set, seeds, machine."""
        plan = self.study.plan
        first = next((records[0] for records in self.records.values() if records), None)
        done = sum(made.status == "done" for made in self.study.made)
        facts = [("scale", plan.name)]
        if first is not None:
            sides = [first.section("spec").get(name) for name in ("channels", "size", "width")]
            shape = " x ".join(str(side) for side in sides if side is not None)
            facts += [("data set", f"{first.section('data').get('data')}, {shape}")]
        facts += [("seeds", str(self.study.seeds)), ("runs", f"{done} of {len(self.study.made)} done")]
        facts += self._machine(first) if first is not None else []
        rows = [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts]
        says = plan.scale.says or "Nothing is said of what this scale does to a verdict."
        return tag(
            "header",
            tag("p", f"gankit study {self.recipe.name}", class_="brand"),
            tag("h1", self.recipe.question),
            tag("p", "Source: ", self.recipe.source),
            tag("article", tag("p", tag("b", f"At scale {plan.name}: "), says), tag("dl", rows), class_="card"),
        )

    def _machine(self, record: Record) -> list[tuple[str, str]]:
        where, train = record.environment, record.section("train")
        device = where.get("gpu") if str(train.get("device")).startswith("cuda") else where.get("processor")
        threads = train.get("threads")
        used = f"{device}, {threads} thread{'s' * (threads != 1)} a run"
        return [("machine", used), ("versions", f"gankit {where.get('gankit')}, torch {where.get('torch')}")]

    def claims(self) -> Child:
        """The table of claims, and how a verdict comes about."""
        if not self.study.verdicts:
            return tag("p", "The recipe makes no claims.", class_="missing")
        table = tag("div", claims_table(self.study.verdicts), class_="scroll")
        return [table, tag("p", RULE, class_="protocol")]

    def curves(self) -> Child:
        """The recipe's panels."""
        curves = Curves(self.records)
        found = [figure for panel in self.recipe.panels for figure in curves.drawn(panel)]
        return tag("div", found, class_="panels") if found else None

    def pictures(self) -> Child:
        """The recipe's pictures, each of the first seed of every cell that has it, side by side."""
        found = []
        for wanted in self.recipe.pictures:
            names = [name for name in self.names if matches(name, wanted.of)]
            shown = [self._picture(wanted, self.names.index(name), self.runs[name][0]) for name in names]
            wide = any(each for _, each in shown)
            figures = tag("div", [figure for figure, _ in shown], class_="cells wide" if wide else "cells")
            says = tag("p", wanted.says or KINDS[wanted.kind][0], class_="protocol")
            found.append(tag("section", tag("h3", wanted.title), says, figures))
        return found

    def _picture(self, wanted: Picture, cell: int, made: Made) -> tuple[Markup, bool]:
        """(the picture of a run with its caption, whether it is a wide one)."""
        caption = tag("figcaption", tables.swatch(cell), f"{made.cell}, seed {made.seed}")
        lacks = made.lacking.get(wanted.title, "There is none.")
        if wanted.title in made.pictures:
            path = made.root / made.pictures[wanted.title]
            try:
                with Image.open(path, formats=("PNG",)) as image:
                    width, height = image.size
                source = self._source(path, wanted, cell, (width, height))
                image_ = tag("img", src=source, alt=f"{wanted.title} of {made.cell}", loading="lazy")
                return tag("figure", image_, caption), width > WIDE * height
            except UNREADABLE:
                lacks = f"{path.name} cannot be read"
        return tag("figure", tag("p", lacks, class_="missing"), caption), False

    def _source(self, path: Path, wanted: Picture, cell: int, whole: tuple[int, int]) -> str:
        """The picture as a data address: of samples as many as fit, of a picture whose places have a meaning all."""
        spec = next((records[0] for records in [self.records[self.names[cell]]] if records), None)
        height = spec.section("spec").get("size") if spec else None
        width = spec.section("spec").get("width", height) if spec else None
        if wanted.kind in PARTS and isinstance(width, int) and isinstance(height, int):
            return picture(path, width, height)
        return picture(path, *whole, side=2 * SIDE)

    def figures(self) -> Child:
        """Mean and standard deviation of each figure over the seeds of each cell."""
        figures, found = self.study.figures, []
        alone = {each.name: figures[each.name] for each in self.recipe.figures if each.name in figures}
        if alone:
            found.append(self._table(alone))
        for figure in self.recipe.figures:
            of = [name for name in figures if name != figure.name and self.study.figure_of(name) is figure]
            if of:
                parts = {name.removeprefix(f"{figure.name} "): figures[name] for name in of}
                found.append(tag("section", tag("h3", figure.name), self._table(parts)))
        if not found:
            return None
        said = []
        for each in self.recipe.figures:
            how = tag("small", how_measured(each, self.study.plan.scale))
            said.append(tag("div", tag("dt", each.name), tag("dd", f"{each.says} " if each.says else None, how)))
        return [*found, tag("dl", said, class_="says"), self._lacking()]

    def _table(self, figures: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Markup:
        """``figures`` by cell of those cells that have any of them."""
        cells = [name for name in self.names if any(_known(each[name]) for each in figures.values())]
        return self._crossed(list(figures), cells, lambda name, cell: _spread(figures[name][cell]))

    def _lacking(self) -> Child:
        """Which figures and pictures some runs lack, and why."""
        rows = [(made, name, why) for made in self.study.made for name, why in made.lacking.items()]
        if not rows:
            return None
        head = ["cell", "seed", "figure or picture", "why it is lacking"]
        table = tables.table(head, [(None, [made.cell, str(made.seed), name, why]) for made, name, why in rows])
        return tag("details", tag("summary", f"What some runs lack ({len(rows)})"), table)

    def _crossed(self, names: Sequence[str], cells: Sequence[str], text: Callable[[str, str], str]) -> Markup:
        """A table of ``text`` of each of ``names`` in each of ``cells``, whichever way it is the narrower."""
        heads: dict[str, Child] = {name: [tables.swatch(self.names.index(name)), name] for name in cells}
        if len(cells) <= len(names):
            rows: list[tuple[None, list[Child]]] = [(None, [n, *(text(n, cell) for cell in cells)]) for n in names]
            return tables.table(["", *heads.values()], rows, "crossed")
        rows = [(None, [heads[cell], *(text(name, cell) for name in names)]) for cell in cells]
        return tables.table(["", *names], rows, "crossed")

    def options(self) -> Child:
        """In which options the cells differ, as they are here and where that is another value as published; then what
        the scale changed in all of them.
        """
        plan = self.study.plan
        cells = {cell.name: cell for cell in plan.cells}
        names = list(dict.fromkeys(n for name, cell in cells.items() for n in (*plan.published[name], *cell.flags)))

        def text(option: str, name: str) -> str:
            cell = cells[name]
            usual = default(cell.variant, option, cell.flags)
            here, there = cell.flags.get(option, usual), plan.published[name].get(option, usual)
            return tables.shown(here) + (f" (published: {tables.shown(there)})" if here != there else "")

        differ = [option for option in names if len({text(option, name) for name in cells}) > 1]
        same = [(option, text(option, self.names[0])) for option in names if option not in differ]
        found: list[Child] = []
        variants = len({cell.variant for cell in cells.values()}) > 1
        if differ or variants:
            rows = ["variant", *differ] if variants else differ

            def shown(option: str, name: str) -> str:
                return cells[name].variant if option == "variant" else text(option, name)

            found += [tag("h3", "Where the runs differ"), self._crossed(rows, self.names, shown)]
        changed = [(option, value) for option, value in same if "(published: " in value]
        kept = [(option, value) for option, value in same if (option, value) not in changed]
        if changed:
            rows_ = [(None, [*each]) for each in changed]
            found += [tag("h3", f"Changed by scale {plan.name} in every run"), tables.table(["", ""], rows_)]
        if kept:
            table = tables.table(["", ""], [(None, [*each]) for each in kept])
            found.append(tag("details", tag("summary", f"The same as published in every run ({len(kept)})"), table))
        return found

    def ends(self) -> Child:
        """The runs that did not come to their end, with the reason."""
        failed = [made for made in self.study.made if made.status != "done"]
        if not failed:
            return tag("p", f"All {len(self.study.made)} runs came to their end.", class_="healthy")
        rows = [(None, [made.cell, str(made.seed), made.status, made.reason]) for made in failed]
        return tables.table(["cell", "seed", "", "reason"], rows)

    def commands(self) -> Child:
        """What repeats the study, and each of its runs."""
        found = [tag("pre", self.study.command())]
        for i, (name, lines) in enumerate(self.study.commands().items()):
            summary = tag("summary", tables.swatch(i), name)
            found.append(tag("details", summary, tag("pre", "\n\n".join(lines))))
        return found


def _known(values: Sequence[float | None]) -> bool:
    """Whether a seed has the figure."""
    return any(value is not None for value in values)


def _spread(values: Sequence[float | None]) -> str:
    """The figure of a cell as a table has it."""
    return spread_text(values) if _known(values) else "-"
