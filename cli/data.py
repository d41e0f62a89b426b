"""gankit data"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gankit.cli.options import field_options, typed
from gankit.data.catalogue import About, DataOptions, cache_folder, found, source
from gankit.registry import Entry, registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from gankit.data.dataset import ImageSet


@click.group()
def data() -> None:
    """See which data sets there are, get them ready, and look at them."""


@data.command("list")
@click.option("--data-root", help="Folder in which to look for data sets.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(data_root: str | None, as_json: bool) -> None:
    """List the data sets, each a name for --data, with their licence and where they are."""
    rows = [_row(entry, data_root) for entry in registry().entries["datasets"].values()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        facts = [row["summary"], row["images"], row["size"], row["licence"]]
        click.echo(f"  {row['name']:<{width}}  {'; '.join(fact for fact in facts if fact)}")
        click.echo(f"  {'':<{width}}    {_where(row)}")


def _row(entry: Entry, data_root: str | None) -> dict[str, Any]:
    about = entry.about or About()
    here = found(DataOptions(data=entry.name, data_root=data_root), about)
    return {
        "name": entry.name,
        "summary": entry.summary,
        "images": about.images,
        "size": about.size,
        "licence": about.licence,
        "found": None if here is None else str(here),
        "get": _get(entry.name, about),
        "downloads": bool(about.files),
        "from": entry.owner,
    }


def _get(name: str, about: About) -> str | None:
    if about.files:
        return f"`gankit data prepare {name}` gets it {source(about)}"
    if about.look_for:
        return f"not here yet: put {about.how} into {cache_folder() / name}"
    return about.how or None


def _where(row: dict[str, Any]) -> str:
    if row["found"]:
        return f"found: {row['found']}"
    return row["get"] or "always here"


def _with_options(callback: Callable[..., None]) -> Callable[..., None]:
    """Add the options that decide which images a data set gives, and in which shape."""
    for option in reversed(field_options(DataOptions, {}, {}, {})):
        if option.name not in ("data", "crop", "flip"):
            callback.__dict__.setdefault("__click_params__", []).append(option)
    return callback


@data.command()
@click.argument("name", metavar="NAME[:PATH]")
@_with_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def prepare(name: str, as_json: bool, **flags: Any) -> None:
    """Download a data set where that is needed, and decode it, so that runs start at once.

    Runs with the same --size, --channels, --fit, --split and --limit share what is made. What was begun and killed is
    begun anew; two that are started at once do it once.
    """
    from gankit.data.check import summary

    found = summary(name, _load(name, flags))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"{_headline(found)}; ready in {', '.join(found['folders']) or 'memory: it is drawn each time'}")


@data.command()
@click.argument("name", metavar="NAME[:PATH]")
@_with_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Contact sheet to write, a .png.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(name: str, output: Path | None, as_json: bool, **flags: Any) -> None:
    """Look a data set over: shapes, counts, ranges, classes, unreadable files; -o draws a contact sheet.

    Reads every pixel. Exits with 1 where the prepared images are no longer those that were written.
    """
    from gankit.core.errors import DamagedFile, UsageError
    from gankit.core.files import atomic_write
    from gankit.data.check import check as check_it
    from gankit.data.check import sheet
    from gankit.data.tree import printable

    if output is not None and output.suffix != ".png":
        raise UsageError(f"-o {output}: a contact sheet is a .png")
    images = _load(name, flags)
    found = check_it(name, images)
    click.echo(json.dumps(found, indent=2) if as_json else printable("\n".join(_lines(found))))
    if output is not None:
        atomic_write(output, sheet(images))
        click.echo(f"contact sheet: {output}", err=True)
    if found["intact"] is False:
        raise DamagedFile(
            f"{', '.join(found['folders'])}: changed since it was written; delete it and prepare it again"
        )


def _load(name: str, flags: dict[str, Any]) -> ImageSet:
    from gankit.core import options
    from gankit.data.dataset import ImageSet

    settings = options.build(DataOptions, {"data": name, **typed(flags)})
    images = registry().get("datasets", settings.name)().load(settings, 0)
    assert isinstance(images, ImageSet)
    return images


def _headline(found: dict[str, Any]) -> str:
    shape = "x".join(map(str, found["shape"]))
    other = f" + {found['other images']:,}" if "other images" in found else ""
    classes = f" in {found['classes']} classes" if "classes" in found else ""
    return f"{found['name']}: {found['images']:,}{other} images of {shape}{classes}"


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [_headline(found)]
    for which in ("pixels", "other pixels"):
        for key, value in found.get(which, {}).items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"  {which}, {key}: {shown if shown != '' else 'none'}")
    for what in ("images of class", "values of factor"):
        lines += [f"  {what} {name}: {count:,}" for name, count in found.get(what, {}).items()]
    if found.get("pictures"):
        lines.append(f"  pictures: {', '.join(f'{count:,} {what}' for what, count in found['pictures'].items())}")
    lines += [f"  passed over: {each}" for each in found["passed over"]]
    lines.append(f"  unreadable: {len(found['unreadable'])}")
    lines += [f"    {name}: {reason}" for name, reason in found["unreadable"]]
    lines.append(f"  digest: {found['digest']}")
    lines += [f"  kept in: {folder}" for folder in found["folders"]]
    return lines
