"""What is done to a plan's steps before they are grouped: nothing that no one reads, no detour through memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch.utils import _pytree as pytree

from gankit.cpu.plan.interpolants import follow_lines, turned
from gankit.cpu.plan.ir import Buffer, Call, Gemm, Point, Reduce, Step, Value, reads, writes
from gankit.cpu.plan.lower import Lowering

WIDE = (torch.float32, torch.float64)


def improve(low: Lowering) -> None:
    """Do all that follows here to the steps of ``low``."""
    low.steps = without_dead(low.steps, low.outputs)
    widen(low)
    drop_copies(low)
    share_copies(low)
    join_products(low)
    follow_lines(low)
    low.steps = without_dead(low.steps, low.outputs)
    join_along_k(low)


def without_dead(steps: list[Step], outputs: Sequence[Value]) -> list[Step]:
    """``steps`` less those that nothing needs."""
    needed = {value.buffer for value in outputs}
    kept: list[Step] = []
    for step in reversed(steps):
        outs = writes(step)
        if any(out.buffer in needed or out.buffer.slot is not None for out in outs):
            needed |= {value.buffer for value in reads(step)}
            kept.append(step)
    return kept[::-1]


def widen(low: Lowering) -> None:
    """What is bfloat16 only on its way between instructions stays float32: a weight's gradient, say, which autocast
    makes in bfloat16 and turns into float32 right away.
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


def drop_copies(low: Lowering) -> None:
    """A copy of a whole value in the same type and order is that value."""
    final = {value.buffer for value in low.outputs}
    written = Counter(value.buffer for step in low.steps for value in writes(step))
    replaced: dict[Buffer, Buffer] = {}
    kept: list[Step] = []
    for step in low.steps:
        rename(step, replaced)
        once = isinstance(step, Point) and written[step.out.buffer] == 1
        if once and isinstance(step, Point) and step.name == "COPY" and step.out.covers:
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
    low.outputs = [renamed(value, replaced) for value in low.outputs]


def share_copies(low: Lowering) -> None:
    """What is copied twice in the same way, as autocast rounds a weight for each pass through its layer, is copied
    once.
    """
    final = {value.buffer for value in low.outputs}
    written = Counter(value.buffer for step in low.steps for value in writes(step))
    first: dict[object, Buffer] = {}
    replaced: dict[Buffer, Buffer] = {}
    kept: list[Step] = []
    for step in low.steps:
        rename(step, replaced)
        if isinstance(step, Point) and step.name == "COPY" and written[step.out.buffer] == 1 and step.out.covers:
            (source,), out = step.ins, step.out
            key = (source.buffer, source.offset, source.shape, source.strides, out.dtype, out.strides)
            if written[source.buffer] == 0 and out.buffer.slot is None and out.buffer not in final:
                if key in first:
                    replaced[out.buffer] = first[key]
                    continue
                first[key] = out.buffer
        kept.append(step)
    low.steps = kept


def join_products(low: Lowering) -> None:
    """A sum with a matrix product becomes a product that is added in place: so is a weight's gradient from several
    paths, which otherwise would pass through memory once more for each.
    """
    users: dict[Buffer, int] = {}
    made: dict[Buffer, list[Step]] = {}
    for step in low.steps:
        for value in reads(step):
            users[value.buffer] = users.get(value.buffer, 0) + 1
        for value in writes(step):
            made.setdefault(value.buffer, []).append(step)
    final = {value.buffer for value in low.outputs}
    replaced: dict[Buffer, Buffer] = {}

    def single(value: Value) -> bool:
        buffer = value.buffer
        return users[buffer] == 1 and buffer not in final and buffer.slot is None and value.covers

    kept: list[Step] = []
    for step in low.steps:
        rename(step, replaced)
        once = isinstance(step, Point) and len(made[step.out.buffer]) == 1
        if once and isinstance(step, Point) and step.name == "ADD" and step.out.covers and step.out.dtype in WIDE:
            for base, other in (step.ins, step.ins[::-1]):
                product = made.get(other.buffer, [None])[0]
                same = base.strides == other.strides == step.out.strides and base.dtype == other.dtype == step.out.dtype
                if not (same and isinstance(product, Gemm) and len(made[other.buffer]) == 1 and product.bias is None):
                    continue
                if product.accumulate or not single(base) or not single(other):
                    continue
                product.out = Value(base.buffer, product.out.offset, product.out.shape, product.out.strides)
                product.accumulate = True
                kept.remove(product)
                kept.append(product)  # after whatever makes `base`
                replaced[step.out.buffer] = base.buffer
                users[base.buffer] = users.get(step.out.buffer, 0)
                made[base.buffer].append(product)
                if step.out.buffer in final:
                    final.add(base.buffer)
                break
            else:
                kept.append(step)
            continue
        kept.append(step)
    low.steps = kept
    low.outputs = [renamed(value, replaced) for value in low.outputs]


def join_along_k(low: Lowering) -> None:
    """Products that are added up in one place become one, whose operands lie one behind the other along k: a weight's
    gradient is then written once, and a longer sum runs nearer to the processor's speed.
    """
    chains: dict[Buffer, list[Gemm]] = {}
    for step in low.steps:
        if isinstance(step, Gemm):
            chains.setdefault(step.out.buffer, []).append(step)
    final = {value.buffer for value in low.outputs}
    called = {value.buffer for step in low.steps if isinstance(step, Call) for value in (*reads(step), *writes(step))}
    written = Counter(value.buffer for step in low.steps for value in writes(step))
    taken: set[Buffer] = final | called
    for buffer, chain in chains.items():
        whole = [g.accumulate for g in chain] == [i > 0 for i in range(len(chain))] and written[buffer] == len(chain)
        values = [value for g in chain for value in (g.a, g.b)]
        if len(chain) < 2 or not whole or len({v.buffer for v in values}) < len(values):
            continue
        if any(v.buffer in taken or not v.covers or v.buffer.slot is not None for v in values):
            continue
        if any(v.strides != (v.shape[1], 1) for g in chain for v in (turned(g.a), g.b)) or any(g.bias for g in chain):
            continue
        if len({(g.narrow, g.a.dtype, g.b.dtype) for g in chain}) > 1:
            continue
        taken |= {v.buffer for v in values}
        a, b = joined([turned(g.a) for g in chain]), joined([g.b for g in chain])
        last = chain[-1]
        product = Gemm(last.out, turned(a), b, narrow=last.narrow, pieces=tuple(values))
        low.steps[low.steps.index(last)] = product
        low.steps = [step for step in low.steps if not any(step is g for g in chain[:-1])]


def joined(values: Sequence[Value]) -> Value:
    """One value of new memory that consists of ``values``, each all of its buffer, row after row."""
    width = values[0].shape[1]
    rows = sum(value.shape[0] for value in values)
    whole = Buffer(rows * width, values[0].dtype)
    begin = 0
    for value in values:
        value.buffer.part_of = (whole, begin)
        begin += value.buffer.count
    return Value(whole, 0, (rows, width), (width, 1))


def renamed(value: Value, to: dict[Buffer, Buffer]) -> Value:
    """``value`` in the buffer that took its buffer's place."""
    buffer = value.buffer
    while buffer in to:
        buffer = to[buffer]
    return value if buffer is value.buffer else Value(buffer, value.offset, value.shape, value.strides)


def rename(step: Step, to: dict[Buffer, Buffer]) -> None:
    """Let ``step`` use the buffers that took the place of others."""
    match step:
        case Point():
            step.ins = [renamed(value, to) for value in step.ins]
        case Reduce():
            step.source = renamed(step.source, to)
        case Gemm():
            step.a, step.b = renamed(step.a, to), renamed(step.b, to)
            step.bias = None if step.bias is None else renamed(step.bias, to)
        case Call():
            step.reads = [renamed(value, to) for value in step.reads]
            swap = lambda x: renamed(x, to) if isinstance(x, Value) else x  # noqa: E731
            step.args, step.kwargs = pytree.tree_map(swap, (step.args, step.kwargs))
