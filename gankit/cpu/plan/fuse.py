"""Fusion: elementwise steps and reductions over one iteration space of rows x columns form a group.

A group runs tile by tile, all its instructions on one tile before the next. A step joins the earliest group in which
its operands are ready. A buffer that only one group uses is never written to memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from gankit.cpu.plan.ir import Buffer, Call, Elementwise, Fusible, Gemm, Reduce, Step, Unsupported, Value, reads, writes

TILE, ROWS, COLUMNS, SCALAR = range(4)
"""The shape of a register: a whole tile, one number per row, one number per column, a single number."""
TILE_ELEMENTS = 2048
"""Elements of a tile, roughly: a handful of tiles fit into the L1 cache."""
SINGLE_TILE_ELEMENTS = 8192
"""Up to so many elements a space may be one tile, in which sums along rows and along columns are both complete."""
MAX_STEPS = 60
"""Steps of a group."""
Access = tuple[int, int, int]
"""How a group indexes a value: first element, row stride, column stride."""


@dataclass(eq=False)
class Member:
    """A step in a group: the shape of its result and the accesses of its operands. ``partial``: each tile yields only a
    partial sum, and the total is known when the whole group has run.
    """

    step: Fusible
    shape: int
    out: Access
    ins: list[Access]
    partial: bool = False


@dataclass(eq=False)
class Group:
    """Steps that share the iteration space ``rows`` x ``columns``, computed in float64 or else float32."""

    rows: int
    columns: int
    float64: bool
    members: list[Member] = field(default_factory=list)
    full_rows: bool = False
    """Whether a tile must hold whole rows, because the group uses a reduction along them; ``full_columns`` likewise."""
    full_columns: bool = False
    produced: dict[Buffer, tuple[Access, bool]] = field(default_factory=dict)
    """By buffer: how a member writes it, and whether the result is complete within the group."""

    def tile(self) -> tuple[int, int]:
        """The rows and columns of a tile."""
        r, c = self.rows, self.columns
        if self.full_columns:
            return r, c if self.full_rows else min(c, max(16, 2 * TILE_ELEMENTS // r // 16 * 16))
        wide = c if self.full_rows or c <= TILE_ELEMENTS else TILE_ELEMENTS
        return min(r, max(1, TILE_ELEMENTS // wide)), wide


Item = Group | Gemm | Call


def fuse(steps: Sequence[Step]) -> list[Item]:
    """``steps`` as groups, matrix products and calls, in an order that respects their dependencies."""
    items: list[Item] = []
    written: dict[Buffer, list[int]] = {}
    last_read: dict[Buffer, int] = {}
    for step in legalized(steps):
        if isinstance(step, Gemm | Call):
            index = len(items)
            items.append(step)
        else:
            index = schedule(step, items, written, last_read)
        for value in writes(step):
            written.setdefault(value.buffer, []).append(index)
        for value in reads(step):
            last_read[value.buffer] = max(index, last_read.get(value.buffer, 0))
    return items


def legalized(steps: Sequence[Step]) -> list[Step]:
    """``steps``, with operands copied first where no iteration space fits an elementwise step otherwise."""
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Elementwise) and not iteration_spaces(step):
            ins = []
            for value in step.ins:
                copy = Value(Buffer(value.count, value.dtype), 0, value.shape, dense_strides_like(step.out))
                found.append(Call(torch.ops.aten.clone.default, (value,), {}, [copy], None, [value]))
                ins.append(copy)
            step = Elementwise(step.name, step.out, ins)
        found.append(step)
    return found


def dense_strides_like(value: Value) -> tuple[int, ...]:
    """The strides of a dense tensor with the shape and dimension order of ``value``."""
    strides, step = [0] * len(value.shape), 1
    for d in reversed(dimension_order(value)):
        strides[d] = step
        step *= value.shape[d]
    return tuple(strides)


def schedule(step: Fusible, items: list[Item], written: dict[Buffer, list[int]], last_read: dict[Buffer, int]) -> int:
    """Put ``step`` into a group of ``items``, or into a new one at the end. Returns the group's index.

    ``written``: the indices of the items that write a buffer; ``last_read``: the index of the last that reads it.
    """
    first = last_read.get(step.out.buffer, 0)
    for value in writes(step):
        first = max([first, *(i + 1 for i in written.get(value.buffer, []))])
    for value in reads(step):
        for i in written.get(value.buffer, []):
            item = items[i]
            held = isinstance(item, Group) and value.buffer in item.produced
            first = max(first, i if held else i + 1)
    for i in range(first, len(items)):
        item = items[i]
        if isinstance(item, Group) and len(item.members) < MAX_STEPS and try_join(step, item, i, written):
            return i
    items.append(singleton_group(step))
    return len(items) - 1


def singleton_group(step: Fusible) -> Group:
    """A group of ``step`` alone. Unsupported where ``step`` has no iteration space."""
    for rows, columns in iteration_spaces(step):
        group = Group(rows, columns, needs_float64(step))
        if try_join(step, group, 0, {}):
            return group
    raise Unsupported(f"{step}, which has no space of rows and columns")


def try_join(step: Fusible, group: Group, index: int, written: dict[Buffer, list[int]]) -> bool:
    """Add ``step`` to ``group``, which is item ``index``, if that is legal. Returns whether it was."""
    if group.float64 != needs_float64(step):
        return False
    member = member_in_space(step, group)
    if member is None:
        return False
    for value, access in zip(reads(step), member.ins, strict=True):
        if value.buffer in group.produced and group.produced[value.buffer] != (access, True):
            return False
        if value.buffer not in group.produced and index in written.get(value.buffer, []):
            return False
    for other in group.members:  # a write after a read is safe only where both access the same elements of a tile
        for value, access in zip(reads(other.step), other.ins, strict=True):
            if value.buffer is step.out.buffer and (access != member.out or other.shape != member.shape):
                return False
    if isinstance(step, Reduce) and not accept_reduction(member, group):
        return False
    group.produced[step.out.buffer] = (member.out, not member.partial)
    group.members.append(member)
    return True


def accept_reduction(member: Member, group: Group) -> bool:
    """Whether ``group`` can hold the reduction ``member``. Decides whether the result is complete within a tile."""
    small = group.rows * group.columns <= SINGLE_TILE_ELEMENTS
    along_rows, along_columns = member.shape == ROWS, member.shape == COLUMNS
    if along_rows and (small or not group.full_columns):
        group.full_rows = True
    elif along_columns and (small or not group.full_rows) and member.step.name == "sum":
        group.full_columns = True
    else:
        member.partial = True
    return not member.partial or member.step.name == "sum"


def member_in_space(step: Fusible, group: Group) -> Member | None:
    """``step`` as a member of ``group``, or None where it does not fit the iteration space."""
    rows, columns = group.rows, group.columns
    if isinstance(step, Elementwise):
        shapes = [(TILE, rows, columns)]
        # In other tilings every tile would compute the numbers of its rows or columns again.
        if group.full_rows or tiles_across(group) == 1:
            shapes.append((ROWS, rows, 1))
        if group.full_columns:
            shapes.append((COLUMNS, 1, columns))
        for shape, *space in shapes:
            if step.out.count == math.prod(space):
                found = access_patterns([step.out, *step.ins], step.out, (space[0], space[1]))
                if found is not None:
                    return Member(step, shape, found[0], found[1:])
        return None
    source, kept = step.source, [d for d in range(len(step.source.shape)) if d not in step.dims]
    if source.count != rows * columns:
        return None
    order = [d for d in dimension_order(source) if source.shape[d] != 1]
    reduced = [d in step.dims for d in order]
    found = access_patterns([source], source, (rows, columns))
    if found is None:
        return None
    if all(reduced):
        return Member(step, SCALAR, (step.out.offset, 0, 0), found)
    kept_count = math.prod(source.shape[d] for d in kept)
    out = access_patterns([step.out], step.out, (kept_count, 1))
    if out is None:
        return None
    ((offset, stride, _),) = out
    if reduced == sorted(reduced) and kept_count == rows:
        return Member(step, ROWS, (offset, stride, 0), found)
    if reduced == sorted(reduced, reverse=True) and kept_count == columns:
        return Member(step, COLUMNS, (offset, 0, stride), found)
    return None


def tiles_across(group: Group) -> int:
    """The number of tiles side by side."""
    return -(-group.columns // group.tile()[1])


def needs_float64(step: Fusible) -> bool:
    """Whether ``step`` computes in float64. Integers do, since float32 cannot represent them all."""
    return any(value.dtype in (torch.float64, torch.int64) for value in [*reads(step), *writes(step)])


def dimension_order(value: Value) -> list[int]:
    """The dimensions of ``value``, from the outermost in memory to the innermost."""
    return sorted(range(len(value.shape)), key=lambda d: -value.strides[d])


def iteration_spaces(step: Fusible) -> list[tuple[int, int]]:
    """The iteration spaces (rows, columns) that fit ``step``, best first."""
    main = step.out if isinstance(step, Elementwise) else step.source
    sizes = [main.shape[d] for d in dimension_order(main) if main.shape[d] != 1]
    cuts = [1] if len(sizes) == 2 else range(1, len(sizes))
    found = [(1, math.prod(sizes))] if len(sizes) < 2 else []
    found += [(math.prod(sizes[:cut]), math.prod(sizes[cut:])) for cut in cuts]
    if len(sizes) > 1:
        found.append((1, math.prod(sizes)))
    if isinstance(step, Reduce) and len(sizes) == 1:
        found = [(1, sizes[0])]
    values = [step.out, *step.ins] if isinstance(step, Elementwise) else [main]
    return [space for space in found if access_patterns(values, main, space) is not None]


def access_patterns(values: Sequence[Value], main: Value, space: tuple[int, int]) -> list[Access] | None:
    """How ``space`` accesses each of ``values``, all of the shape of ``main``, in the dimension order of ``main``. None
    where rows and columns have no single stride.
    """
    dims = [(main.shape[d], [v.strides[d] for v in values]) for d in dimension_order(main) if main.shape[d] != 1]
    rows, columns = space
    inner, count = len(dims), 1
    while inner > 0 and count < columns:
        inner -= 1
        count *= dims[inner][0]
    if count != columns or math.prod(n for n, _ in dims[:inner]) != rows:
        return None
    by_row, by_column = coalesced(dims[:inner], len(values)), coalesced(dims[inner:], len(values))
    if by_row is None or by_column is None:
        return None
    return [(v.offset, by_row[i], by_column[i]) for i, v in enumerate(values)]


def coalesced(dims: Sequence[tuple[int, list[int]]], count: int) -> list[int] | None:
    """The strides of ``dims`` as one dimension, for each of ``count`` values. None where they do not coalesce."""
    if not dims:
        return [0] * count
    for (_, outer), (n, inner) in itertools.pairwise(dims):
        if any(o != i * n for o, i in zip(outer, inner, strict=True)):
            return None
    return dims[-1][1]
