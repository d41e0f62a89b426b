"""From steps to groups: elementwise steps and sums over one space of rows x columns run together, tile by tile.

A step joins the earliest group in which all that it needs is ready. What only its own group reads never becomes memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from gankit.cpu.plan.ir import Buffer, Call, Gemm, Point, Reduce, Step, Unsupported, Value, reads, writes

TILE, ROWS, COLUMNS, ONE = range(4)
"""What a register is: a tile, one number a row, one number a column, one number."""
ELEMENTS = 2048
"""Of a tile, roughly: a handful of them fit into a core's first cache."""
SMALL = 8192
"""Elements of a space that may be one tile, so that sums of rows and of columns both are at hand in it."""
MOST_STEPS = 60
Access = tuple[int, int, int]
"""How a value is walked through: first element, and strides of rows and columns."""


@dataclass(eq=False)
class Member:
    """A step in a group: its registers' shape, how it walks through its values, and for a sum what it leaves."""

    step: Point | Reduce
    shape: int
    out: Access
    ins: list[Access]
    partial: bool = False


@dataclass(eq=False)
class Group:
    """Steps over ``rows`` x ``columns``, computed in float64 or float32."""

    rows: int
    columns: int
    wide: bool
    members: list[Member] = field(default_factory=list)
    full_rows: bool = False
    """Whether a tile must hold whole rows, because a sum along them is used within it; ``full_columns`` likewise."""
    full_columns: bool = False
    made: dict[Buffer, tuple[Access, bool]] = field(default_factory=dict)

    def tile(self) -> tuple[int, int]:
        """Rows and columns of a tile."""
        r, c = self.rows, self.columns
        if self.full_columns:
            return r, c if self.full_rows else min(c, max(16, 2 * ELEMENTS // r // 16 * 16))
        wide = c if self.full_rows or c <= ELEMENTS else ELEMENTS
        return min(r, max(1, ELEMENTS // wide)), wide


Item = Group | Gemm | Call


def grouped(steps: Sequence[Step]) -> list[Item]:
    """``steps`` as groups, products and calls, in an order that respects what each needs."""
    items: list[Item] = []
    written: dict[Buffer, list[int]] = {}
    seen: dict[Buffer, int] = {}
    for step in prepared(steps):
        if isinstance(step, Gemm | Call):
            index = len(items)
            items.append(step)
        else:
            index = placed(step, items, written, seen)
        for value in writes(step):
            written.setdefault(value.buffer, []).append(index)
        for value in reads(step):
            seen[value.buffer] = max(index, seen.get(value.buffer, 0))
    return items


def prepared(steps: Sequence[Step]) -> list[Step]:
    """``steps`` with copies before those that would walk through a value in a way that no group can."""
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Point) and not spaces(step):
            ins = []
            for value in step.ins:
                copy = Value(Buffer(value.count, value.dtype), 0, value.shape, ordered_as(step.out))
                found.append(Call(torch.ops.aten.clone.default, (value,), {}, [copy], None, [value]))
                ins.append(copy)
            step = Point(step.name, step.out, ins)
        found.append(step)
    return found


def ordered_as(value: Value) -> tuple[int, ...]:
    """The strides of a dense tensor of ``value``'s shape with its dimensions in the same order."""
    strides, step = [0] * len(value.shape), 1
    for d in reversed(order_of(value)):
        strides[d] = step
        step *= value.shape[d]
    return tuple(strides)


def placed(step: Point | Reduce, items: list[Item], written: dict[Buffer, list[int]], seen: dict[Buffer, int]) -> int:
    """Put ``step`` into a group of ``items``, or into a new one at their end; its number. ``written``: the items that
    write a buffer; ``seen``: the last that reads it, before which an input that changes must not be written.
    """
    first = seen.get(step.out.buffer, 0)
    for value in writes(step):
        first = max([first, *(i + 1 for i in written.get(value.buffer, []))])
    for value in reads(step):
        for i in written.get(value.buffer, []):
            item = items[i]
            held = isinstance(item, Group) and value.buffer in item.made
            first = max(first, i if held else i + 1)
    for i in range(first, len(items)):
        item = items[i]
        if isinstance(item, Group) and len(item.members) < MOST_STEPS and joins(step, item, i, written):
            return i
    items.append(alone(step))
    return len(items) - 1


def alone(step: Point | Reduce) -> Group:
    """A group of ``step`` only. Unsupported where it runs over no space of rows and columns."""
    for rows, columns in spaces(step):
        group = Group(rows, columns, is_wide(step))
        if joins(step, group, 0, {}):
            return group
    raise Unsupported(f"{step}: no space of rows and columns")


def joins(step: Point | Reduce, group: Group, index: int, written: dict[Buffer, list[int]]) -> bool:
    """Whether ``step`` can be in ``group``, and if so puts it there."""
    if group.wide != is_wide(step):
        return False
    member = member_of(step, group)
    if member is None:
        return False
    values = step.ins if isinstance(step, Point) else [step.source]
    for value, access in zip(values, member.ins, strict=True):
        if value.buffer in group.made and group.made[value.buffer] != (access, True):
            return False
        if value.buffer not in group.made and index in written.get(value.buffer, []):
            return False
    for other in group.members:  # in the same tile, only what is walked through alike is read before it is written
        values = other.step.ins if isinstance(other.step, Point) else [other.step.source]
        for value, access in zip(values, other.ins, strict=True):
            if value.buffer is step.out.buffer and (access != member.out or other.shape != member.shape):
                return False
    if isinstance(step, Reduce) and not reduces(member, group):
        return False
    group.made[step.out.buffer] = (member.out, not member.partial)
    group.members.append(member)
    return True


def reduces(member: Member, group: Group) -> bool:
    """Whether ``group`` can hold the reduction ``member``; decides whether its result is at hand in the same group."""
    small = group.rows * group.columns <= SMALL
    along_rows, along_columns = member.shape == ROWS, member.shape == COLUMNS
    if along_rows and (small or not group.full_columns):
        group.full_rows = True
    elif along_columns and (small or not group.full_rows) and member.step.name == "sum":
        group.full_columns = True
    else:
        member.partial = True
    return not member.partial or member.step.name == "sum"


def member_of(step: Point | Reduce, group: Group) -> Member | None:
    """``step`` as it would walk through its values in the space of ``group``."""
    rows, columns = group.rows, group.columns
    if isinstance(step, Point):
        shapes = [(TILE, rows, columns)]
        # In other tilings one number a row or a column would be computed again in every tile.
        if group.full_rows or tiles_across(group) == 1:
            shapes.append((ROWS, rows, 1))
        if group.full_columns:
            shapes.append((COLUMNS, 1, columns))
        for shape, *space in shapes:
            if step.out.count == math.prod(space):
                found = walk([step.out, *step.ins], step.out, (space[0], space[1]))
                if found is not None:
                    return Member(step, shape, found[0], found[1:])
        return None
    source, kept = step.source, [d for d in range(len(step.source.shape)) if d not in step.dims]
    if source.count != rows * columns:
        return None
    order = [d for d in order_of(source) if source.shape[d] != 1]
    over = [d in step.dims for d in order]
    found = walk([source], source, (rows, columns))
    if found is None:
        return None
    if all(over):
        return Member(step, ONE, (step.out.offset, 0, 0), found)
    kept_count = math.prod(source.shape[d] for d in kept)
    out = walk([step.out], step.out, (kept_count, 1))
    if out is None:
        return None
    ((offset, stride, _),) = out
    if over == sorted(over) and kept_count == rows:
        return Member(step, ROWS, (offset, stride, 0), found)
    if over == sorted(over, reverse=True) and kept_count == columns:
        return Member(step, COLUMNS, (offset, 0, stride), found)
    return None


def tiles_across(group: Group) -> int:
    """How many tiles lie side by side."""
    return -(-group.columns // group.tile()[1])


def is_wide(step: Point | Reduce) -> bool:
    """Whether ``step`` computes in float64: whole numbers do, which float32 cannot hold."""
    return any(value.dtype in (torch.float64, torch.int64) for value in [*reads(step), *writes(step)])


def order_of(value: Value) -> list[int]:
    """The dimensions of ``value`` from the outermost in memory to the innermost."""
    return sorted(range(len(value.shape)), key=lambda d: -value.strides[d])


def spaces(step: Point | Reduce) -> list[tuple[int, int]]:
    """The spaces of rows x columns that ``step`` can be seen to run over, the most natural first."""
    main = step.out if isinstance(step, Point) else step.source
    sizes = [main.shape[d] for d in order_of(main) if main.shape[d] != 1]
    cuts = [1] if len(sizes) == 2 else range(1, len(sizes))
    found = [(1, math.prod(sizes))] if len(sizes) < 2 else []
    found += [(math.prod(sizes[:cut]), math.prod(sizes[cut:])) for cut in cuts]
    if len(sizes) > 1:
        found.append((1, math.prod(sizes)))
    if isinstance(step, Reduce) and len(sizes) == 1:
        found = [(1, sizes[0])]
    values = [step.out, *step.ins] if isinstance(step, Point) else [main]
    return [space for space in found if walk(values, main, space) is not None]


def walk(values: Sequence[Value], main: Value, space: tuple[int, int]) -> list[Access] | None:
    """How each of ``values``, all of ``main``'s shape, is walked through by rows and columns in ``main``'s order."""
    dims = [(main.shape[d], [v.strides[d] for v in values]) for d in order_of(main) if main.shape[d] != 1]
    rows, columns = space
    inner, count = len(dims), 1
    while inner > 0 and count < columns:
        inner -= 1
        count *= dims[inner][0]
    if count != columns or math.prod(n for n, _ in dims[:inner]) != rows:
        return None
    high, wide = merged(dims[:inner], len(values)), merged(dims[inner:], len(values))
    if high is None or wide is None:
        return None
    return [(v.offset, high[i], wide[i]) for i, v in enumerate(values)]


def merged(dims: Sequence[tuple[int, list[int]]], count: int) -> list[int] | None:
    """The strides of ``dims`` walked through as one, for each of ``count`` values; None where that cannot be."""
    if not dims:
        return [0] * count
    for (_, outer), (n, inner) in itertools.pairwise(dims):
        if any(o != i * n for o, i in zip(outer, inner, strict=True)):
            return None
    return dims[-1][1]
