"""Mistakes of the implicit term ∇²_xy G z, and of the direction that it is a part of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, namespace, traceable
from accbo.conformance.mistakes.averaging import NEWEST
from accbo.conformance.mistakes.changes import Iteration, on_problem, part, within
from accbo.conformance.mistakes.mistake import Change, Choices, Mistake, every, has
from accbo.conformance.mistakes.places import CLEANING
from accbo.problems.wrapped import Wrapped


@traceable
@dataclass(frozen=True, eq=False)
class NegatedCross(Wrapped):
    """−∇²_xy G: the implicit term is added."""

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """−∇²_xy G v, shape ``(..., d_x)``."""
        return -super().cross_lower(x, y, v, sample)


@traceable
@dataclass(frozen=True, eq=False)
class CrossAtZero(Wrapped):
    """∇²_xy G at (x, 0)."""

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """∇²_xy G(x, 0) v, shape ``(..., d_x)``."""
        return super().cross_lower(x, namespace(y).zeros_like(y), v, sample)


@traceable
@dataclass(frozen=True, eq=False)
class CrossAt(Wrapped):
    """∇²_xy G at a point of its own."""

    point: tuple[Array, Array]

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """∇²_xy G v at ``point``, shape ``(..., d_x)``."""
        return super().cross_lower(*self.point, v, sample)


def _noted(right: Any, at: Iteration, y_average: Array, y: Array, weight: float) -> Array:
    at.seen["y"] = y
    return right(y_average, y, weight)


def _cross_elsewhere(where: str) -> Change:
    """∇²_xy G at y instead of ŷ, at y_t at both points, or at the new point for both."""

    def momentum(
        right: Any, at: Iteration, g: Any, new: Any, old: Any, m: Array, decay: float
    ) -> Array:
        y, y_old = at.state.y, at.state.y_previous
        if at.algorithm.order == "sequential":
            y, y_old = at.seen["y"], at.state.y
        points = {
            "at y": ((new[0], y), (old[0], y_old)),
            "at the new point": (new, new),
            "at y_t": ((new[0], at.state.y), (old[0], at.state.y)),
        }[where]
        h_new, h_old = (
            at.algorithm._gradient(CrossAt(at.problem, place), at.sample)(*point)
            for place, point in zip(points, (new, old), strict=True)
        )
        return right(lambda x, y: _stacked(x, new, h_new, h_old), new, old, m, decay)

    return within(y_average=_noted, momentum=momentum)


def _y_noted(right: Any, at: Iteration, problem: Any, x: Array, y: Array, *rest: Any) -> Array:
    at.seen["y"] = y
    return right(problem, x, y, *rest)


def _cross_at_the_old_y(
    right: Any, at: Iteration, problem: Any, x: Array, y: Array, z: Array, sample: Any
) -> Array:
    return right(CrossAt(problem, (x, at.seen["y"])), x, y, z, sample)


def _stacked(x: Array, new: Any, h_new: Array, h_old: Array) -> Array:
    """Both values where a rule asks for both at once, else the one of its point."""
    if x.ndim > new[0].ndim:
        return namespace(x).stack((h_new, h_old))
    return h_new if x is new[0] else h_old


def _minus(right: Any) -> Any:
    def table(*arguments: Any) -> Any:
        estimate, after = right(*arguments)
        return -estimate, after

    return table


def _negated(algorithm: Any, problem: Any) -> NegatedCross:
    return NegatedCross(problem)


def _signs(algorithm: Any) -> Sequence[Choices]:
    changes = [(on_problem(_negated),)]
    if hasattr(algorithm.parts, "cross_lower"):
        return [(part(cross_lower=_minus),), *changes]
    return changes


def _points(algorithm: Any) -> Sequence[Choices]:
    changes = [(on_problem(lambda a, problem: CrossAtZero(problem)),)]
    if has("y_average")(type(algorithm)):
        changes += [(_cross_elsewhere(where),) for where in ("at y", "at the new point", "at y_t")]
    if NEWEST(type(algorithm)):
        changes.append((within(y=_y_noted, h=_cross_at_the_old_y),))
    return changes


MISTAKES = (
    Mistake(
        "sign of the implicit term",
        "h",
        "∇_x F + the implicit term",
        "ascends in y*'s share of Φ",
        _signs,
        every,
        dict.fromkeys(
            ("AccBO", "SLIP", "MASOBA", "BOREP", "SABA", "SUSTAIN", "TTSA", "StocBiO", "VRBO"),
            f"{CLEANING}, saba.py:162-166",
        ),
    ),
    Mistake(
        "cross derivative at the wrong point",
        "h",
        "∇²_xy G at (x, 0), or at another point than the rest",
        "a bias of the size of the distance between the points, wherever g is not quadratic",
        _points,
        every,
    ),
)
