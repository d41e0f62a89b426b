"""From a traced update to steps of a plan: each of PyTorch's ops as instructions, sums and matrix products.

An op that is not in the table is called as it is, on tensors in the plan's memory: slower, never wrong.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from gankit.plan_values import (
    SIZES,
    Buffer,
    Call,
    Gemm,
    Point,
    Reduce,
    Step,
    Unplannable,
    Value,
    contiguous,
    dense,
    reads,
    writes,
)

aten = torch.ops.aten
Number = int | float | bool
Operand = Value | Number


class Lowering:
    """Steps in their order, built node by node."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.steps: list[Step] = []
        self.inputs: list[Buffer] = []
        self.input_values: list[Value] = []
        self.constants: list[Tensor] = []
        self.env: dict[fx.Node, Any] = {}
        self.newest: dict[Buffer, Buffer] = {}
        self.known_numbers: dict[tuple[float, torch.dtype], Value] = {}
        self.outputs: list[Value] = []
        for node in graph.graph.nodes:
            self.take(node)
        self.write_back()
        self.steps = without_dead(self.steps, self.outputs)
        widen(self)
        drop_copies(self)
        join_products(self)

    # Values

    def new(self, shape: Sequence[int], dtype: torch.dtype, strides: Sequence[int] | None = None) -> Value:
        """A value in a buffer of its own."""
        if dtype not in SIZES:
            raise Unplannable(f"tensors of {dtype}")
        shape = tuple(int(n) for n in shape)
        if strides is None or not dense(shape, strides):
            strides = contiguous(shape)
        value = Value(Buffer(0, dtype), 0, shape, tuple(strides))
        value.buffer.count = value.count
        return value

    def like(self, meta: Tensor) -> Value:
        """A new value of the shape, strides and type of ``meta``."""
        return self.new(meta.shape, meta.dtype, meta.stride())

    def constant(self, tensor: Tensor) -> Value:
        """``tensor``, which is the same at every run."""
        tensor = tensor.detach().contiguous()
        buffer = Buffer(tensor.numel(), tensor.dtype, slot=-1 - len(self.constants), constant=True)
        if tensor.dtype not in SIZES:
            raise Unplannable(f"tensors of {tensor.dtype}")
        self.constants.append(tensor)
        return Value(buffer, 0, tuple(tensor.shape), contiguous(tensor.shape))

    def value(self, x: Operand | Tensor, dtype: torch.dtype = torch.float64) -> Value:
        """``x`` as it is now, after what was done to it in place; a number as a constant."""
        if isinstance(x, Value):
            return self.now(x)
        if isinstance(x, Tensor):
            return self.constant(x)
        key = (float(x), dtype)
        if key not in self.known_numbers:
            self.known_numbers[key] = self.constant(torch.tensor(float(x), dtype=dtype))
        return self.known_numbers[key]

    def now(self, x: Value) -> Value:
        """``x`` in the newest version of its buffer."""
        buffer = x.buffer
        while buffer in self.newest:
            buffer = self.newest[buffer]
        return x if buffer is x.buffer else Value(buffer, x.offset, x.shape, x.strides)

    # Steps

    def point(self, name: str, *ins: Operand | Tensor, out: Value | None = None, dtype: torch.dtype | None = None) -> Value:
        """The instruction ``name``, into ``out`` or a new value."""
        first = next(x for x in ins if isinstance(x, Value | Tensor))
        wide = any(isinstance(x, Value | Tensor) and x.dtype in (torch.float64, torch.int64) for x in ins)
        numbers = torch.float64 if wide else torch.float32
        values = [self.value(x, numbers) for x in ins]
        if out is None:
            shape = torch.broadcast_shapes(*(v.shape for v in values))
            out = self.new(shape, dtype or kept_in(first.dtype))
        self.steps.append(Point(name, out, [v.expanded(out.shape) for v in values]))
        return out

    def reduce(self, name: str, x: Value, dims: Sequence[int], keep: bool, out: Value | None = None) -> Value:
        """``x`` summed, or its largest element, over ``dims``."""
        x = self.value(x)
        over = frozenset(d % len(x.shape) for d in dims) if x.shape else frozenset[int]()
        shape = [1 if d in over else n for d, n in enumerate(x.shape) if keep or d not in over]
        out = out or self.new(shape, kept_in(x.dtype))
        if all(x.shape[d] == 1 for d in over):
            source = Value(x.buffer, x.offset, out.shape, self.strides_without(x, over, keep))
            self.steps.append(Point("COPY", out, [source]))
        else:
            self.steps.append(Reduce(name, out, x, over))
        return out

    @staticmethod
    def strides_without(x: Value, over: frozenset[int], keep: bool) -> tuple[int, ...]:
        """The strides of ``x`` once the dimensions ``over``, of one element each, are dropped or kept."""
        return tuple(0 if d in over else s for d, s in enumerate(x.strides) if keep or d not in over)

    def total(self, x: Value, dims: Sequence[int] | None = None, keep: bool = False, out: Value | None = None) -> Value:
        """The sum over ``dims``, or over all."""
        return self.reduce("sum", x, range(len(x.shape)) if dims is None else dims, keep, out)

    def mean(self, x: Value, dims: Sequence[int] | None = None, keep: bool = False, out: Value | None = None) -> Value:
        """The mean over ``dims``, or over all."""
        found = self.total(x, dims, keep)
        share = found.count / x.count if x.count else float("nan")
        return self.point("MUL", found, share, out=out or self.new(found.shape, found.dtype))

    def in_place(self, x: Value) -> Value:
        """A new version of ``x``'s buffer, to write the part that ``x`` is of: what other steps still read stays. It is
        what ``x`` means from the next ``changed`` on.
        """
        x = self.now(x)
        fresh = Buffer(x.buffer.count, x.dtype)
        if not x.covers:
            flat = ((x.buffer.count,), (1,))
            self.steps.append(Point("COPY", Value(fresh, 0, *flat), [Value(x.buffer, 0, *flat)]))
        return Value(fresh, x.offset, x.shape, x.strides)

    def changed(self, x: Value, to: Value) -> None:
        """What lies in the buffer of ``x`` is now what lies in that of ``to``."""
        self.newest[self.now(x).buffer] = to.buffer

    def write_back(self) -> None:
        """Inputs that were changed in place get their new contents when all else is done."""
        for buffer in self.inputs:
            now = self.now(Value(buffer, 0, (buffer.count,), (1,)))
            if now.buffer is not buffer:
                self.steps.append(Point("COPY", Value(buffer, 0, (buffer.count,), (1,)), [now]))

    # Nodes

    def take(self, node: fx.Node) -> None:
        """The steps of ``node``."""
        if node.op == "placeholder":
            meta = node.meta["val"]
            if not dense(meta.shape, meta.stride()):
                raise Unplannable(f"an input with strides {tuple(meta.stride())}")
            value = self.like(meta)
            value.buffer.slot = len(self.inputs)
            self.inputs.append(value.buffer)
            self.input_values.append(value)
            self.env[node] = value
        elif node.op == "get_attr":
            self.env[node] = getattr(self.graph, str(node.target))
        elif node.op == "output":
            (results,) = node.args
            assert isinstance(results, list | tuple)
            self.outputs = [self.output(self.env[result]) for result in results]  # type: ignore[index]
        elif node.target is operator.getitem:
            source, index = node.args
            self.env[node] = self.env[source][index]  # type: ignore[index]
        else:
            self.env[node] = self.lower(node)

    def output(self, x: Any) -> Value:
        """``x`` in a buffer that stays as it is until the next run; what is an input is that input, with what was done
        to it: a later update that is linked to this one goes on with it.
        """
        if isinstance(x, Value) and x.buffer.slot is not None and not x.buffer.constant:
            return x
        value = self.value(x)
        if value.buffer.slot is None:
            return value
        return self.point("COPY", value, out=self.new(value.shape, value.dtype, value.strides))

    def lower(self, node: fx.Node) -> Any:
        """What ``node`` is: a Value, a tensor that is the same at every run, or a tuple of them."""
        args = fx.map_arg(node.args, self.env.__getitem__)
        kwargs = fx.map_arg(node.kwargs, self.env.__getitem__)
        leaves = pytree.tree_leaves((args, kwargs))
        target: Any = node.target
        if not any(isinstance(leaf, Value) for leaf in leaves):
            return target(*args, **kwargs)
        meta = node.meta["val"]
        name = target.overloadpacket.__name__
        source = args[0] if args else None
        if isinstance(source, Value) and shares(node.args[0], meta) and (not target._schema.is_mutable or name in RESHAPED):
            return view_of(source, node.args[0].meta["val"], meta)  # type: ignore[union-attr]
        mutates = target._schema.is_mutable and name.endswith("_")
        rule = RULES.get(name[:-1] if mutates else name)
        if rule is None or not fits(meta):
            return self.call(target, args, kwargs, meta)
        if mutates:
            if not isinstance(source, Value):
                source = self.constant(source)
            out = self.in_place(source)
            rule(self, out, source, *args[1:], **kwargs)
            self.changed(source, out)
            return Value(source.buffer, source.offset, source.shape, source.strides)
        begun = len(self.steps)
        try:
            return rule(self, self.like(meta) if isinstance(meta, Tensor) else meta, *args, **kwargs)
        except Unplannable:
            del self.steps[begun:]
            return self.call(target, args, kwargs, meta)

    def call(self, target: Any, args: Any, kwargs: Any, meta: Any) -> Any:
        """PyTorch's own op."""
        schema = target._schema
        into = None
        reads_ = [self.now(x) for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Value)]
        if schema.is_mutable:
            changed = [i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
            if changed != [0] or not isinstance(args[0], Value):
                raise Unplannable(f"{target}, which changes arguments {changed}")
            into = self.in_place(args[0])
            if args[0].covers:  # `in_place` copied nothing, and the op may change a part
                self.steps.append(Point("COPY", into, [reads_[0]]))
            reads_.append(into)
        now = pytree.tree_map(lambda x: self.now(x) if isinstance(x, Value) else x, (args, kwargs))
        if into is not None:
            self.changed(args[0], into)
            call = Call(target, (into, *now[0][1:]), now[1], [], into, reads_)
            self.steps.append(call)
            return args[0]
        metas = [meta] if isinstance(meta, Tensor) else list(meta)
        outs = [self.like(m) if isinstance(m, Tensor) else None for m in metas]
        self.steps.append(Call(target, now[0], now[1], outs, None, reads_))
        return outs[0] if isinstance(meta, Tensor) else tuple(outs)


def kept_in(dtype: torch.dtype) -> torch.dtype:
    """The type of an intermediate result where PyTorch has none: bfloat16 is widened until something is stored."""
    return torch.float32 if dtype == torch.bfloat16 else dtype


def shares(source: Any, meta: Any) -> bool:
    """Whether the result ``meta`` lies in the memory of the node ``source``."""
    metas = [meta] if isinstance(meta, Tensor) else [m for m in meta if isinstance(m, Tensor)]
    if not isinstance(source, fx.Node) or not isinstance(source.meta.get("val"), Tensor) or not metas:
        return False
    storage = source.meta["val"].untyped_storage()._cdata
    return all(m.untyped_storage()._cdata == storage for m in metas)


def view_of(source: Value, before: Tensor, meta: Any) -> Any:
    """The view(s) ``meta`` of ``source``, which ``before`` stands for."""
    if not isinstance(meta, Tensor):
        return tuple(view_of(source, before, m) for m in meta)
    offset = source.offset + int(meta.storage_offset()) - int(before.storage_offset())
    return Value(source.buffer, offset, tuple(meta.shape), tuple(meta.stride()))


def fits(meta: Any) -> bool:
    """Whether results like ``meta`` are of types that the instructions know."""
    metas = [meta] if isinstance(meta, Tensor) else [m for m in meta if isinstance(m, Tensor)]
    return all(m.dtype in SIZES and m.numel() > 0 for m in metas)


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
    replaced: dict[Buffer, Buffer] = {}
    kept: list[Step] = []
    for step in low.steps:
        rename(step, replaced)
        if isinstance(step, Point) and step.name == "COPY" and step.out.covers:
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
        if isinstance(step, Point) and step.name == "ADD" and step.out.covers and step.out.dtype in WIDE:
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


WIDE = (torch.float32, torch.float64)
RESHAPED = ("unsqueeze_", "squeeze_", "t_", "transpose_", "detach_")
"""Changes of a tensor's shape in place, which leave its elements where they are."""

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
"""By the name of PyTorch's op; filled by gankit/plan_rules.py."""
