"""Jumps of a gradient or of a Hessian, which no derivative shows: |y|, max(0, y), a clipped y.

A derivative taken by a program is that of one side; only two points on either side see a kink. A
segment is cut in half again and again, always towards the half over which the function changes
more: over a kink the change stays as large while the segment shrinks to nothing, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from accbo.auditing.oracle import Normals, Oracle, Point, Points, repeated, unit

HALVINGS, LAST = 32, 8  # of a segment; the last ones, over which a jump has to stay
KEPT = 0.9  # of a change that stays
VISIBLE = 1e-6  # of the function's size: a change that is no rounding
OTHER = -0.9  # the far end of a segment through 0: −0.9 y, since y = 0 itself may have no slope


class Jump(NamedTuple):
    """A jump of ``what`` by ``size`` between two points ``width`` apart, one of them ``point``."""

    what: str
    point: Point
    size: float
    width: float

    @property
    def said(self) -> str:
        """In words."""
        return f"but {self.what} jumps by {self.size:.3g} between points {self.width:.1e} apart"


def gradient_jump(oracle: Oracle, points: Points, normals: Normals) -> Jump | None:
    """A jump of ∇_y g in y on segments from ``points``; None where none was met.

    The change that ∇²_yy g accounts for, by the trapezoidal rule, is taken off, so that a small
    kink is not lost in it.
    """

    def pieces(x: np.ndarray, ys: np.ndarray, along: np.ndarray) -> np.ndarray:
        many = repeated(x, len(ys)), ys
        slopes = oracle.mean("grad_y_lower", *many, finite=False)
        bent = oracle.mean("hvp_lower", *many, repeated(along, len(ys)), finite=False)
        return np.stack((slopes, bent))

    def change(low: np.ndarray, high: np.ndarray, part: float) -> float:
        return float(np.linalg.norm(high[0] - low[0] - part * (low[1] + high[1]) / 2))

    return _first(_Function("∇_y g", pieces, change), oracle, points, normals)


def hessian_jump(oracle: Oracle, points: Points, normals: Normals) -> Jump | None:
    """A jump of ∇²_yy g v in y, for a random v."""
    v = unit(normals(points[0][1].shape))

    def pieces(x: np.ndarray, ys: np.ndarray, _: np.ndarray) -> np.ndarray:
        return oracle.mean(
            "hvp_lower", repeated(x, len(ys)), ys, repeated(v, len(ys)), finite=False
        )[None]

    def change(low: np.ndarray, high: np.ndarray, _: float) -> float:
        return float(np.linalg.norm(high[0] - low[0]))

    return _first(_Function("∇²_yy g", pieces, change), oracle, points, normals)


class _Function(NamedTuple):
    """What is looked at in points of a segment, ``(…, n, d_y)``, and how far it changes.

    ``change`` takes two points' pieces ``(…, d_y)`` and the part of the segment between them.
    """

    name: str
    pieces: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    change: Callable[[np.ndarray, np.ndarray, float], float]


def _first(function: _Function, oracle: Oracle, points: Points, normals: Normals) -> Jump | None:
    halvings = HALVINGS if oracle.roundoff < 1e-12 else HALVINGS // 2
    for x, y in points:
        for end in (OTHER * y, y + 2 * normals(y.shape)):
            if found := _jump(function, x, y, end, halvings):
                return found
    return None


def _jump(
    function: _Function, x: np.ndarray, low: np.ndarray, high: np.ndarray, halvings: int
) -> Jump | None:
    """A jump on one segment of y."""
    whole, changes, part = high - low, [], 1.0

    def at(*ys: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return function.pieces(x, np.array(ys), whole)

    of_low, of_high = np.moveaxis(at(low, high), 1, 0)
    for _ in range(halvings):
        middle, part = (low + high) / 2, part / 2
        of_middle = at(middle)[:, 0]
        left = function.change(of_low, of_middle, part)
        right = function.change(of_middle, of_high, part)
        if not (np.isfinite(left) and np.isfinite(right)):
            return None
        if left >= right:
            high, of_high = middle, of_middle
        else:
            low, of_low = middle, of_middle
        changes.append(max(left, right))
    size = float(np.linalg.norm(of_low[0]) + np.linalg.norm(of_high[0]))
    if changes[-1] <= VISIBLE * size or changes[-1] < KEPT * changes[-1 - LAST]:
        return None
    return Jump(function.name, (x, low), changes[-1], float(np.linalg.norm(high - low)))
