"""A sweep: the cells of a plan trained through an executor, recorded, and gone on with after any kill."""

from __future__ import annotations

import json
import os
import queue
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from gankit.build import load_images
from gankit.config import configure
from gankit.core import files
from gankit.core.errors import GankitError, UsageError
from gankit.core.lock import hold
from gankit.core.progress import JobsProgress
from gankit.core.signals import caught
from gankit.lab.sweeps import executor as executors
from gankit.lab.sweeps import plan as plans
from gankit.lab.sweeps.cells import Cell, Grid, cells_of, check_distinct
from gankit.lab.sweeps.executor import LocalExecutor, WorkerDied, call, in_own_process
from gankit.lab.sweeps.outcome import FAILURES, Result, Results, Sweep, failed_before, on_disk, recorded_failures
from gankit.lab.sweeps.plan import Plan
from gankit.lab.sweeps.worker import After, finished, one_line
from gankit.runs.folder import claim
from gankit.training.loop import Interrupted

LOG = "log.txt"
TRIES = 2
"""How often a cell is begun whose process dies. What kills it twice, as too little memory does, would do so again."""


def run_cells(
    out: str | Path,
    cells: Sequence[Cell],
    *,
    jobs: int | None = None,
    threads: int | None = None,
    cluster: str | None = None,
    after: After | None = None,
    quiet: bool = False,
    executor: Executor | None = None,
    retry_failed: bool = False,
) -> Results:
    """Train ``cells`` below folder ``out``, several at a time, and say what became of each.

    Cells that are done are kept, those begun are gone on with exactly. One that fails is recorded with its reason in
    failures.jsonl and left alone from then on, unless ``retry_failed``, and the rest go on.

    ``after``: ("module:function", arguments), called in the worker as function(run folder, **arguments) once a cell is
    trained; the JSON value it returns is kept in the run's figures.json.

    ``jobs``: cells at a time, ``threads`` of each, see ``plan.share``; ``cluster``: address of a Dask scheduler;
    ``executor``: runs them instead. UsageError before anything is trained, where another sweep is in ``out`` or cores
    are asked for that are not there. Interrupted where a signal stopped it, after the checkpoints were written.
    """
    out, (cells, threads) = Path(out).absolute(), plans.without_threads(cells, threads)
    check_distinct(cells)
    if cluster is not None and jobs is not None:
        raise UsageError("--jobs is for this machine; a cluster runs as many cells as its workers have threads")
    begun = Plan.read(out).threads if (out / plans.FILE).exists() else None
    fixed = threads if threads is not None else begun
    gpus = [] if cluster is not None else visible_gpus(cells)
    if cluster is None:
        shares = plans.share(len(cells), jobs, fixed, pinned=threads is None and begun is not None, gpus=len(gpus))
        prepare_images([cell for cell in cells if not finished(out / cell.folder)])
    else:
        shares = plans.Shares(0, fixed or 1)
    with ExitStack() as stack:
        runner, places = executor, getattr(executor, "places", shares.jobs)
        if cluster is not None:
            runner, places = stack.enter_context(executors.cluster(cluster))
        stack.enter_context(hold(out / ".lock", busy=f"{out}: another process runs this sweep; wait for it or stop it"))
        plan = plans.adopt(out, cells, threads, shares.threads)
        running = Running(out, plan, after, quiet=quiet, retry_failed=retry_failed)
        if runner is None:
            places = min(shares.jobs, max(1, len(running.left)))
            runner = stack.enter_context(LocalExecutor(places, plan.threads, gpus, out / LOG))
        return running.run(runner, places, remote=cluster is not None)


class Running:
    """A sweep while it runs: what its cells came to so far."""

    def __init__(self, out: Path, plan: Plan, after: After | None, *, quiet: bool, retry_failed: bool) -> None:
        self.out, self.plan, self.after = out, plan, after
        self.found = {cell.folder: on_disk(out, cell, after) for cell in plan.cells}
        failures = recorded_failures(out)
        if retry_failed and failures:
            (out / FAILURES).unlink()
            failures = {}
        for cell in plan.cells:
            if cell.folder in failures:
                self.found[cell.folder] = failed_before(cell, failures[cell.folder])
        self.left = [cell for cell in plan.cells if self.found[cell.folder].status in ("waiting", "stopped")]
        self.progress = None if quiet else JobsProgress("cells", len(plan.cells))
        self.at_start, self.began = len(self.left), time.monotonic()

    def run(self, executor: Executor, places: int, *, remote: bool) -> Results:
        """Have the cells that are left trained. Interrupted where a signal came."""
        ended: queue.SimpleQueue[Future[Any] | int] = queue.SimpleQueue()
        futures: dict[Future[Any], tuple[Cell, int]] = {}

        def begin(cell: Cell, attempt: int) -> None:
            work = ("gankit.lab.sweeps.worker:train_cell", str(self.out), cell.as_dict(), self.plan.threads, self.after)
            if remote:
                future = executor.submit(in_own_process, self.plan.threads, *work, os.getcwd())
            else:
                future = executor.submit(call, *work, os.getcwd())
            futures[future] = (cell, attempt)
            future.add_done_callback(ended.put)

        with caught(ended.put) as stop:
            try:
                for cell in self.left:
                    begin(cell, 1)
                while futures:
                    self._show(min(len(futures), places))
                    try:
                        item = ended.get(timeout=1)
                    except queue.Empty:
                        continue
                    if isinstance(item, int):
                        _stop(executor, futures)
                        continue
                    cell, attempt = futures.pop(item)
                    result, died = _outcome(cell, item, stopping=bool(stop))
                    if died and attempt < TRIES:
                        begin(cell, attempt + 1)
                    else:
                        self._record(result, min(len(futures), places))
            except BaseException:
                if isinstance(executor, LocalExecutor):
                    executor.kill()
                raise
            finally:
                if self.progress:
                    self.progress.close()
        results = Results(tuple(self.found[cell.folder] for cell in self.plan.cells))
        if stop and len(results.of("done")) + len(results.of("failed")) < len(results):
            raise Interrupted(
                stop[0],
                f"stopped with {len(results.of('done'))} of {len(results)} cells done; the same command, with "
                f"--out {os.path.relpath(self.out)}, goes on from the checkpoints",
            )
        return results

    def _record(self, result: Result, running: int) -> None:
        cell = result.cell
        self.found[cell.folder] = result
        self.left.remove(cell)
        if result.status == "failed":
            line = {"cell": cell.name, "seed": cell.seed, "folder": cell.folder, "reason": result.reason}
            if result.diverged:
                line["diverged"] = True
            files.append_lines(self.out / FAILURES, [json.dumps(line)], sync=True)
            if self.progress:
                self.progress.note(f"failed: {cell}: {result.reason}")
        self._show(running, f"{cell}: {result.status}, {result.seconds:.0f} s")

    def _show(self, running: int, ended: str = "") -> None:
        if self.progress:
            count = {name: sum(each.status == name for each in self.found.values()) for name in ("done", "failed")}
            self.progress.update(count["done"], running, count["failed"], self._time_left(), ended)

    def _time_left(self) -> float | None:
        """Seconds, by what the cells took so far and how far those are that run. None where nothing is known yet."""
        shares = sum(_share_done(self.out / cell.folder) for cell in self.left)
        done = self.at_start - len(self.left) + shares
        return (time.monotonic() - self.began) / done * (len(self.left) - shares) if done > 0 else None


def _stop(executor: Executor, futures: Mapping[Future[Any], object]) -> None:
    """Begin nothing more, and have what runs write a checkpoint. On a cluster what runs goes on to its end."""
    for future in list(futures):
        future.cancel()
    if isinstance(executor, LocalExecutor):
        executor.stop()


def _outcome(cell: Cell, future: Future[Any], *, stopping: bool) -> tuple[Result, bool]:
    """(what a cell's future says, whether its process died, which is no fault of its options)."""
    try:
        return Result(cell, **future.result()), False
    except CancelledError:
        return Result(cell, "stopped", "not begun"), False
    except Exception as error:
        died = isinstance(error, WorkerDied)
        return Result(cell, "stopped" if stopping and died else "failed", one_line(error)), died and not stopping


def _share_done(root: Path) -> float:
    """What share of its steps run ``root`` has recorded, 0 where it is not begun."""
    try:
        with (root / "timing.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 400))
            step = json.loads(file.read().splitlines()[-1])["step"]
        return float(step / files.read_object(root / "config.json")["train"]["steps"])
    except (OSError, ValueError, LookupError, TypeError, GankitError):
        return 0.0


def prepare_images(cells: Sequence[Cell]) -> None:
    """Download and decode what ``cells`` train on, once, before several ask for it. UsageError where it cannot be."""
    seen = set()
    for cell in cells:
        settings = configure(cell.variant, {**cell.flags, "seed": cell.seed})
        if settings.data not in seen:
            seen.add(settings.data)
            load_images(settings)


def visible_gpus(cells: Sequence[Cell]) -> list[str]:
    """What CUDA_VISIBLE_DEVICES names each GPU that ``cells`` may use, one each; [] where they run on the CPU."""
    if not any(cell.flags.get("device", "auto") in ("auto", "cuda") for cell in cells) or not torch.cuda.is_available():
        return []
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named or [str(number) for number in range(torch.cuda.device_count())]


def sweep(
    variant: str,
    grid: Grid | None = None,
    seeds: int = 1,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    retry_failed: bool = False,
    quiet: bool = False,
    **flags: Any,
) -> Sweep:
    """Train ``variant`` once for each combination of the values in ``grid`` and each of ``seeds`` seeds:
    ``sweep("wgan-gp", {"lr_g": [1e-4, 2e-4]}, seeds=3, data="shapes", out="lr")``.

    ``flags`` are the options of `gankit train`; the same call goes on with a sweep that was stopped, and may add values
    and seeds. UsageError for what cannot be, before anything is trained; see ``run_cells`` for the rest.
    """
    cells = cells_of(variant, grid or {}, seeds, flags, config)
    if out is None:
        data = str(cells[0].flags.get("data", "")).partition(":")[0]
        out = claim(f"sweep-{variant}", data or configure(variant, cells[0].flags).data.name)
    elif not (Path(out) / plans.FILE).exists() and Path(out).exists() and (not Path(out).is_dir() or _used(Path(out))):
        raise UsageError(f"{out}: exists and is not empty, and holds no sweep; choose another --out")
    results = run_cells(out, cells, jobs=jobs, cluster=cluster, quiet=quiet, retry_failed=retry_failed)
    return Sweep(out, results)


def _used(folder: Path) -> bool:
    return any(not path.name.startswith(".") for path in folder.iterdir())
