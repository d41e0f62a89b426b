"""The inputs that every implementation must agree on, and the judge of a result.

The judge is a formula in long double NumPy, written from the paper and not from the code. A result may be off by twice
what PyTorch's own ops in the same type are off, plus one unit in the last place. Used by the tests and, before
it prints a speed, by `gankit profile kernels`.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import deterministic

from gankit.kernels import gather, interpolate, l1_terms, norm_penalty

Exact = NDArray[np.longdouble]
Results = dict[str, Tensor]

TYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SHAPES = ((3, 1, 7, 5), (1, 3, 33, 31), (0, 3, 4, 4), (2, 3, 83, 101), (70, 1, 3, 3))
LAYOUTS = ("channels_last", "expanded", "offset", "mixed")
ULPS = {torch.float64: 2.0**-52, torch.float32: 2.0**-23, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}
SMALLEST = {torch.float64: 0.0, torch.float32: 2.0**-149, torch.bfloat16: 2.0**-133, torch.float16: 2.0**-24}


@dataclass(frozen=True)
class Case:
    """One input of one op. special puts zeros, a NaN or an Inf into it; option is the op's own switch."""

    op: str
    shape: tuple[int, int, int, int]
    type: str = "fp32"
    layout: str = "contiguous"
    special: str = ""
    option: str = ""

    def __str__(self) -> str:
        n, c, h, w = self.shape
        extra = [part for part in (self.layout, self.special, self.option) if part not in ("", "contiguous")]
        return "-".join([f"N{n}-C{c}-{h}x{w}-{self.type}", *extra])

    @property
    def dtype(self) -> torch.dtype:
        """The type of the tensors."""
        return TYPES[self.type]


@dataclass(frozen=True)
class Op:
    """How an op is tried.

    call: makes the inputs of a case; returns the function from an implementation, or "eager" for PyTorch's plain ops in
    the same type, to outputs and gradients. exact: those by the formulas. options, specials, layouts: what the op's
    cases have beside shapes and types.
    """

    call: Callable[[Case], Callable[[str], Results]]
    exact: Callable[[Case], dict[str, Exact]]
    options: tuple[str, ...] = ()
    specials: tuple[str, ...] = ()
    layouts: tuple[str, ...] = LAYOUTS


@functools.cache
def cases(op: str) -> tuple[Case, ...]:
    """Every case of an op: all shapes in all types, then layouts, special values and options."""
    found = [Case(op, shape, kind) for shape in SHAPES for kind in TYPES]
    tried = CASES[op]
    found += [Case(op, (3, 3, 7, 5), kind, layout) for layout in tried.layouts for kind in ("fp32", "bf16")]
    found += [Case(op, (5, 3, 9, 11), kind, special=special) for special in tried.specials for kind in TYPES]
    found += [Case(op, (5, 3, 9, 11), kind, option=option) for option in tried.options for kind in TYPES]
    return tuple(found)


def failures(case: Case, impl: str) -> list[str]:
    """What is wrong with the results of `impl`, one line each; empty where all are right."""
    with poisoned(), np.errstate(invalid="ignore"):  # Triton's interpreter computes in NumPy
        got = run(case, impl)
    exact, plain = truth(case), run(case, "eager")
    return [line for name in exact for line in judge(name, got[name], exact[name], plain[name])]


def judge(name: str, got: Tensor, exact: Exact, plain: Tensor) -> Iterator[str]:
    """A line where `got` is further from `exact` than twice what `plain` is, plus one unit in the last place."""
    if tuple(got.shape) != exact.shape:
        yield f"{name}: shape {tuple(got.shape)}, expected {exact.shape}"
        return
    ours, theirs = _wide(got), _wide(plain)
    top = torch.finfo(got.dtype).max
    finite = np.isfinite(exact) & (np.abs(exact) <= top)
    want = np.where(np.isfinite(exact) & ~finite, np.copysign(np.inf, exact), exact)
    if not (np.array_equal(np.isnan(ours), np.isnan(want)) and np.array_equal(np.isinf(ours), np.isinf(want))):
        yield f"{name}: NaN or Inf where there should be none, or none where there should be one"
        return
    if not finite.any():
        return
    error = np.abs(ours[finite] - exact[finite])
    plain_error = np.abs(theirs[finite] - exact[finite])
    slack = 2 * np.max(plain_error[np.isfinite(plain_error)], initial=0)
    allowed = slack + np.abs(exact[finite]) * ULPS[got.dtype] + SMALLEST[got.dtype]
    if (error > allowed).any():
        worst = int(np.argmax(error - allowed))
        yield f"{name}: off by {float(error[worst]):.3g}, allowed {float(allowed[worst]):.3g}"


@contextmanager
def poisoned() -> Iterator[None]:
    """Fresh tensors hold NaN, so that what a kernel leaves out is seen."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    switch: Any = deterministic
    fill, switch.fill_uninitialized_memory = switch.fill_uninitialized_memory, True
    try:
        yield
    finally:
        switch.fill_uninitialized_memory = fill
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def run(case: Case, impl: str) -> Results:
    """Outputs and gradients of an implementation, or of PyTorch's plain ops in the same type ("eager")."""
    return CASES[case.op].call(case)(impl)


def truth(case: Case) -> dict[str, Exact]:
    """The same outputs and gradients by the formulas, in long double."""
    return CASES[case.op].exact(case)


def device() -> torch.device:
    """Where the cases run: the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _wide(tensor: Tensor) -> Exact:
    return tensor.detach().double().cpu().numpy().astype(np.longdouble)


def _random(case: Case, name: str, shape: tuple[int, ...] | None = None, scale: float = 1.0) -> Tensor:
    """A tensor of the case: the same one for the same name, in the case's type and layout."""
    shape = case.shape if shape is None else shape
    generator = torch.Generator().manual_seed(zlib.crc32(f"{case} {name}".encode()))
    layout = case.layout if len(shape) == 4 else "contiguous"
    if layout == "expanded" and name == "second":
        return (torch.randn(1, *shape[1:], generator=generator) * scale).to(device(), case.dtype).expand(shape)
    if layout == "offset":
        storage = torch.randn(int(np.prod(shape)) + 1, generator=generator) * scale
        return storage.to(device(), case.dtype)[1:].view(shape)
    tensor = (torch.randn(shape, generator=generator) * scale).to(device(), case.dtype)
    if layout == "channels_last" or (layout == "mixed" and name == "second"):
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor


def _special(case: Case, tensor: Tensor) -> Tensor:
    if case.special == "nan":
        tensor[0, 0, 0, 1] = torch.nan
    elif case.special == "inf":
        tensor[0, 0, 0, 2] = -torch.inf
    elif case.special == "zero":
        tensor[1] = 0
    return tensor


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _ends(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    kind = torch.float16 if case.option == "t-fp16" else case.dtype
    t = _random(case, "t", case.shape[:1]).float().sigmoid().to(kind)
    return _special(case, _random(case, "first")), _random(case, "second"), t, _random(case, "outer")


def eager_interpolate(real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
    """real, fake: [N,...]; t: [N]. Returns t real + (1 - t) fake, [N,...]."""
    weight = t.to(real.dtype).view(-1, *[1] * (real.dim() - 1))
    return weight * real + (1 - weight) * fake


def _interpolate(case: Case) -> Callable[[str], Results]:
    real, fake, t, outer = _ends(case)
    real, fake, t = _leaf(real), _leaf(fake), _leaf(t)

    def call(impl: str) -> Results:
        out = eager_interpolate(real, fake, t) if impl == "eager" else interpolate(real, fake, t, impl=impl)
        grads = torch.autograd.grad(out, (real, fake, t), outer)
        return {"out": out, "real": grads[0], "fake": grads[1], "t": grads[2]}

    return call


def _interpolate_exact(case: Case) -> dict[str, Exact]:
    real, fake, t, outer = map(_wide, _ends(case))
    weight = t.reshape(-1, 1, 1, 1)
    with np.errstate(invalid="ignore"):
        return {
            "out": fake + weight * (real - fake),
            "real": outer * weight,
            "fake": outer * (1 - weight),
            "t": (outer * (real - fake)).sum((1, 2, 3)),
        }


def _norm_penalty_call(case: Case) -> tuple[Tensor, float, bool, Tensor]:
    size = max(int(np.prod(case.shape[1:])), 1)
    grad = _special(case, _random(case, "first", scale=1.5 / size**0.5))
    slope = torch.tensor(1.75, device=device(), dtype=torch.float64 if case.type == "fp64" else torch.float32)
    if case.option == "target-0":
        grad[1] = 0  # at the target itself, where the square is smooth and the norm is not
    target = {"target-0": 0.0, "one-sided": 1.5}.get(case.option, 1.0625)  # 1.5 lies among the norms
    return grad, target, case.option == "one-sided", slope


def eager_norm_penalty(grad: Tensor, target: float = 1.0, one_sided: bool = False) -> tuple[Tensor, Tensor]:
    """grad: [N,...]. Returns the mean of (norm2 - target)^2, [], and the norms, [N]."""
    norms = grad.flatten(1).norm(2, dim=1)
    over = (norms - target).clamp(min=0) if one_sided else norms - target
    return ((over**2).mean() if len(grad) else over.sum()), norms


def _norm_penalty(case: Case) -> Callable[[str], Results]:
    grad, target, one_sided, slope = _norm_penalty_call(case)
    grad = _leaf(grad)

    def call(impl: str) -> Results:
        if impl == "eager":
            penalty, norms = eager_norm_penalty(grad, target, one_sided)
        else:
            penalty, norms = norm_penalty(grad, target, one_sided, impl=impl)
        (slopes,) = torch.autograd.grad(penalty, grad, slope.to(penalty.dtype))
        return {"penalty": penalty, "norms": norms, "grad": slopes}

    return call


def _norm_penalty_exact(case: Case) -> dict[str, Exact]:
    tensor, target, one_sided, slope = _norm_penalty_call(case)
    grad, n = _wide(tensor), max(len(tensor), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        norms = np.sqrt((grad**2).sum((1, 2, 3)))
        over = norms - target
        if one_sided:
            over = np.where(over < 0, 0, over)
        factor = np.where(norms == 0, 0, 2 * over / (n * norms)) * _wide(slope)
        return {
            "penalty": (over**2).sum() / n + np.zeros(()),
            "norms": norms,
            "grad": grad * factor.reshape(-1, 1, 1, 1),
        }


def _pairs(case: Case) -> tuple[list[tuple[Tensor, Tensor]], list[float], Tensor]:
    pairs = [(_special(case, _random(case, "first")), _random(case, "second"))]
    if case.special == "zero" and len(pairs[0][0]):
        pairs[0][1][1] = 0  # equal where the other is 0, too: the sign of a zero difference
    for place in range(7 if case.option == "eight-pairs" else 1):
        shape = (1 + place, 13 * place + 1)
        pairs.append((_random(case, f"a{place}", shape), _random(case, f"b{place}", shape)))
    if case.option == "mixed-types":
        pairs[1] = (pairs[1][0].to(torch.bfloat16), pairs[1][1].to(torch.bfloat16))
    weights = [10.0 / (place + 1) for place in range(len(pairs))]
    slopes = torch.linspace(-1.5, 2, len(pairs), dtype=torch.float64, device=device())
    return pairs, weights, slopes


def eager_l1_terms(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> Tensor:
    """pairs: k of (a, b); weights: k. Returns weight * mean |a - b|, [k]."""
    terms = [
        F.l1_loss(a, b) * weight if a.numel() else (a - b).sum() for (a, b), weight in zip(pairs, weights, strict=True)
    ]
    kind = torch.float64 if any(term.dtype == torch.float64 for term in terms) else torch.float32
    return torch.stack([term.to(kind) for term in terms])


def _l1_terms(case: Case) -> Callable[[str], Results]:
    pairs, weights, slopes = _pairs(case)
    pairs = [(_leaf(a), _leaf(b)) for a, b in pairs]

    def call(impl: str) -> Results:
        out = eager_l1_terms(pairs, weights) if impl == "eager" else l1_terms(pairs, weights, impl=impl)
        grads = torch.autograd.grad(out, [tensor for pair in pairs for tensor in pair], slopes.to(out.dtype))
        return {"out": out, **{f"{'ab'[place % 2]}{place // 2}": grad for place, grad in enumerate(grads)}}

    return call


def _l1_terms_exact(case: Case) -> dict[str, Exact]:
    pairs, weights, slopes = _pairs(case)
    terms: list[np.longdouble] = []
    found: dict[str, Exact] = {}
    for place, ((first, second), weight) in enumerate(zip(pairs, weights, strict=True)):
        a, b = _wide(first), _wide(second)
        factor = np.longdouble(weight) / max(a.size, 1)
        with np.errstate(invalid="ignore"):
            terms.append(np.abs(a - b).sum() * factor)
            sign = (a > b).astype(np.longdouble) - (a < b).astype(np.longdouble)  # PyTorch: a NaN has sign 0
        found[f"a{place}"] = sign * factor * _wide(slopes[place])
        found[f"b{place}"] = -found[f"a{place}"]
    return {"out": np.array(terms, dtype=np.longdouble), **found}


def _gather_call(case: Case) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, tuple[int, int]]:
    n, c, h, w = case.shape
    generator = torch.Generator().manual_seed(zlib.crc32(str(case).encode()))
    images = torch.randint(0, 256, (n + 2, c, h, w), dtype=torch.uint8, generator=generator)
    index = torch.randint(0, n + 2, (n,), generator=generator)
    flip = torch.arange(n) % 2 == 0 if "flip" in case.option else None
    offset, size = None, (h, w)
    if "crop" in case.option:
        size = (h - 3, w - 2)
        offset = torch.stack([torch.arange(n) % 4, torch.arange(n) % 3], 1)

    on = device()
    return (
        images.to(on),
        index.to(on),
        None if flip is None else flip.to(on),
        None if offset is None else offset.to(on),
        size,
    )


def eager_gather(images: Tensor, index: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """images: uint8 [N,C,H,W]; index: [B]. Returns x / 127.5 - 1, [B,C,H,W]."""
    return images[index].to(dtype) / 127.5 - 1


def _gather(case: Case) -> Callable[[str], Results]:
    images, index, flip, offset, size = _gather_call(case)
    last = torch.channels_last if "last" in case.option else torch.contiguous_format

    def plain() -> Tensor:
        rows = []
        for place in range(len(index)):
            top, left = (0, 0) if offset is None else offset[place].tolist()
            image = eager_gather(images, index[place : place + 1], case.dtype)
            image = image[:, :, top : top + size[0], left : left + size[1]]
            rows.append(image.flip(-1) if flip is not None and flip[place] else image)
        return torch.cat(rows) if rows else eager_gather(images, index, case.dtype)

    def call(impl: str) -> Results:
        if impl == "eager":
            return {"out": plain()}
        return {"out": gather(images, index, flip, offset, size, dtype=case.dtype, memory_format=last, impl=impl)}

    return call


def _gather_exact(case: Case) -> dict[str, Exact]:
    images, index, flip, offset, (h, w) = _gather_call(case)
    source = images.cpu().numpy()
    out = np.zeros((len(index), images.shape[1], h, w), dtype=np.longdouble)
    for place, which in enumerate(index.tolist()):
        top, left = (0, 0) if offset is None else offset[place].tolist()
        window = source[which, :, top : top + h, left : left + w]
        out[place] = window[..., ::-1] if flip is not None and flip[place] else window
    return {"out": out / np.longdouble(127.5) - 1}


CASES = {
    "interpolate": Op(_interpolate, _interpolate_exact, ("t-fp16",), ("nan", "inf")),
    "norm_penalty": Op(_norm_penalty, _norm_penalty_exact, ("one-sided", "target-0"), ("zero", "nan", "inf")),
    "l1_terms": Op(_l1_terms, _l1_terms_exact, ("eight-pairs", "mixed-types"), ("zero", "nan", "inf")),
    "gather": Op(_gather, _gather_exact, ("flip", "crop", "flip-crop", "flip-crop-last", "last"), layouts=()),
}
OPS = tuple(CASES)
