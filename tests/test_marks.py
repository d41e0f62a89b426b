"""`make marks` in short: every variant learns something on drawn shapes, by the same code and the same measures."""

from __future__ import annotations

from dataclasses import replace

import marks
import pytest

SHAPES = {
    "data": "shapes", "size": 12, "channels": 1, "limit": 1200, "precision": "fp32", "epochs": None, "engine": "eager",
    "samples": 4,
}  # fmt: skip
SMALL = {"ngf": 8, "ndf": 16, "nz": 8, "lr_g": 1e-3, "lr_d": 1e-3, "batch_size": 32, "steps": 300}
MLP = {**SMALL, "arch": "mlp", "discriminator_norm": "none"}
SHORT = {
    "gan": MLP,
    "dcgan": SMALL,
    "lsgan": SMALL,
    "wgan": {**MLP, "steps": 100, "warmup": 0},
    "wgan-gp": {**MLP, "steps": 100},
    "cgan": MLP,
    "cdcgan": {**SMALL, "steps": 600},
    "cwgan": {**MLP, "steps": 100, "warmup": 0},
    "cwgan-gp": {**MLP, "steps": 100},
    "acgan": SMALL,
    "infogan": {**SMALL, "categories": 3},
    "bigan": SMALL,
    "vae": {"width": 8, "nz": 8, "steps": 60},
    "vq-vae": {"width": 8, "steps": 60},
}
LEARNT = {"class-balance": 0.75, "class-accuracy": 0.55, "code-purity": 0.5, "same class": 0.5}
"""What an untrained model is far below: 0 where all samples are alike, a third where classes are drawn blindly."""


@pytest.fixture
def quick_classifier(monkeypatch):
    """Shapes are easy: a classifier of theirs needs fewer steps than one of clothes."""
    monkeypatch.setattr("gankit.plugins.extractors.classifier.STEPS", 150)


@pytest.mark.parametrize("variant", list(SHORT))
def test_a_short_training_learns_what_the_mark_measures(variant, tmp_path, quick_classifier):
    task = replace(marks.TASKS[variant], options={})
    row, *probes = marks.measured(variant, task, 0, tmp_path / "run", 600, {**SHAPES, **SHORT[variant]})
    value = float(row["value"])
    assert value <= 0.6 if task.most else value >= LEARNT[task.metric]
    assert [probe["metric"].rpartition(" of ")[2] for probe in probes[::3]] == (
        ["encoder", "untrained encoder", "pixels"] if variant == "bigan" else []
    )
