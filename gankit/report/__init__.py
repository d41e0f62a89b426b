"""`gankit report`: what a run, or several side by side, did, as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gankit.core.errors import UsageError
from gankit.core.files import atomic_write, explained

NAME = "report.html"


def write(roots: Sequence[str | Path], output: str | Path | None = None) -> Path:
    """Write the report of run folders ``roots``; returns its path: ``output``, or report.html in the one run's folder,
    or here for several.

    UsageError for a folder that is no run, or an output that is no .html; GankitError where matplotlib is missing.
    """
    paths = [Path(root) for root in roots]
    if not paths:
        raise UsageError("name a run folder, or several")
    target = Path(output) if output is not None else (paths[0] / NAME if len(paths) == 1 else Path(NAME))
    if target.suffix not in (".html", ".htm") or target.is_dir():
        raise UsageError(f"-o {target}: end it with .html")
    from gankit.report import page, records

    names = records.names(paths)
    text = page.page([records.read(path, name) for path, name in zip(paths, names, strict=True)])
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(target, text.encode("utf-8", "replace"))
    return target
