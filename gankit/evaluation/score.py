"""A score with its protocol: how it was measured. Two scores are comparable where only their samples differ."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gankit.core.errors import DamagedFile, UsageError

PROTOCOL = (
    "extractor", "weights", "resize", "settings", "data", "split", "images", "size", "channels", "real", "fake",
    "seed", "averaged", "class shares", "gankit",
)  # fmt: skip
"""What decides a score, besides the samples. extractor, weights, resize: the network, its digest and the filter it has
images resized by, None where pixels are judged; settings: the metric's constants; data, split, images: the real images
and their digest; size, channels: their shape; real, fake: how many of each; seed: of the latents, or of a choice among
files; averaged: whether the latents went through the moving average's weights, None where the samples are files; class
shares: how often each class is among a conditional model's samples, "data" or "even", None elsewhere and in scores of
older versions, whose samples were of all classes alike; gankit: its version.
"""


@dataclass(frozen=True)
class Score:
    """``value`` of ``metric`` for ``subject``, a run folder or files, at ``step`` of its training if it is a run.

    ``by``: "training" or "evaluate", who asked for it. ``note``: what a person must know to read it. Where a model maps
    images in several directions, ``metric`` ends in that of the samples: "swd a2b".
    """

    metric: str
    value: float
    better: str
    protocol: Mapping[str, Any]
    subject: str = ""
    step: int | None = None
    by: str = "evaluate"
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as a line of evaluations.jsonl holds them; the subject is the run that the file is in. A value
        that is not finite is None, because JSON has no word for it.
        """
        values = {**dataclasses.asdict(self), "protocol": dict(self.protocol)}
        values["value"] = self.value if self.finite else None
        del values["subject"]
        if not self.note:
            del values["note"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], subject: str = "") -> Score:
        """The score of a line of evaluations.jsonl. DamagedFile where it is none."""
        try:
            value = math.nan if values["value"] is None else float(values["value"])
            return cls(**{**values, "value": value, "protocol": dict(values["protocol"])}, subject=subject)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFile(f"{subject}: a line of its evaluations.jsonl is not what gankit writes") from error

    @property
    def finite(self) -> bool:
        """Whether the value is a finite number."""
        return math.isfinite(self.value)

    def beats(self, other: Score) -> bool:
        """Whether this score is better; one that is not finite never is. UsageError where they cannot be compared."""
        if found := differences(self, other):
            raise UsageError(f"{self.metric}: scores of different protocols cannot be compared: {'; '.join(found)}")
        if not (self.finite and other.finite):
            return self.finite
        return self.value < other.value if self.better == "lower" else self.value > other.value


def differences(one: Score, other: Score) -> list[str]:
    """In what the protocols of two scores differ, in words; [] where they can be compared."""
    if one.metric != other.metric:
        return [f"metric {one.metric}, {other.metric}"]
    pairs = zip(PROTOCOL, compared(one.protocol), compared(other.protocol), strict=True)
    return [f"{name} {_short(a)}, {_short(b)}" for name, a, b in pairs if a != b]


def compared(protocol: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of PROTOCOL by which two scores are comparable or not: equal where they are.

    A model that nobody asks for classes draws them as it has learned them, so its samples stand beside those of a
    conditional model with the data's shares. What has no entry at all is of an older version: see PROTOCOL.
    """
    asked = {**protocol, "class shares": "data"} if protocol.get("class shares", "") is None else protocol
    return tuple(asked.get(name) for name in PROTOCOL)


def table(scores: Sequence[Score]) -> list[str]:
    """Lines for a person: a metric a line and, under it, why scores that differ in protocol cannot be compared."""
    lines = []
    width = max((len(score.metric) for score in scores), default=0)
    for name in dict.fromkeys(score.metric for score in scores):
        some = [score for score in scores if score.metric == name]
        for score in some:
            at = "" if score.step is None else f" at step {score.step}"
            lines.append(f"{name:<{width}}  {score.value:<10.6g}  {score.subject}{at}  ({score.better} is better)")
            if score.note:
                lines.append(f"  note: {score.note}")
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
    shares = {"data": ", classes as in the data", "even": ", all classes alike"}.get(
        str(protocol.get("class shares")), ""
    )
    real = "statistics" if protocol["real"] is None else str(protocol["real"])
    split = "" if protocol["split"] is None else f" {protocol['split']}"
    size = protocol["size"]
    shape = f"{protocol['channels']}x{size}" + ("" if "x" in str(size) else f"x{size}")
    return (
        f"{protocol['fake']} samples{seed}{source}{shares}, against {real} of {protocol['data']}"
        f"{split} ({_short(protocol['images'])}) at {shape}, {by}; gankit {protocol['gankit']}"
    )


def _short(value: Any) -> str:
    """A value for one line; of a digest the first 8 digits."""
    text = str(value)
    return text[:8] if len(text) >= 32 and all(c in "0123456789abcdef" for c in text) else text
