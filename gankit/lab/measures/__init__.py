"""Figures taken of a finished run, by name: what a study's claims are made of.

``take(run, "term", term="discriminator/loss", start=0.67)`` gives a number, several by name, or None where the run
gives none. All are functions of the run folder, its data set and the parameters, but for those that are ``timed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gankit.core.errors import UsageError, closest
from gankit.lab.measures import (
    classes,
    clock,
    encoders,
    health,
    judging,
    latents,
    networks,
    records,
    scores,
    translation,
)
from gankit.lab.measures.measure import REQUIRED, Figure, Measure, Number
from gankit.runs.folder import RunFolder

__all__ = ["MEASURES", "REQUIRED", "Figure", "Measure", "Number", "check", "named", "take"]

MEASURES: Mapping[str, Measure] = {
    each.name: each
    for each in (
        Measure("term", records.term),
        Measure("ratio of terms", records.ratio_of_terms),
        Measure("unsteadiness", records.unsteadiness),
        Measure("trend", records.trend),
        Measure("spikes", records.spikes),
        Measure("share of terms", records.share_of_terms),
        Measure("largest of terms", records.largest_of_terms),
        Measure("epochs until", records.epochs_until),
        Measure("score", scores.score),
        Measure("images to score", scores.images_to_score),
        Measure("seconds to score", scores.seconds_to_score, timed=True),
        Measure("score slope", scores.score_slope),
        Measure("steadily better", scores.steadily_better),
        Measure("stalled", scores.stalled),
        Measure("judged", judging.judged),
        Measure("seconds per step", clock.seconds_per_step, timed=True),
        Measure("seconds per epoch", clock.seconds_per_epoch, timed=True),
        Measure("events", health.events),
        Measure("collapsed", health.collapsed),
        Measure("diverged", health.diverged),
        Measure("diversity", health.diversity),
        Measure("class accuracy", judging.class_accuracy),
        Measure("classes present", classes.classes_present),
        Measure("class shares", classes.class_shares),
        Measure("style kept", classes.style_kept),
        Measure("smoothness", latents.smoothness),
        Measure("purity", judging.purity),
        Measure("code effect", latents.code_effect),
        Measure("probe", encoders.probe_accuracy),
        Measure("reconstruction error", encoders.reconstruction_error),
        Measure("sharpness", encoders.sharpness),
        Measure("density score", encoders.density_score),
        Measure("identity error", translation.identity_error),
        Measure("cycle error", translation.cycle_error),
        Measure("mapping error", translation.mapping_error),
        Measure("discriminator on held out", networks.discriminator_on_held_out),
        Measure("parameters", networks.parameters),
    )
}


def named(name: str) -> Measure:
    """The measure called ``name``. UsageError naming the closest where there is none."""
    if name not in MEASURES:
        raise UsageError(f"unknown measure '{name}': {closest(name, MEASURES)}")
    return MEASURES[name]


def check(name: str, parameters: Mapping[str, Any]) -> None:
    """UsageError where no run could be measured so: an unknown measure, or parameters that it does not take."""
    named(name).check(parameters)


def take(run: RunFolder, name: str, /, **parameters: Any) -> Figure:
    """The figure that measure ``name`` gives of ``run``: a number, several by name, None where the run gives none.

    UsageError for an unknown measure or parameter (naming the closest), one out of range, and a run that the measure
    does not fit.
    """
    return named(name)(run, **parameters)
