"""Everything of a recipe that can be wrong is looked at before the first run."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any

from gankit.config import configure
from gankit.core.errors import UsageError, closest
from gankit.lab import measures
from gankit.lab.studies import claims, pictures
from gankit.lab.studies.recipe import Figure, Picture
from gankit.lab.studies.scale import Scaled, fitting, named

OVER = ("steps", "images", "seconds")
"""What a panel's curves can run over."""
SCORES = ("score", "images to score", "seconds to score", "score slope")
"""Measures of scores, which can be compared under one protocol only; what of it options decide:"""
PROTOCOL_OPTIONS = (
    *(("data", name) for name in ("data", "split", "size", "channels", "limit")),
    *(("train", name) for name in ("evaluate_images", "extractor", "extractor_weights")),
)


def check(plan: Scaled) -> None:
    """UsageError for a figure, picture, panel or claim that cannot be."""
    recipe, names = plan.recipe, [name for name, _, _ in named(plan.recipe)]
    of: dict[str, list[str]] = {}
    for figure in recipe.figures:
        where = f"{recipe.name}: figure '{figure.name}'"
        try:
            measure = measures.named(figure.measure)
            measure.check(parameters(plan, figure))
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        some = _cells_of(figure.of, names, where)
        of[f"{figure.name} *" if _gives_several(measure) else figure.name] = some
    named_things = [*(figure.name for figure in recipe.figures), *(picture.title for picture in recipe.pictures)]
    for name in plan.scale.parameters:
        if name not in named_things:
            raise UsageError(
                f"{recipe.name}: scale '{plan.name}': parameters: no figure '{name}': {closest(name, named_things)}"
            )
    for picture in recipe.pictures:
        pictures.check(picture.kind, parameters(plan, picture), f"{recipe.name}: picture '{picture.title}'")
        _cells_of(picture.of, names, f"{recipe.name}: picture '{picture.title}'")
    for panel in recipe.panels:
        where = f"{recipe.name}: panel '{panel.title}'"
        _cells_of(panel.of, names, where)
        if bool(panel.term) == bool(panel.metric) or panel.over not in OVER:
            raise UsageError(f"{where}: shows a 'term' or a 'metric', 'over' one of {', '.join(OVER)}")
    claims.check_claims(recipe.claims, names, of, recipe.name)
    _check_protocols(plan)


def _check_protocols(plan: Scaled) -> None:
    """UsageError for a claim that compares scores which cells have of other images, or of another number of samples."""
    alike = {cell.name: cell for cell in plan.cells}  # one of each: seeds have the same options
    cells = {name: configure(cell.variant, cell.flags).as_dict() for name, cell in alike.items()}
    kinds = {figure.name: figure.measure for figure in plan.recipe.figures}
    for claim in plan.recipe.claims:
        for each in claim.checks:
            some = [cells[name] for name in each.cells if name in cells]
            for section, option in PROTOCOL_OPTIONS if kinds.get(each.figure) in SCORES else ():
                if len({str(config[section][option]) for config in some}) > 1:
                    raise UsageError(
                        f"{plan.recipe.name}: claim '{claim.says}': scores cannot be compared where {option} differs"
                    )


def _gives_several(measure: measures.Measure) -> bool:
    """Whether ``measure`` gives several figures by name, as what its function returns says."""
    return typing.get_origin(typing.get_type_hints(measure.function)["return"]) is dict


def _cells_of(patterns: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    """The cells that ``patterns`` fit, in their order. UsageError for one that fits none."""
    some = {name for pattern in patterns for name in fitting(pattern, names, where)}
    return [name for name in names if name in some]


def parameters(plan: Scaled, of: Figure | Picture) -> dict[str, Any]:
    """The parameters of a figure or picture at the plan's scale."""
    name = of.name if isinstance(of, Figure) else of.title
    return {**of.parameters, **plan.scale.parameters.get(name, {})}
