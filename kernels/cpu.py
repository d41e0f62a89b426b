"""The ops in C: hands addresses and sizes of dense tensors to gankit.kernels._cpu."""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

TYPES = {torch.float64: 0, torch.float32: 1, torch.bfloat16: 2, torch.float16: 3}
TILE, POINTS = 4, 36  # of _cpu_winograd_work.h: an output tile's side, and the products that a tile takes
PHASE_TILE, PHASE_POINTS, PHASE_LINE = 4, 25, 16  # of _cpu_polyphase_work.h: those, and channels are whole lines
MOST_CHANNELS = 4096  # of a channels_last gather: the bytes that _cpu_gather.h reorders at a time


def load() -> tuple[ModuleType | None, str]:
    """The C extension, at the SIMD level that GANKIT_SIMD asks for, or the reason there is none."""
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


def describes() -> bool:
    """Whether PyTorch describes its tensors to C, so that the ops ending in _quick can look at them there."""
    capsule = getattr(Tensor, "__dlpack_c_exchange_api__", None)
    return _cpu is not None and capsule is not None and _cpu.describe_by(capsule, Tensor)


DESCRIBES = describes()


def interpolate_quick(real: Tensor, fake: Tensor, t: Tensor) -> Tensor | None:
    """As interpolate_cpu, or None unless all are plain contiguous CPU tensors that match."""
    assert _cpu is not None
    out = torch.empty_like(real)
    return out if _cpu.interpolate_quick(real, fake, t, out, torch.get_num_threads()) else None


def l1_terms_quick(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> Tensor | None:
    """As l1_terms, or None unless all are plain contiguous CPU tensors that match, none of them float64."""
    assert _cpu is not None
    out = torch.empty(len(pairs), dtype=torch.float32)
    return out if _cpu.l1_terms_quick(pairs, weights, out, torch.get_num_threads()) else None


def detail() -> str:
    """The SIMD level and the thread pool in use."""
    if _cpu is None:
        return ""
    return f"SIMD {_cpu.level()} of {', '.join(_cpu.levels())}; threads of {_cpu.openmp() or 'none: one thread'}"


def interpolate_cpu(real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
    """real, fake: [N,...], dense in one order; t: [N], contiguous, in the wide type. Returns [N,...]."""
    assert _cpu is not None
    out = torch.empty_like(real)
    n = real.shape[0]
    _cpu.interpolate(
        real.data_ptr(),
        fake.data_ptr(),
        t.data_ptr(),
        out.data_ptr(),
        n,
        real.numel() // n if n else 0,
        TYPES[real.dtype],
        torch.get_num_threads(),
    )
    return out


def norm_penalty_cpu(grad: Tensor, target: float, one_sided: bool) -> tuple[Tensor, Tensor]:
    """grad: [N,...], dense. Returns the penalty, [], and the norms, [N], in the wide type."""
    assert _cpu is not None
    kind = torch.float64 if grad.dtype == torch.float64 else torch.float32
    n = grad.shape[0]
    penalty, norms = torch.empty((), dtype=kind), torch.empty(n, dtype=kind)
    _cpu.norm_penalty(
        grad.data_ptr(),
        norms.data_ptr(),
        penalty.data_ptr(),
        n,
        grad.numel() // n if n else 0,
        target,
        one_sided,
        TYPES[grad.dtype],
        torch.get_num_threads(),
    )
    return penalty, norms


def norm_penalty_grad_cpu(grad: Tensor, norms: Tensor, slope: Tensor, target: float, one_sided: bool) -> Tensor:
    """grad: [N,...], dense; norms: [N]; slope: [], the outer gradient. Returns the gradient, as grad."""
    assert _cpu is not None
    out = torch.empty_like(grad)
    n = grad.shape[0]
    _cpu.norm_penalty_grad(
        grad.data_ptr(),
        norms.data_ptr(),
        slope.data_ptr(),
        out.data_ptr(),
        n,
        grad.numel() // n if n else 0,
        target,
        one_sided,
        TYPES[grad.dtype],
        torch.get_num_threads(),
    )
    return out


def l1_terms_cpu(tensors: Sequence[Tensor], factors: Sequence[float], kind: torch.dtype) -> Tensor:
    """tensors: a and b in turn, each pair dense in one order. Returns factor * sum |a - b|, [k], of type `kind`."""
    assert _cpu is not None
    out = torch.empty(len(factors), dtype=kind)
    pairs: list[float] = []
    for a, b, factor in zip(tensors[::2], tensors[1::2], factors, strict=True):
        pairs += (a.data_ptr(), b.data_ptr(), a.numel(), TYPES[a.dtype], factor)
    _cpu.l1_terms(out.data_ptr(), kind == torch.float64, torch.get_num_threads(), *pairs)
    return out


def l1_terms_grad_cpu(
    tensors: Sequence[Tensor], factors: Sequence[float], slopes: Tensor, wanted: Sequence[bool]
) -> list[Tensor | None]:
    """tensors, factors: as above; slopes: [k], the outer gradients. Returns the gradient of each wanted tensor."""
    assert _cpu is not None
    outs = [torch.empty_like(tensor) if want else None for tensor, want in zip(tensors, wanted, strict=True)]
    to = [0 if out is None else out.data_ptr() for out in outs]
    pairs: list[float] = []
    for k, factor in enumerate(factors):
        a, b = tensors[2 * k], tensors[2 * k + 1]
        pairs += (a.data_ptr(), b.data_ptr(), to[2 * k], to[2 * k + 1], a.numel(), TYPES[a.dtype], factor)
    _cpu.l1_terms_grad(slopes.data_ptr(), slopes.dtype == torch.float64, torch.get_num_threads(), *pairs)
    return outs


def gather_cpu(
    images: Tensor, index: Tensor, flip: Tensor | None, offset: Tensor | None, out: Tensor, channels_last: bool
) -> None:
    """images: uint8 [N,C,H,W]; index: [B]; flip: [B]; offset: [B,2]; all contiguous. Fills out, [B,C,h,w]."""
    assert _cpu is not None
    _cpu.gather(
        images.data_ptr(),
        index.data_ptr(),
        0 if flip is None else flip.data_ptr(),
        0 if offset is None else offset.data_ptr(),
        out.data_ptr(),
        *images.shape,
        out.shape[0],
        out.shape[2],
        out.shape[3],
        channels_last and out.shape[1] > 1,
        TYPES[out.dtype],
        torch.get_num_threads(),
    )


def gemm(
    a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None = None, accumulate: bool = False, bf16: bool = False
) -> Tensor:
    """a: [m,k], b: [k,n], of any strides; out: [m,n], columns contiguous; bias: [n]. Adds to `out` if accumulate.

    Sums in float64 where any operand has it, else in float32; with bf16 the operands are rounded to it first.
    """
    assert _cpu is not None
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
    _cpu.gemm(
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
        torch.get_num_threads(),
    )
    return out


def multiplies_well() -> bool:
    """Whether `gemm` has the vectors that make it worth having; at the baseline level PyTorch's products are faster."""
    return _cpu is not None and _cpu.level() != "baseline"


def run_plan(words: int, count: int, slots: int) -> None:
    """words: the address of int64 [count], the steps; slots: that of the addresses they name; see gankit/planned.py."""
    assert _cpu is not None
    _cpu.run_plan(words, count, slots, torch.get_num_threads())


class Transform(enum.IntEnum):
    """Winograd's transforms, numbered as in _cpu_winograd_work.h."""

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
    assert _cpu is not None
    assert plain.is_contiguous()
    assert points[0].is_contiguous()
    shape, (down, across) = plain.shape, grid
    if transform in (Transform.FILTER, Transform.FILTER_TRANSPOSED):  # filters side by side, as tiles are
        shape, across = torch.Size((1, 1, 3, 3)), shape[0] * shape[1]
    apart, threads = points.stride(0), torch.get_num_threads()
    _cpu.winograd(transform, plain.data_ptr(), points.data_ptr(), *shape, padding, down, across, apart, threads)


def gemm_batch(a: Tensor, b: Tensor, out: Tensor, accumulate: bool = False) -> Tensor:
    """a: [p,m,k], b: [p,k,n], of any strides; out: [p,m,n], columns contiguous; all float32. Adds to `out` if
    accumulate.
    """
    assert _cpu is not None
    (count, m, k), n = a.shape, b.shape[2]
    assert b.shape == (count, k, n)
    assert out.shape == (count, m, n)
    assert a.dtype == b.dtype == out.dtype == torch.float32
    assert n == 1 or out.stride(2) == 1
    _cpu.gemm_batch(
        a.data_ptr(), *a.stride(), b.data_ptr(), *b.stride(), out.data_ptr(), *out.stride()[:2], count, m, n, k,
        accumulate, torch.get_num_threads(),
    )  # fmt: skip
    return out


def polyphase(transform: Transform, plain: Tensor, points: Tensor, padding: int, grid: tuple[int, int]) -> None:
    """plain: [n,c,h,w] pixels, or [out,in,4,4] filters, channels last; points: [25, tiles or out, c or 4 in], rows
    contiguous; float32.

    Fills one of them from the other, as `winograd` does. ``grid``: tiles of the output, down and across.
    """
    assert _cpu is not None
    if not plain.numel():
        return
    assert plain.is_contiguous(memory_format=torch.channels_last)
    assert points.stride(2) == 1
    assert points.stride(1) == points.shape[2]
    apart, threads = points.stride(0), torch.get_num_threads()
    _cpu.polyphase(transform, plain.data_ptr(), points.data_ptr(), *plain.shape, padding, *grid, apart, threads)
