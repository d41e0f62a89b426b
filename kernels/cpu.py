"""Loads the C extension, and hands addresses and sizes of dense tensors to those of its functions that are no op."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor

TYPES = {torch.float64: 0, torch.float32: 1, torch.bfloat16: 2, torch.float16: 3}
# Numbers of csrc/winograd/, written here as well because this module loads without the extension; a test compares them.
TILE, POINTS = 4, 36  # an output tile's side, and the products that a tile takes
PHASE_TILE, PHASE_POINTS, PHASE_LINE = 4, 25, 16  # those, and channels are whole lines


def load() -> tuple[ModuleType | None, str]:
    """Returns the C extension, set to the SIMD level that GANKIT_SIMD names, or None and the reason."""
    try:
        from gankit.kernels import _cpu
    except ImportError as error:
        return None, f"the C extension is missing ({error}); gankit.kernels.build_log() has the compiler's words"
    wanted = os.environ.get("GANKIT_SIMD")
    if wanted and wanted not in _cpu.levels():
        return None, f"GANKIT_SIMD={wanted}: this processor runs {', '.join(_cpu.levels())}"
    if wanted:
        _cpu.use(wanted)
    _cpu.openmp()  # PyTorch is loaded by now, and with it the thread pool to share
    return _cpu, ""


_cpu, REASON = load()


_team: list[int] = []


def team() -> int:
    """Returns how many threads a call of the extension may use: as many as PyTorch's own ops, but in `yielding`."""
    return _team[-1] if _team else torch.get_num_threads()


@contextmanager
def yielding() -> Iterator[None]:
    """PyTorch's own ops run on one thread in this block if others use the cores, and the extension's on as many as
    PyTorch's had. For what gives the same bits on any number of threads.

    A region of PyTorch's waits for each of its threads, however long another process keeps one off its core; one of
    the extension's does so once and then goes on without it for a while (csrc/common/thread_pool.h).
    """
    if not extension().contended():
        yield
        return
    before = torch.get_num_threads()
    _team.append(before)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _team.pop()


def extension() -> ModuleType:
    """Returns the C extension. REASON must be empty."""
    assert _cpu is not None
    return _cpu


def detail() -> str:
    """Returns the SIMD level and the thread pool in use, as a line for `gankit doctor`."""
    if _cpu is None:
        return ""
    return f"SIMD {_cpu.level()} of {', '.join(_cpu.levels())}; threads of {_cpu.openmp() or 'none: one thread'}"


def gemm(
    a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None = None, accumulate: bool = False, bf16: bool = False
) -> Tensor:
    """a: [m,k], b: [k,n], of any strides; out: [m,n], columns contiguous; bias: [n]. Adds to `out` if accumulate.

    Sums in float64 where any operand has it, else in float32; with bf16 the operands are rounded to it first.
    """
    (m, k), n = a.shape, b.shape[1]
    if b.shape[0] != k or out.shape != (m, n) or (bias is not None and bias.shape != (n,)):
        shapes = [tuple(each.shape) for each in (a, b, out, bias) if each is not None]
        raise ValueError(f"gemm: a, b, out and bias have shapes {shapes}; they must be [m,k], [k,n], [m,n] and [n]")
    tensors = [a, b, out] if bias is None else [a, b, out, bias]
    if any(each.device.type != "cpu" or TYPES.get(each.dtype, 3) == 3 for each in tensors):
        raise TypeError("gemm: every tensor must be float64, float32 or bfloat16 on the CPU")
    if n > 1 and out.stride(1) != 1:
        raise ValueError(f"gemm: the columns of out must be contiguous, but they are {out.stride(1)} elements apart")
    bias = bias if bias is None else bias.contiguous()
    wide = torch.float64 in (a.dtype, b.dtype)
    extension().gemm(
        a.data_ptr(),
        *a.stride(),
        TYPES[a.dtype],
        b.data_ptr(),
        *b.stride(),
        TYPES[b.dtype],
        out.data_ptr(),
        out.stride(0),
        TYPES[out.dtype],
        0 if bias is None else bias.data_ptr(),
        0 if bias is None else TYPES[bias.dtype],
        m,
        n,
        k,
        2 if bf16 else 0 if wide else 1,
        accumulate,
        team(),
    )
    return out


def multiplies_well() -> bool:
    """Returns whether `gemm` is faster than PyTorch's products; at the baseline level it is not."""
    return _cpu is not None and _cpu.level() != "baseline"


def run_plan(words: int, count: int, slots: int) -> None:
    """words: the address of int64 [count], the steps; slots: that of the addresses they name (cpu/plan/emit.py)."""
    extension().run_plan(words, count, slots, team())


class Transform(enum.IntEnum):
    """Winograd's transforms, numbered as in csrc/winograd/transform.h."""

    INPUT = 0
    INPUT_TRANSPOSED = 1
    OUTPUT = 2
    OUTPUT_TRANSPOSED = 3
    FILTER = 4
    FILTER_TRANSPOSED = 5


def winograd(transform: Transform, plain: Tensor, points: Tensor, padding: int, grid: tuple[int, int]) -> None:
    """plain: [n,c,h,w] pixels, or [out,in,3,3] filters; points: [36, c, n tiles] or [36, out, in]; float32, contiguous.

    Fills one of them from the other: INPUT, OUTPUT_TRANSPOSED and FILTER fill ``points``, the rest ``plain``. ``grid``:
    tiles of the output, down and across; for filters (1, 1).
    """
    assert plain.is_contiguous()
    assert points[0].is_contiguous()
    shape, (down, across) = plain.shape, grid
    if transform in (Transform.FILTER, Transform.FILTER_TRANSPOSED):  # filters side by side, as tiles are
        shape, across = torch.Size((1, 1, 3, 3)), shape[0] * shape[1]
    apart, threads = points.stride(0), team()
    extension().winograd(transform, plain.data_ptr(), points.data_ptr(), *shape, padding, down, across, apart, threads)


def gemm_batch(a: Tensor, b: Tensor, out: Tensor, accumulate: bool = False) -> Tensor:
    """a: [p,m,k], b: [p,k,n], of any strides; out: [p,m,n], columns contiguous; all float32. Adds to `out` if
    accumulate.
    """
    (count, m, k), n = a.shape, b.shape[2]
    assert b.shape == (count, k, n)
    assert out.shape == (count, m, n)
    assert a.dtype == b.dtype == out.dtype == torch.float32
    assert n == 1 or out.stride(2) == 1
    extension().gemm_batch(
        a.data_ptr(), *a.stride(), b.data_ptr(), *b.stride(), out.data_ptr(), *out.stride()[:2], count, m, n, k,
        accumulate, team(),
    )  # fmt: skip
    return out


def polyphase(transform: Transform, plain: Tensor, points: Tensor, padding: int, grid: tuple[int, int]) -> None:
    """plain: [n,c,h,w] pixels, or [out,in,4,4] filters, channels last; points: [25, tiles or out, c or 4 in], rows
    contiguous; float32.

    Fills one of them from the other, as `winograd` does. ``grid``: tiles of the output, down and across.
    """
    if not plain.numel():
        return
    assert plain.is_contiguous(memory_format=torch.channels_last)
    assert points.stride(2) == 1
    assert points.stride(1) == points.shape[2]
    apart, threads = points.stride(0), team()
    extension().polyphase(transform, plain.data_ptr(), points.data_ptr(), *plain.shape, padding, *grid, apart, threads)
