"""Measures the kernels: first that they are right, then how fast they are beside PyTorch in the same run.

On a CPU each call is timed alone, in random order, between other PyTorch ops; on a GPU inside a CUDA graph.
"""

from __future__ import annotations

import csv
import datetime
import os
import platform
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch

from gankit.kernels import cases, implementations
from gankit.kernels.dispatch import choose
from gankit.profiling.kernel_work import Call, Work, works

REPEATS_IN_GRAPH = 10


@dataclass(frozen=True)
class Row:
    """One op, way, size and type. Times in microseconds, bandwidths in GB/s; ratios are of medians, over 1 is
    faster than the other. `failure` says why there is no time.
    """

    date: str
    device: str
    torch: str
    triton: str
    threads: int
    simd: str
    op: str
    impl: str
    type: str
    way: str = ""
    shape: str = ""
    megabytes: float = 0.0
    n: int = 0
    p20_us: float = 0.0
    p50_us: float = 0.0
    p80_us: float = 0.0
    gb_per_s: float = 0.0
    copy_gb_per_s: float = 0.0
    copy_share: float = 0.0
    vs_eager: float = 0.0
    vs_compile: float = 0.0
    vs_lerp: float = 0.0
    failure: str = ""


def profile(
    ops: tuple[str, ...], impl: str, sizes: tuple[float, ...], kinds: tuple[str, ...], rounds: int, compare: bool
) -> Iterator[Row]:
    """A row for every op, type, size and way. An op that fails its cases in a type is not timed in it.

    ops: none stands for all; sizes: MiB of a tensor; rounds: calls that are timed of each contender; compare: also run
    torch.compile.
    """
    device = cases.device()
    for op in ops or cases.OPS:
        for kind in kinds:
            failure = _failure(op, impl, kind)
            if failure:
                yield replace(_blank(op, impl, kind, device), failure=failure)
                continue
            for megabytes in sizes:
                for work in works(op, megabytes, cases.TYPES[kind], device, impl):
                    yield _measured(work, impl, kind, megabytes, device, rounds, compare)
                    if compare:
                        torch.compiler.reset()


def _failure(op: str, impl: str, kind: str) -> str:
    """The first case of a type that an op fails, or why it cannot run; empty where all is right."""
    for case in cases.cases(op):
        if case.type != kind:
            continue
        try:
            wrong = cases.failures(case, impl)
        except RuntimeError as error:
            return str(error)
        if wrong:
            return f"case {case}: {wrong[0]}"
    return ""


def _measured(
    work: Work, impl: str, kind: str, megabytes: float, device: torch.device, rounds: int, compare: bool
) -> Row:
    calls = {"ours": work.ours, "eager": work.eager, **work.others}
    if compare:
        calls["compile"] = work.compiled
    rounds = max(int(rounds * min(1.0, 8 / megabytes)), 20)
    times = time_on_gpu(calls, rounds) if device.type == "cuda" else time_on_cpu(calls, rounds)
    median = {name: statistics.median(each) for name, each in times.items()}
    p20, p50, p80 = (quantile(times["ours"], share) for share in (0.2, 0.5, 0.8))
    speed, copy_speed = work.bytes_moved / p50 / 1e3, work.bytes_copied / median["copy"] / 1e3
    return replace(
        _blank(work.op, impl, kind, device),
        way=work.way,
        shape=work.shape,
        megabytes=megabytes,
        n=rounds,
        p20_us=round(p20, 2),
        p50_us=round(p50, 2),
        p80_us=round(p80, 2),
        gb_per_s=round(speed, 2),
        copy_gb_per_s=round(copy_speed, 2),
        copy_share=round(speed / copy_speed, 3),
        vs_eager=round(median["eager"] / p50, 3),
        vs_compile=round(median.get("compile", 0.0) / p50, 3),
        vs_lerp=round(median.get("lerp", 0.0) / p50, 3),
    )


def _blank(op: str, impl: str, kind: str, device: torch.device) -> Row:
    """What is known of a row before anything is measured."""
    return Row(
        date=datetime.date.today().isoformat(),
        device=device_name(device),
        torch=torch.__version__,
        triton=_triton_version(),
        threads=torch.get_num_threads(),
        simd=_simd(),
        op=op,
        impl=f"auto: {choose(impl, torch.empty(1, device=device))}" if impl == "auto" else impl,
        type=kind,
    )


def quantile(times: list[float], share: float) -> float:
    """The time that `share` of them stay under."""
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def time_on_cpu(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Microseconds of each call: each alone, in random order, after a small product as a network would make."""
    factor, order = torch.randn(128, 128), list(calls)
    shuffle = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 3):
        shuffle.shuffle(order)
        for name in order:
            torch.relu_(factor @ factor)
            start = time.perf_counter_ns()
            result = calls[name]()
            elapsed = time.perf_counter_ns() - start
            del result
            if turn >= 3:
                times[name].append(elapsed / 1e3)
    return times


def time_on_gpu(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Microseconds of each call, by events around a captured CUDA graph of several."""
    graphs = {name: _captured(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    shuffle, order = random.Random(0), list(calls)
    for _ in range(rounds):
        shuffle.shuffle(order)
        for name in order:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            graphs[name].replay()
            end.record()
            end.synchronize()
            times[name].append(start.elapsed_time(end) * 1e3 / REPEATS_IN_GRAPH)
    return times


def _captured(call: Call) -> torch.cuda.CUDAGraph:
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS_IN_GRAPH):
            call()
    return graph


def device_name(device: torch.device) -> str:
    """The device as a reader knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()} x{os.cpu_count()}"


def _simd() -> str:
    detail = next((each.detail for each in implementations() if each.name == "cpu" and each.available), "")
    return detail.removeprefix("SIMD ").split(" ")[0]


def _triton_version() -> str:
    try:
        import triton
    except ImportError:
        return ""
    return str(triton.__version__)


def append(path: Path, rows: list[Row]) -> None:
    """Adds measured rows to a CSV file, with a header if it is new."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        names = [field.name for field in fields(Row) if field.name != "failure"]
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows if not row.failure)


def line(row: Row) -> str:
    """A row for a person to read."""
    if row.failure:
        return f"{row.op:12} {row.impl:6} {row.type}  not timed: {row.failure}"
    ratios = {"eager": row.vs_eager, "compile": row.vs_compile, "lerp": row.vs_lerp}
    shown = "  ".join(f"{ratio:.2f}x {name}" for name, ratio in ratios.items() if ratio)
    return (
        f"{row.op:12} {row.way:23} {row.type} {row.megabytes:5g} MiB  p50 {row.p50_us:8.0f} us "
        f"(p20 {row.p20_us:.0f}, p80 {row.p80_us:.0f}, n {row.n})  {row.gb_per_s:6.1f} GB/s "
        f"= {row.copy_share:.2f} of copy  {shown}  {row.shape}"
    )
