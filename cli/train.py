"""gankit train VARIANT"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gankit.core.errors import UsageError, closest
from gankit.core.lazy import uncollected
from gankit.core.progress import show
from gankit.registry import registry


class Variants(click.Group):
    """One subcommand a variant, made when it is asked for: listing them imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return registry().names("variants")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entries = registry().entries["variants"]
        return variant_command(cmd_name) if cmd_name in entries else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            raise UsageError(f"unknown variant '{args[0]}': {closest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Variants"):
            formatter.write_dl([(e.name, e.summary) for e in registry().entries["variants"].values()])


@click.group(cls=Variants, subcommand_metavar="VARIANT [OPTIONS]")
def train() -> None:
    """Train a variant. `gankit train VARIANT --help` shows its options."""


def variant_flags(name: str) -> list[click.Parameter]:
    """The flags of variant ``name``: the fields of the data, training and variant's own options."""
    from gankit.cli.options import field_options
    from gankit.config import TrainOptions, defaults, variant_class
    from gankit.data.catalogue import DataOptions

    variant = variant_class(name)
    choices = {kind: registry().names(kind) for kind in ("architectures", "datasets", "metrics", "extractors")}
    usual, paper = defaults(variant), {**defaults(variant, "paper"), "preset": TrainOptions.preset}
    kinds = (DataOptions, TrainOptions, variant.Options)
    return [found for kind in kinds for found in field_options(kind, usual, paper, choices)]


def variant_command(name: str) -> click.Command:
    """The click command that trains variant ``name``."""
    with uncollected():
        from gankit.cli.options import GroupedCommand, typed
        from gankit.config import variant_class

        variant = variant_class(name)

    def callback(out: Path | None, config: Path | None, quiet: bool, **flags: Any) -> None:
        with uncollected():
            from gankit.core.ranks import is_first
            from gankit.runs.weights import in_words
            from gankit.training.loop import train as train_it

        run = train_it(name, out=out, config=config, quiet=quiet, **typed(flags))
        if not is_first():
            return
        show(str(run.root), sys.stdout)
        if grids := run.grids():
            words = in_words(run.config.train.ema_halflife_images)
            show(f"samples: {grids[-1][1]}; pictures and scores are of {words}")

    out = click.Option(["--out"], type=click.Path(path_type=Path), help="Run folder.  [default: runs/VARIANT-DATA-NNN]")
    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        help="Options from a .toml file or a run's config.json; flags win.",
    )
    quiet = click.Option(["--quiet", "-q"], is_flag=True, help="Show no progress.")
    for each in (out, config, quiet):
        each.group = "Output"  # type: ignore[attr-defined]
    summary = registry().entries["variants"][name].summary
    params = [*variant_flags(name), out, config, quiet]
    epilog = f"{variant.paper}. A run goes on with `gankit resume RUN`."
    return GroupedCommand(
        name,
        params=params,
        callback=callback,
        help=f"Train: {summary}.",
        epilog=epilog,
    )
