"""The layers of docs/design.md, held by reading every import of the project with ast."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from paths import ROOT

ROOTS = {
    "gankit": "gankit", "kernels": "gankit.kernels", "plugins": "gankit.plugins", "cli": "gankit.cli",
    "studies": "gankit.studies",
}  # fmt: skip
"""Each top-level folder and the package it becomes."""

FOUNDATION = ("core", "kernels")
BUILT = (*FOUNDATION, "cpu", "models", "data", "registry", "hookspecs", "config", "build")
ALLOWED: dict[str, tuple[str, ...]] = {
    "core": ("core",),
    "kernels": FOUNDATION,
    "cpu": (*FOUNDATION, "cpu"),
    "models": (*FOUNDATION, "cpu", "models", "registry"),
    "data": (*FOUNDATION, "data"),
    "hookspecs": (),
    "registry": ("core", "data.catalogue", "hookspecs"),
    "config": ("core", "data.catalogue", "models.interface", "registry"),
    "build": ("core", "config", "data", "models", "registry"),
    "runs": (*BUILT, "runs"),
    "evaluation": (*BUILT, "runs", "evaluation"),
    "training": (*BUILT, "runs", "evaluation", "training"),
    "inference": (*BUILT, "runs", "evaluation", "inference"),
    "run": ("inference", "runs", "training"),
    "profiling": (*BUILT, "runs", "training", "profiling"),
    "report": (*BUILT, "runs", "evaluation", "report"),
    "lab": (*BUILT, "runs", "evaluation", "training", "inference", "report", "run", "lab"),
    "testing": (*BUILT, "runs", "evaluation", "training", "inference", "testing"),
    "plugins": ("", *BUILT, "runs", "evaluation", "studies", "plugins"),
    "studies": (),
}
"""Who may import whom; "" is the face, `import gankit`. What is not named here, as cli and the face, may import all but
plugins, which only the registry loads, by their dotted names."""

CPU_FACE = "gankit.cpu"
MOST_LINES, MOST_FILES, SOURCES = 400, 17, (".py", ".c", ".h")
LAZY = (
    "gankit/__init__.py",
    "gankit/cpu/__init__.py",
    "gankit/lab/comparison/compare.py",
    "gankit/lab/studies/run.py",
    "gankit/report/__init__.py",
    "gankit/training/engines/choose.py",
)
"""Where, besides cli/ and the loaders of Triton and C, an import may stand in a function: each keeps start-up fast."""


class Import(NamedTuple):
    """An import of ``module`` (with the name it takes, where that is a module) by ``file``, of module ``owner``."""

    file: str
    line: int
    owner: str
    module: str
    inside: bool


def modules(root: Path) -> dict[str, Path]:
    """Every Python file of the package, by its dotted name."""
    found = {}
    for folder, package in ROOTS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


@cache
def written(text: str) -> tuple[tuple[int, str, tuple[str, ...], bool], ...]:
    """(line, module of a "from" or "", names, whether within a function) of each import in ``text``."""
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    within = {id(child) for function in functions for child in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            start = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            if start or isinstance(node, ast.Import):
                names = tuple(alias.name for alias in node.names)
                found.append((node.lineno, start, names, id(node) in within))
    return tuple(found)


def imports(root: Path) -> Iterator[Import]:
    """Every import of the package's own modules."""
    known = modules(root)
    for owner, path in known.items():
        for line, start, names, inside in written(path.read_text(encoding="utf-8")):
            joined = [f"{start}.{name}" for name in names]
            found = [name if name in known else start for name in joined] if start else list(names)
            for name in dict.fromkeys(found):
                if name == "gankit" or name.startswith("gankit."):
                    yield Import(path.relative_to(root).as_posix(), line, owner, name, inside)


def room(module: str) -> str:
    """The package, or the single module, directly below gankit that ``module`` is in; "" for the face."""
    return module.removeprefix("gankit").removeprefix(".").partition(".")[0]


def within(module: str, allowed: tuple[str, ...]) -> bool:
    """Whether ``module`` is one of ``allowed``, or lies in one of them."""
    name = module.removeprefix("gankit").removeprefix(".")
    return any(name == each or (each and name.startswith(f"{each}.")) for each in allowed)


def broken_rules(root: Path) -> list[str]:
    """What the imports of the package at ``root`` break, a line each: file, import and rule."""
    found = []
    for each in imports(root):
        here, there = room(each.owner), room(each.module)
        said = f"{each.file}:{each.line} imports {each.module}: "
        if there == "plugins" and here != "plugins":
            found.append(said + "nobody imports plugins; the registry loads them by their dotted names")
        elif there == "cli" and here != "cli":
            found.append(said + "nobody imports the command line")
        elif here in ALLOWED and not within(each.module, ALLOWED[here]):
            may = ", ".join(each or "gankit" for each in ALLOWED[here])
            found.append(said + f"{here} may import {may or 'nothing of gankit'} only")
        elif there == "cpu" and here != "cpu" and each.module != CPU_FACE:
            found.append(said + f"others take from gankit.cpu's face only: from {CPU_FACE} import ...")
        if each.inside and here != "cli" and each.file not in LAZY and here != "kernels":
            found.append(said + "an import stands at the top of its file")
    return found


def circles(root: Path) -> list[tuple[str, ...]]:
    """The groups of modules that import one another, by whatever way; a module's import of its own package is none."""
    known = modules(root)
    edges: dict[str, set[str]] = {name: set() for name in known}
    for each in imports(root):
        if each.module in known and not each.owner.startswith(f"{each.module}."):
            edges[each.owner].add(each.module)
    reached = {name: _reached(name, edges) for name in edges}
    return sorted({tuple(sorted(b for b in reached[a] if a in reached[b])) for a in edges if a in reached[a]})


def _reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(edges[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += edges.get(name, ())
    return found


def test_every_import_keeps_to_the_layers():
    assert not broken_rules(ROOT)


def test_no_modules_import_one_another_in_a_circle():
    assert not circles(ROOT)


@pytest.mark.parametrize(
    ("file", "line", "rule"),
    [
        ("gankit/core/files.py", "from gankit.models.losses import bce_real", "core may import core only"),
        ("gankit/models/losses.py", "from gankit.training.trainer import Trainer", "models may import core"),
        ("gankit/inference/probe.py", "from gankit.training import loop", "inference may import core"),
        ("gankit/models/losses.py", "from gankit.cpu.convolution import Conv2d", "gankit.cpu's face only"),
        ("gankit/report/page.py", "from gankit.plugins.variants.gan import GAN", "nobody imports plugins"),
        ("gankit/training/loop.py", "from gankit.cli.main import main", "nobody imports the command line"),
        ("kernels/layout.py", "import gankit.models", "kernels may import core, kernels only"),
        ("gankit/runs/folder.py", "def f():\n    import gankit.core.files", "stands at the top of its file"),
    ],
)
def test_a_wrong_import_is_named_with_its_file_and_the_rule(file, line, rule, tmp_path):
    for folder in ROOTS:
        for path in (ROOT / folder).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    before = broken_rules(tmp_path)
    with (tmp_path / file).open("a", encoding="utf-8") as text:
        text.write(f"\n{line}\n")
    (added,) = [each for each in broken_rules(tmp_path) if each not in before]
    assert added.startswith(f"{file}:")
    assert f"imports {line.split('import ' if line.startswith(('import', 'def')) else 'from ')[1].split()[0]}" in added
    assert rule in added


def test_a_circle_is_found(tmp_path):
    for name, text in {
        "a": "from gankit import b",
        "b": "from gankit.c import x",
        "c": "import gankit.a\nx = 1",
    }.items():
        (tmp_path / "gankit").mkdir(exist_ok=True)
        (tmp_path / "gankit" / f"{name}.py").write_text(text)
    assert circles(tmp_path) == [("gankit.a", "gankit.b", "gankit.c")]


def test_no_file_outgrows_a_reader_and_no_folder_a_glance():
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for folder in (*ROOTS, "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SOURCES and (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long
    folders = {path.parent for path in modules(ROOT).values()}
    crowded = {
        folder.relative_to(ROOT).as_posix(): n for folder in folders if (n := len(list(folder.glob("*.py")))) > 17
    }
    assert not crowded


def test_private_names_of_pytorch_stand_in_one_file():
    private = re.compile(r"\btorch(\.\w+)*\._[a-z]|from torch\S* import [^\n]*\b_[A-Za-z]")
    found = [
        f"{path.relative_to(ROOT).as_posix()}: {line.strip()}"
        for path in modules(ROOT).values()
        for line in path.read_text(encoding="utf-8").splitlines()
        if private.search(line) and path.name != "torch_private.py" and '"' not in line and "`" not in line
    ]
    assert not found
