"""The words of a plan, as kernels/csrc/plan/plan.c reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from gankit.cpu.plan.fuse import COLUMNS, ONE, ROWS, TILE, Access, Group, Item, Member
from gankit.cpu.plan.ir import SIZES, TYPES, Buffer, Gemm, Point, Value, reads, writes

INSTRUCTIONS = (
    "COPY", "NEG", "ABS", "SIGN", "EXP", "TANH", "SIGMOID", "LOG", "LOG1P", "SQRT", "RSQRT", "RECIPROCAL",
    "ADD", "SUB", "MUL", "DIV", "MAX", "MIN", "EQ", "NE", "LT", "LE", "GT", "GE", "CHOOSE", "LOAD", "STORE",
    "SUM_ROWS", "SUM_COLUMNS", "MAX_COLUMNS", "SUM_ALL",
)  # fmt: skip
CODES = {name: code for code, name in enumerate(INSTRUCTIONS)}
STEP_GEMM, STEP_TILES = 0, 1
IN_SCRATCH, IN_PART = -1, -2
LINE = 64
"""Bytes of a cache line, at which everything begins."""


@dataclass
class Memory:
    """Where buffers lie: the plan's own in one block of ``size`` bytes, which is slot 0; inputs and constants after."""

    inputs: int
    size: int = 0

    def slot(self, buffer: Buffer) -> int:
        """The slot of ``buffer``'s memory."""
        if buffer.slot is None:
            return 0
        return 1 + buffer.slot if buffer.slot >= 0 else self.inputs - buffer.slot

    def offset(self, value: Value, element: int) -> int:
        """The byte of its slot at which ``element`` of ``value``'s buffer lies."""
        begin = value.buffer.root.place if value.buffer.slot is None else 0
        return begin + (value.buffer.start + element) * SIZES[value.dtype]


def laid_out(items: Sequence[Item], outputs: Sequence[Value], inputs: int) -> Memory:
    """Places for the plan's own buffers: memory is used again once nothing needs what is in it."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for i, item in enumerate(items):
        for value in touched(item):
            if value.buffer.slot is None:
                first.setdefault(value.buffer.root, i)
                last[value.buffer.root] = i
    for value in outputs:
        if value.buffer.slot is None:
            last[value.buffer.root] = len(items)
            first.setdefault(value.buffer.root, len(items))
    buffers = sorted(first, key=lambda b: (first[b], -b.count))
    spans = [(-(-max(b.count, 1) * SIZES[b.dtype] // LINE) * LINE, first[b], last[b]) for b in buffers]
    places, size = first_fit(spans)
    for buffer, place in zip(buffers, places, strict=True):
        buffer.place = place
    return Memory(inputs, size)


def first_fit(spans: Sequence[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Where blocks of ``spans``, each a size and the first and last time it is needed, by rising first time, can begin
    without one overlapping another in use; how much they take together.
    """
    taken: list[tuple[int, int, int]] = []  # begin, end, last
    places, total = [], 0
    for size, first, last in spans:
        taken = [block for block in taken if block[2] >= first]
        begin = 0
        for other, end, _ in sorted(taken):
            if other - begin >= size:
                break
            begin = max(begin, end)
        taken.append((begin, begin + size, last))
        places.append(begin)
        total = max(total, begin + size)
    return places, total


def touched(item: Item) -> list[Value]:
    """The values in memory that ``item`` reads or writes, and those that it might."""
    if not isinstance(item, Group):
        return [*reads(item), *writes(item)]
    return [value for member in item.members for value in (*reads(member.step), *writes(member.step)) if member]


def hidden(items: Sequence[Item], outputs: Sequence[Value]) -> set[Buffer]:
    """The buffers that only one group reads, and that it need not write."""
    homes: dict[Buffer, set[int]] = {}
    for i, item in enumerate(items):
        for value in touched(item):
            homes.setdefault(value.buffer, set()).add(i)
    final = {value.buffer for value in outputs}
    return {
        buffer
        for buffer, where in homes.items()
        if len(where) == 1
        and isinstance(items[next(iter(where))], Group)
        and buffer.slot is None
        and buffer not in final
        and all(written_whole(buffer, items[next(iter(where))]))  # type: ignore[arg-type]
    }


def written_whole(buffer: Buffer, group: Group) -> list[bool]:
    """For each member of ``group`` that writes ``buffer``, whether its result is at hand in the group."""
    return [not m.partial for m in group.members if m.step.out.buffer is buffer]


def gemm_words(gemm: Gemm, memory: Memory) -> list[int]:
    """A matrix product as words."""

    def operand(value: Value) -> list[int]:
        strides = [s if n != 1 else 0 for s, n in zip(value.strides, value.shape, strict=True)]
        return [memory.slot(value.buffer), memory.offset(value, value.offset), *strides, TYPES[value.dtype]]

    out, bias = gemm.out, gemm.bias
    compute = 2 if gemm.narrow else TYPES[out.dtype]
    words = [STEP_GEMM, 0, out.shape[0], out.shape[1], gemm.a.shape[1], compute, int(gemm.accumulate)]
    words += operand(gemm.a) + operand(gemm.b)
    words += [memory.slot(out.buffer), memory.offset(out, out.offset), out.strides[0], TYPES[out.dtype]]
    words += (
        [-1, 0, 0] if bias is None else [memory.slot(bias.buffer), memory.offset(bias, bias.offset), TYPES[bias.dtype]]
    )
    words[1] = len(words)
    return words


@dataclass
class Register:
    """A register of a group: in memory, among the partial sums, or in scratch memory from ``birth`` to ``death``."""

    shape: int
    words: list[int]
    birth: int = -1
    death: int = -1


@dataclass
class Writer:
    """Writes the words of one group."""

    group: Group
    memory: Memory
    hidden: set[Buffer]
    registers: list[Register] = field(default_factory=list)
    code: list[tuple[int, ...]] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    known: dict[object, int] = field(default_factory=dict)

    def words(self) -> list[int]:
        """The group as words."""
        group = self.group
        for member in group.members:
            self.member(member)
        scratch = self.allocate()
        high, wide = group.tile()
        words = [STEP_TILES, 0, self.type, group.rows, group.columns, high, wide, len(self.registers), len(self.code)]
        words += [len(self.parts) // 5, scratch]
        for register in self.registers:
            words += register.words
        for instruction in self.code:
            words += instruction
        words += self.parts
        words[1] = len(words)
        return words

    @property
    def type(self) -> int:
        """The type that the group computes in."""
        return TYPES[torch.float64 if self.group.wide else torch.float32]

    def member(self, member: Member) -> None:
        """The instructions of ``member``."""
        step = member.step
        if isinstance(step, Point):
            ins = [self.read(value, access, member.shape) for value, access in zip(step.ins, member.ins, strict=True)]
            self.instruct(step.name, self.target(member), *ins)
        else:
            source = self.read(step.source, member.ins[0], TILE)
            if self.registers[source].shape != TILE:
                spread = self.scratch(TILE)
                self.instruct("COPY", spread, source)
                source = spread
            names = {ROWS: "SUM_COLUMNS" if step.name == "sum" else "MAX_COLUMNS", COLUMNS: "SUM_ROWS", ONE: "SUM_ALL"}
            self.instruct(names[member.shape], self.target(member), source)
        self.store(member)

    def instruct(self, name: str, out: int, *ins: int) -> None:
        """Append an instruction."""
        at = len(self.code)
        for register in (out, *ins):
            self.registers[register].death = at
        if self.registers[out].birth < 0:
            self.registers[out].birth = at
        self.code.append((CODES[name], out, *ins, *[-1] * (3 - len(ins))))

    def kind(self, access: Access, shape: int) -> int:
        """What a value that is walked through so is, beside a result of ``shape``."""
        _, down, along = access
        down_too = shape != COLUMNS and (down != 0 or (shape == TILE and self.group.rows == 1))
        along_too = shape != ROWS and (along != 0 or (shape == TILE and self.group.columns == 1))
        return TILE if down_too and along_too else ROWS if down_too else COLUMNS if along_too else ONE

    def read(self, value: Value, access: Access, shape: int) -> int:
        """The register of ``value``: one of this group's, its memory, or a copy of that."""
        if value.buffer in self.known:
            return self.known[value.buffer]
        kind = self.kind(access, shape)
        key = (value.buffer, access, kind)
        if key not in self.known:
            held = self.in_memory(value, access, kind)
            if not self.usable(value, access, kind):
                copy = self.scratch(kind)
                self.instruct("LOAD", copy, held)
                held = copy
            self.known[key] = held
        return self.known[key]

    def usable(self, value: Value, access: Access, kind: int) -> bool:
        """Whether instructions can work on ``value`` where it lies."""
        _, down, along = access
        if TYPES[value.dtype] != self.type:
            return False
        if kind == ROWS:
            return down == 1 or self.group.rows == 1
        return kind == ONE or along == 1 or self.group.columns == 1

    def in_memory(self, value: Value, access: Access, kind: int) -> int:
        """The register that is the memory of ``value``."""
        offset, down, along = access
        memory = self.memory
        words = [kind, memory.slot(value.buffer), memory.offset(value, offset), down, along, TYPES[value.dtype]]
        self.registers.append(Register(kind, words))
        return len(self.registers) - 1

    def scratch(self, shape: int) -> int:
        """A new register in scratch memory."""
        self.registers.append(Register(shape, [shape, IN_SCRATCH, 0, 0, 1, self.type]))
        return len(self.registers) - 1

    def target(self, member: Member) -> int:
        """The register that ``member`` writes."""
        out, shape = member.step.out, member.shape
        if member.partial or (shape == ONE and not isinstance(member.step, Point)):
            number = len(self.parts) // 5
            _, down, along = member.out
            stride = along if shape == COLUMNS else down
            self.parts += [
                shape,
                self.memory.slot(out.buffer),
                self.memory.offset(out, member.out[0]),
                stride,
                TYPES[out.dtype],
            ]
            self.registers.append(Register(shape, [shape, IN_PART - number, 0, 0, 1, self.type]))
            return len(self.registers) - 1
        if out.buffer not in self.hidden and self.usable(out, member.out, shape):
            register = self.in_memory(out, member.out, shape)
        else:
            register = self.scratch(shape)
        self.known[out.buffer] = register
        return register

    def store(self, member: Member) -> None:
        """Put the result of ``member`` into memory where it is needed there and was not written there."""
        out = member.step.out
        register = self.known.get(out.buffer)
        if register is None or out.buffer in self.hidden or self.registers[register].words[1] != IN_SCRATCH:
            return
        self.instruct("STORE", self.in_memory(out, member.out, member.shape), register)

    def allocate(self) -> int:
        """Places of the scratch registers; how many elements they take."""
        high, wide = self.group.tile()
        sizes = {TILE: high * wide, ROWS: high, COLUMNS: wide, ONE: 1}
        mine = sorted((r for r in self.registers if r.words[1] == IN_SCRATCH), key=lambda r: r.birth)
        places, total = first_fit([(-(-sizes[r.shape] // 16) * 16, r.birth, r.death) for r in mine])
        for register, place in zip(mine, places, strict=True):
            register.words[2] = place
        return total
