"""RandomStream docs/kernels.png from benchmarks/kernels.csv: `make plot`. Needs matplotlib."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parent.parent
Key = tuple[str, str]


def quiet(row: dict[str, str]) -> float:
    """The bandwidth that a plain copy reached in the same run."""
    return float(row["copy_gb_per_s"])


def steadiest() -> list[dict[str, str]]:
    """Of the float32 measurements of one thing, the one whose copy was fastest: the machine was least disturbed."""
    best: dict[tuple[str, ...], dict[str, str]] = {}
    with (ROOT / "benchmarks" / "kernels.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = row["op"], row["way"], row["shape"].split(" [")[0][:1], row["megabytes"], row["device"]
            if row["type"] == "fp32" and (key not in best or quiet(row) > quiet(best[key])):
                best[key] = row
    return list(best.values())


def main() -> None:
    """One panel for each op and way: times as fast as eager PyTorch and torch.compile over the tensors' size."""
    latest = steadiest()
    panels: dict[Key, list[dict[str, str]]] = defaultdict(list)
    for row in latest:
        pairs = f" ({row['shape'][0]} pairs)" if row["op"] == "l1_terms" else ""
        panels[row["op"] + pairs, row["way"]].append(row)
    columns = 3
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(12, 3 * lines), squeeze=False, sharex=True)
    for axis, ((op, way), rows) in zip(axes.flat, sorted(panels.items()), strict=False):
        rows.sort(key=lambda row: float(row["megabytes"]))
        sizes = [float(row["megabytes"]) for row in rows]
        for name, colour in (("eager", "tab:blue"), ("compile", "tab:orange"), ("lerp", "tab:green")):
            ratios = [float(row[f"vs_{name}"]) for row in rows]
            if any(ratios):
                axis.plot(sizes, ratios, "o-", color=colour, label=f"vs {name}")
        axis.plot(sizes, [float(row["copy_share"]) for row in rows], "k--", label="share of copy bandwidth")
        axis.axhline(1, color="grey", linewidth=0.5)
        axis.set(title=f"{op}: {way}", xscale="log", yscale="log", xlabel="MiB of a tensor", ylabel="times as fast")
        axis.legend(fontsize=7)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    some = latest[0]
    figure.suptitle(
        f"{some['device']}, {some['threads']} threads, {some['simd']}, torch {some['torch']}, fp32", fontsize=10
    )
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "kernels.png", dpi=100)


if __name__ == "__main__":
    main()
