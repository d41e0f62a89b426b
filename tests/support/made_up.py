"""A run folder written out by hand: what a test says was recorded, and a configuration that fits."""

from __future__ import annotations

import json

import gankit
from gankit.config import configure
from gankit.core.types import Spec

PROTOCOL = {"extractor": "classifier", "fake": 100, "real": 200, "gankit": "0"}


def made_up_run(root, rows=(), *, variant="dcgan", count=100, legs=(), files=None, **flags):
    """The run folder ``root`` whose metrics.jsonl holds ``rows``, and each of ``files`` (by its name without .jsonl)
    the lines given; ``flags`` are those that it was trained with, ``count`` is the number of its images.
    """
    root.mkdir(parents=True)
    config = configure(variant, {"steps": len(rows) or 1, "batch_size": 10, **flags})
    recorded = {"spec": Spec(1, 8, 3, count, names=("a", "b", "c")).as_dict(), "images given": False, "machine": {}}
    if legs:
        recorded["legs"] = list(legs)
    (root / "config.json").write_text(json.dumps({**config.as_dict(), **recorded}))
    (root / "checkpoints").mkdir()
    for name, lines in {"metrics": rows, **(files or {})}.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return gankit.Run(root)


def steps(**terms):
    """Rows of metrics.jsonl: of each term (its phase and name joined by two underscores) the values step by step."""
    named = {name.replace("__", "/"): values for name, values in terms.items()}
    length = max(map(len, named.values()))
    return [
        {"step": i + 1, **{name: values[i] for name, values in named.items() if i < len(values)}} for i in range(length)
    ]


def score(step, value, metric="fid", better="lower", by="training", **protocol):
    """A line of evaluations.jsonl."""
    whole = {**PROTOCOL, **protocol}
    return {"metric": metric, "value": value, "better": better, "protocol": whole, "step": step, "by": by}


def timed(step, seconds, images_a_step):
    """A line of timing.jsonl: ``seconds`` a step since the one before, ``images_a_step`` on average so far."""
    return {"step": step, "seconds per step": seconds, "images per second": images_a_step / seconds}
