"""Lowering: each of PyTorch's ops in a traced update becomes elementwise steps, reductions and matrix products.

An op without a rule is called as it is, on tensors in the plan's memory: slower, never wrong.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from gankit.core.torch_private import pytree
from gankit.cpu.plan.fuse import singleton_group
from gankit.cpu.plan.ir import SIZES, Buffer, Call, Elementwise, Reduce, Step, Unsupported, Value, contiguous, dense

Number = int | float | bool
Operand = Value | Number


class Lowering:
    """Lowers a graph node by node to ``steps``. An in-place op writes a new version of its buffer, as in SSA form."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.steps: list[Step] = []
        self.inputs: list[Buffer] = []
        self.input_values: list[Value] = []
        self.constants: list[Tensor] = []
        self.env: dict[fx.Node, Any] = {}
        self.versions: dict[Buffer, Buffer] = {}
        self.literals: dict[tuple[float, torch.dtype], Value] = {}
        self.outputs: list[Value] = []
        for node in graph.graph.nodes:
            self.visit(node)
        self.write_back()

    # Values

    def new(self, shape: Sequence[int], dtype: torch.dtype, strides: Sequence[int] | None = None) -> Value:
        """A value in a new buffer."""
        if dtype not in SIZES:
            raise Unsupported(f"tensors of {dtype}")
        shape = tuple(int(n) for n in shape)
        if strides is None or not dense(shape, strides):
            strides = contiguous(shape)
        value = Value(Buffer(0, dtype), 0, shape, tuple(strides))
        value.buffer.count = value.count
        return value

    def like(self, meta: Tensor) -> Value:
        """A new value with the shape, strides and type of ``meta``."""
        return self.new(meta.shape, meta.dtype, meta.stride())

    def constant(self, tensor: Tensor) -> Value:
        """``tensor`` as a constant of the plan."""
        tensor = tensor.detach().contiguous()
        buffer = Buffer(tensor.numel(), tensor.dtype, slot=-1 - len(self.constants))
        if tensor.dtype not in SIZES:
            raise Unsupported(f"tensors of {tensor.dtype}")
        self.constants.append(tensor)
        return Value(buffer, 0, tuple(tensor.shape), contiguous(tensor.shape))

    def value(self, x: Operand | Tensor, dtype: torch.dtype = torch.float64) -> Value:
        """``x`` as a Value: its latest version, or a constant for a tensor or a number."""
        if isinstance(x, Value):
            return self.latest(x)
        if isinstance(x, Tensor):
            return self.constant(x)
        key = (float(x), dtype)
        if key not in self.literals:
            self.literals[key] = self.constant(torch.tensor(float(x), dtype=dtype))
        return self.literals[key]

    def latest(self, x: Value) -> Value:
        """``x`` in the latest version of its buffer."""
        buffer = x.buffer
        while buffer in self.versions:
            buffer = self.versions[buffer]
        return x if buffer is x.buffer else Value(buffer, x.offset, x.shape, x.strides)

    # Steps

    def op(self, name: str, *ins: Operand | Tensor, out: Value | None = None) -> Value:
        """Append the instruction ``name``. Returns its result, ``out`` or a new value."""
        first = next(x for x in ins if isinstance(x, Value | Tensor))
        wide = any(isinstance(x, Value | Tensor) and x.dtype in (torch.float64, torch.int64) for x in ins)
        numbers = torch.float64 if wide else torch.float32
        values = [self.value(x, numbers) for x in ins]
        if out is None:
            shape = broadcast(*(v.shape for v in values))
            out = self.new(shape, compute_dtype(first.dtype))
        self.steps.append(Elementwise(name, out, [v.expanded(out.shape) for v in values]))
        return out

    def reduce(self, name: str, x: Value, dims: Sequence[int], keep: bool, out: Value | None = None) -> Value:
        """Append the reduction ``name``, "sum" or "max", of ``x`` over ``dims``. Returns its result."""
        x = self.value(x)
        over = frozenset(d % len(x.shape) for d in dims) if x.shape else frozenset[int]()
        shape = [1 if d in over else n for d, n in enumerate(x.shape) if keep or d not in over]
        out = out or self.new(shape, compute_dtype(x.dtype))
        if all(x.shape[d] == 1 for d in over):
            source = Value(x.buffer, x.offset, out.shape, self.strides_without(x, over, keep))
            self.steps.append(Elementwise("COPY", out, [source]))
        else:
            step = Reduce(name, out, x, over)
            singleton_group(step)  # raises Unsupported where no group could hold it
            self.steps.append(step)
        return out

    @staticmethod
    def strides_without(x: Value, over: frozenset[int], keep: bool) -> tuple[int, ...]:
        """The strides of ``x`` after a reduction over the dimensions ``over``, each of size 1."""
        return tuple(0 if d in over else s for d, s in enumerate(x.strides) if keep or d not in over)

    def sum(self, x: Value, dims: Sequence[int] | None = None, keep: bool = False, out: Value | None = None) -> Value:
        """The sum over ``dims``, or over all dimensions."""
        return self.reduce("sum", x, range(len(x.shape)) if dims is None else dims, keep, out)

    def mean(self, x: Value, dims: Sequence[int] | None = None, keep: bool = False, out: Value | None = None) -> Value:
        """The mean over ``dims``, or over all dimensions."""
        found = self.sum(x, dims, keep)
        share = found.count / x.count if x.count else float("nan")
        return self.op("MUL", found, share, out=out or self.new(found.shape, found.dtype))

    def new_version(self, x: Value) -> Value:
        """A view like ``x`` of a new version of its buffer, for an op that writes ``x`` in place. Earlier steps still
        read the old version; ``rebind`` makes later steps read the new one.
        """
        x = self.latest(x)
        renewed = Buffer(x.buffer.count, x.dtype)
        if not x.covers:
            flat = ((x.buffer.count,), (1,))
            self.steps.append(Elementwise("COPY", Value(renewed, 0, *flat), [Value(x.buffer, 0, *flat)]))
        return Value(renewed, x.offset, x.shape, x.strides)

    def rebind(self, x: Value, to: Value) -> None:
        """Make the buffer of ``to`` the latest version of the buffer of ``x``."""
        self.versions[self.latest(x).buffer] = to.buffer

    def write_back(self) -> None:
        """Copy the latest versions of inputs back to the inputs, after all other steps."""
        for buffer in self.inputs:
            latest = self.latest(Value(buffer, 0, (buffer.count,), (1,)))
            if latest.buffer is not buffer:
                self.steps.append(Elementwise("COPY", Value(buffer, 0, (buffer.count,), (1,)), [latest]))

    # Nodes

    def visit(self, node: fx.Node) -> None:
        """Lower ``node``, whatever its kind, and keep its result in ``env``."""
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
        """``x`` in a buffer that no later step of the plan overwrites. An input is returned as itself, since the next
        linked update continues with it.
        """
        if isinstance(x, Value) and x.buffer.slot is not None and not x.buffer.constant:
            return x
        value = self.value(x)
        if value.buffer.slot is None:
            return value
        return self.op("COPY", value, out=self.new(value.shape, value.dtype, value.strides))

    def lower(self, node: fx.Node) -> Any:
        """Lower a call. Returns a Value, a tensor that is the same in every run, or a tuple of these."""
        args: Any = fx.map_arg(node.args, self.env.__getitem__)
        kwargs: Any = fx.map_arg(node.kwargs, self.env.__getitem__)
        leaves = pytree.tree_leaves((args, kwargs))
        target: Any = node.target
        meta = node.meta["val"]
        if not any(isinstance(leaf, Value) for leaf in leaves):
            if torch.Tag.nondeterministic_seeded in target.tags:  # drawn again in every run
                return self.call(target, args, kwargs, meta)
            return target(*args, **kwargs)
        name = target.overloadpacket.__name__
        first: Any = node.args[0] if node.args else None
        source: Any = args[0] if args else None
        mutates = target._schema.is_mutable
        if isinstance(source, Value) and aliases(first, meta) and (not mutates or name in INPLACE_VIEWS):
            return view_of(source, first.meta["val"], meta)
        rule = RULES.get(name.removesuffix("_") if mutates else name)
        if rule is None or not representable(meta):
            return self.call(target, args, kwargs, meta)
        begun = len(self.steps)
        try:
            return (self.apply_inplace_rule if mutates else self.apply_rule)(rule, meta, args, kwargs)
        except Unsupported:
            del self.steps[begun:]
            return self.call(target, args, kwargs, meta)

    def apply_rule(self, rule: Rule, meta: Any, args: Any, kwargs: Any) -> Any:
        """Lower an op with results like ``meta`` by ``rule``."""
        return rule(self, self.like(meta) if isinstance(meta, Tensor) else meta, *args, **kwargs)

    def apply_inplace_rule(self, rule: Rule, meta: Any, args: Any, kwargs: Any) -> Value:
        """Lower an op that writes its first argument in place, or the one called ``out``, by ``rule``."""
        written, rest = kwargs.get("out", args[0]), {name: value for name, value in kwargs.items() if name != "out"}
        source = written if isinstance(written, Value) else self.constant(written)
        out = self.new_version(source)
        rule(self, out, *(args if "out" in kwargs else (source, *args[1:])), **rest)
        self.rebind(source, out)
        return source

    def call(self, target: Any, args: Any, kwargs: Any, meta: Any) -> Any:
        """Append a call of PyTorch's own op. Returns its results."""
        schema = target._schema
        mutated = None
        reads_ = [self.latest(x) for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Value)]
        if schema.is_mutable:
            written = [i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
            if written != [0] or not isinstance(args[0], Value):
                raise Unsupported(f"{target}, which writes arguments {written}")
            mutated = self.new_version(args[0])
            if args[0].covers:  # `new_version` copied nothing, and the op may write a part only
                self.steps.append(Elementwise("COPY", mutated, [reads_[0]]))
            reads_.append(mutated)
        latest = pytree.tree_map(lambda x: self.latest(x) if isinstance(x, Value) else x, (args, kwargs))
        if mutated is not None:
            self.rebind(args[0], mutated)
            call = Call(target, (mutated, *latest[0][1:]), latest[1], [], mutated, reads_)
            self.steps.append(call)
            return args[0]
        metas = [meta] if isinstance(meta, Tensor) else list(meta)
        outs = [self.like(m) if isinstance(m, Tensor) else None for m in metas]
        self.steps.append(Call(target, latest[0], latest[1], outs, None, reads_))
        return outs[0] if isinstance(meta, Tensor) else tuple(outs)


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which tensors of ``shapes`` broadcast."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*padded, strict=True))


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of intermediate results: float32 for bfloat16, which is rounded only where it is stored."""
    return torch.float32 if dtype == torch.bfloat16 else dtype


def aliases(source: Any, meta: Any) -> bool:
    """Whether the result ``meta`` is a view of the result of the node ``source``."""
    metas = [meta] if isinstance(meta, Tensor) else [m for m in meta if isinstance(m, Tensor)]
    if not isinstance(source, fx.Node) or not isinstance(source.meta.get("val"), Tensor) or not metas:
        return False
    storage = source.meta["val"].untyped_storage()._cdata
    return all(m.untyped_storage()._cdata == storage for m in metas)


def view_of(source: Value, before: Tensor, meta: Any) -> Any:
    """The view or views ``meta`` of ``source``, whose fake tensor is ``before``."""
    if not isinstance(meta, Tensor):
        return tuple(view_of(source, before, m) for m in meta)
    offset = source.offset + int(meta.storage_offset()) - int(before.storage_offset())
    return Value(source.buffer, offset, tuple(meta.shape), tuple(meta.stride()))


def representable(meta: Any) -> bool:
    """Whether instructions can write results like ``meta``."""
    metas = [meta] if isinstance(meta, Tensor) else [m for m in meta if isinstance(m, Tensor)]
    return all(m.dtype in SIZES and m.numel() > 0 for m in metas)


INPLACE_VIEWS = ("unsqueeze_", "squeeze_", "t_", "transpose_", "detach_")
"""In-place ops that change the shape of a tensor and leave its elements where they are."""

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
"""By the name of PyTorch's op; rules.py fills it."""
