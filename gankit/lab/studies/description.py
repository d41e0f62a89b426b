"""A recipe in words: what a study asks, runs, makes of its runs and claims, before anything is run."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gankit.lab.measures import named
from gankit.lab.studies.check import check
from gankit.lab.studies.claims import quantity, range_of
from gankit.lab.studies.pictures import KINDS
from gankit.lab.studies.recipe import PAPER, Claim, Figure, Recipe, Scale
from gankit.lab.studies.scale import Scaled, default
from gankit.lab.sweeps.cells import shown

WIDTH = 110


def described(plan: Scaled, name: str) -> str:
    """All of the recipe of ``plan``, which is called ``name`` on the command line, and its runs at the plan's scale."""
    check(plan)
    recipe = plan.recipe
    parts = {
        "": [recipe.question, f"Source: {recipe.source}"],
        "Scales": [line for each in (PAPER, *recipe.scales) for line in _scale(*recipe.scale(each), plan)],
        f"Runs at scale {plan.name}, {_seeds(plan)}": [line for cell in plan.names for line in _run(plan, cell)],
        "Figures": [line for figure in recipe.figures for line in _figure(figure, plan.scale)],
        "Panels": [f"{each.title}: {each.term or each.metric} over {each.over}" for each in recipe.panels],
        "Pictures": [f"{each.title}: {each.says or KINDS[each.kind][0]}" for each in recipe.pictures],
        "Claims": [line for claim in recipe.claims for line in _claim(claim)],
        "Commands": _commands(recipe, name),
    }
    return "\n".join(_laid_out(parts)).rstrip("\n")


def _laid_out(parts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Each part below its title; a line that begins with spaces goes on with what the line before it says."""
    for title, lines in parts.items():
        if not lines:
            continue
        if title:
            yield f"{title}:"
        for line in lines:
            indent = ("  " if title else "") + " " * (len(line) - len(line.lstrip()))
            yield textwrap.fill(
                line.strip(), WIDTH, initial_indent=indent, subsequent_indent=f"{indent}    ", break_on_hyphens=False
            )
        yield ""


def _seeds(plan: Scaled) -> str:
    seeds = sorted({cell.seed for cell in plan.cells})
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def _options(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return "unset" if value is None else shown(value)


def _scale(name: str, scale: Scale, plan: Scaled) -> list[str]:
    mark = " (this one)" if name == plan.name else ""
    lines = [f"{name}{mark}: {scale.says}".rstrip(": ")]
    rules = [f"{scale.seeds} seed{'s' * (scale.seeds != 1)}"]
    rules += [f"sets {_options(scale.set)}"] if scale.set else []
    rules += [f"multiplies {_options(scale.times)}"] if scale.times else []
    rules += [f"at least {_options(scale.least)}"] if scale.least else []
    rules += [f"leaves out {', '.join(scale.drop)}"] if scale.drop else []
    rules += [f"of figure '{figure}' {_options(values)}" for figure, values in scale.parameters.items()]
    return [*lines, f"  {'; '.join(rules)}"]


def _run(plan: Scaled, name: str) -> list[str]:
    """A cell as published, and what is another value here."""
    cell = next(cell for cell in plan.cells if cell.name == name)
    published = plan.published[name]
    usual = {option: default(cell.variant, option, cell.flags) for option in (*published, *cell.flags)}
    here = {
        option: cell.flags.get(option, value)
        for option, value in usual.items()
        if cell.flags.get(option, value) != published.get(option, value)
    }
    lines = [f"{name}: {cell.variant}", f"  as published: {_options(published) or 'the defaults'}"]
    return [*lines, f"  here: {_options(here)}"] if here else lines


def _figure(figure: Figure, scale: Scale) -> list[str]:
    of = "" if figure.of == ["*"] else f"; of {', '.join(figure.of)}"
    return [f"{figure.name}: {figure.says or named(figure.measure).summary}", f"  {how_measured(figure, scale)}{of}"]


def how_measured(figure: Figure, scale: Scale) -> str:
    """The measure of ``figure`` with its parameters at ``scale``, what is better, and whether the clock is in it."""
    given = {**figure.parameters, **scale.parameters.get(figure.name, {})}
    how = f"measure '{figure.measure}'" + (f" ({_options(given)})" if given else "")
    how += f"; {figure.better} is better" if figure.better else ""
    return how + ("; depends on the clock, so it is another each time" if named(figure.measure).timed else "")


def _claim(claim: Claim) -> list[str]:
    lines = [claim.says]
    lines += [f"  published: {claim.published}"] if claim.published else []
    lines += [f"  {claim.note}"] if claim.note else []
    for check_ in claim.checks:
        along = f" ({', '.join(check_.along)})" if check_.along else ""
        lines.append(f"  holds if {quantity(check_)}{along} is {range_of(check_)}")
    return lines


def _commands(recipe: Recipe, name: str) -> list[str]:
    return [f"gankit study {shlex.quote(name)} --scale {scale}" for scale in (*recipe.scales, PAPER)]
