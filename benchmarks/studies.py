"""Every installed study on real images with three seeds, and what became of its claims: `make studies`.

The studies lie in runs/studies and go on where they were stopped. Rows go to benchmarks/studies.csv, where those of the
same recipe are replaced; docs/studies.md is written from it, with a picture of each page's curves and samples where
Chromium is there to draw it. Nothing in it is written by hand.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

import gankit
from gankit.core.files import atomic_write
from gankit.lab.studies.claims import FAILS, HOLDS, OPEN
from gankit.lab.studies.recipe import load
from gankit.report.records import timing
from gankit.runs.folder import processor
from gankit.studies import RECIPES

ROOT = Path(__file__).parent.parent
ROWS, DOCS, PICTURES = ROOT / "benchmarks" / "studies.csv", ROOT / "docs" / "studies.md", ROOT / "docs" / "studies"
COLUMNS = ("recipe", "scale", "data", "seeds", "runs", "minutes", "claim", "published", "measured", "verdict", "why",
           "processor")  # fmt: skip
SHOWN = ("curves", "pictures")
"""The sections of a page that its picture shows; the claims stand beside it as text."""
WIDTH, COLOURS = 1100, 256
Row = dict[str, Any]


@click.command()
@click.argument("recipes", nargs=-1)
@click.option("--scale", default="laptop", show_default=True)
@click.option(
    "--out", default=ROOT / "runs" / "studies", type=click.Path(path_type=Path), help="Where the studies lie."
)
def main(recipes: tuple[str, ...], scale: str, out: Path) -> None:
    """Run RECIPES, by default all that are installed, and write what they found."""
    for name in recipes or [path.stem for path in RECIPES]:
        study = gankit.study(name, scale=scale, out=out / name)
        keep(name, rows_of(study))
        draw(name, study.page)
        print(study)
    write()


def rows_of(study: gankit.Study) -> list[Row]:
    """A row a claim; "minutes": of all steps of all its runs by the clock."""
    seconds = [timing(made.root / "timing.jsonl")[1].values[-1:].sum() for made in study.made]
    about = {
        "recipe": study.recipe.name, "scale": study.plan.name, "seeds": study.seeds, "runs": len(study.made),
        "data": ", ".join(dict.fromkeys(str(cell.flags.get("data", "")) for cell in study.plan.cells)),
        "minutes": f"{sum(seconds) / 60:.1f}", "processor": processor(),
    }  # fmt: skip
    return [{**about, **row} for row in study.table]


def keep(name: str, rows: list[Row]) -> None:
    """Put ``rows`` in the place of those of recipe ``name``."""
    kept = [row for row in read() if row["recipe"] != name]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted([*kept, *rows], key=lambda row: row["recipe"]))
    atomic_write(ROWS, text.getvalue().encode())


def read() -> list[Row]:
    """The rows there are."""
    if not ROWS.exists():
        return []
    with ROWS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def draw(name: str, page: Path) -> None:
    """Keep a picture of the curves and samples of ``page``, where there is a browser to draw it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None or not page.exists():
        return
    text = page.read_text(encoding="utf-8")
    body = re.search(r"<main>(.*)</main>", text, re.DOTALL)
    assert body is not None
    parts = re.split(r'(?=<section id=")', body[1])
    shown = "".join(part for part in parts if any(part.startswith(f'<section id="{name}"') for name in SHOWN))
    head = text[: text.index("<body")]
    with tempfile.TemporaryDirectory() as folder:
        small, png = Path(folder, "page.html"), Path(folder, "page.png")
        small.write_text(f"{head}<body><main>{shown}</main></body></html>", encoding="utf-8")
        size = f"--window-size={WIDTH},9000"
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--hide-scrollbars", size, f"--screenshot={png}", small.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        image = Image.open(png).convert("RGB")
    pixels = np.asarray(image)
    rows = np.flatnonzero((pixels != pixels[-1, -1]).any((1, 2)))
    image = image.crop((0, 0, image.width, int(rows[-1]) + 24)).quantize(COLOURS, Image.Quantize.FASTOCTREE)
    PICTURES.mkdir(exist_ok=True)
    image.save(PICTURES / f"{name}.png", optimize=True)


def write() -> None:
    """Write docs/studies.md from the rows."""
    rows = read()
    names = list(dict.fromkeys(row["recipe"] for row in rows))
    real = [row for row in rows if row["scale"] != "ci"]
    counts = [f"{sum(row['verdict'] == verdict for row in real)} {verdict}" for verdict in (HOLDS, FAILS, OPEN)]
    lines = [
        "# What the published claims came to here",
        "",
        "Written by `benchmarks/studies.py` from its rows and not edited by hand. Nothing was tuned to agree:",
        "the ranges stand in the recipes, and stood there before the runs. [lab.md](lab.md) says what a verdict means.",
        "Each study was run at the scale that its line names, far below the published one: what that does to its",
        "verdicts is said in italics.",
        "",
        f"Of {len(real)} claims: {', '.join(counts)}. What was run at scale ci only is not among them: it",
        "shows that the recipe runs, and nothing else.",
    ]
    for name in names:
        some = [row for row in rows if row["recipe"] == name]
        lines += ["", *section(name, some)]
    atomic_write(DOCS, ("\n".join(lines) + "\n").encode())


def section(name: str, rows: list[Row]) -> list[str]:
    """A study: its question, scale, claims and picture."""
    recipe, first = load(name), rows[0]
    scale = recipe.scale(first["scale"])[1]
    lines = [
        f"## {name}",
        "",
        recipe.question,
        "",
        f"`gankit study {name} --scale {first['scale']} --seeds {first['seeds']}`: {first['runs']} runs on "
        f"{first['data']}, {first['minutes']} minutes of steps in all, one thread each, on {first['processor']}. "
        f"*{scale.says}*",
        "",
        "| claim | published | measured here | verdict |",
        "|---|---|---|---|",
    ]
    for row in rows:
        why = f" ({row['why']})" if row["why"] else ""
        cells = (row["claim"], row["published"], row["measured"], f"**{row['verdict']}**{why}")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if (PICTURES / f"{name}.png").exists():
        lines += ["", f"![Curves and samples of the study {name}](studies/{name}.png)"]
    return lines


if __name__ == "__main__":
    main()
