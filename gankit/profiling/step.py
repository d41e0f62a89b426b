"""Where a training step's time goes, and how far it is from its floor: its matrix products and convolutions alone."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile

from gankit.config import Config
from gankit.core.errors import UsageError
from gankit.core.torch_private import TorchDispatchMode
from gankit.core.types import Carry
from gankit.training.trainer import Trainer
from gankit.training.update import Update, Vector, compute

ATEN = torch.ops.aten
PRODUCTS = (ATEN.mm, ATEN.addmm, ATEN.bmm, ATEN.baddbmm, ATEN.convolution, ATEN.convolution_backward)
PROFILED = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::convolution", "aten::convolution_backward")
OWN = ("_Convolve", "_InputGradient", "_WeightGradient")
"""The Functions of convolution.py. What they take themselves is Winograd's algorithm, which runs in C."""
INDUCTOR = ("mkldnn::", "mkl::", "aten::mkldnn_convolution", "aten::mkldnn_linear")
WARM_UPS = 3


@dataclass(frozen=True)
class StepProfile:
    """Medians over ``steps`` steps. Times in seconds; ``phases``: of a step's updates, drawing their inputs included;
    ``share``: of the profiled time, what convolutions and matrix products took; ``floor``: those alone, run again by
    themselves; ``first``: the first step, with what was compiled; ``ratios``: a baseline's step over this one.
    """

    engine: str
    seconds: float
    p20: float
    p80: float
    first: float
    images_per_s: float
    phases: Mapping[str, float]
    share: float
    floor: float
    peak_mib: float
    steps: int
    threads: int
    device: str
    precision: str
    ratios: Mapping[str, float]
    kernels: float | None = None
    idle: float | None = None

    def lines(self) -> Iterator[str]:
        """What a person reads."""
        yield (
            f"{self.engine} on {self.device}, {self.precision}, {self.threads} threads, torch {torch.__version__}: "
            f"step {1e3 * self.seconds:.2f} ms (p20 {1e3 * self.p20:.2f}, p80 {1e3 * self.p80:.2f}, n={self.steps}), "
            f"{self.images_per_s:.0f} images/s; first step {self.first:.2f} s; peak {self.peak_mib:.0f} MiB"
        )
        for name, seconds in self.phases.items():
            yield f"  {name}: {1e3 * seconds:.2f} ms a step"
        yield f"  convolutions and matrix products: {self.share:.0%} of the time"
        yield f"  floor, those alone: {1e3 * self.floor:.2f} ms, {self.floor / self.seconds:.2f} of the step"
        if self.kernels is not None and self.idle is not None:
            yield f"  {self.kernels:.0f} kernels a step; {self.idle:.1%} of the time none runs"
        for name, ratio in self.ratios.items():
            yield f"  {ratio:.2f}x {name}"


def profile_step(
    config: Config, steps: int = 20, rounds: int = 3, baselines: Path | None = None, trace: Path | None = None
) -> StepProfile:
    """Profile the step of ``config``. ``baselines``: the folder of careful.py and textbook.py, which take turns with
    it in ``rounds`` rounds; ``trace``: where Chrome's trace of a few steps is written.
    """
    trainer = Trainer(config)
    phases: dict[str, list[float]] = {}
    begun = time.perf_counter()
    trainer.step()
    wait(trainer)
    first = time.perf_counter() - begun
    for _ in range(WARM_UPS):
        trainer.step()
    peak = peak_mib(trainer.device)
    others = {name: _baseline(baselines, name) for name in ("careful", "textbook")} if baselines else {}
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in others}
    for _ in range(rounds):
        with phase_times(trainer, phases):
            ours += [timed(trainer, trainer.step) for _ in range(steps)]
        for name, module in others.items():
            theirs[name].append(_median_step(module, trainer, steps))
    share, kernels, idle = _profiled(trainer, trace)
    middle = statistics.median(ours)
    planned = planned_products(trainer)
    share = planned / middle if planned else share
    cuts = statistics.quantiles(ours, n=5, method="inclusive") if len(ours) > 1 else ours * 4
    return StepProfile(
        engine=trainer.engine.name,
        seconds=middle,
        p20=cuts[0],
        p80=cuts[3],
        first=first,
        images_per_s=trainer.options.batch_size * trainer.draws(trainer.done) / middle,
        phases={name: statistics.median(times) for name, times in phases.items()},
        share=share,
        floor=floor(trainer),
        peak_mib=peak,
        steps=len(ours),
        threads=trainer.threads,
        device=torch.cuda.get_device_name() if trainer.device.type == "cuda" else "cpu",
        precision=trainer.options.precision,
        ratios={name: statistics.median(times) / middle for name, times in theirs.items()},
        kernels=kernels,
        idle=idle,
    )


def wait(trainer: Trainer) -> None:
    """Until the device has done what it was given."""
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()


def timed(trainer: Trainer, run: Callable[[], object]) -> float:
    """Seconds that ``run`` takes, the device's part included."""
    wait(trainer)
    begun = time.perf_counter()
    run()
    wait(trainer)
    return time.perf_counter() - begun


@contextmanager
def phase_times(trainer: Trainer, found: dict[str, list[float]]) -> Iterator[None]:
    """Within this block the seconds of every phase are added to ``found``, a figure a step; on a GPU as Python sees
    them, since waiting after each would change the step.
    """
    update = trainer.engine.update
    last: dict[str, int] = {}

    def measured(due: Update, carry: Carry, later: Any = ()) -> tuple[Vector, Carry]:
        begun = time.perf_counter()
        result = update(due, carry, later)
        name, took = due.state.phase.name, time.perf_counter() - begun
        times = found.setdefault(name, [])
        if last.get(name) == due.step:
            times[-1] += took
        else:
            times.append(took)
        last[name] = due.step
        return result

    trainer.engine.update = measured  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del trainer.engine.update


class Products(TorchDispatchMode):
    """Notes every convolution and matrix product that runs within it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in PRODUCTS:
            self.calls.append((func, tuple(_like(arg) for arg in args), dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Like:
    """The shape of a tensor, to make another one like it."""

    shape: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def make(self) -> Tensor:
        """A tensor of normal numbers."""
        # A dimension of stride 0 was expanded: one number for all of it.
        some = [1 if stride == 0 else size for size, stride in zip(self.shape, self.strides, strict=True)]
        tensor = torch.empty_strided(some, self.strides, dtype=self.dtype, device=self.device)
        return tensor.normal_().expand(self.shape)


def _like(value: Any) -> Any:
    return Like(value.shape, value.stride(), value.dtype, value.device) if isinstance(value, Tensor) else value


@torch.no_grad()
def floor(trainer: Trainer, repeats: int = 5) -> float:
    """Seconds of one step's convolutions and matrix products alone: each call of an eager step again, on numbers of the
    same shapes and strides, its median of ``repeats``. Weights stay; batch norm counts the step.
    """
    carry = Carry()
    with torch.enable_grad(), Products() as products:
        for update in trainer.due(trainer.done):
            state, inputs = update.state, trainer.batches(update.key)
            carry |= compute(trainer.model, state, state.parameters, trainer.engine.arithmetic, *inputs, carry).carry
    seconds: dict[str, float] = {}
    total = 0.0
    for func, args, kwargs in products.calls:
        key = repr((func, args, kwargs))
        if key not in seconds:
            made = [arg.make() if isinstance(arg, Like) else arg for arg in args]
            func(*made, **kwargs)
            runs = [timed(trainer, partial(func, *made, **kwargs)) for _ in range(repeats)]
            seconds[key] = statistics.median(runs)
        total += seconds[key]
    return total


def planned_products(trainer: Trainer, repeats: int = 5) -> float:
    """Seconds of a step's matrix products alone where plans run them, which PyTorch's profiler does not see; else 0."""
    total = 0.0
    for update in trainer.due(trainer.done):
        for plan in trainer.engine.plans(update.state):
            total += statistics.median(timed(trainer, plan.run_products) for _ in range(repeats))
    return total


def _profiled(trainer: Trainer, trace: Path | None, steps: int = 3) -> tuple[float, float | None, float | None]:
    """Of a few profiled steps: the share of products, and on a GPU kernels a step and the share without any."""
    cuda = trainer.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        for _ in range(steps):
            trainer.step()
        wait(trainer)
    if trace is not None:
        profiler.export_chrome_trace(str(trace))
    events = profiler.key_averages()
    kind = "device_time_total" if cuda else "cpu_time_total"
    names = [e for e in events if e.key in PROFILED or e.key.startswith(INDUCTOR)]
    nested = {"aten::mkldnn_convolution"} if any(e.key == "aten::convolution" for e in events) else set()
    products = sum(getattr(e, kind) for e in names if e.key not in nested)
    products += sum(e.self_cpu_time_total for e in events if e.key in OWN and not cuda)
    if not cuda:
        return products / sum(e.self_cpu_time_total for e in events), None, None
    kernels = [e.time_range for e in profiler.events() if e.device_type == DeviceType.CUDA]
    spans = sorted((k.start, k.end) for k in kernels)
    busy, reached = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    share = products / sum(k.elapsed_us() for k in kernels)
    return share, len(kernels) / steps, 1 - busy / (reached - spans[0][0])


def peak_mib(device: torch.device) -> float:
    """The most memory held, in MiB: by PyTorch on a GPU, else by the process; not a number where the system does not
    tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource  # of Unix alone
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _baseline(folder: Path, name: str) -> ModuleType:
    """The module of a baseline. UsageError where the folder has none."""
    spec = util.spec_from_file_location(name, folder / f"{name}.py")
    if spec is None or spec.loader is None or not (folder / f"{name}.py").exists():
        raise UsageError(f"--baselines {folder}: has no {name}.py; name the folder benchmarks of gankit's source")
    module = util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def _median_step(module: ModuleType, trainer: Trainer, steps: int) -> float:
    """The median seconds of a baseline's step and its data, with the same options, images and device."""
    result = module.run_config(trainer.config, trainer.images, steps)
    times: list[float] = [data + step for data, step in zip(result.data_s, result.step_s, strict=True)]
    return statistics.median(times)
