"""One style for every picture of ours: for slides and telephones, and without colour."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from accbo._figures.panel import Curve, Panel, groups, legend, local_slopes, typeset

WIDTH, HEIGHT = 4.8, 3.3  # inches; as wide as a telephone's page at its own size of letters
STYLE = {
    "font.size": 11,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "axes.labelsize": 11,
    "legend.fontsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "mathtext.default": "regular",
}
# Okabe and Ito's colours, which the colour-blind tell apart; the first is AccBO's everywhere
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A5A00", "#7F3C8D")
MARKERS = "os^DvPX*<>"
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 2)))
FEW_BARS = 4  # on such a line
MOST_MARKERS = 12  # on a line that joins measurements
LETTERS = 50  # of a legend's line
ALONE = "#444444"  # of a line that no measurement belongs to


def figure(panel: Panel) -> Any:
    """``panel`` as a matplotlib ``Figure``."""
    handles, labels = _entries(panel.curves)
    columns = 2 if all(len(label) <= 24 for label in labels) else 1
    rows = -(-sum(label.count("\n") + 1 for label in labels) // columns)
    shown = rows if len(labels) > 1 or len(panel.curves) > 1 else 0
    made = _new(WIDTH, _height(panel) + 0.24 * shown)
    if panel.power_law:
        above, below = made.subplots(2, sharex=True, height_ratios=(3, 1))
        draw(above, panel)
        _slopes(below, panel)
        below.set_xlabel(mathematics(panel.x_label))
        above.set_xlabel("")
    else:
        draw(made.subplots(), panel)
    if shown:
        made.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    return made


def _height(panel: Panel) -> float:
    if panel.ticks:
        lines = [1 + name.count("\n") for name in _names(panel)]
        return 1.0 + 0.2 * sum(lines)
    return HEIGHT + 1.1 * panel.power_law


def _names(panel: Panel) -> list[str]:
    return ["\n".join(textwrap.wrap(mathematics(name), 30)) for name in panel.ticks]


def small(panel: Panel, title: str = "") -> Any:
    """``panel`` as a small ``Figure`` without a legend, for a picture of many."""
    made = _new(2.6, 2.1)
    _thumbnail(made.subplots(), panel, title)
    return made


def together(panels: Sequence[tuple[str, Panel]], columns: int) -> Any:
    """All ``panels``, each with its title, as one ``Figure``."""
    rows = -(-len(panels) // columns)
    made = _new(2.6 * columns, 2.35 * rows)
    axes = np.atleast_1d(made.subplots(rows, columns)).ravel()
    for place, (title, panel) in zip(axes, panels, strict=False):
        _thumbnail(place, panel, title)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    return made


def draw(axes: Any, panel: Panel) -> None:
    """``panel`` on ``axes``, without a legend."""
    for turn, (curve, look) in enumerate(zip(panel.curves, looks(panel.curves), strict=True)):
        _draw(axes, curve, look, turn / len(panel.curves), across=bool(panel.ticks))
    x_axis, y_axis = (axes.yaxis, axes.xaxis) if panel.ticks else (axes.xaxis, axes.yaxis)
    x_axis.set_label_text(mathematics(panel.x_label))
    y_axis.set_label_text(mathematics(panel.y_label))
    if panel.log_x:
        axes.set_xscale("log", base=2)
    if panel.log_y:
        (axes.set_xscale if panel.ticks else axes.set_yscale)("log")
    if any(curve.joined and curve.low is not None for curve in panel.curves):
        _frame(axes, panel)
    if panel.log_y:
        _few_ticks(y_axis)
    if panel.ticks:
        axes.set_yticks(range(len(panel.ticks)), _names(panel), fontsize=9)
        axes.set_ylim(len(panel.ticks) - 0.5, -0.5)


class Look(NamedTuple):
    """How a curve is drawn; every other kind of point is hollow, for where two coincide."""

    colour: str
    marker: str
    dashes: Any
    hollow: bool = False

    @property
    def style(self) -> dict[str, Any]:
        """For matplotlib's ``plot``, of points."""
        inside = "white" if self.hollow else self.colour
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": inside}


def looks(curves: Sequence[Curve]) -> list[Look]:
    """Colour, marker and dashes of each curve; those of one group share them."""
    found: dict[int, Look] = {}
    measured = alone = 0
    for group in groups(curves).values():
        if all(curve.predicted for curve in group):
            alone += 1
            look = Look(ALONE, "", DASHES[alone % len(DASHES)])
        else:
            colour, marker = COLOURS[measured % len(COLOURS)], MARKERS[measured % len(MARKERS)]
            look = Look(colour, marker, DASHES[measured % len(DASHES)], measured % 2 == 1)
            measured += 1
        found |= {id(curve): look for curve in group}
    return [found[id(curve)] for curve in curves]


def mathematics(text: str) -> str:
    """``text`` for matplotlib, with raised and lowered parts."""
    plain = text.replace("$", r"\$")
    return typeset(plain, lambda part: f"$^{{{part}}}$", lambda part: f"$_{{{part}}}$")


def _new(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # late: an optional package

    return Figure(figsize=(width, height), layout="constrained")


def _thumbnail(axes: Any, panel: Panel, title: str) -> None:
    draw(axes, panel)
    axes.set_title("\n".join(textwrap.wrap(mathematics(title), 30)), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.set_xlabel(axes.get_xlabel(), fontsize=9)
    axes.set_ylabel(axes.get_ylabel(), fontsize=9)
    if panel.ticks:
        axes.set_yticks([])
    for line in axes.lines:
        line.set_markersize(3)


def _draw(axes: Any, curve: Curve, look: Look, turn: float, across: bool) -> None:
    """One curve; ``across`` exchanges the axes.

    Joined curves show few of their intervals, and ``turn`` in [0, 1) puts those of one curve
    beside those of another: nine bands over one another are none.
    """
    x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
    at = (y, x) if across else (x, y)
    if curve.predicted:
        axes.plot(*at, color=look.colour, linestyle=look.dashes, zorder=1.9)
        return
    line = look.dashes if curve.joined else "none"
    every = -(-len(x) // MOST_MARKERS) if curve.joined else 1
    axes.plot(*at, linestyle=line, markevery=every, **look.style)
    if curve.low is not None and curve.high is not None:
        low, high = np.asarray(curve.low, dtype=float), np.asarray(curve.high, dtype=float)
        sizes = np.maximum(np.stack((y - low, high - y)), 0.0)
        apart = -(-len(x) // FEW_BARS) if curve.joined else 1
        bars: dict[str, Any] = {"xerr" if across else "yerr": sizes}
        bars["errorevery"] = (int(turn * apart), apart)
        axes.errorbar(
            *at, **bars, fmt="none", ecolor=look.colour, capsize=2, elinewidth=1, zorder=1.8
        )


def _frame(axes: Any, panel: Panel) -> None:
    """Room for the lines and half as much around them; wider intervals are cut."""
    values = np.concatenate([np.asarray(curve.y, dtype=float) for curve in panel.curves])
    values = np.log(values) if panel.log_y else values
    low, high = np.min(values), np.max(values)
    room = (high - low) / 2 or 0.5
    ends = np.array([low - room, high + room])
    axes.set_ylim(*(np.exp(ends) if panel.log_y else ends))


def _slopes(axes: Any, panel: Panel) -> None:
    """Under a power law: the slopes between neighbouring points, and those of the lines."""
    for curve, look in zip(panel.curves, looks(panel.curves), strict=True):
        middles, slopes = local_slopes(curve)
        if not slopes.size:
            continue
        if curve.predicted:
            ends = np.sort(np.asarray(curve.x, dtype=float))[[0, -1]]
            at = np.concatenate((ends[:1], middles, ends[1:]))
            values = np.concatenate((slopes[:1], slopes, slopes[-1:]))
            axes.plot(at, values, color=look.colour, linestyle=look.dashes, zorder=1.9)
        else:
            axes.plot(middles, slopes, linestyle="none", **look.style)
    axes.set_ylabel("slope")
    axes.margins(y=0.2)


def _few_ticks(axis: Any) -> None:
    """Numbers at 1, 2 and 5 where less than two decades are shown: 0.2, not 2×10⁻¹."""
    low, high = axis.get_view_interval()
    if 1e-3 < low < high < min(1e4, 200 * low):
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _entries(curves: Sequence[Curve]) -> tuple[list[Any], list[str]]:
    """Handles and labels of the legend, one a group."""
    from matplotlib.lines import Line2D

    look = {id(curve): kind for curve, kind in zip(curves, looks(curves), strict=True)}
    handles, labels = [], []
    for group in groups(curves).values():
        line = any(curve.predicted or curve.joined for curve in group)
        kind = look[id(group[0])]
        style = {**kind.style, "linestyle": kind.dashes if line else "none"}
        if all(curve.predicted for curve in group):
            style["marker"] = ""
        handles.append(Line2D([], [], **style))
        labels.append(mathematics(legend(group, LETTERS)))
    return handles, labels
