"""Convolution layers that compute each of their three products by the algorithm that is fastest on a CPU.

A convolution, its input gradient and its weight gradient are three bilinear maps, and the derivatives of each are the
other two. So three autograd Functions that call each other are differentiable at any order, as a gradient penalty
needs. A transposed convolution is the second of them. The algorithms (docs/engine.md has the measurements):

- Strided convolutions use channels_last memory. A one-channel image fits both memory orders, and oneDNN chooses its
  kernel by the strides.
- Few output channels (the gradient by the image, the generator's last layer): a thin matrix product and a sum over
  windows are faster than oneDNN, which pads to sixteen channels.
- Many channels: Winograd's algorithm, which saves 3 of 4 multiplications of 3x3 filters with stride 1, and 3 of 5 of
  4x4 filters with stride 2.
- PyTorch's own double backward pads, transposes and convolves with a kernel as large as the image; it is avoided.

The choice depends on shapes and types alone, so runs repeat bit for bit. On other devices, in traces and with groups or
dilation these layers are PyTorch's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, Protocol, cast

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn import functional as F

from gankit.core.torch_private import functorch_transforms_active, is_proxied, will_execute
from gankit.cpu import strided_winograd, winograd

Params = ParamSpec("Params")

FEW_CHANNELS = 4
"""Up to so many output channels are computed by a matrix product and a sum over windows."""


class Geometry(NamedTuple):
    """Stride and padding, the same in height and width; ``last``: whether memory is channels_last."""

    stride: int
    padding: int
    last: bool


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`: [n,in,h,w] -> [n,out,h',w']. ``last``: on a CPU, use channels_last memory."""

    def __init__(self, *args: Any, last: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self.last = last

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- PyTorch's name
        geometry = supported_geometry(self, input)
        return super().forward(input) if geometry is None else convolve(input, self.weight, self.bias, geometry)


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`: [n,in,h,w] -> [n,out,h',w']. ``last``: on a CPU, use channels_last memory."""

    def __init__(self, *args: Any, last: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self.last = last

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002 -- PyTorch's name
        geometry = supported_geometry(self, input)
        more = cast("tuple[int, int]", self.output_padding)
        if geometry is None or output_size is not None or max(more) >= geometry.stride:
            return super().forward(input, output_size)
        rest = self.kernel_size[0] - 2 * geometry.padding
        size = [(n - 1) * geometry.stride + rest + extra for n, extra in zip(input.shape[2:], more, strict=True)]
        made = convolve_transposed(input, self.weight, size, geometry)
        return made if self.bias is None else (made + self.bias.view(-1, 1, 1)).to(made.dtype)


def to_channels_last(model: nn.Module) -> None:
    """Move the weights of the layers above to the memory order in which they are read on a CPU."""
    for layer in model.modules():
        if isinstance(layer, Conv2d | ConvTranspose2d) and layer.last:
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class ChannelsLast(nn.Identity):
    """Move feature maps [n,c,h,w] and their gradients to channels_last memory, on a CPU only."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- PyTorch's name
        if not input.is_cpu or is_traced():
            return input
        x = input.contiguous(memory_format=torch.channels_last)
        if x.requires_grad and not x.is_leaf:
            x.register_hook(_to_channels_last)  # type: ignore[no-untyped-call]
        return x


def _to_channels_last(grad: Tensor) -> Tensor:
    return grad.contiguous(memory_format=torch.channels_last)


def supported_geometry(layer: Conv2d | ConvTranspose2d, x: Tensor) -> Geometry | None:
    """The layer's stride and padding, or None where the Functions below do not support it or ``x``."""
    if not x.is_cpu or x.dim() != 4 or is_traced():
        return None
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros" or layer.groups != 1:
        return None
    # Not by the weight's shape: reading the weight of a layer with spectral norm is a step of its power iteration.
    pairs = (layer.stride, layer.padding, layer.kernel_size)
    if set(layer.dilation) != {1} or any(high != wide for high, wide in pairs) or x.shape[1] != layer.in_channels:
        return None
    return Geometry(layer.stride[0], layer.padding[0], layer.last)


def is_traced() -> bool:
    """Whether a compiler, torch.jit.trace or torch.func traces this call; they need PyTorch's own ops."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return True
    return is_compiling() or functorch_transforms_active() or is_proxied()


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """x: [n,in,h,w]; weight: [out,in,k,k]; bias: [out]. Returns [n,out,h',w']; differentiable at any order."""
    x, weight = cast_as_autocast(x, weight)
    if bias is not None and bias.dtype != x.dtype:
        bias = bias.to(x.dtype)
    return cast("Tensor", _Convolve.apply(x, weight, bias, geometry))  # type: ignore[no-untyped-call]


def convolve_transposed(y: Tensor, weight: Tensor, size: Sequence[int], geometry: Geometry) -> Tensor:
    """y: [n,out,h',w']; weight: [out,in,k,k]. Returns the transposed map, [n,in,*size]; differentiable at any order."""
    y, weight = cast_as_autocast(y, weight)
    return cast("Tensor", _InputGradient.apply(y, weight, tuple(size), geometry))  # type: ignore[no-untyped-call]


def cast_as_autocast(*tensors: Tensor) -> list[Tensor]:
    """``tensors`` in the type that autocast asks for, where it is enabled."""
    if not torch.is_autocast_enabled("cpu") or any(tensor.dtype == torch.float64 for tensor in tensors):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype("cpu")) for tensor in tensors]


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return _forward(x, weight, bias, geometry)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = _needed_gradients(ctx)
        return (
            _InputGradient.apply(grad, weight, x.shape[2:], ctx.geometry) if needs_x else None,  # type: ignore[no-untyped-call]
            _WeightGradient.apply(grad, x, weight.shape[2], ctx.geometry) if needs_weight else None,  # type: ignore[no-untyped-call]
            grad.sum((0, 2, 3)) if needs_bias else None,
            None,
        )


class _InputGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, weight: Tensor, size: tuple[int, int], geometry: Geometry) -> Tensor:
        ctx.save_for_backward(grad, weight)
        ctx.geometry = geometry
        return _input_gradient(grad, weight, size, geometry)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad, weight = ctx.saved_tensors
        needs_grad, needs_weight, _ = _needed_gradients(ctx)
        return (
            _Convolve.apply(outer, weight, None, ctx.geometry) if needs_grad else None,  # type: ignore[no-untyped-call]
            _WeightGradient.apply(grad, outer, weight.shape[2], ctx.geometry) if needs_weight else None,  # type: ignore[no-untyped-call]
            None,
            None,
        )


class _WeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, kernel: int, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(grad, x)
        ctx.geometry = geometry
        return _weight_gradient(grad, x, kernel, geometry)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad, x = ctx.saved_tensors
        needs_grad, needs_x, _ = _needed_gradients(ctx)
        return (
            _Convolve.apply(x, outer, None, ctx.geometry) if needs_grad else None,  # type: ignore[no-untyped-call]
            _InputGradient.apply(grad, outer, x.shape[2:], ctx.geometry) if needs_x else None,  # type: ignore[no-untyped-call]
            None,
            None,
        )


def _without_autocast(compute: Callable[Params, Tensor]) -> Callable[Params, Tensor]:
    """``compute`` with autocast disabled: a gradient has the type of its output."""

    @functools.wraps(compute)
    def run(*args: Params.args, **options: Params.kwargs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return compute(*args, **options)

    return run


def _needed_gradients(ctx: Any) -> list[bool]:
    """For three inputs, whether this backward pass uses their gradients. ``needs_input_grad`` says whether any pass
    may; by it, that of the generator's loss would compute gradients of the discriminator's weights in vain.
    """
    nodes = [node for node, _ in ctx.next_functions]
    pairs = zip(ctx.needs_input_grad, nodes, strict=False)
    found = [needed and node is not None and _will_run(node) for needed, node in pairs]
    return found + [False] * (3 - len(found))


def _will_run(node: Any) -> bool:
    try:
        return will_execute(node)
    except RuntimeError:  # raised for a leaf that is an input of `torch.autograd.grad`
        return True


@_without_autocast
def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    out, _, kernel, _ = weight.shape
    if _few_out(out, kernel, geometry):
        size = [n + 2 * geometry.padding - kernel + 1 for n in x.shape[2:]]
        thin = weight.contiguous().flip(2, 3).transpose(0, 1).flatten(1).t()
        products = torch.matmul(thin, x.flatten(2))
        made = _fold_sum(products, size, kernel, 1, kernel - 1 - geometry.padding)
        return made if bias is None else made.add_(bias.view(-1, 1, 1))
    x, weight = _in_memory_order(geometry, x, weight)
    algorithm = _choose_winograd(x, weight, weight.shape, x.shape, geometry)
    if algorithm is not None:
        made = algorithm.convolve(x, weight, geometry.padding)
        return made if bias is None else made.add_(bias.view(-1, 1, 1))
    return torch.convolution(x, weight, bias, [geometry.stride] * 2, [geometry.padding] * 2, [1, 1], False, [0, 0], 1)


@_without_autocast
def _input_gradient(grad: Tensor, weight: Tensor, size: Sequence[int], geometry: Geometry) -> Tensor:
    _, into, kernel, _ = weight.shape
    if into <= FEW_CHANNELS:
        products = torch.matmul(weight.contiguous().flatten(1).t(), grad.flatten(2))
        return _fold_sum(products, size, kernel, geometry.stride, geometry.padding)
    grad, weight = _in_memory_order(geometry, grad, weight)
    algorithm = _choose_winograd(grad, weight, weight.shape, (len(grad), into, *size), geometry)
    if algorithm is not None:
        return algorithm.input_gradient(grad, weight, size, geometry.padding)
    x = _empty(grad, (len(grad), into, *size), geometry)
    return _backward(grad, x, weight, geometry, [True, False, False])[0]


@_without_autocast
def _weight_gradient(grad: Tensor, x: Tensor, kernel: int, geometry: Geometry) -> Tensor:
    out, into = grad.shape[1], x.shape[1]
    if _few_out(out, kernel, geometry):
        windows = F.unfold(grad, kernel, padding=kernel - 1 - geometry.padding)  # [n, out k k, h w]
        found = torch.matmul(windows, x.flatten(2).transpose(1, 2)).sum(0)
        return found.view(out, kernel, kernel, into).flip(1, 2).permute(0, 3, 1, 2)
    grad, x = _in_memory_order(geometry, grad, x)
    algorithm = _choose_winograd(grad, x, (out, into, kernel, kernel), x.shape, geometry)
    if algorithm is not None:
        return algorithm.weight_gradient(grad, x, geometry.padding)
    weight = _empty(grad, (out, into, kernel, kernel), geometry)
    return _backward(grad, x, weight, geometry, [False, True, False])[1]


def _few_out(out: int, kernel: int, geometry: Geometry) -> bool:
    return geometry.stride == 1 and out <= FEW_CHANNELS and geometry.padding < kernel


class _Winograd(Protocol):
    """The three products of a convolution by Winograd's algorithm."""

    def fits(self, a: Tensor, b: Tensor, channels: Sequence[int], size: Sequence[int]) -> bool: ...
    def convolve(self, x: Tensor, weight: Tensor, padding: int) -> Tensor: ...
    def input_gradient(self, grad: Tensor, weight: Tensor, size: Sequence[int], padding: int) -> Tensor: ...
    def weight_gradient(self, grad: Tensor, x: Tensor, padding: int) -> Tensor: ...


def _choose_winograd(
    a: Tensor, b: Tensor, filters: Sequence[int], pixels: Sequence[int], geometry: Geometry
) -> _Winograd | None:
    """The module whose Winograd algorithm is to multiply ``a`` and ``b``, if any. filters, pixels: the shapes of the
    weight and of the input.
    """
    out, into, kernel, _ = filters
    stride, padding, last = geometry
    algorithms: dict[tuple[int, int, bool], _Winograd] = {(3, 1, False): winograd, (4, 2, True): strided_winograd}
    algorithm = algorithms.get((kernel, stride, last))
    size = [(n + 2 * padding - kernel) // stride + 1 for n in pixels[2:]]
    fits = algorithm is not None and padding <= 1 and algorithm.fits(a, b, (out, into), (pixels[0], *size))
    return algorithm if fits else None


def _fold_sum(products: Tensor, size: Sequence[int], kernel: int, stride: int, padding: int) -> Tensor:
    """Sum over overlapping windows: products [n, c k k, windows] -> [n, c, *size], in float32 at least."""
    wide = products.to(torch.promote_types(products.dtype, torch.float32))
    return F.fold(wide, tuple(size), kernel, padding=padding, stride=stride).to(products.dtype)


def _backward(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, needed: list[bool]) -> tuple[Tensor, ...]:
    strides, paddings = [geometry.stride] * 2, [geometry.padding] * 2
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        grad, x, weight, None, strides, paddings, [1, 1], False, [0, 0], 1, needed
    )
    return found


def _in_memory_order(geometry: Geometry, *tensors: Tensor) -> list[Tensor]:
    order = _channels_last if geometry.last else Tensor.contiguous
    return [order(tensor) for tensor in tensors]


def _empty(like: Tensor, shape: Sequence[int], geometry: Geometry) -> Tensor:
    order = torch.channels_last if geometry.last else torch.contiguous_format
    empty = torch.empty(tuple(shape), dtype=like.dtype, memory_format=order)
    return _channels_last(empty) if geometry.last else empty


def _channels_last(tensor: Tensor) -> Tensor:
    """``tensor`` [n,c,h,w] in channels_last memory, also by its strides where one channel or pixel fits both orders."""
    if not tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.contiguous(memory_format=torch.channels_last)
    _, c, h, w = tensor.shape
    return tensor.as_strided(tensor.shape, (h * w * c, 1, w * c, c))
