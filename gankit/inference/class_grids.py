"""Samples of what was asked for: of a class, between two classes, and grids of one code.

A model takes part by being ``Conditional``; nothing here knows which variant it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gankit.core.errors import UsageError, closest
from gankit.core.rng import RandomStream
from gankit.core.types import Noise, placed
from gankit.inference.interpolate import linear
from gankit.models.interface import Conditional, Model
from gankit.models.sampling import in_parts, parts
from gankit.runs.folder import RunFolder


def sample_classes(
    run: RunFolder, classes: Sequence[str | int], n: int = 64, seed: int = 0, checkpoint: str = "last"
) -> Tensor:
    """The images of ``stream_classes``, [n,C,H,W] in [-1, 1]."""
    return torch.cat(list(stream_classes(run, classes, n, seed, checkpoint)))


def stream_classes(
    run: RunFolder, classes: Sequence[str | int], n: int = 64, seed: int = 0, checkpoint: str = "last"
) -> Iterator[Tensor]:
    """N images in parts, in [-1, 1], of each of ``classes`` (names or numbers) in turn; from the latents of
    ``run.sample``. UsageError for a class there is not, or a model that cannot be asked for one.
    """
    model = conditional(run, checkpoint)
    chosen = torch.tensor([class_number(run, name) for name in classes])
    labels = chosen[torch.arange(n) % len(chosen)]
    noise = model.with_condition(model.noise("sample", n, RandomStream(seed, "sample")), "class", labels)
    like = next(model.parameters())
    return parts(model, placed(noise, like.device, like.dtype), n)


def between_classes(
    run: RunFolder, a: str | int, b: str | int, rows: int = 8, steps: int = 10, seed: int = 0
) -> Tensor:
    """Images [rows * steps, C, H, W] in [-1, 1]: each row one latent, its class going in a line from ``a`` to ``b``."""
    return _between(run, conditional(run), "class", (a, b), rows, steps, seed)


def between_codes(
    run: RunFolder, code: str, a: str | float, b: str | float, rows: int = 8, steps: int = 10, seed: int = 0
) -> Tensor:
    """Images [rows * steps, C, H, W] in [-1, 1]: each row one latent, its ``code`` going in a line from ``a`` to ``b``.

    A code that has so many values goes from the one-hot vector of one to that of another, by their numbers ("class" by
    names, too); any other from one number in [-1, 1] to another. UsageError for a code or a value that there is not.
    """
    return _between(run, coded(run, code), code, (a, b), rows, steps, seed)


def _between(
    run: RunFolder,
    model: Conditional,
    code: str,
    values: tuple[str | float, str | float],
    rows: int,
    steps: int,
    seed: int,
) -> Tensor:
    if count := model.conditions[code]:
        a, b = torch.eye(count)[[value_number(run, code, count, value) for value in values]]
    else:
        a, b = torch.tensor([code_number(code, value) for value in values])
    path = linear(a.view(1, -1), b.view(1, -1), steps)[0].repeat(rows, 1)
    return made(model, model.with_condition(latents(model, rows, steps, seed), code, path if count else path[:, 0]))


def class_grid(run: RunFolder, columns: int = 10, seed: int = 0) -> Tensor:
    """Images [classes * columns, C, H, W] in [-1, 1]: each row one class, each column one latent."""
    model = conditional(run)
    count = model.conditions["class"]
    noise = {name: torch.cat([value] * count) for name, value in model.noise("sample", columns, key(seed)).items()}
    return made(model, model.with_condition(noise, "class", torch.arange(count).repeat_interleave(columns)))


def code_grid(
    run: RunFolder, code: str | None = None, rows: int = 10, columns: int = 10, seed: int = 0
) -> tuple[Tensor, int]:
    """(images [N,C,H,W] in [-1, 1], how many are in a row): each row one latent, along which one code is swept.

    With ``code`` each row sweeps it, at a latent of its own: all values, or ``columns`` of them from -1 to 1. Without,
    each row sweeps another of the model's codes, all at one latent, in ``columns``: of a code with fewer values they
    come round again. UsageError for a code that the model does not have.
    """
    model = coded(run, code)
    if code is not None:
        columns = model.conditions[code] or columns
        values = sweep(model.conditions[code], columns).repeat(rows)
        return made(model, model.with_condition(latents(model, rows, columns, seed), code, values)), columns
    noise = latents(model, 1, columns, seed)
    swept = [model.with_condition(noise, name, sweep(count, columns)) for name, count in model.conditions.items()]
    return made(model, {name: torch.cat([each[name] for each in swept]) for name in noise}), columns


def sweep(count: int, columns: int) -> Tensor:
    """The values [columns] of a code with ``count`` of them, or from -1 to 1 where it is 0."""
    return torch.arange(columns) % count if count else torch.linspace(-1, 1, columns)


def latents(model: Model, rows: int, columns: int, seed: int) -> Noise:
    """What ``sample`` needs for ``rows`` latents, each ``columns`` times."""
    return {name: value.repeat_interleave(columns, 0) for name, value in model.noise("sample", rows, key(seed)).items()}


def key(seed: int) -> RandomStream:
    """The draws of all grids of ``seed``."""
    return RandomStream(seed, "grid")


@torch.no_grad()
def made(model: Model, noise: Noise) -> Tensor:
    """The images of ``noise``."""
    like = next(model.parameters())
    n = len(next(iter(noise.values())))
    return in_parts(model, placed(noise, like.device, like.dtype), n)


def conditional(run: RunFolder, checkpoint: str = "last") -> Conditional:
    """The run's model. UsageError where it cannot be asked for a class."""
    model = run.load(checkpoint=checkpoint)
    if not isinstance(model, Conditional) or "class" not in model.conditions:
        raise UsageError(
            f"{run.root}: {run.config.variant} was not told the classes; train a conditional variant such as cdcgan"
        )
    return model


def coded(run: RunFolder, code: str | None = None) -> Conditional:
    """The run's model. UsageError where it has no codes, or not ``code``."""
    model = run.load()
    if not isinstance(model, Conditional):
        raise UsageError(
            f"{run.root}: {run.config.variant} has neither classes nor codes; train infogan, or a conditional variant "
            "such as cdcgan"
        )
    if code is not None and code not in model.conditions:
        raise UsageError(f"code '{code}': {closest(code, model.conditions)}")
    return model


def value_number(run: RunFolder, code: str, count: int, value: str | float) -> int:
    """The number of ``value`` of a code with ``count`` of them. UsageError where there is no such value."""
    if code == "class":
        return class_number(run, value if isinstance(value, str) else int(value))
    if str(value).isdecimal() and int(value) < count:
        return int(value)
    raise UsageError(f"{code} {value}: its values are the numbers from 0 to {count - 1}")


def code_number(code: str, value: str | float) -> float:
    """A value of a code that has any number in [-1, 1]. UsageError for others."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not -1 <= number <= 1:
        raise UsageError(f"{code} {value}: its values are numbers from -1 to 1")
    return number


def class_number(run: RunFolder, name: str | int) -> int:
    """The number of class ``name``: where that is text, of the class of exactly that name, else of the one class that
    has it in another case, else its number. UsageError, saying what was looked for, otherwise.
    """
    names, last = run.spec.names, run.spec.classes - 1
    if isinstance(name, str):
        if name in names:
            return names.index(name)
        alike = [each for each in names if each.lower() == name.lower()]
        if len(alike) == 1:
            return names.index(alike[0])
        if alike:
            raise UsageError(f"class '{name}': {' or '.join(alike)}? their names differ only in capitals")
        if not (name.isdecimal() and name.isascii()):
            raise UsageError(f"class '{name}': {closest(name, names)}; or a number from 0 to {last}")
    if len(str(name)) < 10 and 0 <= int(name) <= last:
        return int(name)
    without = "no class has that name, and as a number it" if isinstance(name, str) and names else "it"
    raise UsageError(f"class {str(name)[:20]}: {without} is not from 0 to {last}: {closest(str(name)[:20], names)}")
