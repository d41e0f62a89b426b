"""Pictures that a study makes of each run, by name: a grid of images each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gankit.core.errors import UsageError, closest
from gankit.core.files import atomic_write
from gankit.core.images import save
from gankit.inference import density
from gankit.inference.class_grids import class_grid, code_grid
from gankit.inference.interpolate import interpolate
from gankit.inference.reconstruct import reconstruct
from gankit.inference.sample import sample
from gankit.runs.folder import RunFolder

FOLDER = "pictures"
"""Where they lie in the run folder."""


class Grid(NamedTuple):
    """Images [n,C,H,W] in [-1, 1], so many in a row."""

    images: Tensor
    columns: int


def _samples(run: RunFolder, rows: int, columns: int) -> Grid:
    return Grid(sample(run, rows * columns, density=False), columns)


def _classes(run: RunFolder, rows: int, columns: int) -> Grid:
    images = class_grid(run, columns)
    return Grid(images[: rows * columns], columns)


def _codes(run: RunFolder, rows: int, columns: int) -> Grid:
    return Grid(*code_grid(run, None, rows, columns))


def _interpolation(run: RunFolder, rows: int, columns: int) -> Grid:
    return Grid(interpolate(run, rows, columns), columns)


def _reconstructions(run: RunFolder, rows: int, columns: int) -> Grid:
    shown = rows * columns // 2
    return Grid(reconstruct(run, shown=shown, judged=shown).pairs, columns)


def _density(kind: str) -> Callable[..., Grid]:
    def drawn(run: RunFolder, rows: int, columns: int, **parameters: int) -> Grid:
        # Not kept: the run's own density, if it has one, stays.
        tensors, about = density.fitted(run, kind, **parameters)
        return Grid(torch.cat(list(density.drawn(run, tensors, about, rows * columns))), columns)

    return drawn


KINDS: Mapping[str, tuple[str, Callable[..., Grid] | None]] = {
    "samples": ("what the generator draws", _samples),
    "classes": ("one class a row, one latent a column", _classes),
    "codes": ("each row sweeps one of the model's codes, all at one latent", _codes),
    "interpolation": ("each row a path between two latents", _interpolation),
    "reconstructions": ("images, each beside its reconstruction", _reconstructions),
    "mixture": ("drawn from a mixture of Gaussians fitted to the latents", _density("mixture")),
    "code vae": ("drawn from a VAE fitted to the codes", _density("vae")),
    "preview": ("the last grid of the training: of a translator sources beside translations", None),
}


PARTS = ("samples", "preview")
"""Kinds of which a part says as much as the whole: there a place in the grid has no meaning."""


PARAMETERS: Mapping[str, Sequence[str]] = {
    "mixture": ("components", "dims", "latents"),
    "code vae": ("latents", "steps"),
}
"""What a kind takes besides rows and columns, each a whole number: the options of `gankit density`."""


def check(kind: str, parameters: Mapping[str, Any], where: str) -> None:
    """UsageError naming the closest where pictures of ``kind`` are not known, or take no such parameters."""
    if kind not in KINDS:
        raise UsageError(f"{where}: unknown kind of picture '{kind}': {closest(kind, KINDS)}")
    for name, value in parameters.items():
        known = ("rows", "columns", *PARAMETERS.get(kind, ()))
        if name not in known:
            raise UsageError(f"{where}: unknown key '{name}': {closest(name, known)}")
        if type(value) is not int or value < 1:
            raise UsageError(f"{where}: {name} takes a whole number, 1 or more, not {value!r}")


def file_of(title: str) -> str:
    """The path, in the run folder, of the picture called ``title``."""
    return f"{FOLDER}/{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-') or 'picture'}.png"


def draw(run: RunFolder, picture: Mapping[str, Any]) -> str:
    """Make the ``picture`` of ``run`` that the fields of a recipe's say; returns its path in the run folder."""
    path = run.root / file_of(picture["title"])
    made = KINDS[picture["kind"]][1]
    if made is None:
        grids = run.grids()
        if not grids:
            raise UsageError(f"{run.root}: saved no grid of samples")
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, Path(grids[-1][1]).read_bytes())
    else:
        images, columns = made(run, picture["rows"], picture["columns"], **picture["parameters"])
        save(images, path, columns)
    return path.relative_to(run.root).as_posix()
