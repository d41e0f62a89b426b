"""RandomStream docs/steps.png from benchmarks/steps.csv: `make bench-steps`. Needs matplotlib."""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parent.parent
Run = tuple[str, int]
ROUNDS = 3


def whole_times() -> dict[Run, dict[str, list[float]]]:
    """Seconds by the whole clock: by workload and steps, then by loop, precision and workers. Of each workload the last
    day's runs, and of each loop the last rounds: earlier ones are of earlier code.
    """
    found: dict[Run, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (ROOT / "benchmarks" / "steps.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    last = {row["workload"]: row["date"] for row in sorted(rows, key=lambda row: row["date"])}
    for row in rows:
        if row["date"] < last[row["workload"]]:
            continue
        loop = row["loop"] + (" bf16" if row["precision"] == "bf16" else "")
        loop += f" {row['workers']} workers" if row["workers"] != "0" else ""
        found[row["workload"], int(row["steps"])][loop].append(float(row["whole_s"]))
    return {run: {loop: times[-ROUNDS:] for loop, times in loops.items()} for run, loops in found.items()}


def main() -> None:
    """One panel for each workload and length: how many times as fast as the textbook's loop, by the whole clock."""
    runs = whole_times()
    figure, axes = plt.subplots(len(runs), 1, figsize=(9, 0.6 + 1.9 * len(runs)), squeeze=False)
    for axis, ((workload, steps), loops) in zip(axes.flat, runs.items(), strict=True):
        base = statistics.median(loops["textbook"])
        names = list(loops)
        for i, name in enumerate(names):
            ratios = [base / seconds for seconds in loops[name]]
            axis.barh(i, statistics.median(ratios), color="tab:blue" if name.startswith("gankit") else "lightgrey")
            axis.plot(ratios, [i] * len(ratios), "k.", markersize=4)
        axis.axvline(1, color="grey", linewidth=0.5)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.invert_yaxis()
        count = max(len(times) for times in loops.values())
        axis.set_title(f"{workload}, {steps} steps, up to {count} runs each", fontsize=9)
    axes.flat[-1].set_xlabel("times as fast as the textbook's loop, start and compiling included (dots: single runs)")
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "steps.png", dpi=100)


if __name__ == "__main__":
    main()
