"""Convolutions that run each of their three products the way that is fast on a CPU.

A convolution, its gradient by the input and its gradient by the weight are three bilinear maps, and the derivatives of
each are the other two: three Functions that call each other can be differentiated, backwards and one batch at a time,
as often as a gradient penalty asks. A transposed convolution is the second of them. docs/engine.md has the figures:

- Strided convolutions run with channels last. An image of one channel fits both orders, and oneDNN goes by its strides.
- Where few channels come out (the slope at the image, the generator's last layer), a thin matrix product and a sum over
  windows are faster than oneDNN, which works as if there were sixteen.
- Where there are many channels, Winograd's algorithm saves three of four multiplications of 3x3 windows that keep their
  size, and three of five of 4x4 windows with stride 2.
- PyTorch's own double backward of a convolution pads, transposes and convolves with a kernel of the image's size.

What is chosen depends on shapes and types alone, so a run repeats bit for bit. On other devices, in a trace for a
compiler and for groups or dilation these layers are PyTorch's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, Protocol, cast

import torch
from torch import Tensor, nn
from torch._C import _are_functorch_transforms_active as transforming
from torch.compiler import is_compiling
from torch.nn import functional as F

from gankit.cpu import strided_winograd as polyphase
from gankit.cpu import winograd

Given = ParamSpec("Given")

FEW = 4
"""Up to so many channels are made by a matrix product and a sum over windows."""


class Geometry(NamedTuple):
    """Stride and padding, both the same in height and width, and whether channels come last in memory."""

    stride: int
    padding: int
    last: bool


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`: [n,in,h,w] -> [n,out,h',w']. ``last``: on a CPU, with channels last in memory."""

    def __init__(self, *args: Any, last: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self.last = last

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- PyTorch's name
        geometry = own_way(self, input)
        return super().forward(input) if geometry is None else convolve(input, self.weight, self.bias, geometry)


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`: [n,in,h,w] -> [n,out,h',w']. ``last``: on a CPU, with channels last in memory."""

    def __init__(self, *args: Any, last: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self.last = last

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002 -- PyTorch's name
        geometry = own_way(self, input)
        more = cast("tuple[int, int]", self.output_padding)
        if geometry is None or output_size is not None or max(more) >= geometry.stride:
            return super().forward(input, output_size)
        rest = self.kernel_size[0] - 2 * geometry.padding
        size = [(n - 1) * geometry.stride + rest + extra for n, extra in zip(input.shape[2:], more, strict=True)]
        made = transpose(input, self.weight, size, geometry)
        return made if self.bias is None else (made + self.bias.view(-1, 1, 1)).to(made.dtype)


def channels_last(model: nn.Module) -> None:
    """Put the weights of the layers above in the order that they are used in on a CPU; nothing else changes."""
    for layer in model.modules():
        if isinstance(layer, Conv2d | ConvTranspose2d) and layer.last:
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class ChannelsLast(nn.Identity):
    """Images or feature maps [n,c,h,w] with channels last in memory, and their gradient too; on a CPU only."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- PyTorch's name
        if not input.is_cpu or traced():
            return input
        x = input.contiguous(memory_format=torch.channels_last)
        if x.requires_grad and not x.is_leaf:
            x.register_hook(_with_channels_last)  # type: ignore[no-untyped-call]
        return x


def _with_channels_last(grad: Tensor) -> Tensor:
    return grad.contiguous(memory_format=torch.channels_last)


def own_way(layer: Conv2d | ConvTranspose2d, x: Tensor) -> Geometry | None:
    """The layer's stride and padding where the Functions below can stand for it, on ``x`` as it is."""
    if not x.is_cpu or x.dim() != 4 or traced():
        return None
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros" or layer.groups != 1:
        return None
    # Not by the weight's shape: reading the weight of a layer with spectral norm is a step of its power iteration.
    pairs = (layer.stride, layer.padding, layer.kernel_size)
    if set(layer.dilation) != {1} or any(high != wide for high, wide in pairs) or x.shape[1] != layer.in_channels:
        return None
    return Geometry(layer.stride[0], layer.padding[0], layer.last)


def traced() -> bool:
    """Whether a compiler, torch.jit.trace or torch.func looks on: they need PyTorch's own ops."""
    if is_compiling() or transforming() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return True
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """x: [n,in,h,w]; weight: [out,in,k,k]; bias: [out]. Returns [n,out,h',w']; differentiable at any order."""
    x, weight = cast_as_autocast(x, weight)
    if bias is not None and bias.dtype != x.dtype:
        bias = bias.to(x.dtype)
    return cast("Tensor", _Convolve.apply(x, weight, bias, geometry))  # type: ignore[no-untyped-call]


def transpose(y: Tensor, weight: Tensor, size: Sequence[int], geometry: Geometry) -> Tensor:
    """The transposed map. y: [n,out,h',w']; weight: [out,in,k,k]. Returns [n,in,*size]; differentiable at any order."""
    y, weight = cast_as_autocast(y, weight)
    return cast("Tensor", _ByInput.apply(y, weight, tuple(size), geometry))  # type: ignore[no-untyped-call]


def cast_as_autocast(*tensors: Tensor) -> list[Tensor]:
    """``tensors`` in the type that autocast wants, where it is on."""
    if not torch.is_autocast_enabled("cpu") or any(tensor.dtype == torch.float64 for tensor in tensors):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype("cpu")) for tensor in tensors]


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return _convolved(x, weight, bias, geometry)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        by_x, by_weight, by_bias = _wanted(ctx)
        return (
            _ByInput.apply(grad, weight, x.shape[2:], ctx.geometry) if by_x else None,  # type: ignore[no-untyped-call]
            _ByWeight.apply(grad, x, weight.shape[2], ctx.geometry) if by_weight else None,  # type: ignore[no-untyped-call]
            grad.sum((0, 2, 3)) if by_bias else None,
            None,
        )


class _ByInput(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, weight: Tensor, size: tuple[int, int], geometry: Geometry) -> Tensor:
        ctx.save_for_backward(grad, weight)
        ctx.geometry = geometry
        return _by_input(grad, weight, size, geometry)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad, weight = ctx.saved_tensors
        by_grad, by_weight, _ = _wanted(ctx)
        return (
            _Convolve.apply(outer, weight, None, ctx.geometry) if by_grad else None,  # type: ignore[no-untyped-call]
            _ByWeight.apply(grad, outer, weight.shape[2], ctx.geometry) if by_weight else None,  # type: ignore[no-untyped-call]
            None,
            None,
        )


class _ByWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, kernel: int, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(grad, x)
        ctx.geometry = geometry
        return _by_weight(grad, x, kernel, geometry)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad, x = ctx.saved_tensors
        by_grad, by_x, _ = _wanted(ctx)
        return (
            _Convolve.apply(x, outer, None, ctx.geometry) if by_grad else None,  # type: ignore[no-untyped-call]
            _ByInput.apply(grad, outer, x.shape[2:], ctx.geometry) if by_x else None,  # type: ignore[no-untyped-call]
            None,
            None,
        )


def _as_given(compute: Callable[Given, Tensor]) -> Callable[Given, Tensor]:
    """``compute`` in the types it is given, also where autocast is on: a gradient is of its output's type."""

    @functools.wraps(compute)
    def run(*args: Given.args, **options: Given.kwargs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return compute(*args, **options)

    return run


def _wanted(ctx: Any) -> list[bool]:
    """For three inputs, whether this backward pass will use their gradients. ``needs_input_grad`` says whether some
    pass might: that of the generator's loss would make the gradients of the discriminator's weights, and drop them.
    """
    nodes = [node for node, _ in ctx.next_functions]
    found = [
        needed and node is not None and _runs(node) for needed, node in zip(ctx.needs_input_grad, nodes, strict=False)
    ]
    return found + [False] * (3 - len(found))


def _runs(node: Any) -> bool:
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:  # raised for a leaf that `torch.autograd.grad` was asked for
        return True


@_as_given
def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    out, _, kernel, _ = weight.shape
    if _few_out(out, kernel, geometry):
        size = [n + 2 * geometry.padding - kernel + 1 for n in x.shape[2:]]
        thin = weight.contiguous().flip(2, 3).transpose(0, 1).flatten(1).t()
        products = torch.matmul(thin, x.flatten(2))
        made = _summed(products, size, kernel, 1, kernel - 1 - geometry.padding)
        return made if bias is None else made.add_(bias.view(-1, 1, 1))
    x, weight = _ordered(geometry, x, weight)
    minimal = _minimal(x, weight, weight.shape, x.shape, geometry)
    if minimal is not None:
        made = minimal.convolved(x, weight, geometry.padding)
        return made if bias is None else made.add_(bias.view(-1, 1, 1))
    return torch.convolution(x, weight, bias, [geometry.stride] * 2, [geometry.padding] * 2, [1, 1], False, [0, 0], 1)


@_as_given
def _by_input(grad: Tensor, weight: Tensor, size: Sequence[int], geometry: Geometry) -> Tensor:
    _, into, kernel, _ = weight.shape
    if into <= FEW:
        products = torch.matmul(weight.contiguous().flatten(1).t(), grad.flatten(2))
        return _summed(products, size, kernel, geometry.stride, geometry.padding)
    grad, weight = _ordered(geometry, grad, weight)
    minimal = _minimal(grad, weight, weight.shape, (len(grad), into, *size), geometry)
    if minimal is not None:
        return minimal.by_input(grad, weight, size, geometry.padding)
    x = _empty(grad, (len(grad), into, *size), geometry)
    return _backward(grad, x, weight, geometry, [True, False, False])[0]


@_as_given
def _by_weight(grad: Tensor, x: Tensor, kernel: int, geometry: Geometry) -> Tensor:
    out, into = grad.shape[1], x.shape[1]
    if _few_out(out, kernel, geometry):
        windows = F.unfold(grad, kernel, padding=kernel - 1 - geometry.padding)  # [n, out k k, h w]
        found = torch.matmul(windows, x.flatten(2).transpose(1, 2)).sum(0)
        return found.view(out, kernel, kernel, into).flip(1, 2).permute(0, 3, 1, 2)
    grad, x = _ordered(geometry, grad, x)
    minimal = _minimal(grad, x, (out, into, kernel, kernel), x.shape, geometry)
    if minimal is not None:
        return minimal.by_weight(grad, x, geometry.padding)
    weight = _empty(grad, (out, into, kernel, kernel), geometry)
    return _backward(grad, x, weight, geometry, [False, True, False])[1]


def _few_out(out: int, kernel: int, geometry: Geometry) -> bool:
    return geometry.stride == 1 and out <= FEW and geometry.padding < kernel


class _Minimal(Protocol):
    """The three products with fewer multiplications."""

    def fits(self, a: Tensor, b: Tensor, channels: Sequence[int], size: Sequence[int]) -> bool: ...
    def convolved(self, x: Tensor, weight: Tensor, padding: int) -> Tensor: ...
    def by_input(self, grad: Tensor, weight: Tensor, size: Sequence[int], padding: int) -> Tensor: ...
    def by_weight(self, grad: Tensor, x: Tensor, padding: int) -> Tensor: ...


def _minimal(
    a: Tensor, b: Tensor, filters: Sequence[int], pixels: Sequence[int], geometry: Geometry
) -> _Minimal | None:
    """What multiplies ``a`` and ``b`` where Winograd's algorithm does. filters, pixels: the shapes of the weight and of
    the input.
    """
    out, into, kernel, _ = filters
    stride, padding, last = geometry
    ways: dict[tuple[int, int, bool], _Minimal] = {(3, 1, False): winograd, (4, 2, True): polyphase}
    way = ways.get((kernel, stride, last))
    size = [(n + 2 * padding - kernel) // stride + 1 for n in pixels[2:]]
    fits = way is not None and padding <= 1 and way.fits(a, b, (out, into), (pixels[0], *size))
    return way if fits else None


def _summed(products: Tensor, size: Sequence[int], kernel: int, stride: int, padding: int) -> Tensor:
    """The sum over windows: products [n, c k k, windows] -> [n, c, *size], summed in float32 at least."""
    wide = products.to(torch.promote_types(products.dtype, torch.float32))
    return F.fold(wide, tuple(size), kernel, padding=padding, stride=stride).to(products.dtype)


def _backward(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: list[bool]) -> tuple[Tensor, ...]:
    strides, paddings = [geometry.stride] * 2, [geometry.padding] * 2
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        grad, x, weight, None, strides, paddings, [1, 1], False, [0, 0], 1, wanted
    )
    return found


def _ordered(geometry: Geometry, *tensors: Tensor) -> list[Tensor]:
    order = _last if geometry.last else Tensor.contiguous
    return [order(tensor) for tensor in tensors]


def _empty(like: Tensor, shape: Sequence[int], geometry: Geometry) -> Tensor:
    order = torch.channels_last if geometry.last else torch.contiguous_format
    empty = torch.empty(tuple(shape), dtype=like.dtype, memory_format=order)
    return _last(empty) if geometry.last else empty


def _last(tensor: Tensor) -> Tensor:
    """``tensor`` [n,c,h,w] with channels last, in its strides too where one channel or one pixel fits both orders."""
    if not tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.contiguous(memory_format=torch.channels_last)
    _, c, h, w = tensor.shape
    return tensor.as_strided(tensor.shape, (h * w * c, 1, w * c, c))
