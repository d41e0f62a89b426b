"""Recipes of studies for tests, with tables that a test puts in their place."""

from __future__ import annotations

from pathlib import Path

HEAD = """
question = "Does a wider discriminator make samples worse?"
source = "a test"
"""
BASE = """
[base]
data = "shapes"
size = 8
channels = 1
limit = 40
batch_size = 8
steps = 4
log_every = 2
arch = "mlp"
engine = "eager"
nz = 4
ngf = 2
"""
RUNS = """
[[runs]]
name = "dcgan"
variant = "dcgan"
[runs.matrix]
ndf = [2, 4]

[[runs]]
name = "wgan-gp"
variant = "wgan-gp"
options = { ndf = 2, n_critic = 2 }
"""
SCALES = """
[scales.half]
says = "Half as long."
seeds = 2
times = { steps = 0.5 }
"""
FIGURES = """
[[figures]]
name = "late D loss"
measure = "term"
term = "discriminator/loss or critic/loss"
start = 0.5

[[figures]]
name = "step time"
measure = "seconds per step"
"""
PICTURES = """
[[pictures]]
title = "Samples"
rows = 2
columns = 3
"""
PANELS = """
[[panels]]
title = "D loss"
term = "discriminator/loss or critic/loss"
"""
CLAIMS = """
[[claims]]
says = "D's loss is not below zero"
published = "0.69"
checks = [{ figure = "late D loss", of = "dcgan ndf=2", least = 0 }]
"""
PARTS = {
    "head": HEAD, "base": BASE, "runs": RUNS, "scales": SCALES, "figures": FIGURES, "pictures": PICTURES,
    "panels": PANELS, "claims": CLAIMS,
}  # fmt: skip


def recipe_text(**parts: str) -> str:
    """The small recipe, with ``parts`` in place of its own."""
    assert not set(parts) - set(PARTS)
    return "".join({**PARTS, **parts}.values())


def recipe_file(folder: Path, **parts: str) -> Path:
    """The small recipe as folder/width.toml."""
    path = folder / "width.toml"
    path.write_text(recipe_text(**parts), encoding="utf-8")
    return path
