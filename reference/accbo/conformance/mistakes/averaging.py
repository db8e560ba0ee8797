"""Mistakes of the average of y, and of the y that the hypergradient is taken at."""

from __future__ import annotations

from typing import Any

from accbo._arrays import Array
from accbo.conformance.mistakes.changes import Iteration, part, within
from accbo.conformance.mistakes.lower import LOOPS
from accbo.conformance.mistakes.mistake import Mistake, both, has, ways, without
from accbo.conformance.mistakes.places import CLEANING


def _seen_average(right: Any, at: Iteration, y_average: Array, y: Array, weight: float) -> Array:
    at.seen["y"], at.seen["y_average"] = y, right(y_average, y, weight)
    if at.state is None and at.algorithm.order == "sequential":
        return y  # iteration 0 takes h at what is returned here
    return at.seen["y_average"]


def _at_inner(right: Any, at: Iteration, g: Any, new: Any, old: Any, *rest: Any) -> Array:
    y, y_old = at.state.y, at.state.y_previous
    if at.algorithm.order == "sequential":
        y, y_old = at.seen["y"], at.state.y
    return right(g, (new[0], y), (old[0], y_old), *rest)


def _average_after(at: Iteration, after: Any) -> Any:
    return after._replace(y_average=at.seen["y_average"])


def _lagging(right: Any, at: Iteration, problem: Any, x: Array, y: Array, *rest: Any) -> Array:
    at.seen["y"] = right(problem, x, y, *rest)
    return y


def _y_before(at: Iteration, after: Any) -> Any:
    return after._replace(y=at.seen["y"])


def _noted(right: Any, at: Iteration, problem: Any, x: Array, y: Array, *rest: Any) -> Array:
    at.seen["call"] = (right, problem, y, rest)
    return y


def _y_after_x(at: Iteration, after: Any) -> Any:
    right, problem, y, rest = at.seen["call"]
    return after._replace(y=right(problem, after.x, y, *rest))


NEWEST = both(LOOPS, without(has("z")))  # h reads the y that the same iteration made

MISTAKES = (
    Mistake(
        "no averaging",
        "y_average",
        "ŷ = y",
        "the hypergradient sees all of y's noise: variance 4/3 times larger, the drift's bias gone",
        ways(part(y_average=lambda right: lambda y_average, y, weight: y + 0 * y_average)),
        has("y_average"),
        {"AccBO": f"{CLEANING}, accbo.py:37-39"},
    ),
    Mistake(
        "τ and 1−τ swapped",
        "y_average",
        "1 − τ stands where τ belongs",
        "next to no averaging",
        ways(part(y_average=lambda right: lambda y_average, y, w: right(y_average, y, 1 - w))),
        has("y_average"),
    ),
    Mistake(
        "hypergradient at y",
        "h",
        "h is evaluated at y instead of ŷ",
        "the average is kept and never used: all of y's noise enters h",
        ways(within(_average_after, y_average=_seen_average, momentum=_at_inner)),
        has("y_average"),
    ),
    Mistake(
        "hypergradient at the old y",
        "h",
        "h is taken at the y before this iteration's steps",
        "the hypergradient is behind by the lower steps of its own iteration",
        ways(within(_y_before, y=_lagging)),
        NEWEST,
    ),
    Mistake(
        "y after x",
        "y",
        "x moves first, and y at x_{t+1}",
        "another order of the same steps: the hypergradient is behind by the lower steps",
        ways(within(_y_after_x, y=_noted)),
        NEWEST,
    ),
)
