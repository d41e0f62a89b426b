"""The planned engine: each update traced once, and run by the C extension as one plan, without a compiler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from gankit import plan_rules  # noqa: F401 -- fills lowering.RULES
from gankit.compiled import Code, Compiled
from gankit.errors import GankitError
from gankit.fusing import Group, Item, grouped
from gankit.kernels.cpu import run_plan
from gankit.lowering import Lowering
from gankit.plan_code import Memory, Writer, gemm_words, hidden, laid_out
from gankit.plan_values import Call, Gemm, Value, writes
from gankit.tracing import Piece


class Planned(Compiled):
    """Updates as plans, each made when it first comes."""

    name = "planned"

    def make(self, piece: Piece) -> Code:
        return Plan(piece)


class Plan:
    """One update. Called with its inputs it returns its outputs; all but the recorded values lie in memory that the next
    call writes again.
    """

    def __init__(self, piece: Piece) -> None:
        low = Lowering(piece.graph)
        items = grouped(low.steps)
        self.memory = laid_out(items, low.outputs, len(low.inputs))
        self.block = torch.empty(self.memory.size + 64, dtype=torch.uint8)
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
        self.parts = segments(items, self.memory, hidden(items, low.outputs))
        self.values = len(piece.part.names)
        self.outputs = [self.tensor(value, ()) if value.buffer.slot is None else value for value in low.outputs]
        self.items = items

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        for i, tensor in enumerate(inputs):
            if tensor is not self.given[i]:
                self.give(i, tensor)
        given = cast("list[Tensor]", self.given)
        for part in self.parts:
            if isinstance(part, Tensor):
                run_plan(part.data_ptr(), len(part), self.slots_at)
            else:
                self.call(part, given)
        found = [self.tensor(x, given) if isinstance(x, Value) else x for x in self.outputs]
        found[self.values] = found[self.values].clone()
        return found

    def give(self, number: int, tensor: Tensor) -> None:
        """Let ``tensor`` be input ``number``, in memory as the plan was made for."""
        shape, strides, dtype = self.layouts[number]
        if tensor.stride() != strides and tensor.numel() > 1:
            if number in self.changed:
                raise GankitError(f"input {number} of a plan lies in memory with strides {tensor.stride()}, not {strides}")
            tensor = torch.empty_strided(shape, strides, dtype=dtype).copy_(tensor)
        self.given[number] = tensor
        self.slots[1 + number] = tensor.data_ptr()

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
        root = value.buffer.root
        start = value.buffer.start + value.offset
        if root.slot is None:
            whole = self.block[root.place :].view(torch.uint8)
            size = root.count * whole.new_empty(0, dtype=root.dtype).element_size()
            return whole[:size].view(root.dtype).as_strided(value.shape, value.strides, storage_at(whole, root, start))
        whole = inputs[root.slot] if root.slot >= 0 else self.constants[-1 - root.slot]
        return whole.as_strided(value.shape, value.strides, whole.storage_offset() + start)


def storage_at(whole: Tensor, root: Any, start: int) -> int:
    """The element of the storage at which ``start`` of the buffer ``root`` lies."""
    size = whole.new_empty(0, dtype=root.dtype).element_size()
    return whole.storage_offset() // size + start


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
