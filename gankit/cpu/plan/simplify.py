"""Passes over the steps of a plan before fusion: they remove dead steps, copies and trips through memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from gankit.core.torch_private import pytree
from gankit.cpu.plan.interpolants import distribute_gemms
from gankit.cpu.plan.ir import Buffer, Call, Elementwise, Gemm, Reduce, Step, Value, reads, writes
from gankit.cpu.plan.lower import Lowering

WIDE = (torch.float32, torch.float64)


def simplify(low: Lowering) -> None:
    """Run every pass below on the steps of ``low``."""
    low.steps = eliminate_dead_code(low.steps, low.outputs)
    widen_intermediates(low)
    copy_propagation(low)
    common_subexpressions(low)
    accumulate_sums(low)
    distribute_gemms(low)
    low.steps = eliminate_dead_code(low.steps, low.outputs)
    concatenate_along_k(low)


def eliminate_dead_code(steps: list[Step], outputs: Sequence[Value]) -> list[Step]:
    """``steps`` without those whose results nothing reads."""
    needed = {value.buffer for value in outputs}
    kept: list[Step] = []
    for step in reversed(steps):
        outs = writes(step)
        if any(out.buffer in needed or out.buffer.slot is not None for out in outs):
            needed |= {value.buffer for value in reads(step)}
            kept.append(step)
    return kept[::-1]


def widen_intermediates(low: Lowering) -> None:
    """Keep in float32 what is bfloat16 only between instructions, such as a weight gradient that autocast rounds to
    bfloat16 and widens again at once.
    """
    kept = {value.buffer for value in low.outputs}
    for step in low.steps:
        if isinstance(step, Gemm | Call):
            kept |= {value.buffer for value in reads(step)}
        if isinstance(step, Call):
            kept |= {value.buffer for value in writes(step)}
    for step in low.steps:
        for value in writes(step):
            if value.dtype == torch.bfloat16 and value.buffer not in kept and value.buffer.slot is None:
                value.buffer.dtype = torch.float32


def copy_propagation(low: Lowering) -> None:
    """Replace a copy of a whole buffer with the same type and strides by its source."""
    final = {value.buffer for value in low.outputs}
    written = Counter(value.buffer for step in low.steps for value in writes(step))
    replaced: dict[Buffer, Buffer] = {}
    kept: list[Step] = []
    for step in low.steps:
        substitute(step, replaced)
        once = isinstance(step, Elementwise) and written[step.out.buffer] == 1
        if once and isinstance(step, Elementwise) and step.name == "COPY" and step.out.covers:
            (source,) = step.ins
            same = source.covers and source.dtype == step.out.dtype and source.strides == step.out.strides
            if step.out.buffer in final and same:
                same = source.buffer not in final
                final.add(source.buffer)
            if same and source.buffer.slot is None and step.out.buffer.slot is None:
                replaced[step.out.buffer] = source.buffer
                continue
        kept.append(step)
    low.steps = kept
    low.outputs = [substituted(value, replaced) for value in low.outputs]


def common_subexpressions(low: Lowering) -> None:
    """Merge equal copies of data that does not change: autocast rounds a weight again for each use of its layer."""
    final = {value.buffer for value in low.outputs}
    written = Counter(value.buffer for step in low.steps for value in writes(step))
    first: dict[object, Buffer] = {}
    replaced: dict[Buffer, Buffer] = {}
    kept: list[Step] = []
    for step in low.steps:
        substitute(step, replaced)
        if isinstance(step, Elementwise) and step.name == "COPY" and written[step.out.buffer] == 1 and step.out.covers:
            (source,), out = step.ins, step.out
            key = (source.buffer, source.offset, source.shape, source.strides, out.dtype, out.strides)
            if written[source.buffer] == 0 and out.buffer.slot is None and out.buffer not in final:
                if key in first:
                    replaced[out.buffer] = first[key]
                    continue
                first[key] = out.buffer
        kept.append(step)
    low.steps = kept


def accumulate_sums(low: Lowering) -> None:
    """Turn base + a b into a product that accumulates into base. A weight gradient that comes from several paths then
    needs no pass through memory per path.
    """
    users: dict[Buffer, int] = {}
    definitions: dict[Buffer, list[Step]] = {}
    for step in low.steps:
        for value in reads(step):
            users[value.buffer] = users.get(value.buffer, 0) + 1
        for value in writes(step):
            definitions.setdefault(value.buffer, []).append(step)
    final = {value.buffer for value in low.outputs}
    replaced: dict[Buffer, Buffer] = {}

    def single(value: Value) -> bool:
        buffer = value.buffer
        return users[buffer] == 1 and buffer not in final and buffer.slot is None and value.covers

    kept: list[Step] = []
    for step in low.steps:
        substitute(step, replaced)
        once = isinstance(step, Elementwise) and len(definitions[step.out.buffer]) == 1
        if once and isinstance(step, Elementwise) and step.name == "ADD" and step.out.covers and step.out.dtype in WIDE:
            for base, other in (step.ins, step.ins[::-1]):
                makers = definitions.get(other.buffer, [])
                product = makers[0] if len(makers) == 1 else None
                same = base.strides == other.strides == step.out.strides and base.dtype == other.dtype == step.out.dtype
                if not (same and isinstance(product, Gemm) and product.bias is None):
                    continue
                if product.accumulate or not single(base) or not single(other):
                    continue
                product.out = Value(base.buffer, product.out.offset, product.out.shape, product.out.strides)
                product.accumulate = True
                kept.remove(product)
                kept.append(product)  # after the steps that write `base`
                replaced[step.out.buffer] = base.buffer
                users[base.buffer] = users.get(step.out.buffer, 0)
                definitions[base.buffer].append(product)
                if step.out.buffer in final:
                    final.add(base.buffer)
                break
            else:
                kept.append(step)
            continue
        kept.append(step)
    low.steps = kept
    low.outputs = [substituted(value, replaced) for value in low.outputs]


def concatenate_along_k(low: Lowering) -> None:
    """Merge products that accumulate into one buffer: concatenate their operands along k. The buffer is then written
    once, and one long product runs faster than several short ones.
    """
    chains: dict[Buffer, list[Gemm]] = {}
    for step in low.steps:
        if isinstance(step, Gemm):
            chains.setdefault(step.out.buffer, []).append(step)
    final = {value.buffer for value in low.outputs}
    calls = [step for step in low.steps if isinstance(step, Call)]
    written = Counter(value.buffer for step in low.steps for value in writes(step))
    taken: set[Buffer] = final | {value.buffer for step in calls for value in (*reads(step), *writes(step))}
    for buffer, chain in chains.items():
        whole = [g.accumulate for g in chain] == [i > 0 for i in range(len(chain))] and written[buffer] == len(chain)
        values = [value for g in chain for value in (g.a, g.b)]
        if len(chain) < 2 or not whole or len({v.buffer for v in values}) < len(values):
            continue
        if any(v.buffer in taken or not v.covers or v.buffer.slot is not None for v in values):
            continue
        rows = [value for g in chain for value in (g.a.transposed(), g.b)]
        if any(v.strides != (v.shape[1], 1) for v in rows) or any(g.bias for g in chain):
            continue
        if len({(g.bf16, g.a.dtype, g.b.dtype) for g in chain}) > 1:
            continue
        taken |= {v.buffer for v in values}
        a, b = concatenated([g.a.transposed() for g in chain]), concatenated([g.b for g in chain])
        last = chain[-1]
        product = Gemm(last.out, a.transposed(), b, bf16=last.bf16, pieces=tuple(values))
        low.steps[low.steps.index(last)] = product
        low.steps = [step for step in low.steps if not any(step is g for g in chain[:-1])]


def concatenated(values: Sequence[Value]) -> Value:
    """A value in a new buffer that consists of the rows of ``values``, each of which covers its buffer."""
    width = values[0].shape[1]
    rows = sum(value.shape[0] for value in values)
    whole = Buffer(rows * width, values[0].dtype)
    begin = 0
    for value in values:
        value.buffer.parent = (whole, begin)
        begin += value.buffer.count
    return Value(whole, 0, (rows, width), (width, 1))


def substituted(value: Value, to: dict[Buffer, Buffer]) -> Value:
    """``value`` in the buffer that replaces its own."""
    buffer = value.buffer
    while buffer in to:
        buffer = to[buffer]
    return value if buffer is value.buffer else Value(buffer, value.offset, value.shape, value.strides)


def substitute(step: Step, to: dict[Buffer, Buffer]) -> None:
    """Replace the buffers that ``step`` reads."""
    match step:
        case Elementwise():
            step.ins = [substituted(value, to) for value in step.ins]
        case Reduce():
            step.source = substituted(step.source, to)
        case Gemm():
            step.a, step.b = substituted(step.a, to), substituted(step.b, to)
            step.bias = None if step.bias is None else substituted(step.bias, to)
        case Call():
            step.reads = [substituted(value, to) for value in step.reads]
            swap = lambda x: substituted(x, to) if isinstance(x, Value) else x  # noqa: E731
            step.args, step.kwargs = pytree.tree_map(swap, (step.args, step.kwargs))
