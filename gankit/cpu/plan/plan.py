"""Plan: a traced update, compiled to bytecode that the C extension runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from torch import Tensor, fx

from gankit.core.errors import GankitError
from gankit.core.torch_private import pytree
from gankit.cpu.plan import rules  # noqa: F401 -- fills lower.RULES
from gankit.cpu.plan.emit import Emitter, Memory, assign_memory, gemm_bytecode, group_local
from gankit.cpu.plan.fuse import Group, Item, fuse
from gankit.cpu.plan.ir import SIZES, Buffer, Call, Gemm, Step, Value, reads, writes
from gankit.cpu.plan.lower import Lowering
from gankit.cpu.plan.simplify import simplify
from gankit.kernels.cpu import run_plan


class Plan:
    """An update that runs in C. Called with the inputs of its trace, it returns what the traced function returned.

    The next call overwrites the outputs, except those numbered in ``cloned_outputs``. ``invariant_inputs``: by number,
    the names of inputs that change less often than the plan runs, the weights that this update does not train. Steps
    that depend on them alone, such as casts to bfloat16, run again only when ``weight_versions`` or PyTorch counts a
    change of one; PyTorch does not count those that fused optimizers make.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        cloned_outputs: Collection[int] = (),
        invariant_inputs: Mapping[int, str] = MappingProxyType({}),
        weight_versions: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        low = Lowering(graph)
        simplify(low)
        invariant, steps = hoist_invariants(low, invariant_inputs)
        prologue, items = fuse(invariant), fuse(steps)
        live_out = [*low.outputs, *(value for step in invariant for value in writes(step))]
        memory = assign_memory([*prologue, *items], live_out, len(low.inputs))
        self.arena = torch.empty(memory.size + 64, dtype=torch.uint8)
        self.constants = low.constants
        self.mutated = {value.buffer.slot for step in low.steps for value in writes(step)}
        self.layouts = [(value.shape, value.strides, value.dtype) for value in low.input_values]
        begin = -self.arena.data_ptr() % 64
        self.arena = self.arena[begin:]
        self.slots = np.zeros(1 + len(self.layouts) + len(self.constants), np.int64)
        self.slots[0] = self.arena.data_ptr()
        self.slots[1 + len(self.layouts) :] = [tensor.data_ptr() for tensor in self.constants]
        self.slots_at = self.slots.ctypes.data
        self.bound: list[Tensor | None] = [None] * len(self.layouts)
        local = group_local([*prologue, *items], low.outputs)
        self.prologue, self.body = assemble(prologue, memory, local), assemble(items, memory, local)
        self.invariant_inputs, self.weight_versions = dict(invariant_inputs) if invariant else {}, weight_versions
        self.prologue_versions: list[tuple[int, int]] = []
        self.products = assemble([item for item in items if isinstance(item, Gemm)], memory, local)
        self.cloned_outputs = cloned_outputs
        self.outputs = [self.tensor(value, ()) if value.buffer.slot is None else value for value in low.outputs]

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        for i, tensor in enumerate(inputs):
            if tensor is not self.bound[i]:
                self.bind(i, tensor)
        bound = cast("list[Tensor]", self.bound)
        self.slots[1 : 1 + len(bound)] = [tensor.data_ptr() for tensor in bound]
        versions = [(self.weight_versions.get(name, 0), bound[i]._version) for i, name in self.invariant_inputs.items()]
        if self.prologue and versions != self.prologue_versions:
            self.run(self.prologue, bound)
            self.prologue_versions = versions
        self.run(self.body, bound)
        found = [self.tensor(x, bound) if isinstance(x, Value) else x for x in self.outputs]
        for number in self.cloned_outputs:
            found[number] = found[number].clone()
        return found

    def run(self, parts: Sequence[Tensor | Call], bound: Sequence[Tensor]) -> None:
        """Run parts of the plan: bytecode in C, calls in PyTorch."""
        for part in parts:
            if isinstance(part, Tensor):
                run_plan(part.data_ptr(), len(part), self.slots_at)
            else:
                self.call(part, bound)

    def run_products(self) -> None:
        """Run the matrix products alone, on whatever the plan's memory holds, so that a profile can time them."""
        self.run(self.products, [])

    def bind(self, number: int, tensor: Tensor) -> None:
        """Bind input ``number`` to ``tensor``, or to a copy with the strides that the plan expects."""
        shape, strides, dtype = self.layouts[number]
        if tensor.stride() != strides and tensor.numel() > 1:
            if number in self.mutated:
                raise GankitError(f"input {number} of a plan has strides {tensor.stride()}, not {strides}")
            tensor = torch.empty_strided(shape, strides, dtype=dtype).copy_(tensor)
        self.bound[number] = tensor
        if number in self.invariant_inputs:
            self.prologue_versions = []

    def call(self, call: Call, inputs: Sequence[Tensor]) -> None:
        """Run a PyTorch op on tensors in the plan's memory."""
        args, kwargs = pytree.tree_map(
            lambda x: self.tensor(x, inputs) if isinstance(x, Value) else x, (call.args, call.kwargs)
        )
        results = call.target(*args, **kwargs)
        if call.mutated is None:
            for out, result in zip(call.outs, [results] if isinstance(results, Tensor) else results, strict=True):
                if out is not None:
                    self.tensor(out, inputs).copy_(result)

    def tensor(self, value: Value, inputs: Sequence[Tensor]) -> Tensor:
        """``value`` as a tensor that shares its memory."""
        buffer = value.buffer
        if buffer.slot is None:
            begin = buffer.root.byte_offset + buffer.start * SIZES[buffer.dtype]
            whole = self.arena[begin : begin + buffer.count * SIZES[buffer.dtype]].view(buffer.dtype)
        else:
            whole = inputs[buffer.slot] if buffer.slot >= 0 else self.constants[-1 - buffer.slot]
        return whole.as_strided(value.shape, value.strides, whole.storage_offset() + value.offset)


def hoist_invariants(low: Lowering, invariant_inputs: Collection[int]) -> tuple[list[Step], list[Step]]:
    """Split the steps of ``low`` into those that depend on ``invariant_inputs`` alone, and the others."""
    written = Counter(value.buffer for step in low.steps for value in writes(step))
    known = {low.inputs[i] for i in invariant_inputs} - set(written)
    found: list[Step] = []
    rest: list[Step] = []
    for step in low.steps:
        hoistable = all(value.buffer.slot is None and written[value.buffer] == 1 for value in writes(step))
        hoistable = hoistable and not isinstance(step, Call)  # which may draw random numbers
        if hoistable and all(value.buffer.constant or value.buffer in known for value in reads(step)):
            known |= {value.buffer for value in writes(step)}
            found.append(step)
        else:
            rest.append(step)
    return found, rest


def assemble(items: Sequence[Item], memory: Memory, local: set[Buffer]) -> list[Tensor | Call]:
    """Bytecode of ``items``, with the calls of PyTorch's ops between its segments."""
    found: list[Tensor | Call] = []
    bytecode: list[int] = []
    for item in items:
        if isinstance(item, Call):
            found += [torch.tensor(bytecode), item] if bytecode else [item]
            bytecode = []
        elif isinstance(item, Gemm):
            bytecode += gemm_bytecode(item, memory)
        else:
            assert isinstance(item, Group)
            bytecode += Emitter(item, memory, local).bytecode()
    return [*found, torch.tensor(bytecode)] if bytecode else found
