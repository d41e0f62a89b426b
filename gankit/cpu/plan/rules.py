"""Lowering rules of PyTorch's ops, by the formulas of PyTorch's documentation; norms by their papers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gankit.cpu.plan.ir import Gemm, Unsupported, Value, contiguous, dense
from gankit.cpu.plan.lower import RULES, Lowering, Operand, Rule

aten = torch.ops.aten


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the decorated function as the rule of the ops ``names``."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def instruction(name: str, opcode: str) -> None:
    """Register a rule that makes one instruction ``opcode`` of the op ``name``."""
    RULES[name] = lambda low, out, *args, **_: low.op(opcode, *args, out=out)


for _name, _instruction in {
    "neg": "NEG", "abs": "ABS", "sgn": "SIGN", "sign": "SIGN", "exp": "EXP", "tanh": "TANH", "sigmoid": "SIGMOID",
    "log": "LOG", "log1p": "LOG1P", "sqrt": "SQRT", "rsqrt": "RSQRT", "reciprocal": "RECIPROCAL",
    "mul": "MUL", "maximum": "MAX", "minimum": "MIN", "eq": "EQ", "ne": "NE", "lt": "LT", "le": "LE", "gt": "GT",
    "ge": "GE", "clone": "COPY", "_to_copy": "COPY",
}.items():  # fmt: skip
    instruction(_name, _instruction)


RULES |= {
    "copy": lambda low, out, x, source, *_: low.op("COPY", source, out=out),
    "zero": lambda low, out, x: low.op("COPY", low.value(0.0), out=out),
    "fill": lambda low, out, x, number: low.op("COPY", low.value(number), out=out),
    "where": lambda low, out, condition, x, y: low.op("CHOOSE", condition, x, y, out=out),
    "masked_fill": lambda low, out, x, mask, number: low.op("CHOOSE", mask, number, x, out=out),
    "relu": lambda low, out, x: low.op("MAX", x, 0, out=out),
    "threshold_backward": lambda low, out, grad, x, threshold: low.op(
        "CHOOSE", low.op("GT", x, threshold), grad, 0, out=out
    ),
    "leaky_relu": lambda low, out, x, slope=0.01: low.op("CHOOSE", x, x, low.op("MUL", x, slope), out=out),
    "leaky_relu_backward": lambda low, out, grad, x, slope, _: low.op(
        "CHOOSE", x, grad, low.op("MUL", grad, slope), out=out
    ),
    "tanh_backward": lambda low, out, grad, y: low.op("MUL", grad, low.op("SUB", 1, low.op("MUL", y, y)), out=out),
    "sigmoid_backward": lambda low, out, grad, y: low.op("MUL", grad, low.op("MUL", y, low.op("SUB", 1, y)), out=out),
    "sum": lambda low, out, x, dims=None, keep=False, dtype=None: low.sum(x, dims or None, keep, out),
    "mean": lambda low, out, x, dims=None, keep=False, dtype=None: low.mean(x, dims or None, keep, out),
    "amax": lambda low, out, x, dims=(), keep=False: low.reduce("max", x, dims or range(len(x.shape)), keep, out),
}


def add_scaled(low: Lowering, out: Value, x: Operand, y: Operand, alpha: float, opcode: str) -> Value:
    """``x`` plus or minus ``alpha`` times ``y``."""
    scaled = y if alpha == 1 else low.op("MUL", y, alpha) if isinstance(y, Value) else y * alpha
    return low.op(opcode, x, scaled, out=out)


@rule("add")
def _add(low: Lowering, out: Value, x: Operand, y: Operand, *, alpha: float = 1) -> Value:
    return add_scaled(low, out, x, y, alpha, "ADD")


@rule("sub")
def _sub(low: Lowering, out: Value, x: Operand, y: Operand, *, alpha: float = 1) -> Value:
    return add_scaled(low, out, x, y, alpha, "SUB")


@rule("rsub")
def _rsub(low: Lowering, out: Value, x: Value, y: Operand, alpha: float = 1) -> Value:
    return add_scaled(low, out, y, x, alpha, "SUB")


@rule("div")
def _div(low: Lowering, out: Value, x: Operand, y: Operand, *, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        raise Unsupported(f"division rounded to {rounding_mode}")
    return low.op("DIV", x, y, out=out)


@rule("pow")
def _pow(low: Lowering, out: Value, x: Operand, exponent: Operand) -> Value:
    if exponent == 1:
        return low.op("COPY", x, out=out)
    if exponent == 2:
        return low.op("MUL", x, x, out=out)
    if exponent == 0.5:
        return low.op("SQRT", x, out=out)
    raise Unsupported(f"the power {exponent}")


def logical(opcode: str, *operands: Operand) -> Rule:
    """The rule of a bitwise op, for bool only: the instruction ``opcode`` of its arguments and ``operands``."""

    def lower(low: Lowering, out: Value, *args: Operand) -> Value:
        if out.dtype != torch.bool or any(isinstance(x, Value) and x.dtype != torch.bool for x in args):
            raise Unsupported("bitwise ops on integers")
        return low.op(opcode, *args, *operands, out=out)

    return lower


rule("bitwise_and")(logical("MUL"))
rule("bitwise_or")(logical("MAX"))
rule("bitwise_not")(logical("EQ", 0))


@rule("clamp")
def _clamp(low: Lowering, out: Value, x: Value, least: Operand | None = None, most: Operand | None = None) -> Value:
    limits = [("MAX", least), ("MIN", most)]
    given = [(name, limit) for name, limit in limits if limit is not None]
    for i, (name, limit) in enumerate(given):
        x = low.op(name, x, limit, out=out if i == len(given) - 1 else None)
    return out


def constant_fill(number: float) -> Rule:
    """The rule of an op that returns a tensor filled with ``number``."""

    def lower(low: Lowering, out: Value, *_: Any, **__: Any) -> Tensor:
        return torch.full(out.shape, number, dtype=out.dtype)

    return lower


rule("ones_like")(constant_fill(1.0))
rule("zeros_like", "new_zeros")(constant_fill(0.0))


@rule("softplus")
def _softplus(low: Lowering, out: Value, x: Value, beta: float = 1, threshold: float = 20) -> Value:
    scaled = low.op("MUL", x, beta)
    soft = low.op("MUL", low.op("LOG1P", low.op("EXP", scaled)), 1 / beta)
    return low.op("CHOOSE", low.op("GT", scaled, threshold), x, soft, out=out)


@rule("softplus_backward")
def _softplus_backward(low: Lowering, out: Value, grad: Value, x: Value, beta: float, threshold: float) -> Value:
    scaled = low.op("MUL", x, beta)
    soft = low.op("MUL", grad, low.op("SIGMOID", scaled))
    return low.op("CHOOSE", low.op("GT", scaled, threshold), grad, soft, out=out)


@rule("linalg_vector_norm")
def _vector_norm(
    low: Lowering, out: Value, x: Value, order: float = 2, dims: Sequence[int] | None = None, keep: bool = False,
    dtype: Any = None,
) -> Value:  # fmt: skip
    if order != 2:
        raise Unsupported(f"the norm of order {order}")
    return low.op("SQRT", low.sum(low.op("MUL", x, x), dims or None, keep), out=out)


@rule("_foreach_norm")
def _foreach_norm(low: Lowering, _: Any, tensors: Sequence[Value], order: float = 2, dtype: Any = None) -> list[Value]:
    if order != 2:
        raise Unsupported(f"the norm of order {order}")
    return [low.op("SQRT", low.sum(low.op("MUL", x, x))) for x in tensors]


@rule("mm")
def _mm(low: Lowering, out: Value, a: Operand, b: Operand) -> Value:
    return gemm(low, out, low.value(a), low.value(b), None)


@rule("addmm")
def _addmm(
    low: Lowering, out: Value, bias: Operand, a: Operand, b: Operand, *, beta: float = 1, alpha: float = 1
) -> Value:
    bias_value = low.value(bias)
    if beta != 1 or alpha != 1 or bias_value.shape != out.shape[1:]:
        raise Unsupported("a scaled sum of matrix products")
    return gemm(low, out, low.value(a), low.value(b), bias_value)


def gemm(low: Lowering, out: Value, a: Value, b: Value, bias: Value | None) -> Value:
    """Append the matrix product ``out`` = a b, plus ``bias`` in each row."""
    if out.strides[1] != 1 and out.shape[1] != 1:
        raise Unsupported("a matrix product whose columns are not adjacent")
    low.steps.append(Gemm(out, a, b, bias, bf16=out.dtype == torch.bfloat16))
    return out


@rule("cat")
def _cat(low: Lowering, out: Value, tensors: Sequence[Operand], dim: int = 0) -> Value:
    at = 0
    for x in map(low.value, tensors):
        if not x.count:
            continue
        place = Value(out.buffer, out.offset + at * out.strides[dim], x.shape, out.strides)
        low.op("COPY", x, out=place)
        at += x.shape[dim]
    return out


@rule("stack")
def _stack(low: Lowering, out: Value, tensors: Sequence[Operand], dim: int = 0) -> Value:
    strides = out.strides[:dim] + out.strides[dim + 1 :]
    for i, x in enumerate(map(low.value, tensors)):
        low.op("COPY", x, out=Value(out.buffer, out.offset + i * out.strides[dim], x.shape, strides))
    return out


@rule("slice_backward")
def _slice_backward(
    low: Lowering, out: Value, grad: Value, sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Value:
    low.op("COPY", low.value(0.0), out=out)
    offset = out.offset + start * out.strides[dim]
    strides = (*out.strides[:dim], out.strides[dim] * step, *out.strides[dim + 1 :])
    low.op("COPY", grad, out=Value(out.buffer, offset, grad.shape, strides))
    return out


@rule("select_backward")
def _select_backward(low: Lowering, out: Value, grad: Value, sizes: Sequence[int], dim: int, index: int) -> Value:
    low.op("COPY", low.value(0.0), out=out)
    index %= sizes[dim]
    strides = out.strides[:dim] + out.strides[dim + 1 :]
    low.op("COPY", grad, out=Value(out.buffer, out.offset + index * out.strides[dim], grad.shape, strides))
    return out


@rule("_log_softmax")
def _log_softmax(low: Lowering, out: Value, x: Value, dim: int, half_to_float: bool) -> Value:
    shifted = low.op("SUB", x, low.reduce("max", x, [dim], keep=True))
    total = low.sum(low.op("EXP", shifted), [dim], keep=True)
    return low.op("SUB", shifted, low.op("LOG", total), out=out)


@rule("_log_softmax_backward_data")
def _log_softmax_backward(low: Lowering, out: Value, grad: Value, y: Value, dim: int, dtype: torch.dtype) -> Value:
    total = low.sum(grad, [dim], keep=True)
    return low.op("SUB", grad, low.op("MUL", low.op("EXP", y), total), out=out)


@rule("native_batch_norm")
def _batch_norm(
    low: Lowering, meta: Any, x: Value, weight: Value | None, bias: Value | None, running_mean: Value | None,
    running_var: Value | None, training: bool, momentum: float, eps: float,
) -> Any:  # fmt: skip
    """Ioffe & Szegedy 2015, algorithm 1."""
    if not training or len(x.shape) != 2:
        args = (x, weight, bias, running_mean, running_var, training, momentum, eps)
        return low.call(aten.native_batch_norm.default, args, {}, meta)
    n = x.shape[0]
    mean = low.mean(x, [0])
    centered = low.op("SUB", x, mean)
    variance = low.mean(low.op("MUL", centered, centered), [0])
    inverse = low.op("RSQRT", low.op("ADD", variance, eps))
    y = low.op("MUL", centered, inverse)
    y = y if weight is None else low.op("MUL", y, weight)
    y = y if bias is None else low.op("ADD", y, bias)
    unbiased = low.op("MUL", variance, n / (n - 1) if n > 1 else float("nan"))
    for running, now in ((running_mean, mean), (running_var, unbiased)):
        if running is not None:
            new = low.new_version(running)
            low.op("ADD", low.op("MUL", running, 1 - momentum), low.op("MUL", now, momentum), out=new)
            low.rebind(running, new)
    return cast_results(low, meta, y, mean, inverse)


@rule("native_batch_norm_backward")
def _batch_norm_backward(
    low: Lowering, meta: Any, grad: Value, x: Value, weight: Value | None, running_mean: Any, running_var: Any,
    mean: Value | None, inverse: Value | None, training: bool, eps: float, wanted: Sequence[bool],
) -> Any:  # fmt: skip
    if not training or len(x.shape) != 2 or mean is None or inverse is None:
        args = (grad, x, weight, running_mean, running_var, mean, inverse, training, eps, wanted)
        return low.call(aten.native_batch_norm_backward.default, args, {}, meta)
    n = x.shape[0]
    normalized = low.op("MUL", low.op("SUB", x, mean), inverse)
    grad_bias = low.sum(grad, [0])
    grad_weight = low.sum(low.op("MUL", grad, normalized), [0])
    scale = inverse if weight is None else low.op("MUL", inverse, weight)
    grad_x = low.op("SUB", grad, low.op("MUL", grad_bias, 1 / n))
    grad_x = low.op("SUB", grad_x, low.op("MUL", normalized, low.op("MUL", grad_weight, 1 / n)))
    return cast_results(low, meta, low.op("MUL", grad_x, scale), grad_weight, grad_bias)


@rule("native_group_norm")
def _group_norm(
    low: Lowering, meta: Any, x: Value, weight: Value | None, bias: Value | None, n: int, channels: int, pixels: int,
    groups: int, eps: float,
) -> Any:  # fmt: skip
    """Ba et al. 2016: layer norm, which group norm with one group is for [n,c]."""
    if groups != 1 or pixels != 1:
        return low.call(aten.native_group_norm.default, (x, weight, bias, n, channels, pixels, groups, eps), {}, meta)
    x = reshape(x, n, channels)
    mean = low.mean(x, [1], keep=True)
    centered = low.op("SUB", x, mean)
    variance = low.mean(low.op("MUL", centered, centered), [1], keep=True)
    inverse = low.op("RSQRT", low.op("ADD", variance, eps))
    y = low.op("MUL", centered, inverse)
    y = y if weight is None else low.op("MUL", y, weight)
    y = y if bias is None else low.op("ADD", y, bias)
    return cast_results(low, meta, y, mean, inverse)


@rule("native_group_norm_backward")
def _group_norm_backward(
    low: Lowering, meta: Any, grad: Value, x: Value, mean: Value, inverse: Value, weight: Value | None, n: int,
    channels: int, pixels: int, groups: int, wanted: Sequence[bool],
) -> Any:  # fmt: skip
    if groups != 1 or pixels != 1:
        args = (grad, x, mean, inverse, weight, n, channels, pixels, groups, wanted)
        return low.call(aten.native_group_norm_backward.default, args, {}, meta)
    grad, x = reshape(grad, n, channels), reshape(x, n, channels)
    mean, inverse = reshape(mean, n, 1), reshape(inverse, n, 1)
    normalized = low.op("MUL", low.op("SUB", x, mean), inverse)
    grad_normalized = grad if weight is None else low.op("MUL", grad, weight)
    grad_x = low.op("SUB", grad_normalized, low.mean(grad_normalized, [1], keep=True))
    along = low.mean(low.op("MUL", grad_normalized, normalized), [1], keep=True)
    grad_x = low.op("SUB", grad_x, low.op("MUL", normalized, along))
    grad_weight = low.sum(low.op("MUL", grad, normalized), [0])
    return cast_results(low, meta, low.op("MUL", grad_x, inverse), grad_weight, low.sum(grad, [0]))


def cast_results(low: Lowering, metas: Sequence[Any], *values: Value) -> tuple[Value, ...]:
    """``values``, cast to the types of ``metas`` and in their shapes."""
    found = []
    for value, meta in zip(values, metas, strict=True):
        if isinstance(meta, Tensor) and meta.dtype != value.dtype:
            value = low.op("COPY", value, out=low.new(value.shape, meta.dtype))
        if isinstance(meta, Tensor) and tuple(meta.shape) != value.shape:
            value = reshape(value, *meta.shape)
        found.append(value)
    return tuple(found)


def reshape(x: Value, *shape: int) -> Value:
    """``x``, which must be contiguous, in another shape."""
    if not dense(x.shape, x.strides) or (
        x.strides != contiguous(x.shape) and max(x.shape, default=1) != math.prod(x.shape)
    ):
        raise Unsupported("a norm of a tensor that is not contiguous")
    return Value(x.buffer, x.offset, shape, contiguous(shape))
