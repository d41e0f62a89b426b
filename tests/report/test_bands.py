"""Bands around curves: they show what they are given, and no panel without them changes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gankit.report.curves import Line, Panel, draw

X = np.arange(1.0, 201)


def heights(svg):
    """The y coordinates, downwards, of the drawing's band."""
    (path,) = re.findall(r'<path id="[^"]*" d="([^"]*)"[^>]*/>\s*</defs>\s*<g [^>]*>\s*<use [^>]*fill-opacity', svg)
    return [float(y) for y in re.findall(r"[ML] \S+ (-?[0-9.]+)", path)]


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("log", [False, True])
def test_a_band_is_drawn_in_the_runs_colour_as_wide_as_it_is(log, smooth):
    y = np.full(200, 2.0)
    narrow, wide = Line(3, X, y, low=y - 0.5, high=y + 0.5), Line(2, X, y, low=y - 1, high=y + 1)
    panel = [Panel("t", [line, Line(0, X, np.linspace(1, 4, 200))], smooth=smooth, log=log) for line in (narrow, wide)]
    drawn = [draw(each) for each in panel]
    assert re.search(r"fill: var\(--run3\); fill-opacity", drawn[0])
    assert "nan" not in drawn[0]
    spans = [max(found) - min(found) for found in map(heights, drawn)]
    ratio = np.log(3) / np.log(2.5 / 1.5) if log else 2
    assert spans[1] / spans[0] == pytest.approx(ratio, rel=0.02)  # coordinates are rounded to a tenth


def test_the_axis_leaves_room_for_the_whole_band_and_thinning_keeps_its_peaks():
    x = np.arange(1.0, 10_001)
    y, high = np.full(10_000, 2.0), np.full(10_000, 2.5)
    high[7777] = 9
    svg = draw(Panel("t", [Line(0, x, y, low=y, high=high)], smooth=False))
    found = heights(svg)
    assert max(found) - min(found) > 100  # of 137 points of the axes' height, 6 % of the span above and below
    assert len(svg) < 60_000


def test_a_band_at_or_below_0_can_be_drawn_on_a_logarithmic_axis():
    y = np.full(200, 2.0)
    svg = draw(Panel("t", [Line(0, X, y, low=y - 5, high=y + 1)], log=True))
    assert "nan" not in svg
    assert heights(svg)


def test_a_panel_without_bands_has_none():
    assert "fill-opacity" not in draw(Panel("t", [Line(0, X, X)]))
