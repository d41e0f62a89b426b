"""Curves over steps, thinned out so that a page stays small, as SVG that takes its colours from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gankit.core.errors import GankitError
from gankit.report.markup import Markup, tag
from gankit.report.records import Floats, Series

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
except ImportError as error:
    raise GankitError(
        f"a report is drawn with matplotlib, which is not installed ({error}); install it: pip install 'gankit[report]'"
    ) from error

POINTS = 600
"""Points of a raw curve at most; its smoothed one has half of them."""
SMOOTHED_OVER = 25
"""A smoothed point is the mean over so many-th a part of the curve."""
STYLES = ("solid", "dashed", "dotted", "dashdot")
RUNS = 8
"""Colours of runs; then they come again."""
HUGE = 1e30  # a number that matplotlib can still place

# Colours that nobody else uses, so that each can be found again in the drawing and given to the page's style.
_INK, _RULE, _MARK = "#010101", "#020202", "#030303"
_PAGE_COLOURS = {_INK: "currentColor", _RULE: "var(--rule)", _MARK: "var(--mark)"}
_PAGE_COLOURS |= {f"#04040{i}": f"var(--run{i})" for i in range(RUNS)}
_SETTINGS: Any = {
    "svg.fonttype": "none", "font.size": 9, "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _RULE,
    "xtick.color": _RULE, "ytick.color": _RULE, "xtick.labelcolor": _INK, "ytick.labelcolor": _INK, "grid.color": _RULE,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.linewidth": 0.4,
    "axes.formatter.use_mathtext": False, "axes.linewidth": 0.8, "text.usetex": False, "text.parse_math": False,
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One curve: the colour is the run's, the ``style`` what is shown, where a panel shows several things. ``low``,
    ``high`` [n]: a band around it, such as that of several seeds, drawn in its colour in place of its single steps.
    """

    run: int
    x: Floats
    y: Floats
    style: int = 0
    low: Floats | None = None
    high: Floats | None = None

    @classmethod
    def of(cls, run: int, series: Series, style: int = 0) -> Line:
        """The curve of ``series`` over its steps."""
        return cls(run, series.steps, series.values, style)


@dataclass(frozen=True)
class Panel:
    """One drawing. ``keys``: what each style shows; ``marks``: (x, label) of events; ``level``: a value to compare
    with; ``smooth``: whether single steps are noise; ``end``: where the axis ends, the same for panels to be compared;
    ``legs``: (run, step) where a run went on with other options.
    """

    title: str
    lines: Sequence[Line]
    y: str = ""
    x: str = "step"
    keys: Sequence[str] = ()
    note: str = ""
    log: bool = False
    smooth: bool = True
    level: float | None = None
    marks: Sequence[tuple[float, str]] = ()
    end: float | None = None
    legs: Sequence[tuple[int, float]] = ()


def figure(panel: Panel) -> Markup:
    """The panel as an HTML figure."""
    keys = [
        tag("span", tag("i", class_=STYLES[i % len(STYLES)]), key, class_="key") for i, key in enumerate(panel.keys)
    ]
    note = tag("small", panel.note) if panel.note else None
    caption = tag("figcaption", tag("b", panel.title), keys if len(keys) > 1 else None, note)
    return tag("figure", caption, draw(panel), class_="panel")


def draw(panel: Panel) -> Markup:
    """The panel's drawing. No name or text of a run is in it: matplotlib reads some of them as formulas."""
    with mpl.rc_context(_SETTINGS):
        drawing = Figure(figsize=(5.2, 2.5))
        axes = drawing.add_axes((0.125, 0.18, 0.85, 0.76))
        axes.set(xlabel=panel.x, ylabel=panel.y)
        if panel.log:
            axes.set_yscale("log")
        limits = [found for line in panel.lines if (found := _plot(axes, line, panel)) is not None]
        _scale(axes, panel, limits)
        buffer = io.StringIO()
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), panel.title)


def _plot(axes: Axes, line: Line, panel: Panel) -> tuple[float, float] | None:
    """Draw a curve; the range of what should be seen of it, None where it has no points."""
    shown = line.y > 0 if panel.log else np.ones(len(line.y), bool)
    x, y = line.x[shown], np.clip(line.y[shown], -HUGE, HUGE)
    if not len(x):
        return None
    colour, style = f"#04040{line.run % RUNS}", STYLES[line.style % len(STYLES)]
    if line.low is not None and line.high is not None:
        edges = (np.clip(edge[shown], -HUGE, HUGE) for edge in (line.low, line.high))
        low, high = (np.where(edge > 0, edge, y.min()) if panel.log else edge for edge in edges)
        alpha = min(0.18, 0.8 / sum(line.low is not None for line in panel.lines))  # many would hide each other
        return _plot_band(axes, (x, y, low, high), (colour, style, alpha), smooth=panel.smooth and len(x) >= 3)
    if not panel.smooth or len(x) < 3:
        marker = "o" if len(x) < 40 else None
        axes.plot(*envelope(x, y, POINTS), color=colour, linestyle=style, marker=marker, markersize=3, linewidth=1.4)
        return float(y.min()), float(y.max())
    axes.plot(*envelope(x, y, POINTS), color=colour, linewidth=0.5, alpha=0.35)
    middle, mean = smoothed(x, y, POINTS // 2)
    axes.plot(middle, mean, color=colour, linestyle=style, linewidth=1.6)
    low, high = np.quantile(y, (0.005, 0.995))
    return float(min(low, mean.min())), float(max(high, mean.max()))


def _plot_band(
    axes: Axes, curve: tuple[Floats, Floats, Floats, Floats], look: tuple[str, str, float], *, smooth: bool
) -> tuple[float, float]:
    """Draw a curve (x, y, low, high) with its band, all of them smoothed where ``smooth``; the range of both. ``look``:
    colour, style, and how much of what is behind the band it covers.
    """
    (x, y, low, high), (colour, style, alpha) = curve, look
    if smooth:
        (middle, mean), (_, low), (_, high) = (smoothed(x, each, POINTS // 2) for each in (y, low, high))
    else:
        starts = _starts(len(x), min(len(x), POINTS // 2))
        middle, mean = x[starts], y[starts]
        low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    axes.fill_between(middle, low, high, color=colour, alpha=alpha, linewidth=0)
    marker = "o" if not smooth and len(middle) < 40 else None
    axes.plot(middle, mean, color=colour, linestyle=style, marker=marker, markersize=3, linewidth=1.6)
    return float(min(low.min(), mean.min())), float(max(high.max(), mean.max()))


def _scale(axes: Axes, panel: Panel, limits: list[tuple[float, float]]) -> None:
    """Limits that leave out the outermost single steps, ticks, the level and the marks."""
    low, high = min((low for low, _ in limits), default=0.1), max((high for _, high in limits), default=1.0)
    if panel.level is not None and low / 20 < panel.level < high * 20:
        low, high = min(low, panel.level), max(high, panel.level)
        axes.axhline(panel.level, color=_INK, linewidth=0.7, linestyle=(0, (4, 3)), alpha=0.6)
    if panel.log:
        axes.set_ylim(low / 1.3, high * 1.3)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,), numticks=8))
    else:
        room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        axes.set_ylim(low - room, high + room)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    if panel.end:
        axes.set_xlim(-0.02 * panel.end, 1.02 * panel.end)
    for run, x in panel.legs:
        axes.axvline(x, color=f"#04040{run % RUNS}", linewidth=1.0, linestyle="dotted")
        axes.text(x, 0.02, " leg", color=_INK, transform=axes.get_xaxis_transform(), fontsize=8, va="bottom")
    for x, label in panel.marks:
        axes.axvline(x, color=_MARK, linewidth=0.9, linestyle=(0, (2, 2)))
        axes.text(
            x, 1.0, label, color=_MARK, transform=axes.get_xaxis_transform(), fontsize=8, ha="center", va="bottom"
        )


def envelope(x: Floats, y: Floats, points: int) -> tuple[Floats, Floats]:
    """x, y: [n]. At most ``points`` points that keep every peak: of each stretch the lowest and the highest."""
    if len(x) <= points:
        return x, y
    starts = _starts(len(x), points // 2)
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    return np.repeat(x[starts], 2), np.stack([low, high], 1).reshape(-1)


def smoothed(x: Floats, y: Floats, points: int) -> tuple[Floats, Floats]:
    """x, y: [n]. The running mean over 1/SMOOTHED_OVER of the curve, at most ``points`` points."""
    starts = _starts(len(x), min(points, len(x)))
    counts = np.diff([*starts, len(x)])
    middle, mean = np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts
    reach = len(mean) // (2 * SMOOTHED_OVER)
    window = np.ones(2 * reach + 1)
    inside = np.convolve(np.ones(len(mean)), window)[reach : reach + len(mean)]
    return middle, np.convolve(mean, window)[reach : reach + len(mean)] / inside


def _starts(n: int, stretches: int) -> NDArray[np.intp]:
    """Where each of ``stretches`` about equal stretches of n points starts."""
    return np.linspace(0, n, stretches, endpoint=False).astype(np.intp)


def compact(value: float) -> str:
    """12000 -> 12k; 0.00002 -> 2e-05."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size <= abs(value) < 1e12:
            return f"{value / (1e3 if name == 'k' else size):g}{name}"
    return f"{value:.6g}"


def _inline(svg: str, title: str) -> Markup:
    """A drawing as part of a page: without the file's header and sizes, ids of its own, in the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r'\s+id="(?:figure|patch|axes|line2d|text|FillBetweenPolyCollection|matplotlib\.axis|xtick|ytick)_\d+"', "", svg
    )
    svg = re.sub(r'(?<=\sd=")[^"]*', lambda found: re.sub(r"(\.\d)\d+", r"\1", found[0]).replace("\n", ""), svg)
    svg = re.sub(r"#0[1-4]0[1-4]0[0-9]", lambda found: _PAGE_COLOURS.get(found[0], found[0]), svg)
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    inside = svg[svg.index(">") + 1 : svg.rindex("</svg>")]
    return tag("svg", Markup(inside), viewBox=box[1], role="img", aria_label=title)
