"""The hooks a plugin may implement. They collect; none of them may act.

A plugin is a module (or object) named by an entry point in group ``gankit``::

    from gankit import hookimpl

    @hookimpl
    def register_variants(register):
        register("gankit_hinge:Hinge", name="hinge", summary="the hinge loss")

``register`` takes a class, or a dotted ``"module:Class"`` with its name and summary. The dotted form keeps
``gankit --help`` fast: the module is imported when the variant is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

hookspec = pluggy.HookspecMarker("gankit")
hookimpl = pluggy.HookimplMarker("gankit")

Register = Callable[..., None]


@hookspec
def register_variants(register: Register) -> None:
    """Register subclasses of ``gankit.Variant``."""


@hookspec
def register_architectures(register: Register) -> None:
    """Register subclasses of ``gankit.Architecture``: families of generator and discriminator networks."""


@hookspec
def register_datasets(register: Register) -> None:
    """Register subclasses of ``gankit.Dataset``."""


@hookspec
def register_metrics(register: Register) -> None:
    """Register subclasses of ``gankit.Metric``: figures of a set of samples, against a set of real images."""


@hookspec
def register_extractors(register: Register) -> None:
    """Register subclasses of ``gankit.Extractor``: networks whose features and logits metrics look at."""


@hookspec
def register_studies(register: Register) -> None:
    """Register recipes of studies: ``register(path)`` with the ``pathlib.Path`` of a .toml file, whose name without its
    ending is the recipe's. It is read when somebody asks for it.
    """


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add click commands to the ``gankit`` command line."""


@hookspec
def log(run: str, step: int, values: Mapping[str, Any]) -> None:
    """Receive what was recorded of ``step`` (1-based) in the run folder ``run``; called at each log interval."""
