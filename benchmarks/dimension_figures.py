"""The study of dimensions as pictures: one SVG file each, its caption inside."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from accbo._pieces.files import write as write_whole
from benchmarks.dimension_accuracy import BOUND, REGIMES

COLOURS = {"numpy": "C0", "jax": "C1", "bytes": "C2"}
ALONG = {"d_x = d_y": "o", "d_x alone": "^", "d_y alone": "s"}
STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "accbo",  # the same bytes every time
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
CAPTIONS = {
    "cost": (
        "Least time of one step of a single run, Q = 10, one thread, d = d_x = d_y. Filled points: "
        "without matrices; open points: the same problem with H and C written out. Dotted: what "
        "grows like d and like d². Below d = 1,000 the NumPy step is the overhead of its calls."
    ),
    "apart": (
        "The same without matrices where one dimension grows and the other stays at 100. The "
        "series of Q = 10 products is in y, so that d_y costs more than d_x. Dotted: d."
    ),
    "memory": (
        "Bytes that NumPy holds at the peak of two iterations: problem, state, samples and "
        "intermediate arrays. Dotted: what grows like d and like d²."
    ),
    "accuracy": (
        "Mean of ‖∇Φ(x_t)‖ over t ≥ T/2, T = {steps:,}, with 99 % intervals, which most points "
        "hide. Left: the noise of a whole gradient is constant; dotted, the theory: no dependence "
        "on d. Right: the noise of a coordinate is constant, so that the total grows like √d; "
        "dotted, the theory's bound: √d. Where d_y alone grows C averages its noise away. The two "
        "regimes are one and the same at d_x = d_y = 100."
    ),
}


def write(folder: Path, document: dict[str, Any]) -> list[Path]:
    """``dimension-*.svg`` in ``folder``; raises ``OSError`` where one cannot be written."""
    draw: dict[str, Callable[[Figure, dict[str, Any]], None]] = {
        "cost": _cost,
        "apart": _apart,
        "memory": _memory,
        "accuracy": _accuracy,
    }
    written = []
    with matplotlib.rc_context(STYLE):
        for name, function in draw.items():
            figure = Figure(figsize=(8.4 if name == "accuracy" else 6.2, 4.9), layout="constrained")
            function(figure, document)
            caption = CAPTIONS[name].format(steps=document["plan"]["steps"])
            width = 125 if name == "accuracy" else 92
            figure.supxlabel(textwrap.fill(caption, width), x=0.02, ha="left", fontsize=8)
            path = folder / f"dimension-{name}.svg"
            drawn = io.BytesIO()
            figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
            write_whole(path, drawn.getvalue())
            written.append(path)
    return written


def _cost(figure: Figure, document: dict[str, Any]) -> None:
    axes = _axes(figure.add_subplot(), "d = d_x = d_y", "least µs per step")
    for engine in ("numpy", "jax"):
        for form in ("matrix-free", "dense"):
            points = _times(document, f"{engine}, {form}", "d_x = d_y")
            label = f"{_name(engine)}, {form}"
            _points(axes, points, label, COLOURS[engine], "o", form == "matrix-free")
            _guide(axes, points, 1 if form == "matrix-free" else 2)
    axes.legend(fontsize=8)


def _apart(figure: Figure, document: dict[str, Any]) -> None:
    axes = _axes(figure.add_subplot(), "the dimension that grows", "least µs per step")
    for engine in ("numpy", "jax"):
        for mark, grows, stays in (("^", "d_x", "d_y"), ("s", "d_y", "d_x")):
            points = _times(document, f"{engine}, matrix-free", f"{grows} alone")
            label = f"{_name(engine)}, {grows} ({stays} = 100)"
            _points(axes, points, label, COLOURS[engine], mark, mark == "s")
            _guide(axes, points, 1)
    axes.legend(fontsize=8)


def _memory(figure: Figure, document: dict[str, Any]) -> None:
    axes = _axes(figure.add_subplot(), "d = d_x = d_y", "bytes at the peak")
    for form, power in (("matrix-free", 1), ("dense", 2)):
        points = [(row["d"], row["bytes"]) for row in document["memory"] if row["form"] == form]
        _points(axes, points, form, COLOURS["bytes"], "o", form == "matrix-free")
        _guide(axes, points, power)
    axes.legend(fontsize=8)


def _accuracy(figure: Figure, document: dict[str, Any]) -> None:
    pair = figure.subplots(1, 2, sharey=True)
    for axes, regime in zip(pair, REGIMES, strict=True):
        _axes(axes, "the dimension that grows", "")
        axes.set_title(regime)
        rows = [row for row in document["accuracy"] if row["regime"] == regime]
        for index, (along, mark) in enumerate(ALONG.items()):
            chosen = sorted((row for row in rows if _lies(row, along)), key=_larger)
            if not chosen:
                continue
            d = np.array([_larger(row) for row in chosen], dtype=float)
            mean = np.array([row["gradient"] for row in chosen])
            low, high = np.array([row["gradient_interval"] for row in chosen]).T
            axes.errorbar(
                d * 1.06 ** (index - 1),  # beside each other, not on top of each other
                mean,
                (mean - low, high - mean),
                fmt=mark,
                color=f"C{index}",
                capsize=2,
                markersize=4,
                label=along if along == "d_x = d_y" else f"{along}, the other 100",
            )
        fixed = [row["gradient"] for row in rows if (row["d_x"], row["d_y"]) == (100, 100)]
        ends = np.array([min(map(_larger, rows)), max(map(_larger, rows))], dtype=float)
        axes.plot(ends, fixed[0] * (ends / 100) ** BOUND[regime], ":", color="0.4")
    pair[0].set_ylabel("mean ‖∇Φ(x_t)‖, t ≥ T/2")
    pair[1].legend(fontsize=8)


def _axes(axes: Any, x_label: str, y_label: str) -> Any:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.25)
    return axes


def _times(document: dict[str, Any], variant: str, along: str) -> list[tuple[float, float]]:
    rows = [row for row in document["cost"] if row["variant"] == variant and _lies(row, along)]
    return sorted((_larger(row), row["us_min"]) for row in rows)


def _points(
    axes: Any, points: Sequence[tuple[float, float]], label: str, colour: str, mark: str, full: bool
) -> None:
    if points:
        d, value = np.array(points, dtype=float).T
        face = colour if full else "white"
        axes.plot(d, value, f"{mark}-", color=colour, mfc=face, markersize=5, lw=1, label=label)


def _guide(axes: Any, points: Sequence[tuple[float, float]], power: int) -> None:
    """A dotted line of the given power through the last point, over the last factor of 30."""
    if points:
        d, value = points[-1]
        ends = np.array([d / 30, d])
        axes.plot(ends, value * (ends / d) ** power, ":", color="0.4", lw=1, zorder=0)


def _lies(row: dict[str, Any], along: str) -> bool:
    if along == "d_x = d_y":
        return bool(row["d_x"] == row["d_y"])
    other = row["d_y"] if along == "d_x alone" else row["d_x"]
    return bool(other == 100 and _larger(row) >= 100)


def _larger(row: dict[str, Any]) -> int:
    return max(row["d_x"], row["d_y"])


def _name(engine: str) -> str:
    return {"numpy": "NumPy", "jax": "JAX"}[engine]
