"""The health of a run in training: what it records is handed to the monitor, and what that says is written down.

health.jsonl is a function of metrics.jsonl and samples.jsonl, so a run that is taken up again makes it anew from them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gankit.core import files
from gankit.core.errors import GankitError
from gankit.core.images import to_uint8
from gankit.core.rng import RandomStream
from gankit.models.interface import Translator
from gankit.runs.folder import RunFolder
from gankit.training.health import Event, Monitor
from gankit.training.trainer import Trainer

TRANSLATED = 16
"""Images of each domain that a model which maps images to images is judged by."""
FEW_PIXELS = 16
"""Height and width at which images are compared: what tells them apart is coarse, and noise is not diversity."""
MOST = 256
"""Images compared with one another: their pairs grow as the square."""


class Collapsed(GankitError):
    """The run's health says that nothing is learnt any more, and it was asked to end then."""

    everywhere = True


class Watch:
    """Hands on to ``note`` each condition that starts. ``collapse``: the first one in which nothing is learnt, if any,
    since this object was made: a run that is taken up again has been told of the earlier ones.
    """

    def __init__(self, run: RunFolder, trainer: Trainer, note: Callable[[str], None]) -> None:
        self.run, self.trainer, self.note = run, trainer, note
        self.monitor = Monitor(trainer.model.advice)
        self.collapse: Event | None = None
        self._real: list[float] | None = None
        lines = [_line(event.as_dict()) + "\n" for event in replay(run, self.monitor)]
        files.atomic_write(run.root / "health.jsonl", "".join(lines).encode())

    def rows(self, rows: list[dict[str, Any]]) -> None:
        """Take the rows of some steps, up to the first with a value that is not finite."""
        for row in rows:
            if not all(map(math.isfinite, row.values())):
                return
            self._tell(self.monitor.row(row))

    def samples(self, saved: Tensor) -> None:
        """Take the images [N,C,H,W] in [-1, 1] saved at a step whose rows were taken, and record their diversity."""
        found = self.diversity(saved)
        if found is None:
            return
        step, diversity, images = self.trainer.done, round(found[0], 4), found[1]
        line = _line({"step": step, "diversity": diversity, "images": images})
        files.append_lines(self.run.root / "samples.jsonl", [line], sync=True)
        self._tell(self.monitor.samples(step, diversity, images))

    def diversity(self, saved: Tensor) -> tuple[float, int] | None:
        """(the mean distance of the samples from one another over that of real images, samples compared).

        Of a model that maps images to images it is the lower one of its directions', on images of the data set; what it
        shows holds sources, too. None where there is too little to compare.
        """
        model = self.trainer.sampling_model
        count = TRANSLATED if isinstance(model, Translator) else len(saved)
        real = self.trainer.images.pick(min(count, MOST), self.trainer.options.seed, self.trainer.spec.sides)
        if isinstance(model, Translator):
            made, targets = translations(self.trainer, model, real.domains), list(reversed(real.domains))
        else:
            made, targets = [saved], [real.images]
        if self._real is None:
            self._real = [spread(to_uint8(target)) for target in targets]
        if count < 2 or not all(self._real):
            return None
        return min(spread(to_uint8(some)) / far for some, far in zip(made, self._real, strict=True)), min(count, MOST)

    def collapsed(self) -> Collapsed:
        """What --stop-on-collapse ends a run with."""
        assert self.collapse is not None
        event, root = self.collapse, self.run.root
        return Collapsed(
            f"stopped after step {self.trainer.done}: {event.condition.name} since step {event.step} ({event.of}: "
            f"{event.seen}); {event.helps}; a checkpoint was written, `gankit resume {root}` goes on from it"
        )

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            if not event.ended:
                self.note(str(event))
                if event.condition.collapse and self.collapse is None:
                    self.collapse = event
        if events:
            files.append_lines(self.run.root / "health.jsonl", [_line(event.as_dict()) for event in events])


def replay(run: RunFolder, monitor: Monitor) -> Iterator[Event]:
    """What ``monitor`` says of all that the run has recorded, which brings it to where the run is."""
    path = run.root / "samples.jsonl"
    samples: dict[int, tuple[float, int]] = {}
    for line in files.lines(path):
        step = files.value_of(line, "step", int, path)
        samples[step] = files.value_of(line, "diversity", float, path), files.value_of(line, "images", int, path)
    path = run.root / "metrics.jsonl"
    for row in files.lines(path):
        step = files.value_of(row, "step", int, path)
        for name in row:
            files.value_of(row, name, float, path)
        yield from monitor.row(row)
        if step in samples:
            yield from monitor.samples(step, *samples[step])


def spread(images: Tensor) -> float:
    """The mean distance of uint8 images [N,C,H,W] from one another, each averaged down to 16 x 16 pixels."""
    height, width = images.shape[2:]
    few = min(FEW_PIXELS, height), min(FEW_PIXELS, width)
    coarse = F.adaptive_avg_pool2d(images[:MOST].double(), few).flatten(1)
    return float(torch.pdist(coarse).mean()) if len(coarse) > 1 else 0.0


@torch.no_grad()
def translations(trainer: Trainer, model: Translator, domains: tuple[Tensor, Tensor]) -> list[Tensor]:
    """What each direction makes of its domain's images [N,C,H,W] in [-1, 1], one by one, as `gankit translate` does."""
    training = model.training
    model.eval()
    try:
        return [
            torch.cat(
                [
                    model.translate(image[None].to(trainer.device, trainer.dtype), way, RandomStream("diversity", i))
                    for i, image in enumerate(source)
                ]
            )
            for way, source in zip(model.directions, domains, strict=True)
        ]
    finally:
        model.train(training)


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, allow_nan=False)
