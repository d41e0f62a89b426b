"""HTML in which everything is escaped that was not made here."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias


class Markup(str):
    """HTML that ``tag`` made, which need not be escaped again. Only drawings and our style sheet come otherwise."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"
VOID = {"br", "col", "hr", "img", "meta"}


def tag(element: str, /, *children: Child, **attributes: str | int | None) -> Markup:
    """``<element ...>children</element>``. Text is escaped, None left out; ``aria_label`` becomes aria-label."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    opened = f"<{element}{written}>"
    return Markup(opened if element in VOID else f"{opened}{joined(children)}</{element}>")


def joined(children: Child) -> Markup:
    """One after the other."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int):
        return Markup(html.escape(str(children)))
    return Markup("".join(map(joined, children)))
