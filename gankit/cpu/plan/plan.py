"""A plan that can be called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from gankit.core.errors import GankitError
from gankit.cpu.plan import rules  # noqa: F401 -- fills lowering.RULES
from gankit.cpu.plan.emit import Memory, Writer, gemm_words, hidden, laid_out
from gankit.cpu.plan.fuse import Group, Item, grouped
from gankit.cpu.plan.ir import SIZES, Call, Gemm, Step, Value, reads, writes
from gankit.cpu.plan.lower import Lowering
from gankit.cpu.plan.simplify import improve
from gankit.kernels.cpu import run_plan


class Plan:
    """One update as steps in C. Called with the inputs of its trace it returns what that returned.

    The next call writes where the outputs lie again, but for those numbered in ``fresh``. ``still``: by number, inputs
    that change less often than the plan runs: the weights of networks that this update does not move. What is made of
    them alone, as their bfloat16 copies are, is made again when ``moves`` has counted a move of one (PyTorch does not
    count those of fused optimizers) or PyTorch has counted another change.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        fresh: Collection[int] = (),
        still: Mapping[int, str] = MappingProxyType({}),
        moves: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        low = Lowering(graph)
        improve(low)
        before, steps = made_before(low, still)
        first, items = grouped(before), grouped(steps)
        stays = [*low.outputs, *(value for step in before for value in writes(step))]
        memory = laid_out([*first, *items], stays, len(low.inputs))
        self.block = torch.empty(memory.size + 64, dtype=torch.uint8)
        self.constants = low.constants
        self.changed = {value.buffer.slot for step in low.steps for value in writes(step)}
        self.layouts = [(value.shape, value.strides, value.dtype) for value in low.input_values]
        begin = -self.block.data_ptr() % 64
        self.block = self.block[begin:]
        self.slots = np.zeros(1 + len(self.layouts) + len(self.constants), np.int64)
        self.slots[0] = self.block.data_ptr()
        self.slots[1 + len(self.layouts) :] = [tensor.data_ptr() for tensor in self.constants]
        self.slots_at = self.slots.ctypes.data
        self.given: list[Tensor | None] = [None] * len(self.layouts)
        unseen = hidden([*first, *items], low.outputs)
        self.first, self.parts = segments(first, memory, unseen), segments(items, memory, unseen)
        self.still, self.moves = dict(still) if before else {}, moves
        self.seen: list[tuple[int, int]] = []
        self.products = segments([item for item in items if isinstance(item, Gemm)], memory, unseen)
        self.fresh = fresh
        self.outputs = [self.tensor(value, ()) if value.buffer.slot is None else value for value in low.outputs]

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        for i, tensor in enumerate(inputs):
            if tensor is not self.given[i]:
                self.give(i, tensor)
        given = cast("list[Tensor]", self.given)
        self.slots[1 : 1 + len(given)] = [tensor.data_ptr() for tensor in given]
        seen = [(self.moves.get(name, 0), given[i]._version) for i, name in self.still.items()]
        if self.first and seen != self.seen:
            self.run(self.first, given)
            self.seen = seen
        self.run(self.parts, given)
        found = [self.tensor(x, given) if isinstance(x, Value) else x for x in self.outputs]
        for number in self.fresh:
            found[number] = found[number].clone()
        return found

    def run(self, parts: Sequence[Tensor | Call], given: Sequence[Tensor]) -> None:
        """Run ``parts`` of the plan."""
        for part in parts:
            if isinstance(part, Tensor):
                run_plan(part.data_ptr(), len(part), self.slots_at)
            else:
                self.call(part, given)

    def run_products(self) -> None:
        """Run the plan's matrix products alone, on what its memory holds, so that a profile can time them."""
        self.run(self.products, [])

    def give(self, number: int, tensor: Tensor) -> None:
        """Let ``tensor`` be input ``number``, in memory as the plan was made for."""
        shape, strides, dtype = self.layouts[number]
        if tensor.stride() != strides and tensor.numel() > 1:
            if number in self.changed:
                raise GankitError(
                    f"input {number} of a plan lies in memory with strides {tensor.stride()}, not {strides}"
                )
            tensor = torch.empty_strided(shape, strides, dtype=dtype).copy_(tensor)
        self.given[number] = tensor
        if number in self.still:
            self.seen = []

    def call(self, call: Call, inputs: Sequence[Tensor]) -> None:
        """Run PyTorch's own op on the plan's memory."""
        args, kwargs = pytree.tree_map(
            lambda x: self.tensor(x, inputs) if isinstance(x, Value) else x, (call.args, call.kwargs)
        )
        results = call.target(*args, **kwargs)
        if call.into is None:
            for out, result in zip(call.outs, [results] if isinstance(results, Tensor) else results, strict=True):
                if out is not None:
                    self.tensor(out, inputs).copy_(result)

    def tensor(self, value: Value, inputs: Sequence[Tensor]) -> Tensor:
        """``value`` as a tensor in the memory where it lies."""
        buffer = value.buffer
        if buffer.slot is None:
            begin = buffer.root.place + buffer.start * SIZES[buffer.dtype]
            whole = self.block[begin : begin + buffer.count * SIZES[buffer.dtype]].view(buffer.dtype)
        else:
            whole = inputs[buffer.slot] if buffer.slot >= 0 else self.constants[-1 - buffer.slot]
        return whole.as_strided(value.shape, value.strides, whole.storage_offset() + value.offset)


def made_before(low: Lowering, still: Collection[int]) -> tuple[list[Step], list[Step]]:
    """The steps of ``low`` that depend on the inputs ``still`` alone, and the others."""
    written = Counter(value.buffer for step in low.steps for value in writes(step))
    known = {low.inputs[i] for i in still} - set(written)
    found: list[Step] = []
    rest: list[Step] = []
    for step in low.steps:
        once = all(value.buffer.slot is None and written[value.buffer] == 1 for value in writes(step))
        once = once and not isinstance(step, Call)  # which may draw random numbers
        if once and all(value.buffer.constant or value.buffer in known for value in reads(step)):
            known |= {value.buffer for value in writes(step)}
            found.append(step)
        else:
            rest.append(step)
    return found, rest


def segments(items: Sequence[Item], memory: Memory, unseen: set[Any]) -> list[Tensor | Call]:
    """The words of the plan, cut where PyTorch's own ops stand between them."""
    found: list[Tensor | Call] = []
    words: list[int] = []
    for item in items:
        if isinstance(item, Call):
            found += [torch.tensor(words), item] if words else [item]
            words = []
        elif isinstance(item, Gemm):
            words += gemm_words(item, memory)
        else:
            assert isinstance(item, Group)
            words += Writer(item, memory, unseen).words()
    return [*found, torch.tensor(words)] if words else found
