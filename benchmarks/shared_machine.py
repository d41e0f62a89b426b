"""How fast a run is on a machine that others use, too: `make bench-shared`.

    python benchmarks/shared_machine.py --n 3 --append benchmarks/shared_machine.csv --doc
    python benchmarks/shared_machine.py --condition niced --workload "acgan bf16" --seconds 10

Each measurement is a `gankit train` of its own, from the command on: what it decides when it starts is part of it. Its
images a second are those of timing.jsonl over ``--seconds`` after ``--warmup``; settings take turns. Of two runs at
once the mean is taken. The user's OMP_*, GOMP_*, KMP_* and MKL_* are taken away, the settings' own put in their place.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from steps import append as add_row
from table import Row, between_markers, markdown, read

from gankit.core.cores import CGROUPS, OWN, cores
from gankit.core.errors import GankitError
from gankit.core.files import lines
from gankit.runs.folder import processor

ROOT = Path(__file__).parent.parent
ENDLESS = Path(__file__).parent / "endless.py"
DOC, MARKER = ROOT / "docs" / "shared_machine.md", "shared machine"
PATIENCE = 60
"""Seconds that a run may take to its first row, or from one row to the next."""


@dataclass(frozen=True)
class Workload:
    """What is trained; ``every``: steps a row; ``only``: conditions that it is measured in, None: all."""

    variant: str
    flags: Mapping[str, Any]
    every: int = 5
    textbook: bool = True
    only: tuple[str, ...] | None = None


CLOTHES = {"data": "fashion-mnist", "size": 28}
NARROW = {**CLOTHES, "ngf": 32, "ndf": 32}
WORKLOADS = {
    "wgan-gp mlp": Workload("wgan-gp", {**CLOTHES, "arch": "mlp"}),
    "dcgan": Workload("dcgan", NARROW),
    "acgan bf16": Workload(
        "acgan", {**CLOTHES, "ngf": 16, "ndf": 16, "precision": "bf16"}, 1, textbook=False, only=("alone", "niced")
    ),
}


@dataclass(frozen=True)
class Setting:
    """How many threads a run is given, and what its environment says of them."""

    threads: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


DEFAULT, TEXTBOOK = "default", "textbook"
FOUR = {
    "2 threads": Setting(2),
    "2 threads, passive": Setting(2, {"OMP_WAIT_POLICY": "passive"}),
    "2 threads, spin 10000": Setting(2, {"GOMP_SPINCOUNT": "10000"}),
    "1 thread": Setting(1),
}
SETTINGS = {DEFAULT: Setting(), **FOUR, TEXTBOOK: Setting()}
CONDITIONS = ("alone", "busy", "niced", "second run", "one core")
SAYS = {
    "alone": "alone",
    "busy": "beside one busy process of equal priority",
    "niced": "niced to 10 beside one busy process",
    "second run": "beside a second run of the same",
    "one core": "allowed one core",
}
COLUMNS = ("date", "condition", "how", "workload", "setting", "n", "images_per_s", "min", "max", "s_per_step",
           "to_best", "slower_than_alone", "seconds", "cores", "load_before", "torch", "machine")  # fmt: skip


@dataclass(frozen=True)
class Rate:
    """What a run came to in its window."""

    images_per_s: float
    s_per_step: float


def rate(rows: Sequence[Mapping[str, float]], skip: int) -> Rate:
    """Of ``rows`` of a timing.jsonl without the first ``skip`` >= 1, by the seconds of their steps."""
    seconds = images = steps = 0.0
    for before, row in itertools.pairwise(rows[skip - 1 :]):
        count = row["step"] - before["step"]
        took = count * row["seconds per step"]
        steps, seconds, images = steps + count, seconds + took, images + took * row["images per second"]
    return Rate(images / seconds, seconds / steps)


def command(workload: Workload, setting: str, out: Path) -> list[str]:
    """What trains ``workload`` into ``out`` until it is ended."""
    if setting == TEXTBOOK:
        flags = json.dumps(dict(workload.flags))
        return [sys.executable, str(ENDLESS), workload.variant, flags, str(out), "--every", str(workload.every)]
    flags = {**workload.flags, "steps": 10**6, "log_every": workload.every, "sample_every": 10**6,
             "checkpoint_every": 10**6, "out": out}  # fmt: skip
    flags |= {} if SETTINGS[setting].threads is None else {"threads": SETTINGS[setting].threads}
    given = [word for name, value in flags.items() for word in ("--" + name.replace("_", "-"), str(value))]
    return [sys.executable, "-c", "from gankit.cli import main; main()", "train", workload.variant, *given, "--quiet"]


def environment(setting: str) -> dict[str, str]:
    """The user's own, with the setting's threads in place of theirs."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_", "MKL_"))}
    return own | dict(SETTINGS[setting].environment)


def watched(
    commands: Sequence[list[str]], outs: Sequence[Path], setting: str, enter: Callable[[], object] | None,
    warmup: float, seconds: float,
) -> list[Rate]:  # fmt: skip
    """The rates of ``commands`` run at once, each of which writes its ``out``, from when all have begun; all are ended.
    GankitError where one ends by itself, or is too slow to be seen.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for one in commands:
            said = stack.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(
                one, env=environment(setting), stdout=said, stderr=said, stdin=subprocess.DEVNULL, preexec_fn=enter
            )
            running.append((process, said))
            stack.callback(lambda process=process: (process.kill(), process.wait()))

        def rows() -> list[list[dict[str, Any]]]:
            return [list(lines(out / "timing.jsonl")) if (out / "timing.jsonl").exists() else [] for out in outs]

        def until(reached: Callable[[], bool]) -> None:
            deadline = time.monotonic() + PATIENCE
            while not reached():
                for one, (process, said) in zip(commands, running, strict=True):
                    if process.poll() is not None:
                        said.seek(0)
                        last = said.read().decode(errors="replace").strip().splitlines()[-1:]
                        raise GankitError(f"{' '.join(one)}: ended before it was measured: {''.join(last)}")
                if time.monotonic() > deadline:
                    raise GankitError(f"{' '.join(commands[0])}: no row of timing.jsonl in {PATIENCE} s")
                time.sleep(0.02)

        until(lambda: all(rows()))
        time.sleep(warmup)
        skip = [len(some) for some in rows()]
        time.sleep(seconds)
        until(lambda: all(len(some) > n for some, n in zip(rows(), skip, strict=True)))
        return [rate(some, n) for some, n in zip(rows(), skip, strict=True)]


@contextlib.contextmanager
def busy(beside: bool) -> Iterator[None]:
    """Within it a process of normal priority keeps one core busy, where ``beside``."""
    if not beside:
        yield
        return
    process = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def one_core() -> Iterator[tuple[str, Callable[[], object]]]:
    """What a process calls to be held to one core, and by what it is: a quota of a control group below this
    process's own where one can be made, else the affinity mask.
    """
    made = quota_group()
    if made is None:
        core = min(os.sched_getaffinity(0))
        yield "affinity mask", lambda: os.sched_setaffinity(0, {core})
        return
    group, file = made
    try:
        yield file, lambda: (group / "cgroup.procs").write_text("0")
    finally:
        group.rmdir()


def quota_group() -> tuple[Path, str] | None:
    """A new control group below this process's own whose quota is one core, and the file that says so; None where none
    can be made.
    """
    try:
        names = {kinds: name for _, kinds, name in (line.split(":", 2) for line in OWN.read_text().splitlines())}
        if (CGROUPS / "cgroup.controllers").exists():
            group, file, limit = CGROUPS / names[""].strip("/"), "cpu.max", "100000 100000"
        else:
            kinds = next(kinds for kinds in names if "cpu" in kinds.split(","))
            group, file, limit = CGROUPS / kinds / names[kinds].strip("/"), "cpu.cfs_quota_us", "100000"
        group = group / f"gankit-{os.getpid()}"
        group.mkdir()
    except (OSError, StopIteration, KeyError, ValueError):
        return None
    try:
        (group / file).write_text(limit)
    except OSError:
        group.rmdir()
        return None
    return group, file


def measured(condition: str, workload: Workload, setting: str, warmup: float, seconds: float) -> tuple[str, Rate]:
    """How the condition was made, and the rate in it: of two runs at once their mean."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        how, enter = SAYS[condition], None
        if condition == "one core":
            how, enter = stack.enter_context(one_core())
        if condition == "niced":
            enter = lambda: os.nice(10)  # noqa: E731
        stack.enter_context(busy(condition in ("busy", "niced")))
        outs = [folder / str(i) for i in range(2 if condition == "second run" else 1)]
        commands = [command(workload, setting, out) for out in outs]
        found = watched(commands, outs, setting, enter, warmup, seconds)
    n = len(found)
    return how, Rate(sum(one.images_per_s for one in found) / n, sum(one.s_per_step for one in found) / n)


def rows_of(
    condition: str, how: str, workload: str, found: Mapping[str, Sequence[Rate]], alone: Mapping[str, float]
) -> list[Row]:
    """A row a setting. ``alone``: images a second of each setting alone, as far as they are known."""
    middle = {name: median(one.images_per_s for one in some) for name, some in found.items()}
    best = max((middle[name] for name in FOUR if name in middle), default=None)
    rows = []
    for name, some in found.items():
        speeds = [one.images_per_s for one in some]
        rows.append({
            "condition": condition, "how": how, "workload": workload, "setting": name, "n": len(some),
            "images_per_s": round(middle[name], 1), "min": round(min(speeds), 1), "max": round(max(speeds), 1),
            "s_per_step": round(median(one.s_per_step for one in some), 4),
            "to_best": "" if best is None else round(middle[name] / best, 3),
            "slower_than_alone": round(alone[name] / middle[name], 3) if name in alone else "",
        })  # fmt: skip
    return rows


def document(rows: Sequence[Row]) -> str:
    """The table of the last of ``rows`` of each condition, workload and setting."""
    last = {(row["condition"], row["workload"], row["setting"]): row for row in rows}
    lines = []
    for workload, condition in itertools.product(WORKLOADS, CONDITIONS):
        some = {name: last.get((condition, workload, name)) for name in SETTINGS}
        if any(some.values()):
            cells = [told(row, factor=name != TEXTBOOK) for name, row in some.items()]
            slower = some[DEFAULT]["slower_than_alone"] if some[DEFAULT] else ""
            lines.append([workload, SAYS[condition], *cells, slower])
    about = rows[-1]
    held = " and ".join(sorted({row["how"] for row in rows if row["condition"] == "one core"}))
    note = (
        "Images/s, and in brackets the share of the best of the four settings that name their threads. Medians of "
        f"{about['n']}, {about['seconds']} s each; {about['cores']} cores of {about['machine']}, "
        f"torch {about['torch']}, {about['date']}." + (f" One core by {held}." if held else "")
    )
    return markdown(["workload", "condition", *SETTINGS, "default, times slower than alone"], lines) + "\n\n" + note


def told(row: Row | None, *, factor: bool) -> str:
    """A cell."""
    if row is None:
        return ""
    speed = f"{float(row['images_per_s']):,.0f}"
    return f"{speed} ({float(row['to_best']):.2f})" if factor and row["to_best"] else speed


@click.command(help=__doc__)
@click.option("--n", default=3, show_default=True, help="Turns.")
@click.option("--condition", "conditions", multiple=True, type=click.Choice(CONDITIONS), help="[default: all]")
@click.option("--workload", "workloads", multiple=True, type=click.Choice(list(WORKLOADS)), help="[default: all]")
@click.option("--setting", "settings", multiple=True, type=click.Choice(list(SETTINGS)), help="[default: all]")
@click.option("--seconds", default=1.5, show_default=True, help="Of each window.")
@click.option("--warmup", default=0.5, show_default=True, help="Seconds from the first steps to the window.")
@click.option("--append", "table", type=click.Path(path_type=Path), help="A CSV file that gets the rows.")
@click.option("--doc", is_flag=True, help=f"Write the table of the CSV file into {DOC.relative_to(ROOT)}.")
def main(
    n: int, conditions: tuple[str, ...], workloads: tuple[str, ...], settings: tuple[str, ...], seconds: float,
    warmup: float, table: Path | None, doc: bool,
) -> None:  # fmt: skip
    if doc and table is None:
        raise click.UsageError("--doc: name the CSV file that it is made of with --append")
    about = {"seconds": seconds, "cores": cores(), "torch": torch.__version__, "machine": processor()}
    for name in workloads or WORKLOADS:
        workload, alone = WORKLOADS[name], dict[str, float]()
        for condition in [one for one in CONDITIONS if one in (conditions or CONDITIONS)]:
            if workload.only is not None and condition not in workload.only:
                continue
            load, how = round(os.getloadavg()[0], 2), ""
            found: dict[str, list[Rate]] = {}
            for _, setting in itertools.product(range(n), settings or SETTINGS):
                if setting != TEXTBOOK or workload.textbook:
                    how, one = measured(condition, workload, setting, warmup, seconds)
                    found.setdefault(setting, []).append(one)
            for row in rows_of(condition, how, name, found, alone):
                if condition == "alone":
                    alone[row["setting"]] = row["images_per_s"]
                whole = {**row, **about, "date": datetime.date.today().isoformat(), "load_before": load}
                whole = {column: whole[column] for column in COLUMNS}
                click.echo(whole)
                if table is not None:
                    add_row(table, whole)
    if doc and table is not None:
        between_markers(DOC, MARKER, document(read(table)))


if __name__ == "__main__":
    main()
