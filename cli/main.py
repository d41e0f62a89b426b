"""The root command, and how errors reach the person who typed it."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
import warnings
from typing import Any

import click

from gankit import __version__
from gankit.cli.compare import compare
from gankit.cli.data import data
from gankit.cli.doctor import doctor
from gankit.cli.evaluate import evaluate
from gankit.cli.export import export
from gankit.cli.inference.density import density
from gankit.cli.inference.encode import encode
from gankit.cli.inference.grid import grid
from gankit.cli.inference.interpolate import interpolate
from gankit.cli.inference.probe import probe
from gankit.cli.inference.reconstruct import reconstruct
from gankit.cli.inference.sample import sample
from gankit.cli.inference.translate import translate
from gankit.cli.plugins import plugins
from gankit.cli.profile import profile
from gankit.cli.report import report
from gankit.cli.resume import resume
from gankit.cli.study import study
from gankit.cli.sweep import sweep
from gankit.cli.train import train
from gankit.core.errors import GankitError, UsageError
from gankit.core.progress import show, warn
from gankit.registry import lacks_memory, registry

RANKED = {"train", "resume", "evaluate", "sample"}
"""Commands whose work ranks of `torchrun` divide among them."""
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def open_standard_streams() -> None:
    """Give what was closed of the standard streams to the null device, so that no file of a run is opened in its place
    and takes what a library writes there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # takes the lowest number that is free


def leave_broken_streams() -> None:
    """At the end, let go of what a full or broken stream did not take: Python would try once more, and fail for it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def failed(error: Exception, text: str, code: int) -> int:
    """Tell ``error``, called ``text``, and return ``code``; one of several ranks ends at once."""
    if "RANK" not in os.environ:
        show(f"Error: {text}")
        return code
    from gankit.core.ranks import launched, told

    if said := told(error, text):
        show(f"Error: {said}")
    else:
        time.sleep(2)  # so that the rank that tells it is not ended before, by a launcher that saw this one end
    if launched():
        leave_broken_streams()
        os._exit(code)  # a collective that was begun would keep the process waiting for ranks that do not come
    return code


class Root(click.Group):
    """Turns gankit's errors into one line and an exit code; ``--debug`` shows the traceback."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        open_standard_streams()
        if "RANK" in os.environ:  # a rank that is gone is told of in one line; PyTorch's C++ would add its stack
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        atexit.register(leave_broken_streams)
        # `--help` is answered here already, and lists the commands of plugins.
        try:
            return super().make_context(*args, **extra)
        except GankitError as error:
            show(f"Error: {error}")
            raise click.exceptions.Exit(error.exit_code) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except GankitError as error:
            if ctx.params.get("debug"):
                raise
            ctx.exit(failed(error, str(error), error.exit_code))
        except BrokenPipeError:
            # The reader of our output has gone, as `| head` does; what is left must not be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(1)
        except Exception as error:
            # Out of memory, an unreadable file: what the machine refuses is one line too.
            refused = isinstance(error, MemoryError | OSError) or lacks_memory(error)
            if not refused or ctx.params.get("debug"):
                raise
            first = f"{type(error).__name__}: {error}".partition("\n")[0]
            if isinstance(error, MemoryError) or lacks_memory(error):
                first = f"out of memory ({first}); a smaller --batch-size, --size, --ngf or --ndf takes less"
            ctx.exit(failed(error, first, 1))
        except KeyboardInterrupt:
            show("Stopped.")
            ctx.exit(130)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        _load_plugin_commands()
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        _load_plugin_commands()
        return super().list_commands(ctx)


@click.group(cls=Root, context_settings=HELP)
@click.option("--debug", is_flag=True, help="Show a traceback where there is an error.")
@click.version_option(__version__, prog_name="gankit")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Train, compare and study generative adversarial networks on images.

    \b
    gankit train wgan-gp --data shapes          train on pictures drawn from a seed
    gankit train dcgan --data folder:PHOTOS     train on your own images
    gankit sample RUN -o grid.png               draw from what was trained
    gankit evaluate RUN --metric fid,precision  judge what was trained
    gankit compare 'OUT/*/seed-*' -o page.html  what differs between groups of runs, over their seeds
    gankit translate RUN PHOTOS -o OUT          map images to images, after `train cyclegan`
    gankit study RECIPE                         repeat a published study; which of its claims hold?
    """  # noqa: D301 -- click reads the control character as "do not rewrap"
    warnings.showwarning = _show_warning
    if ctx.invoked_subcommand not in RANKED and os.environ.get("WORLD_SIZE", "1") != "1":
        from gankit.core.ranks import launched

        if launched():
            ranked = ", ".join(sorted(RANKED))
            raise UsageError(
                f"torchrun starts {os.environ['WORLD_SIZE']} of `gankit {ctx.invoked_subcommand}`, which is one "
                f"process; those that several ranks share are {ranked}"
            )


def _show_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    warn(str(message))


def _load_plugin_commands() -> None:
    """Add the commands of plugins, once; they cannot replace one of ours."""
    if not _loaded:
        _loaded.append(True)
        registry().add_commands(main)


_loaded: list[bool] = []

for command in (train, resume, sample, evaluate, report, interpolate, translate, data, plugins, profile, doctor):
    main.add_command(command)
for command in (reconstruct, encode, probe, density, export, grid, sweep, compare, study):
    main.add_command(command)
