"""What a user holds of a training: its run folder, and what can be done with the model in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import ParamSpec

from torch import Tensor

from gankit.inference import sample as inference
from gankit.runs.folder import RunFolder
from gankit.training import loop

P = ParamSpec("P")


class Run(RunFolder):
    """A run folder whose model can be drawn from."""

    def sample(
        self,
        n: int = 64,
        seed: int = 0,
        checkpoint: str = "last",
        *,
        density: bool | None = None,
        classes: Sequence[str | int] = (),
    ) -> Tensor:
        """N images [n,C,H,W] in [-1, 1]; see ``gankit.inference.sample``."""
        return inference.sample(self, n, seed, checkpoint, density=density, classes=classes)


def returning_run(function: Callable[P, RunFolder]) -> Callable[P, Run]:
    """``function``, which trains, with a ``Run`` in place of the folder that it returns."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Run:
        return Run(function(*args, **kwargs).root)

    return wrapped


train = returning_run(loop.train)
resume = returning_run(loop.resume)
