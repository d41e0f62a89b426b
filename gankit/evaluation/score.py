"""A score with its protocol: how it was measured. Two scores are comparable where only their samples differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gankit.core.errors import DamagedFile, UsageError

PROTOCOL = (
    "extractor", "weights", "resize", "settings", "data", "split", "images", "size", "channels", "real", "fake",
    "seed", "averaged", "gankit",
)  # fmt: skip
"""What decides a score, besides the samples. extractor, weights, resize: the network, its digest and the filter it has
images resized by, None where pixels are judged; settings: the metric's constants; data, split, images: the real images
and their digest; size, channels: their shape; real, fake: how many of each; seed: of the latents, and averaged: whether
they went through the moving average's weights, both None where the samples are files; gankit: its version.
"""


@dataclass(frozen=True)
class Score:
    """``value`` of ``metric`` for ``subject``, a run folder or files, at ``step`` of its training if it is a run.

    ``by``: "training" or "evaluate", who asked for it.
    """

    metric: str
    value: float
    better: str
    protocol: Mapping[str, Any]
    subject: str = ""
    step: int | None = None
    by: str = "evaluate"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as a line of evaluations.jsonl holds them; the subject is the run that the file is in."""
        values = {**dataclasses.asdict(self), "protocol": dict(self.protocol)}
        del values["subject"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], subject: str = "") -> Score:
        """The score of a line of evaluations.jsonl. DamagedFile where it is none."""
        try:
            return cls(**values, subject=subject)
        except TypeError as error:
            raise DamagedFile(f"{subject}: a line of its evaluations.jsonl is not what gankit writes") from error

    def beats(self, other: Score) -> bool:
        """Whether this score is better. UsageError where the two cannot be compared."""
        if found := differences(self, other):
            raise UsageError(f"{self.metric}: scores of different protocols cannot be compared: {'; '.join(found)}")
        return self.value < other.value if self.better == "lower" else self.value > other.value


def differences(one: Score, other: Score) -> list[str]:
    """In what the protocols of two scores differ, in words; [] where they can be compared."""
    if one.metric != other.metric:
        return [f"metric {one.metric}, {other.metric}"]
    pairs = ((name, one.protocol.get(name), other.protocol.get(name)) for name in PROTOCOL)
    return [f"{name} {_short(a)}, {_short(b)}" for name, a, b in pairs if a != b]


def table(scores: Sequence[Score]) -> list[str]:
    """Lines for a person: a metric a line and, under it, why scores that differ in protocol cannot be compared."""
    lines = []
    width = max(len(score.metric) for score in scores)
    for name in dict.fromkeys(score.metric for score in scores):
        some = [score for score in scores if score.metric == name]
        for score in some:
            at = "" if score.step is None else f" at step {score.step}"
            lines.append(f"{name:<{width}}  {score.value:<10.6g}  {score.subject}{at}  ({score.better} is better)")
        for score in some[1:]:
            if found := differences(some[0], score):
                lines.append(f"  not to be compared: {some[0].subject}, {score.subject}: {'; '.join(found)}")
    for protocol in dict.fromkeys(described(score.protocol) for score in scores):
        lines.append(protocol)
    return lines


def described(protocol: Mapping[str, Any]) -> str:
    """A protocol in one line, but for the metric's constants."""
    by = "by pixels"
    if protocol["extractor"] is not None:
        by = f"by {protocol['extractor']} {_short(protocol['weights'])}, resize {protocol['resize']}"
    source = {True: ", averaged weights", False: ", weights not averaged", None: ""}[protocol["averaged"]]
    seed = "" if protocol["seed"] is None else f", seed {protocol['seed']}"
    size = protocol["size"]
    shape = f"{protocol['channels']}x{size}" + ("" if "x" in str(size) else f"x{size}")
    return (
        f"{protocol['fake']} samples{seed}{source}, against {protocol['real']} of {protocol['data']} "
        f"{protocol['split']} ({_short(protocol['images'])}) at {shape}, {by}; gankit {protocol['gankit']}"
    )


def _short(value: Any) -> str:
    """A value for one line; of a digest the first 8 digits."""
    text = str(value)
    return text[:8] if len(text) >= 32 and all(c in "0123456789abcdef" for c in text) else text
