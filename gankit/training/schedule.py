"""How long a run is, and what its learning rates are on the way."""

from __future__ import annotations

from gankit.config import DEFAULT_EPOCHS, TrainOptions
from gankit.models.interface import Phase


def total_steps(options: TrainOptions, phases: tuple[Phase, ...], images: int) -> int:
    """The number of steps that --steps or --epochs ask for; an epoch is as many real images drawn as there are."""
    if options.steps is not None:
        return options.steps
    wanted = (options.epochs or DEFAULT_EPOCHS) * images
    fixed = [phase.repeat for phase in phases if phase.data]
    if options.same_batch or all(isinstance(repeat, int) for repeat in fixed):
        per_step = 1 if options.same_batch else sum(phase.times(0) for phase in phases if phase.data)
        return max(1, round(wanted / (per_step * options.batch_size)))
    drawn, step = 0, 0
    while drawn * options.batch_size < wanted:
        drawn += sum(phase.times(step) for phase in phases if phase.data)
        step += 1
    return step


def updates(phases: tuple[Phase, ...], steps: int) -> int:
    """How many updates ``steps`` steps have; where repeats change with the step, by those of the first thousand."""
    some = min(steps, 1000)
    return sum(phase.times(step) for phase in phases for step in range(some)) * steps // some


def rate(step: int, steps: int, decay_start: float) -> float:
    """The learning rate's factor at ``step`` (0-based): 1, then falling linearly to 0 just after the last step."""
    start = decay_start * steps
    return 1.0 if step < start or start >= steps else (steps - step) / (steps - start)
