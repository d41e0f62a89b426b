"""A run's configuration: variant, options, data and training, as flags, TOML or config.json give them."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.core import options as opts
from gankit.core.errors import UsageError, closest
from gankit.core.options import option
from gankit.data.catalogue import DataOptions
from gankit.models.interface import Variant
from gankit.registry import registry


@dataclass(frozen=True)
class TrainOptions:
    """How long, how fast and where: what every variant has in common."""

    steps: int | None = option(
        None, "steps to train; a step is one pass over all phases, one generator update by default",
        low=1, high=10**9, group="Training",
    )  # fmt: skip
    epochs: float | None = option(
        None,
        "train until so many times the data set was drawn, all critic updates counted",
        above=0,
        group="Training",
        neutral=True,
    )
    preset: str = option(
        "tuned", "what the options are that nobody gives; paper: as published, tuned: where it was measured, better",
        choices=("tuned", "paper"), group="Training", neutral=True,
    )  # fmt: skip
    batch_size: int = option(64, "images per update, over all ranks", low=1, high=65536, group="Training")
    init_from: str | None = option(
        None, "start from trained weights: a run folder, or a .safetensors file; what has another name or shape is not "
        "taken", group="Training",
    )  # fmt: skip
    seed: int = option(0, "seed of everything random", low=0, high=2**64 - 1, group="Training")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"), group="Training")
    precision: str = option("fp32", "arithmetic of the networks", choices=("fp32", "bf16", "fp64"), group="Training")
    impl: str = option(
        "auto", "implementation of the fused ops", choices=("auto", "triton", "cpu", "ref"), group="Training"
    )
    engine: str = option(
        "auto", "how updates are run; auto: as plans or captured where the run is long enough to gain by it",
        choices=("auto", "eager", "planned", "compiled", "graph"), group="Training",
    )  # fmt: skip
    threads: int | None = option(None, "CPU threads; unset: PyTorch's choice", low=1, high=1024, group="Training")
    sync_batchnorm: bool = option(
        False, "batch norm by the images of all ranks, not of each rank's part; without an effect on one rank",
        group="Training", later=True,
    )  # fmt: skip
    rank_timeout: float = option(
        600.0, "how long a rank waits for the others before it gives them up", unit="s", low=1, high=86400,
        group="Training", neutral=True,
    )  # fmt: skip
    same_batch: bool = option(False, "give all updates of a step the same real images", group="Training")
    decay_start: float = option(
        1.0, "share of the run after which learning rates fall linearly to 0; 1: never", low=0, high=1, group="Training"
    )
    ema_halflife_images: int = option(
        0, "half-life of the generator's moving average; 0: none", unit="images", low=0, group="Training"
    )
    stop_on_collapse: bool = option(
        False, "end the run with a checkpoint and an error where its health says that nothing is learnt any more",
        group="Training",
        neutral=True,
    )  # fmt: skip
    roll_back: int = option(
        0, "where a loss is no longer finite, go back to the last checkpoint and on with half the learning rates, at "
        "most so many times", low=0, high=100, group="Training", neutral=True,
    )  # fmt: skip
    log_every: int = option(50, "record and show progress", unit="steps", low=1, group="Output", neutral=True)
    sample_every: int = option(500, "save a sample grid", unit="steps", low=1, group="Output", neutral=True)
    samples: int = option(64, "images in a sample grid", low=1, high=4096, group="Output", neutral=True)
    checkpoint_every: int = option(
        500, "save a checkpoint; the last two are kept", unit="steps", low=1, group="Output", neutral=True
    )
    milestone_every: int | None = option(
        None, "keep a checkpoint for good", unit="steps", low=1, group="Output", neutral=True
    )
    evaluate_every: int | None = option(
        None, "judge samples, and keep the checkpoint that is best by the first metric; unset: never",
        unit="steps", low=1, group="Evaluation", neutral=True,
    )  # fmt: skip
    metric: str | None = option(
        None, "what to judge them by, separated by commas; unset: fid, or swd where the data has no labels",
        registry="metrics", group="Evaluation", neutral=True,
    )  # fmt: skip
    evaluate_images: int = option(
        10_000, "samples to judge", unit="images", low=2, high=10**7, group="Evaluation", neutral=True
    )
    extractor: str | None = option(
        None,
        "network whose features the metrics look at; unset: classifier",
        registry="extractors",
        group="Evaluation",
        neutral=True,
    )
    extractor_weights: str | None = option(None, "file of the extractor's weights", group="Evaluation", neutral=True)


SECTIONS = ("data", "train", "options")
DEFAULT_EPOCHS = 10.0
RESERVED = ("out", "config", "quiet", "images", "variant", "grid", "seeds", "jobs", "cluster", "retry_failed")


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's figures."""

    variant: str
    data: DataOptions
    train: TrainOptions
    options: Any

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as config.json holds them and ``from_dict`` takes them."""
        parts = {name: dataclasses.asdict(getattr(self, name)) for name in SECTIONS}
        return {"variant": self.variant, **parts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """The configuration in ``values``; what they leave out is the paper's, whatever preset they were made with, so
        that older runs stay what they were. UsageError for an unknown section or option, or a value out of range.
        """
        variant = variant_class(values.get("variant", ""))
        parts: dict[str, Any] = {}
        for name, (kind, defaults) in sections(variant, "paper").items():
            parts[name] = opts.build(kind, values.get(name, {}), defaults)
        if parts["train"].steps is not None and parts["train"].epochs is not None:
            raise UsageError("--steps and --epochs both say how long to train; give one of them")
        return cls(values["variant"], **parts)


def sections(variant: type[Variant], preset: str = TrainOptions.preset) -> dict[str, tuple[type, dict[str, Any]]]:
    """Each section's dataclass, and the defaults that ``variant`` and ``preset`` put in place of the dataclass's own.

    TypeError where the variant's ``defaults`` or ``tuned`` name what they cannot.
    """
    kinds: dict[str, type] = {"data": DataOptions, "train": TrainOptions, "options": variant.Options}
    known = {section: {field.name: field for field in opts.fields(kind)} for section, kind in kinds.items()}
    if unknown := set(variant.defaults) - set(known["data"]) - set(known["train"]):
        raise TypeError(f"{variant.__qualname__}.defaults names no data or training option: {', '.join(unknown)}")
    every = {name: field for names in known.values() for name, field in names.items()}
    for name in variant.tuned:
        if name not in every or name == "preset":
            raise TypeError(f"{variant.__qualname__}.tuned names no option that a preset can set: {name}")
        if every[name].optional:
            raise TypeError(f"{variant.__qualname__}.tuned: {name} may be unset, and no flag could unset it again")
    values = {**variant.defaults, "preset": preset, **(variant.tuned if preset == "tuned" else {})}
    return {
        section: (kind, {name: value for name, value in values.items() if name in known[section]})
        for section, kind in kinds.items()
    }


def defaults(variant: type[Variant], preset: str = TrainOptions.preset) -> dict[str, Any]:
    """Every option of a run of ``variant`` by name, as it is by ``preset`` where nobody says otherwise."""
    return {
        field.name: replaced.get(field.name, field.default)
        for kind, replaced in sections(variant, preset).values()
        for field in opts.fields(kind)
    }


def variant_class(name: str) -> type[Variant]:
    """The variant registered as ``name``. UsageError naming the closest where there is none."""
    found: type[Variant] = registry().get("variants", name)
    return found


def configure(variant: str, flags: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Config:
    """A configuration from ``flags``, option names of any section, over those of ``base`` (as ``read_base`` gives it),
    over those of the preset that either names.

    UsageError naming the closest option where a name is unknown.
    """
    chosen = variant_class(variant)
    if base and base.get("variant", variant) != variant:
        raise UsageError(f"the configuration is of variant '{base['variant']}', not '{variant}'")
    owner: dict[str, str] = {}
    for section, (kind, _) in sections(chosen).items():
        for field in opts.fields(kind):
            if field.name in owner or field.name in RESERVED:
                raise UsageError(f"variant '{variant}' declares {field.flag}, which every variant has already")
            owner[field.name] = section
    values: dict[str, Any] = {"variant": variant, **{name: dict((base or {}).get(name, {})) for name in SECTIONS}}
    for name, value in flags.items():
        if name not in owner:
            raise UsageError(f"unknown option '{name}': {closest(name, owner)}")
        values[owner[name]][name] = value
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if flags.get(one) is not None and other not in flags:
            values["train"].pop(other, None)
    if values["train"].setdefault("preset", TrainOptions.preset) == "tuned":
        for name, value in chosen.tuned.items():
            values[owner[name]].setdefault(name, value)
    return Config.from_dict(values)


def read(path: Path) -> dict[str, Any]:
    """The sections of a .toml file, or of a run's config.json. UsageError where it is neither, or has other keys."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: cannot be read as {'JSON' if path.suffix == '.json' else 'TOML'}: {error}"
        ) from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: must hold the sections of a configuration, not a {type(values).__name__}")
    if "variant" in values and not isinstance(values["variant"], str):
        raise UsageError(f"{path}: 'variant' must be text, the name of a variant")
    known = ("variant", *SECTIONS)
    recorded = (
        "gankit",
        "spec",
        "classes",
        "images",
        "images given",
        "machine",
        "legs",
        "ranks",
        "folder",
        "data from here",
        "data at",
        "initial",
    )  # what a config.json holds besides
    for name in values:
        if name not in known and name not in recorded:
            raise UsageError(f"{path}: unknown key '{name}': {closest(name, known)}")
    for name in SECTIONS:
        if not isinstance(values.get(name, {}), Mapping):
            raise UsageError(f"{path}: [{name}] must be a table of options, not {values[name]!r}")
    return {name: value for name, value in values.items() if name in known}


def read_base(path: Path) -> dict[str, Any]:
    """What ``path`` gives for ``configure`` to build on, as ``read``. A run's config.json holds every option, or is
    older than it: what it lacks is the paper's, so that no preset has a say.
    """
    values = read(path)
    return Config.from_dict(values).as_dict() if path.suffix == ".json" and "variant" in values else values
