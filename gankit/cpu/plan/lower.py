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

from gankit.cpu.plan.fuse import alone
from gankit.cpu.plan.ir import SIZES, Buffer, Call, Point, Reduce, Step, Unsupported, Value, contiguous, dense

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

    # Values

    def new(self, shape: Sequence[int], dtype: torch.dtype, strides: Sequence[int] | None = None) -> Value:
        """A value in a buffer of its own."""
        if dtype not in SIZES:
            raise Unsupported(f"tensors of {dtype}")
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
        buffer = Buffer(tensor.numel(), tensor.dtype, slot=-1 - len(self.constants))
        if tensor.dtype not in SIZES:
            raise Unsupported(f"tensors of {tensor.dtype}")
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

    def point(self, name: str, *ins: Operand | Tensor, out: Value | None = None) -> Value:
        """The instruction ``name``, into ``out`` or a new value."""
        first = next(x for x in ins if isinstance(x, Value | Tensor))
        wide = any(isinstance(x, Value | Tensor) and x.dtype in (torch.float64, torch.int64) for x in ins)
        numbers = torch.float64 if wide else torch.float32
        values = [self.value(x, numbers) for x in ins]
        if out is None:
            shape = broadcast(*(v.shape for v in values))
            out = self.new(shape, kept_in(first.dtype))
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
            step = Reduce(name, out, x, over)
            alone(step)  # Unsupported where no group could hold it
            self.steps.append(step)
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
                raise Unsupported(f"an input with strides {tuple(meta.stride())}")
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
        args: Any = fx.map_arg(node.args, self.env.__getitem__)
        kwargs: Any = fx.map_arg(node.kwargs, self.env.__getitem__)
        leaves = pytree.tree_leaves((args, kwargs))
        target: Any = node.target
        meta = node.meta["val"]
        if not any(isinstance(leaf, Value) for leaf in leaves):
            if torch.Tag.nondeterministic_seeded in target.tags:  # drawn anew at every run
                return self.call(target, args, kwargs, meta)
            return target(*args, **kwargs)
        name = target.overloadpacket.__name__
        first: Any = node.args[0] if node.args else None
        source: Any = args[0] if args else None
        mutates = target._schema.is_mutable
        if isinstance(source, Value) and shares(first, meta) and (not mutates or name in RESHAPED):
            return view_of(source, first.meta["val"], meta)
        rule = RULES.get(name.removesuffix("_") if mutates else name)
        if rule is None or not fits(meta):
            return self.call(target, args, kwargs, meta)
        begun = len(self.steps)
        try:
            return (self.ruled_in_place if mutates else self.ruled)(rule, meta, args, kwargs)
        except Unsupported:
            del self.steps[begun:]
            return self.call(target, args, kwargs, meta)

    def ruled(self, rule: Rule, meta: Any, args: Any, kwargs: Any) -> Any:
        """What ``rule`` makes of an op whose results are like ``meta``."""
        return rule(self, self.like(meta) if isinstance(meta, Tensor) else meta, *args, **kwargs)

    def ruled_in_place(self, rule: Rule, meta: Any, args: Any, kwargs: Any) -> Value:
        """The same for an op that changes its first argument."""
        source = args[0] if isinstance(args[0], Value) else self.constant(args[0])
        out = self.in_place(source)
        rule(self, out, source, *args[1:], **kwargs)
        self.changed(source, out)
        return source

    def call(self, target: Any, args: Any, kwargs: Any, meta: Any) -> Any:
        """PyTorch's own op."""
        schema = target._schema
        into = None
        reads_ = [self.now(x) for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Value)]
        if schema.is_mutable:
            changed = [i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
            if changed != [0] or not isinstance(args[0], Value):
                raise Unsupported(f"{target}, which changes arguments {changed}")
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


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that tensors of ``shapes``, which fit each other, are broadcast to."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*padded, strict=True))


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


RESHAPED = ("unsqueeze_", "squeeze_", "t_", "transpose_", "detach_")
"""Changes of a tensor's shape in place, which leave its elements where they are."""

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
"""By the name of PyTorch's op; filled by gankit/plan/rules.py."""
