"""Run folders as a training leaves them, without the training."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

PROTOCOL = {
    "extractor": None, "weights": None, "resize": None, "settings": {}, "data": "shapes", "split": "train",
    "images": "d" * 32, "size": 8, "channels": 1, "real": 400, "fake": 200, "seed": 0, "averaged": False,
    "class shares": None, "gankit": "0.1.0",
}  # fmt: skip


def made_run(
    root, scores=(), *, seed=0, steps=100, planned=None, variant="dcgan", metric="fid", better="lower", protocol=(),
    pace=0.01, loss=1.0, train=(), data=(), environment=(), events=(), grid=True, **options,
):  # fmt: skip
    """``scores``: [(step, value)]; ``pace``: seconds a step, of 16 images; ``loss``: of the discriminator, in waves."""
    (root / "samples").mkdir(parents=True)
    training = {"steps": planned or steps, "batch_size": 16, "seed": seed, "device": "cpu", "threads": 1, **dict(train)}
    config = {"variant": variant, "data": {"data": "shapes", **dict(data)}, "train": training}
    config |= {"options": {"lr_g": 1e-3, **options}, "images": "d" * 32, "spec": {"size": 8, "channels": 1}}
    (root / "config.json").write_text(json.dumps(config))
    place = {"processor": "AMD EPYC", "cores": 2, "gpu": None, "torch": "2.13.0", **dict(environment)}
    (root / "environment.json").write_text(json.dumps(place))
    rows = [
        {"step": step, "discriminator/real": loss / 2 + 0.1 * np.sin(step), "discriminator/fake": loss / 2}
        | {"discriminator/loss": loss + 0.1 * np.sin(step), "discriminator/D(x)": 0.6}
        | {"generator/adversarial": 0.7 + seed / 10, "generator/loss": 0.7 + seed / 10}
        for step in range(1, steps + 1)
    ]
    write(root / "metrics.jsonl", rows)
    timing = {"seconds per step": pace, "images per second": 16 / pace}
    write(root / "timing.jsonl", [{"step": step, **timing} for step in range(10, steps + 1, 10)])
    write(root / "health.jsonl", events)
    add_scores(root, scores, metric, better, protocol)
    if grid:
        pixels = np.random.default_rng(seed).integers(0, 255, (38, 38), np.uint8)
        Image.fromarray(pixels).save(root / "samples" / f"{steps:06d}.png")
    return root


def add_scores(root, scores, metric="fid", better="lower", protocol=(), by="training"):
    """More lines for the evaluations.jsonl of a run."""
    lines = [
        {"metric": metric, "value": value, "better": better, "protocol": {**PROTOCOL, **dict(protocol)}, "step": step}
        | {"by": by}
        for step, value in scores
    ]
    write(root / "evaluations.jsonl", lines, "a")


def write(path, rows, mode="w"):
    with path.open(mode) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
