"""Whether two runs ended as one: weights, records, pictures."""

from __future__ import annotations

import torch

from gankit.core import checkpoint


def outcome(root):
    """All that must be the same: the final tensors, all that is recorded, the pictures, what is kept."""
    last = sorted((root / "checkpoints").glob("*.pt"))[-1]
    tensors, meta = checkpoint.load(last)
    pictures = {p.name: p.read_bytes() for p in sorted((root / "samples").glob("*.png"))}
    kept = sorted(path.name for path in (root / "checkpoints").glob("*.pt"))
    judged = [
        (root / name).read_bytes()
        for name in ("samples.jsonl", "health.jsonl", "evaluations.jsonl", "checkpoints/index.json")
        if (root / name).exists()
    ]
    return tensors, meta["drawn"], (root / "metrics.jsonl").read_bytes(), pictures, judged, kept


def assert_same(root, other):
    ours, theirs = outcome(root), outcome(other)
    assert ours[0].keys() == theirs[0].keys()
    assert [name for name in ours[0] if not torch.equal(ours[0][name], theirs[0][name])] == []
    assert ours[1:] == theirs[1:]
