"""Every recipe that comes with gankit can be run at each of its scales, and at the smallest is."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from here import Here

import gankit
from gankit.lab.studies.description import described
from gankit.lab.studies.recipe import PAPER, load, read
from gankit.lab.studies.scale import scaled
from gankit.studies import RECIPES

PUBLISHED = (
    "dcgan-vs-wgan-gp", "dcgan-knobs", "update-ratio", "conditional", "cdcgan-vs-cwgan-gp", "dcgan-faces", "wgan-clip",
    "cyclegan-terms", "bigan-probe", "infogan-codes", "fid-race", "vae", "vq-vae", "augmentation",
)  # fmt: skip
GANKIT = (sys.executable, "-c", "from gankit.cli import main; main()")
CASES = [(path, scale) for path in RECIPES for scale in (PAPER, *read(path).scales)]


@pytest.mark.parametrize(("path", "scale"), CASES, ids=[f"{path.stem}-{scale}" for path, scale in CASES])
def test_every_recipe_has_runs_figures_and_claims_that_fit_together_at_each_scale(path, scale):
    plan = scaled(read(path), scale)
    words = described(plan, path.stem)  # which checks all of it
    assert plan.recipe.claims
    assert plan.scale.says
    assert all(claim.says in " ".join(words.split()) for claim in plan.recipe.claims)
    assert all(name in words for name in plan.names)


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_recipe_can_be_run_small(path):
    assert {"ci", "laptop"} <= set(read(path).scales)


def findings(out: Path) -> list[tuple]:
    """What was found of each run, but for figures by the clock; and the bytes of its pictures."""
    runs = json.loads((out / "findings.json").read_text())["runs"]
    found = [tuple(run[name] for name in ("cell", "seed", "status", "figures", "lacking")) for run in runs]
    pictures = sorted(path.relative_to(out) for path in out.glob("*/*/pictures/*.png"))
    return [*found, *((str(path), (out / path).read_bytes()) for path in pictures)]


def recorded(out: Path) -> int:
    """Bytes recorded by the study's runs so far: how far it is."""
    return sum(path.stat().st_size for path in out.glob("*/*/metrics.jsonl"))


def run_until(out: Path, name: str, size: float | None) -> None:
    """Run the study by its command; kill it, and all it started, once its runs have recorded ``size`` bytes."""
    command = [*GANKIT, "study", name, "--scale", "ci", "--out", out, "--jobs", "1", "-q"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        while size is not None and process.poll() is None and recorded(out) < size:
            time.sleep(0.01)
        if size is not None:
            os.killpg(process.pid, signal.SIGKILL)
        _, said = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert size is not None or process.returncode == 0, said.decode()


def test_every_published_study_has_a_recipe():
    assert sorted(PUBLISHED) == sorted(path.stem for path in RECIPES)


@pytest.mark.parametrize("name", [path.stem for path in RECIPES])
def test_a_study_killed_three_times_finds_what_an_uninterrupted_one_does(name, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    study = gankit.study(name, scale="ci", out=whole, threads=1, executor=Here(), quiet=True)
    assert [made.status for made in study.made] == ["done"] * len(study.plan.cells)
    assert study.page.stat().st_size > 10_000
    assert len(study.verdicts) == len(load(name).claims) > 0
    size = recorded(whole)
    for share in sorted(random.uniform(0.05, 0.95) for _ in range(3)):
        run_until(killed, name, share * size)
    run_until(killed, name, None)
    assert findings(killed) == findings(whole)
