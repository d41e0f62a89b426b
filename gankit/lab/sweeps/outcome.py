"""What became of a sweep, from its folder alone: each cell's status, the run folders, and a table of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from gankit.core import files
from gankit.evaluation.evaluate import recorded
from gankit.lab.sweeps.cells import Cell
from gankit.lab.sweeps.plan import Plan
from gankit.lab.sweeps.worker import After, figures_made, finished
from gankit.report.markup import Markup, tag
from gankit.runs.folder import RunFolder

FAILURES = "failures.jsonl"


@dataclass(frozen=True)
class Result:
    """What became of a cell. ``status``: "done", "failed", "stopped" (begun), or "waiting"; ``diverged``: it failed
    because a loss was not finite; ``seconds``: what it took, 0 where it was done before.
    """

    cell: Cell
    status: str
    reason: str = ""
    seconds: float = 0.0
    diverged: bool = False


@dataclass(frozen=True)
class Results:
    """What became of all cells of a sweep, in their order."""

    results: tuple[Result, ...]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def of(self, status: str) -> list[Result]:
        """Those of ``status``."""
        return [result for result in self.results if result.status == status]


def on_disk(out: Path, cell: Cell, after: After | None) -> Result:
    """How far ``cell`` is by what lies on the disk."""
    root = out / cell.folder
    if finished(root) and figures_made(root, after):
        return Result(cell, "done")
    return Result(cell, "stopped" if (root / "config.json").exists() else "waiting")


def failed_before(cell: Cell, line: Mapping[str, Any]) -> Result:
    """The result that a line of failures.jsonl tells of."""
    return Result(cell, "failed", str(line.get("reason", "")), diverged=line.get("diverged") is True)


def recorded_failures(out: Path) -> dict[str, dict[str, Any]]:
    """The lines of failures.jsonl, by the folder of their cell."""
    return {str(line.get("folder")): line for line in files.read_lines(out / FAILURES)}


class Sweep:
    """A sweep as its folder holds it: its cells, what became of each, and a table of them that notebooks show."""

    def __init__(self, out: str | Path, results: Results | None = None) -> None:
        """``results``: of the training that just ended. UsageError where ``out`` holds no sweep."""
        self.out = Path(out)
        self.plan = Plan.read(self.out)
        failures = recorded_failures(self.out)
        self.results = results or Results(
            tuple(
                failed_before(cell, failures[cell.folder]) if cell.folder in failures else on_disk(self.out, cell, None)
                for cell in self.plan.cells
            )
        )

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells as they were asked for."""
        return self.plan.cells

    @property
    def runs(self) -> list[RunFolder]:
        """The run folders of the cells that are done, in the cells' order."""
        return [RunFolder(self.out / result.cell.folder) for result in self.results.of("done")]

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each cell over its seeds: "cell", "seeds", "done", "failed", and "metric" with "score", the mean of
        the last scores that the trainings took, None where they took none.
        """
        rows = []
        for name in dict.fromkeys(cell.name for cell in self.cells):
            some = [result for result in self.results if result.cell.name == name]
            done = [result for result in some if result.status == "done"]
            metric, score = self._score([result.cell for result in done])
            failed = sum(result.status == "failed" for result in some)
            rows.append(
                {
                    "cell": name,
                    "seeds": len(some),
                    "done": len(done),
                    "failed": failed,
                    "metric": metric,
                    "score": score,
                }
            )
        return rows

    def _score(self, cells: Sequence[Cell]) -> tuple[str | None, float | None]:
        last = [scores for cell in cells if (scores := _last_scores(RunFolder(self.out / cell.folder)))]
        if not last:
            return None, None
        metric = next(iter(last[0]))
        values = [scores[metric] for scores in last if metric in scores]
        return metric, mean(values)

    def __str__(self) -> str:
        head, *rows = self._texts()
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        )

    def _repr_html_(self) -> str:
        head, *rows = self._texts()
        lines: list[Markup] = [tag("tr", [tag("td", text) for text in row]) for row in rows]
        return tag("table", tag("thead", tag("tr", [tag("th", text) for text in head])), tag("tbody", lines))

    def _texts(self) -> list[list[str]]:
        """The table as text, its head first; scores only where there are any."""
        table = self.table
        head = ["cell", "done", "failed"] + ["last score"] * any(row["score"] is not None for row in table)
        rows = [[row["cell"], f"{row['done']} of {row['seeds']}", str(row["failed"])] for row in table]
        if len(head) > 3:
            for text, row in zip(rows, table, strict=True):
                text.append("" if row["score"] is None else f"{row['metric']} {row['score']:.4g}")
        return [head, *rows]


def _last_scores(run: RunFolder) -> dict[str, float]:
    """The scores that the training took last, by metric."""
    scores = [score for score in recorded(run) if score.by == "training"]
    return {score.metric: score.value for score in scores if score.step == scores[-1].step}


def read_sweep(out: str | Path) -> Sweep:
    """The sweep in folder ``out``, run or running. UsageError where it holds none."""
    return Sweep(out)
