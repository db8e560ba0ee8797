"""A picture as data, so that what is measured need not know how it is drawn."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Curve:
    """One line or cloud of points. ``predicted`` is drawn as a line, measured as points.

    ``low`` and ``high`` are the ends of the intervals of ``y``, where it has any. Curves of one
    ``group`` belong together, as a measurement and its prediction do: they share a colour and a
    line of the legend. ``joined`` connects the points of a measurement.
    """

    label: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    predicted: bool = False
    group: str = ""
    joined: bool = False


@dataclass(frozen=True)
class Panel:
    """One picture; ``caption`` says in a sentence or two what is to be seen in it.

    Labels are plain text in which ``^`` and ``_`` raise and lower what follows: ``e_t``,
    ``T^(−1/3)``. ``ticks`` are names for x = 0, 1, …, which then runs downwards. ``power_law`` adds
    the slopes between neighbouring points, on a picture whose axes are both logarithmic.
    """

    title: str
    caption: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False
    ticks: Sequence[str] = ()
    power_law: bool = False


def groups(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves by group, in their order; a curve of no group is one of its own."""
    found: dict[str, list[Curve]] = {}
    for index, curve in enumerate(curves):
        found.setdefault(curve.group or f"{index} {curve.label}", []).append(curve)
    return found


def legend(group: Sequence[Curve], width: int = 10**6) -> str:
    """The legend of a group: what was measured, and what the line beside it is.

    On two lines, if need be, to stay within ``width`` characters.
    """
    measured = [curve.label for curve in group if not curve.predicted]
    lines = [curve.label for curve in group if curve.predicted]
    if not measured or not lines:
        return ", ".join(measured or lines)
    first, second = ", ".join(measured), f"(line: {', '.join(lines)})"
    return f"{first}{' ' if len(first) + len(second) < width else chr(10)}{second}"


def local_slopes(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Between neighbouring points, their middles and the slopes of log y in log x."""
    x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
    order = np.argsort(x)
    logs, values = np.log(x[order]), np.log(y[order])
    return np.exp((logs[1:] + logs[:-1]) / 2), np.diff(values) / np.diff(logs)


def table(panel: Panel) -> str:
    """The data of a picture as CSV: a line a point; ``low`` and ``high`` empty without interval."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("curve", "kind", "x", "y", "low", "high"))
    for curve in panel.curves:
        kind = "predicted" if curve.predicted else "measured"
        writer.writerows((curve.label, kind, *point) for point in _points(curve))
    return out.getvalue()


def _points(curve: Curve) -> Iterator[tuple[float | str, ...]]:
    for index, (x, y) in enumerate(zip(curve.x, curve.y, strict=True)):
        ends = [""] * 2
        if curve.low is not None and curve.high is not None:
            ends = [repr(float(curve.low[index])), repr(float(curve.high[index]))]
        yield repr(float(x)), repr(float(y)), *ends


def described(panel: Panel) -> str:
    """What a picture shows, for those who cannot see it."""
    parts = [f"{panel.title}: {panel.y_label} against {panel.x_label}."]
    for curve in panel.curves:
        x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
        if x.size == 1:
            parts.append(f"{curve.label}: {y[0]:.3g}.")
        elif x.size:
            where = f"from {y[0]:.3g} at {x[0]:.3g} to {y[-1]:.3g} at {x[-1]:.3g}"
            parts.append(f"{curve.label}: {where}.")
    return " ".join(parts)


def slug(text: str) -> str:
    """``text`` as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


_RAISED = re.compile(r"\^(?:\(([^()]*)\)|\{([^{}]*)\}|([-−]?\w+(?:\.\d+)?))")
_LETTER = "[A-Za-zÀ-\u03ff\u1e00-\u1eff]"
_LOWERED = re.compile(rf"(?<!{_LETTER})({_LETTER})_(?:\{{([^{{}}]*)\}}|(\w+))")


def typeset(text: str, raised: Callable[[str], str], lowered: Callable[[str], str]) -> str:
    """``text`` with what follows ``^`` and ``_`` written by ``raised`` and ``lowered``."""

    def low(found: re.Match[str]) -> str:
        return found[1] + lowered(found[2] or found[3])

    def high(found: re.Match[str]) -> str:
        return raised(found[1] or found[2] or found[3])

    return _RAISED.sub(high, _LOWERED.sub(low, text))
