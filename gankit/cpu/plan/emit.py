"""Code generation: memory and bytecode of a plan. The interpreter in the C sources of kernels/ reads the bytecode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from gankit.cpu.plan.fuse import COLUMNS, ROWS, SCALAR, TILE, Access, Group, Item, Member
from gankit.cpu.plan.ir import SIZES, TYPES, Buffer, Elementwise, Gemm, Value, reads, writes

INSTRUCTIONS = (
    "COPY", "NEG", "ABS", "SIGN", "EXP", "TANH", "SIGMOID", "LOG", "LOG1P", "SQRT", "RSQRT", "RECIPROCAL",
    "ADD", "SUB", "MUL", "DIV", "MAX", "MIN", "EQ", "NE", "LT", "LE", "GT", "GE", "CHOOSE", "LOAD", "STORE",
    "SUM_ROWS", "SUM_COLUMNS", "MAX_COLUMNS", "SUM_ALL",
)  # fmt: skip
OPCODES = {name: code for code, name in enumerate(INSTRUCTIONS)}
STEP_GEMM, STEP_TILES = 0, 1
IN_SCRATCH, IN_PARTIAL = -1, -2
"""Slots of registers that are in scratch memory, and (from -2 down) among the partial sums."""
LINE = 64
"""Bytes of a cache line; every buffer begins at one."""


@dataclass
class Memory:
    """Addresses of buffers. Slot 0 is the plan's own memory of ``size`` bytes; inputs, then constants follow."""

    inputs: int
    size: int = 0

    def slot(self, buffer: Buffer) -> int:
        """The slot of the memory that holds ``buffer``."""
        if buffer.slot is None:
            return 0
        return 1 + buffer.slot if buffer.slot >= 0 else self.inputs - buffer.slot

    def offset(self, value: Value, element: int) -> int:
        """Where ``element`` of the buffer of ``value`` begins in its slot, in bytes."""
        begin = value.buffer.root.byte_offset if value.buffer.slot is None else 0
        return begin + (value.buffer.start + element) * SIZES[value.dtype]


def assign_memory(items: Sequence[Item], outputs: Sequence[Value], inputs: int) -> Memory:
    """Assign addresses to the plan's own buffers. Memory is reused after the last use of a buffer."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for i, item in enumerate(items):
        for value in operands_of(item):
            if value.buffer.slot is None:
                first.setdefault(value.buffer.root, i)
                last[value.buffer.root] = i
    for value in outputs:
        if value.buffer.slot is None:
            last[value.buffer.root] = len(items)
            first.setdefault(value.buffer.root, len(items))
    buffers = sorted(first, key=lambda b: (first[b], -b.count))
    lifetimes = [(-(-max(b.count, 1) * SIZES[b.dtype] // LINE) * LINE, first[b], last[b]) for b in buffers]
    offsets, size = first_fit(lifetimes)
    for buffer, offset in zip(buffers, offsets, strict=True):
        buffer.byte_offset = offset
    return Memory(inputs, size)


def first_fit(lifetimes: Sequence[tuple[int, int, int]]) -> tuple[list[int], int]:
    """First-fit allocation of blocks with ``lifetimes``, each (size, first use, last use), sorted by first use. Returns
    the offset of each block and the total size.
    """
    taken: list[tuple[int, int, int]] = []  # begin, end, last
    offsets, total = [], 0
    for size, first, last in lifetimes:
        taken = [block for block in taken if block[2] >= first]
        begin = 0
        for other, end, _ in sorted(taken):
            if other - begin >= size:
                break
            begin = max(begin, end)
        taken.append((begin, begin + size, last))
        offsets.append(begin)
        total = max(total, begin + size)
    return offsets, total


def operands_of(item: Item) -> list[Value]:
    """The values that ``item`` reads or writes, those that it may keep in registers included."""
    if not isinstance(item, Group):
        return [*reads(item), *writes(item)]
    return [value for member in item.members for value in (*reads(member.step), *writes(member.step))]


def group_local(items: Sequence[Item], outputs: Sequence[Value]) -> set[Buffer]:
    """The buffers that only one group uses, in registers alone."""
    users_of: dict[Buffer, set[int]] = {}
    for i, item in enumerate(items):
        for value in operands_of(item):
            users_of.setdefault(value.buffer, set()).add(i)
    final = {value.buffer for value in outputs}
    return {
        buffer
        for buffer, users in users_of.items()
        if len(users) == 1 and not (buffer in final or buffer.slot is not None) and completes(items[min(users)], buffer)
    }


def completes(item: Item, buffer: Buffer) -> bool:
    """Whether ``item`` is a group, and no tile of it leaves only a partial sum for ``buffer``."""
    return isinstance(item, Group) and not any(m.partial for m in item.members if m.step.out.buffer is buffer)


def gemm_bytecode(gemm: Gemm, memory: Memory) -> list[int]:
    """The bytecode of a matrix product."""

    def operand(value: Value) -> list[int]:
        strides = [s if n != 1 else 0 for s, n in zip(value.strides, value.shape, strict=True)]
        return [memory.slot(value.buffer), memory.offset(value, value.offset), *strides, TYPES[value.dtype]]

    out, bias = gemm.out, gemm.bias
    compute = 2 if gemm.bf16 else TYPES[out.dtype]
    bytecode = [STEP_GEMM, 0, out.shape[0], out.shape[1], gemm.a.shape[1], compute, int(gemm.accumulate)]
    bytecode += operand(gemm.a) + operand(gemm.b)
    bytecode += [memory.slot(out.buffer), memory.offset(out, out.offset), out.strides[0], TYPES[out.dtype]]
    where = (
        (-1, 0, 0) if bias is None else (memory.slot(bias.buffer), memory.offset(bias, bias.offset), TYPES[bias.dtype])
    )
    bytecode += where
    bytecode[1] = len(bytecode)
    return bytecode


@dataclass
class Register:
    """A register: in a buffer, among the partial sums, or in scratch memory from instruction ``birth`` to ``death``."""

    shape: int
    bytecode: list[int]
    birth: int = -1
    death: int = -1


@dataclass
class Emitter:
    """Emits the bytecode of one group."""

    group: Group
    memory: Memory
    group_local: set[Buffer]
    registers: list[Register] = field(default_factory=list)
    instructions: list[tuple[int, ...]] = field(default_factory=list)
    partials: list[int] = field(default_factory=list)
    registers_by_key: dict[object, int] = field(default_factory=dict)

    def bytecode(self) -> list[int]:
        """The bytecode of the group."""
        group = self.group
        for member in group.members:
            self.member(member)
        scratch = self.allocate_scratch()
        height, width = group.tile()
        bytecode = [STEP_TILES, 0, self.type, group.rows, group.columns, height, width]
        bytecode += [len(self.registers), len(self.instructions), len(self.partials) // 5, scratch]
        for register in self.registers:
            bytecode += register.bytecode
        for instruction in self.instructions:
            bytecode += instruction
        bytecode += self.partials
        bytecode[1] = len(bytecode)
        return bytecode

    @property
    def type(self) -> int:
        """The code of the type in which the group computes."""
        return TYPES[torch.float64 if self.group.float64 else torch.float32]

    def member(self, member: Member) -> None:
        """Append the instructions of ``member``."""
        step = member.step
        if isinstance(step, Elementwise):
            ins = [self.read(value, access, member.shape) for value, access in zip(step.ins, member.ins, strict=True)]
            self.append(step.name, self.destination(member), *ins)
        else:
            source = self.read(step.source, member.ins[0], TILE)
            if self.registers[source].shape != TILE:
                spread = self.scratch_register(TILE)
                self.append("COPY", spread, source)
                source = spread
            along_row = "SUM_COLUMNS" if step.name == "sum" else "MAX_COLUMNS"
            name = {ROWS: along_row, COLUMNS: "SUM_ROWS", SCALAR: "SUM_ALL"}[member.shape]
            self.append(name, self.destination(member), source)
        self.store(member)

    def append(self, name: str, out: int, *ins: int) -> None:
        """Append an instruction."""
        at = len(self.instructions)
        for register in (out, *ins):
            self.registers[register].death = at
        if self.registers[out].birth < 0:
            self.registers[out].birth = at
        self.instructions.append((OPCODES[name], out, *ins, *[-1] * (3 - len(ins))))

    def register_shape(self, access: Access, shape: int) -> int:
        """The shape of a register for an operand with ``access``, where the result has ``shape``."""
        _, down, along = access
        down_too = shape != COLUMNS and (down != 0 or (shape == TILE and self.group.rows == 1))
        along_too = shape != ROWS and (along != 0 or (shape == TILE and self.group.columns == 1))
        return TILE if down_too and along_too else ROWS if down_too else COLUMNS if along_too else SCALAR

    def read(self, value: Value, access: Access, shape: int) -> int:
        """The register of ``value``: a result of this group, its buffer, or a copy of that."""
        if value.buffer in self.registers_by_key:
            return self.registers_by_key[value.buffer]
        kind = self.register_shape(access, shape)
        key = (value.buffer, access, kind)
        if key not in self.registers_by_key:
            register = self.memory_register(value, access, kind)
            if not self.addressable(value, access, kind):
                copy = self.scratch_register(kind)
                self.append("LOAD", copy, register)
                register = copy
            self.registers_by_key[key] = register
        return self.registers_by_key[key]

    def addressable(self, value: Value, access: Access, kind: int) -> bool:
        """Whether instructions can use ``value`` in its buffer, without a copy."""
        _, down, along = access
        if TYPES[value.dtype] != self.type:
            return False
        if kind == ROWS:
            return down == 1 or self.group.rows == 1
        return kind == SCALAR or along == 1 or self.group.columns == 1

    def memory_register(self, value: Value, access: Access, kind: int) -> int:
        """A new register for ``value`` in its buffer."""
        offset, down, along = access
        memory = self.memory
        bytecode = [kind, memory.slot(value.buffer), memory.offset(value, offset), down, along, TYPES[value.dtype]]
        self.registers.append(Register(kind, bytecode))
        return len(self.registers) - 1

    def scratch_register(self, shape: int) -> int:
        """A new register in scratch memory."""
        self.registers.append(Register(shape, [shape, IN_SCRATCH, 0, 0, 1, self.type]))
        return len(self.registers) - 1

    def destination(self, member: Member) -> int:
        """The register to which ``member`` writes."""
        out, shape = member.step.out, member.shape
        if member.partial or (shape == SCALAR and not isinstance(member.step, Elementwise)):
            number = len(self.partials) // 5
            _, down, along = member.out
            stride = along if shape == COLUMNS else down
            address = self.memory.slot(out.buffer), self.memory.offset(out, member.out[0])
            self.partials += [shape, *address, stride, TYPES[out.dtype]]
            self.registers.append(Register(shape, [shape, IN_PARTIAL - number, 0, 0, 1, self.type]))
            return len(self.registers) - 1
        if out.buffer not in self.group_local and self.addressable(out, member.out, shape):
            register = self.memory_register(out, member.out, shape)
        else:
            register = self.scratch_register(shape)
        self.registers_by_key[out.buffer] = register
        return register

    def store(self, member: Member) -> None:
        """Store the result of ``member`` in its buffer where other items need it and it is only in scratch memory."""
        out = member.step.out
        register = self.registers_by_key.get(out.buffer)
        if register is None or out.buffer in self.group_local or self.registers[register].bytecode[1] != IN_SCRATCH:
            return
        self.append("STORE", self.memory_register(out, member.out, member.shape), register)

    def allocate_scratch(self) -> int:
        """Assign offsets to the scratch registers. Returns the elements that they take."""
        height, width = self.group.tile()
        sizes = {TILE: height * width, ROWS: height, COLUMNS: width, SCALAR: 1}
        in_scratch = sorted((r for r in self.registers if r.bytecode[1] == IN_SCRATCH), key=lambda r: r.birth)
        offsets, total = first_fit([(-(-sizes[r.shape] // 16) * 16, r.birth, r.death) for r in in_scratch])
        for register, offset in zip(in_scratch, offsets, strict=True):
            register.bytecode[2] = offset
        return total
