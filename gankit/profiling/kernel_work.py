"""What `gankit profile kernels` times: each way an op is used, beside PyTorch's ops that do the same."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gankit.kernels import cases, gather, interpolate, l1_terms, norm_penalty

Call = Callable[[], object]
MIB = 2**20


@dataclass(frozen=True)
class Work:
    """One way of one op on one input: what is called, beside what, and how many bytes it has to move."""

    op: str
    way: str
    shape: str
    ours: Call
    eager: Call
    compiled: Call
    others: dict[str, Call]
    bytes_moved: int
    bytes_copied: int


def works(op: str, megabytes: float, dtype: torch.dtype, device: torch.device, impl: str) -> Iterator[Work]:
    """The ways an op is used, on inputs of about `megabytes` MiB each (for l1_terms: of all pairs together)."""
    side = max(4 * round((megabytes * MIB / dtype.itemsize / 64 / 3) ** 0.5 / 4), 4)  # as images have
    shape = (64, 3, side, side)
    make = {"interpolate": _interpolate, "norm_penalty": _norm_penalty, "l1_terms": _l1_terms, "gather": _gather}.get(
        op
    )
    yield from make(shape, dtype, device, impl) if make else _as_in_cases(op, shape, dtype, impl)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function through torch.compile, which is only loaded at the first call: it takes seconds."""
    build = functools.cache(lambda: torch.compile(function))
    return lambda *args: build()(*args)


def _copies(tensor: Tensor) -> dict[str, Call]:
    """Copies of a tensor, to fresh memory as an op's output is, and to memory in use."""
    target = torch.empty_like(tensor)
    return {"clone": tensor.clone, "copy": lambda: target.copy_(tensor)}


def _as_in_cases(op: str, shape: tuple[int, int, int, int], dtype: torch.dtype, impl: str) -> Iterator[Work]:
    """An op without ways of its own, as its cases call it; as if it read and wrote each of its results once."""
    (kind,) = (name for name, each in cases.TYPES.items() if each is dtype)
    call = cases.CASES[op].call(cases.Case(op, shape, kind))
    results, compiled = call("eager"), _compiled(call)
    size = 2 * sum(each.numel() * each.element_size() for each in results.values())
    copy = torch.cat([each.detach().flatten().to(dtype) for each in results.values()]).clone
    ours, eager = functools.partial(call, impl), functools.partial(call, "eager")
    yield Work(
        op, "as in its cases", str(list(shape)), ours, eager, lambda: compiled("eager"), {"copy": copy}, size, size
    )


def _interpolate(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, impl: str) -> Iterator[Work]:
    real, fake = (torch.randn(shape, device=device).to(dtype) for _ in range(2))
    t = torch.rand(shape[0], device=device)
    weight = t.to(dtype)
    compiled = _compiled(cases.eager_interpolate)
    size = real.numel() * dtype.itemsize
    yield Work(
        "interpolate",
        "forward",
        str(list(shape)),
        lambda: interpolate(real, fake, t, impl=impl),
        lambda: cases.eager_interpolate(real, fake, t),
        lambda: compiled(real, fake, t),
        {"copy": real.clone, "lerp": lambda: torch.lerp(fake, real, weight.view(-1, 1, 1, 1))},
        3 * size,
        2 * size,
    )


def _norm_penalty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, impl: str) -> Iterator[Work]:
    grad = torch.randn(shape, device=device).to(dtype)
    leaf = grad.clone().requires_grad_()
    compiled = _compiled(cases.eager_norm_penalty)
    size, copies = grad.numel() * dtype.itemsize, _copies(grad)

    def slope(function: Callable[..., tuple[Tensor, Tensor]]) -> Call:
        return lambda: torch.autograd.grad(function(leaf)[0], leaf)

    def ours(each: Tensor) -> tuple[Tensor, Tensor]:
        return norm_penalty(each, impl=impl)

    yield Work(
        "norm_penalty",
        "forward",
        str(list(shape)),
        lambda: ours(grad),
        lambda: cases.eager_norm_penalty(grad),
        lambda: compiled(grad),
        {"copy": copies["copy"]},
        size,
        2 * size,
    )
    yield Work(
        "norm_penalty",
        "forward+backward",
        str(list(shape)),
        slope(ours),
        slope(cases.eager_norm_penalty),
        slope(compiled),
        {"copy": copies["clone"]},
        3 * size,
        2 * size,
    )


def _l1_terms(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, impl: str) -> Iterator[Work]:
    for k in (4, 1):  # CycleGAN's two cycle and two identity terms, and one term alone
        small = (shape[0] // k, *shape[1:])
        pairs = [tuple(torch.randn(small, device=device).to(dtype) for _ in range(2)) for _ in range(k)]
        yield from _l1_terms_of([(a, b) for a, b in pairs], f"{k} x {list(small)}", impl)


def _l1_terms_of(pairs: list[tuple[Tensor, Tensor]], shape: str, impl: str) -> Iterator[Work]:
    leaves = [(a.clone().requires_grad_(), b) for a, b in pairs]
    weights = [10.0 / (place + 1) for place in range(len(pairs))]
    compiled = _compiled(cases.eager_l1_terms)
    size = sum(a.numel() * a.element_size() for a, _ in pairs)
    copies = _copies(torch.cat([a.flatten() for a, _ in pairs]))

    def slope(function: Callable[..., Tensor]) -> Call:
        return lambda: torch.autograd.grad(function(leaves, weights).sum(), [a for a, _ in leaves])

    def ours(of: list[tuple[Tensor, Tensor]], by: list[float]) -> Tensor:
        return l1_terms(of, by, impl=impl)

    yield Work(
        "l1_terms",
        "forward",
        shape,
        lambda: ours(pairs, weights),
        lambda: cases.eager_l1_terms(pairs, weights),
        lambda: compiled(pairs, weights),
        {"copy": copies["copy"]},
        2 * size,
        2 * size,
    )
    yield Work(
        "l1_terms",
        "forward+backward",
        shape,
        slope(ours),
        slope(cases.eager_l1_terms),
        slope(compiled),
        {"copy": copies["clone"]},
        5 * size,
        2 * size,
    )


def _gather(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, impl: str) -> Iterator[Work]:
    images = torch.randint(0, 256, (500, *shape[1:]), dtype=torch.uint8).to(device)
    index = torch.randint(0, len(images), shape[:1]).to(device)
    flip = (torch.rand(shape[0]) < 0.5).to(device)
    out = torch.empty(shape, dtype=dtype, device=device)
    compiled = _compiled(cases.eager_gather)
    count, copies = out.numel(), _copies(torch.zeros_like(out))
    ways: dict[str, tuple[Call, str]] = {
        "fresh": (lambda: gather(images, index, dtype=dtype, impl=impl), "clone"),
        "into a buffer": (lambda: gather(images, index, dtype=dtype, out=out, impl=impl), "copy"),
        "mirrored, into a buffer": (lambda: gather(images, index, flip, dtype=dtype, out=out, impl=impl), "copy"),
    }
    for way, (ours, copy) in ways.items():
        yield Work(
            "gather",
            way,
            str(list(shape)),
            ours,
            lambda: cases.eager_gather(images, index, dtype),
            lambda: compiled(images, index, dtype),
            {"copy": copies[copy]},
            count * (1 + dtype.itemsize),
            2 * count * dtype.itemsize,
        )
