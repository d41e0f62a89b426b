"""Compiles the Triton kernels ahead of time, without a GPU, and reads off registers, spills and access widths.

`python benchmarks/aot.py FILE.csv` writes the record that tests/kernels/test_aot.py holds the kernels to.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gankit.kernels.gather_triton import PARTS, gather_fwd
from gankit.kernels.interpolate_triton import interpolate_fwd
from gankit.kernels.l1_terms_triton import l1_terms_bwd, l1_terms_finish, l1_terms_sums
from gankit.kernels.norm_penalty_triton import norm_penalty_bwd, norm_penalty_finish, norm_penalty_sums
from gankit.kernels.tuning import TABLE, Blocks

TARGETS = {
    "sm_75": GPUTarget("cuda", 75, 32),
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
SIZES = {"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2}
ALIGNED = [["tt.divisibility", 16]]


@dataclass(frozen=True)
class Kernel:
    """One kernel as one type is compiled for one target: its arguments by name, and the widths it should reach.

    load and store are bits of the accesses that carry the tensors; a tuple argument stands for a pair of tensors.
    """

    name: str
    function: Any
    arguments: dict[str, Any]
    constants: dict[str, Any]
    load: int
    store: int


@dataclass(frozen=True)
class Record:
    """What the compiler made of a kernel: registers of a thread, bytes spilled, and bits of the accesses that most
    of its traffic goes through.
    """

    kernel: str
    type: str
    target: str
    registers: int
    spilled: int
    load_bits: int
    store_bits: int
    triton: str


def kernels(kind: str, row: Blocks) -> Iterator[Kernel]:
    """The kernels for tensors of a type, with the block sizes of a row of the table."""
    size = SIZES[kind]
    scalar = "fp64" if kind == "fp64" else "fp32"
    wide = tl.float64 if kind == "fp64" else tl.float32
    x, w, block = f"*{kind}", f"*{scalar}", row.elements(size)
    yield Kernel(
        "interpolate_fwd",
        interpolate_fwd,
        {"real": x, "fake": x, "t": w, "out": x, "elements": "i32", "per_sample": "i32"},
        {"WIDE": wide, "BLOCK": block},
        128,
        128,
    )
    yield Kernel(
        "norm_penalty_sums",
        norm_penalty_sums,
        {"grad": x, "partial": w, "elements": "i32", "chunks": "i32"},
        {"WIDE": wide, "BLOCK": block, "STEPS": row.steps},
        128,
        0,
    )
    yield Kernel(
        "norm_penalty_finish",
        norm_penalty_finish,
        {"partial": w, "norms": w, "penalty": w, "samples": "i32", "chunks": "i32", "target": "i64"},
        {"ONE_SIDED": False, "ROWS": 64, "COLUMNS": 1},
        0,
        0,
    )
    yield Kernel(
        "norm_penalty_bwd",
        norm_penalty_bwd,
        {"grad": x, "norms": w, "slope": w, "out": x, "samples": "i32", "elements": "i32", "per_sample": "i32"}
        | {"target": "i64"},
        {"ONE_SIDED": False, "WIDE": wide, "BLOCK": block},
        128,
        128,
    )
    pair = (x, x)
    yield Kernel(
        "l1_terms_sums",
        l1_terms_sums,
        {"a": pair, "b": pair, "sizes": ("i32", "i32"), "firsts": ("i32", "i32", "i32"), "partial": w},
        {"WIDE": wide, "BLOCK": block, "STEPS": row.steps},
        128,
        0,
    )
    yield Kernel(
        "l1_terms_finish",
        l1_terms_finish,
        {"partial": w, "out": w, "firsts": ("i32", "i32", "i32"), "factors": ("i64", "i64")},
        {"BLOCK": 1024},
        0,
        0,
    )
    yield Kernel(
        "l1_terms_bwd",
        l1_terms_bwd,
        {"a": pair, "b": pair, "to_a": pair, "to_b": pair, "sizes": ("i32", "i32"), "firsts": ("i32", "i32", "i32")}
        | {"factors": ("i64", "i64"), "slopes": w},
        {"WANT": 0b1001, "BLOCK": block},
        128,
        128,
    )
    high, low = PARTS[torch.float64 if kind == "fp64" else torch.float32]
    for name, flip, whole in (("gather_fwd whole", False, True), ("gather_fwd flip and crop", True, False)):
        yield Kernel(
            name,
            gather_fwd,
            {"images": "*u8", "index": "*i64", "flip": "*u8", "offset": "*i64", "out": x}
            | dict.fromkeys(("count", "channels", "height", "width", "rows", "columns", "per_sample"), "i32"),
            {"FLIP": flip, "OFFSET": flip, "WHOLE": whole, "LAST": False, "HIGH": high, "LOW": low}
            | {"WIDE": wide, "BLOCK": block},
            8 * 16 // size if whole else 8,  # a byte in for an element out; mirrored bytes lie backwards
            128,
        )


def compile_for(kernel: Kernel, kind: str, target: str) -> Record:
    """Compiles a kernel as PyTorch's allocations and even sizes would have it: everything a multiple of 16."""
    names = list(kernel.arguments)
    plain = {"firsts", "per_sample", "chunks", "samples", "target", "factors", "count", "channels"}
    attrs: dict[tuple[int, ...], object] = {}
    for place, name in enumerate(names):
        if name in plain:
            continue
        value = kernel.arguments[name]
        paths = [(place, k) for k in range(len(value))] if isinstance(value, tuple) else [(place,)]
        attrs |= dict.fromkeys(paths, ALIGNED)
    signature = kernel.arguments | dict.fromkeys(kernel.constants, "constexpr")
    source = ASTSource(kernel.function, signature, kernel.constants, attrs)
    options = {"num_warps": TABLE[target].warps, "enable_fp_fusion": False}
    built = triton.compile(source, target=TARGETS[target], options=options)
    read = _read_nvidia if "cubin" in built.asm else _read_amd
    return Record(kernel.name, kind, target, *read(built.asm), triton.__version__)


def _read_nvidia(asm: dict[str, Any]) -> tuple[int, int, int, int]:
    """Registers and spilled bytes from cuobjdump, widths from the PTX."""
    tool = Path(triton.backends.__path__[0], "nvidia", "bin", "cuobjdump")
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder, "kernel.cubin")
        cubin.write_bytes(asm["cubin"])
        command = [str(tool), "--dump-resource-usage", str(cubin)]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers = int(_found(r"REG:(\d+)", usage))
    # STACK is what spilled registers and local arrays take, LOCAL what was asked for; these kernels ask for none.
    spilled = int(_found(r"STACK:(\d+)", usage)) + int(_found(r"LOCAL:(\d+)", usage))
    widths = []
    for way in ("ld", "st"):
        found = re.findall(rf"{way}\.global\S*?(?:\.v(\d))?\.b(\d+)", asm["ptx"])
        widths.append(_bulk(int(count or 1) * int(bits) for count, bits in found))
    return registers, spilled, widths[0], widths[1]


def _bulk(widths: Iterable[int]) -> int:
    """The width that carries the most bits: what the tensors are read with, among single indices and factors."""
    return max((number * width, width) for width, number in (Counter(widths) or {0: 0}).items())[1]


def _read_amd(asm: dict[str, Any]) -> tuple[int, int, int, int]:
    """All from the assembly: its metadata, and the global and buffer instructions."""
    text = asm["amdgcn"]
    spilled = 4 * sum(int(_found(rf"\.{kind}gpr_spill_count:\s*(\d+)", text)) for kind in "sv")
    bits = {"ubyte": 8, "sbyte": 8, "byte": 8, "ushort": 16, "sshort": 16, "short": 16}
    bits |= {"dword": 32, "dwordx2": 64, "dwordx3": 96, "dwordx4": 128}
    widths = []
    for way in ("load", "store"):
        found = re.findall(rf"(?:global|buffer)_{way}_(\w+?)(?:_d16\w*)?\s", text)
        widths.append(_bulk(bits[name] for name in found))
    return int(_found(r"\.vgpr_count:\s*(\d+)", text)), spilled, widths[0], widths[1]


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"the compiler's output has no {pattern}; did its format change?")
    return match[1]


def faults(kernel: Kernel, record: Record) -> list[str]:
    """What is wrong with a compiled kernel: a spill, or an access narrower than the type allows."""
    where = f"{record.kernel} {record.type} {record.target}"
    found = []
    if record.spilled:
        found.append(f"{where}: {record.spilled} bytes of registers spilled")
    if record.load_bits < kernel.load:
        found.append(f"{where}: loads are {record.load_bits} bits wide, expected {kernel.load}")
    if record.store_bits < kernel.store:
        found.append(f"{where}: stores are {record.store_bits} bits wide, expected {kernel.store}")
    return found


def compile_all(kinds: tuple[str, ...] = tuple(SIZES)) -> Iterator[tuple[Kernel, Record]]:
    """Every kernel for every type and target."""
    for kind in kinds:
        for target in TARGETS:
            for kernel in kernels(kind, TABLE[target]):
                yield kernel, compile_for(kernel, kind, target)


def main(path: str) -> None:
    """Writes the record and prints every fault."""
    rows = list(compile_all())
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Record)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for _, record in rows)
    problems = [fault for kernel, record in rows for fault in faults(kernel, record)]
    print(*problems, f"{len(rows)} kernels compiled, {len(problems)} faults", sep=os.linesep)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main(sys.argv[1])
