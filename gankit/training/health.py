"""Health: what the records of a run say about how its training goes. Pure: rows in, events out, no files.

A monitor is handed every recorded row in the order of its steps, and the diversity of samples where some were saved.
It looks at windows of steps, never at one: adversarial losses are noisy. Which checks there are follows from the names
in the rows, so a plugin's variant is watched as far as it names its terms as the built-in ones do.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

WINDOW = 100
"""Steps that a check looks back on."""
SETTLE = 100
"""Steps at the start that no check looks at: every run begins far from balance."""
TINY = 1e-9
EVERY = 10
"""A check is made every so many steps: a condition lasts for hundreds, and sorting a window each step would cost."""


@dataclass(frozen=True)
class Condition:
    """Something that goes wrong in adversarial training. ``collapse``: nothing is learnt while it lasts."""

    name: str
    means: str
    helps: str
    collapse: bool = False


LOSS_AT_ZERO = Condition(
    "discriminator loss at zero",
    "it tells real from generated images without error, so the generator gets nothing to learn from",
    "lower the discriminator's learning rate or its updates a step, give it less to go on (noise on what it sees, "
    "smoothed labels), or train with a critic, which may be as good as it likes",
    collapse=True,
)
LOSS_SPIKES = Condition(
    "discriminator loss with spikes",
    "it jumps to many times its usual value instead of varying little: single updates undo what was learnt",
    "lower the learning rates, take a decay of the mean gradient of 0.5 or less, or larger batches",
)
LARGE_GRADIENTS = Condition(
    "gradient norm over 100",
    "the updates of this network are ruled by its steepest moments, and training may diverge",
    "lower the learning rate of this network, or normalise the discriminator (layer or spectral norm)",
)
VANISHING_GRADIENTS = Condition(
    "vanishing gradient in the first layer",
    "hardly any of the loss reaches this network's first layer, so it has stopped learning",
    "make the discriminator less sure (a lower learning rate), or train with a loss that does not saturate",
)
COLLAPSING = Condition(
    "generator loss falls while samples collapse",
    "the generator wins by drawing ever more alike images: it has found a few that the discriminator lets pass",
    "slow the generator down, let the discriminator do more updates, take larger batches, or train with a critic",
    collapse=True,
)
LOW_DIVERSITY = Condition(
    "low sample diversity",
    "generated images differ far less from one another than real ones do",
    "slow the generator down, take larger batches, or train with a critic; a checkpoint from before may be good",
    collapse=True,
)
SLOPE = Condition(
    "critic slope far from 1",
    "the penalty does not hold the critic to slope 1, so its loss estimates no distance and its gradients mislead",
    "lower the critic's learning rate, or let it do more updates a step",
)
CONDITIONS = (
    LOSS_AT_ZERO, LOSS_SPIKES, LARGE_GRADIENTS, VANISHING_GRADIENTS, COLLAPSING, LOW_DIVERSITY, SLOPE,
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """A condition that starts, or ends, at ``step``. ``of``: what was looked at, as it is recorded; ``seen``: why;
    ``advice``: the variant's own, ``Model.advice``.
    """

    step: int
    condition: Condition
    of: str
    seen: str
    ended: bool = False
    advice: str = ""

    @property
    def helps(self) -> str:
        """What usually helps, with the options of the variant that do it."""
        return self.condition.helps + (f": {self.advice}" if self.advice else "")

    def as_dict(self) -> dict[str, Any]:
        """As health.jsonl holds it."""
        found = {"step": self.step, "condition": self.condition.name, "of": self.of}
        if self.ended:
            return {**found, "ended": True, "seen": self.seen}
        return {**found, "seen": self.seen, "means": self.condition.means, "helps": self.helps}

    def __str__(self) -> str:
        return (
            f"Health: step {self.step}: {self.condition.name} ({self.of}: {self.seen}): {self.condition.means}. "
            f"What usually helps: {self.helps}."
        )


class Check:
    """One condition of one recorded thing, with hysteresis: ``begins`` and ``ends`` leave a band between them."""

    condition: Condition

    def __init__(self, of: str) -> None:
        self.of, self.on = of, False

    def turned(self, step: int, begins: bool, ends: bool, seen: str) -> Iterator[Event]:
        """The event of this step, if the condition starts or ends in it."""
        if begins != self.on and (begins or ends):
            self.on = begins
            yield Event(step, self.condition, self.of, seen, ended=not begins)


class WindowCheck(Check):
    """A check of the last WINDOW values of one quantity."""

    def __init__(self, of: str, names: Sequence[str]) -> None:
        super().__init__(of)
        self.names, self.values = names, deque[float](maxlen=WINDOW)

    def add(self, row: Mapping[str, float]) -> None:
        """Take the quantity, the sum of ``names``, from a row; a phase that rested in this step gives none."""
        if all(name in row for name in self.names):
            self.values.append(math.fsum(row[name] for name in self.names))

    def look(self, step: int) -> Iterator[Event]:
        """Judge the window, which is full."""
        raise NotImplementedError


class LossAtZero(WindowCheck):
    """The adversarial loss of a discriminator, real and fake. One that was ever negative, as a critic's is, has no zero
    to be at.
    """

    condition = LOSS_AT_ZERO
    BEGINS, ENDS = 0.02, 0.1
    signed = False

    def add(self, row: Mapping[str, float]) -> None:
        super().add(row)
        self.signed = self.signed or any(row.get(name, 0) < 0 for name in self.names)

    def look(self, step: int) -> Iterator[Event]:
        if not self.signed:
            mean = math.fsum(self.values) / WINDOW
            yield from self.turned(step, mean < self.BEGINS, mean > self.ENDS, f"{mean:.2g} on average")


class LossSpikes(WindowCheck):
    """A spike lies further from the window's median than TIMES its interquartile range, and than half the median."""

    condition = LOSS_SPIKES
    BEGINS, ENDS, TIMES = 5, 0, 8

    @classmethod
    def limits(cls, values: Iterable[float]) -> tuple[float, float]:
        """(what is usual among ``values``, how far from it a spike lies at least)."""
        low, middle, high = statistics.quantiles(values, n=4)
        return middle, max(cls.TIMES * (high - low), abs(middle) / 2)

    def look(self, step: int) -> Iterator[Event]:
        middle, far = self.limits(self.values)
        spikes = sum(abs(value - middle) > far for value in self.values)
        worst = max(self.values, key=lambda value: abs(value - middle))
        seen = f"{spikes} spikes in {WINDOW} steps, up to {worst:.3g} where {middle:.3g} is usual"
        yield from self.turned(step, spikes >= self.BEGINS, spikes <= self.ENDS, seen)


class LargeGradients(WindowCheck):
    """The median, which a few large steps do not move."""

    condition = LARGE_GRADIENTS
    BEGINS, ENDS = 100, 70

    def look(self, step: int) -> Iterator[Event]:
        median = statistics.median(self.values)
        yield from self.turned(step, median > self.BEGINS, median < self.ENDS, f"{median:.3g} usually")


class VanishingGradients(WindowCheck):
    """Against what the first window saw, 1 at most: how large a gradient is depends on the loss and the networks."""

    condition = VANISHING_GRADIENTS
    BEGINS, ENDS = 1e-3, 1e-2
    MOST = 1.0
    before: float | None = None

    def look(self, step: int) -> Iterator[Event]:
        median = statistics.median(self.values)
        if self.before is None:
            self.before = min(median, self.MOST)
        share = median / self.before if self.before else 0.0
        begins, ends = share < self.BEGINS or median < TINY, share > self.ENDS and median > 10 * TINY
        yield from self.turned(step, begins, ends, f"{median:.2g} usually, {self.before:.2g} at first")


class Slope(WindowCheck):
    """The critic's mean slope between real and generated images. A lower one counts only where the penalty minds it."""

    condition = SLOPE
    LOW, HIGH = (0.5, 0.6), (2.0, 1.7)
    MINDED = 0.1

    def __init__(self, of: str, names: Sequence[str], penalty: str) -> None:
        super().__init__(of, names)
        self.penalty, self.penalties = penalty, deque[float](maxlen=WINDOW)

    def add(self, row: Mapping[str, float]) -> None:
        super().add(row)
        if self.penalty in row:
            self.penalties.append(row[self.penalty])

    def look(self, step: int) -> Iterator[Event]:
        mean = math.fsum(self.values) / WINDOW
        minded = bool(self.penalties) and math.fsum(self.penalties) / len(self.penalties) > self.MINDED
        begins = mean > self.HIGH[0] or (minded and mean < self.LOW[0])
        ends = mean < self.HIGH[1] and (mean > self.LOW[1] or not minded)
        yield from self.turned(step, begins, ends, f"{mean:.2g} on average")


class LowDiversity(Check):
    """Of two sets of samples in a row, and not while it rises: a generator that starts draws all alike, so one that was
    never better is given more time, and a lower limit, than one that was.
    """

    condition = LOW_DIVERSITY
    NEVER, BETTER, ONCE, RISING = 0.1, 0.6, 0.3, 1.1
    BAND, YOUNG = 1.5, 500

    def __init__(self) -> None:
        super().__init__("samples")
        self.last: float | None = None
        self.best = 0.0

    def look(self, step: int, diversity: float) -> Iterator[Event]:
        """Judge the ``diversity`` of the samples saved at ``step``."""
        self.best = max(self.best, diversity)
        once = self.best > self.BETTER
        limit = self.ONCE if once else self.NEVER
        last, self.last = self.last, diversity
        low = last is not None and max(last, diversity) < limit and diversity < self.RISING * max(last, TINY)
        begins = low and (once or step > self.YOUNG)
        seen = f"{diversity:.2g} of the real images' mean distance"
        yield from self.turned(step, begins, diversity > self.BAND * limit, seen)


class Collapsing(Check):
    """The generator's loss is below that of both earlier sets of samples, and their diversity fell by half."""

    condition = COLLAPSING
    FALL, ENDS, LOW = 0.5, 0.8, 0.5
    LOSS = "generator/loss"

    def __init__(self) -> None:
        super().__init__(self.LOSS)
        self.values = deque[float](maxlen=WINDOW)
        self.earlier = deque[float](maxlen=2)
        self.best = 0.0

    def add(self, row: Mapping[str, float]) -> None:
        """Take the loss from a row."""
        if self.LOSS in row:
            self.values.append(row[self.LOSS])

    def look(self, step: int, diversity: float) -> Iterator[Event]:
        """Judge the ``diversity`` of the samples saved at ``step`` with the losses up to it."""
        if not self.values:
            return
        self.best = max(self.best, diversity)
        loss = math.fsum(self.values) / len(self.values)
        falls = len(self.earlier) == 2 and loss < min(self.earlier)
        alike = diversity < self.FALL * self.best and diversity < self.LOW
        seen = f"{loss:.3g} on average; diversity {diversity:.2g}, was {self.best:.2g}"
        yield from self.turned(step, falls and alike, diversity > self.ENDS * self.best, seen)
        self.earlier.append(loss)


class Monitor:
    """The state of all checks; a function of the rows and samples it was handed, in their order.

    ``advice``: the model's, by the condition's name.
    """

    FEWEST = 8
    """Samples from which their diversity can be judged."""

    def __init__(self, advice: Mapping[str, str] = MappingProxyType({})) -> None:
        self.advice = advice
        self.checks: list[WindowCheck] = []
        self.collapsing, self.diversity = Collapsing(), LowDiversity()
        self._seen: set[str] = set()

    def row(self, row: Mapping[str, Any]) -> list[Event]:
        """What starts or ends with this recorded row: "step", then numbers by "phase/term"."""
        if row["step"] <= SETTLE:
            return []
        if new := [name for name in row if name not in self._seen]:
            self._seen.update(new)
            self.checks += checks(new)
        self.collapsing.add(row)
        for check in self.checks:
            check.add(row)
        if row["step"] % EVERY:
            return []
        full = (check for check in self.checks if len(check.values) == WINDOW)
        return self._advised(event for check in full for event in check.look(row["step"]))

    def samples(self, step: int, diversity: float, images: int) -> list[Event]:
        """What starts or ends with the ``images`` samples saved at ``step``, after that step's row.

        ``diversity``: their mean distance from one another, over that of real images.
        """
        if step <= SETTLE or images < self.FEWEST:
            return []
        return self._advised((*self.collapsing.look(step, diversity), *self.diversity.look(step, diversity)))

    def _advised(self, events: Iterable[Event]) -> list[Event]:
        return [replace(event, advice=self.advice.get(event.condition.name, "")) for event in events]


def checks(names: Sequence[str]) -> list[WindowCheck]:
    """The checks that the recorded ``names``, "phase/term", ask for."""
    found: list[WindowCheck] = []
    for name in names:
        phase, _, term = name.partition("/")
        if phase == "discriminator" and (term == "real" or term.startswith("real ")):
            fake = "fake" + term.removeprefix("real")
            if f"{phase}/{fake}" in names:
                found.append(LossAtZero(f"{name} + {fake}", (name, f"{phase}/{fake}")))
        elif term == "loss" and phase in ("discriminator", "critic"):
            found.append(LossSpikes(name, (name,)))
        elif term.startswith("grad norm "):
            found.append(LargeGradients(name, (name,)))
        elif term.startswith("first layer grad norm "):
            found.append(VanishingGradients(name, (name,)))
        elif term == "slope":
            found.append(Slope(name, (name,), f"{phase}/penalty"))
    return found
