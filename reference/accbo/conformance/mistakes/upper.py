"""Mistakes of the step on x."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from accbo._arrays import Array, namespace, norm
from accbo.conformance.mistakes.changes import Iteration, again, part, then, within
from accbo.conformance.mistakes.mistake import (
    AS_IT_IS,
    Change,
    Choices,
    Mistake,
    both,
    has,
    made_by,
    ways,
)
from accbo.conformance.mistakes.momentum import AVERAGED, NORMALISED, RECURSIVE, average_rule
from accbo.conformance.mistakes.places import AUC, CLEANING
from accbo.momentum import Gradient, Point
from accbo.upper import gradient_step, normalized_step

Step = Callable[[Array, Array, float], Array]  # (x, direction, step size) to the next x
_PLAIN = made_by("x", gradient_step)


def step_by(rule: Step) -> Change:
    """Another step on x."""
    return part(x=lambda right: rule)


# --- blocks ---------------------------------------------------------------------------------


def block_step(cut: Callable[[int], list[int]]) -> Step:
    """Blocks of x that begin at 0 and at ``cut(d_x)``, each with a norm of its own."""

    def step(x: Array, direction: Array, step_size: float) -> Array:
        size = x.shape[-1]
        edges = [0, *(edge for edge in cut(size) if 0 < edge < size), size]
        blocks = [
            normalized_step(x[..., first:last], direction[..., first:last], step_size)
            for first, last in itertools.pairwise(edges)
        ]
        return namespace(x).concat(blocks, axis=-1)

    return step


CUTS: tuple[Callable[[int], list[int]], ...] = (
    lambda d: [(d + 1) // 2],
    lambda d: [d // 2],
    lambda d: [1],
    lambda d: [2],
    lambda d: [d - 1],
    lambda d: list(range(d)),
)


# --- other lengths ----------------------------------------------------------------------------


def clipped(threshold: float) -> Change:
    """x − η m min(1, c/‖m‖)."""

    def step(x: Array, direction: Array, step_size: float) -> Array:
        length = namespace(x).maximum(norm(direction), threshold)[..., None]
        return x - step_size * direction / (length / threshold)

    return step_by(step)


STYLES = ("sum", "maximum", "root")


def guarded(style: str, epsilon: float) -> Change:
    """x − η m/n with n = ‖m‖ + ε, max(‖m‖, ε) or √(‖m‖² + ε)."""

    def step(x: Array, direction: Array, step_size: float) -> Array:
        xp, length = namespace(x), norm(direction)[..., None]
        if style == "sum":
            length = length + epsilon
        elif style == "maximum":
            length = xp.maximum(length, epsilon)
        else:
            length = xp.sqrt(length * length + epsilon)
        return x - step_size * direction / length

    return step_by(step)


_EPSILONS = (*(10.0**-k for k in range(2, 21)), 2.0**-52, 2.0**-23, 1e-30, 5e-324)
_THRESHOLDS = (1.0, 0.5, 2.0, 0.1, 10.0, 0.25, 5.0, 0.01, 100.0)


def _guards(algorithm: Any) -> Sequence[Choices]:
    return [(guarded(style, e),) for style in STYLES for e in _EPSILONS]


def _plain_norm(stays: bool) -> Change:
    """A norm whose squares under- or overflow: 0 stands for it, and x stays or becomes NaN."""

    def step(x: Array, direction: Array, step_size: float) -> Array:
        xp, length = namespace(x), norm(direction)[..., None]
        if stays:
            length = xp.where(length > 0, length, xp.inf)
        return x - step_size * direction / length

    return step_by(step)


# --- samples --------------------------------------------------------------------------------


def _unit(g: Array) -> Array:
    return normalized_step(namespace(g).zeros_like(g), g, -1.0)


def _normalised(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
    return _unit(g(*new)) + decay * (m - _unit(g(*old)))


# --- which average, which order -------------------------------------------------------------------


def _with_old_average(right: Any, at: Iteration, x: Array, m: Array, size: float) -> Array:
    return right(x, m if at.state is None else at.state.momentum, size)


def _with_new_average(algorithm: Any, before: Any, after: Any) -> Any:
    x = algorithm.parts.x(before.x, after.momentum, algorithm.upper_step_size)
    return after._replace(x=x)


def _gauss_seidel(algorithm: Any) -> Sequence[Choices]:
    """y first, then z at the new y, then x; or two of the three."""
    normalised = NORMALISED(type(algorithm))  # x moves with the average of its own iteration
    last = ("x", "momentum") if normalised else ("momentum",)
    return [
        (again((("y",), ("z",)), (("y", "z"), last)),),
        (again((("y",), ("z", *last))),),
        (again((("z",), last)),),
    ]


_LINEAR = has("z", "momentum")

MISTAKES = (
    Mistake(
        "norm per block",
        "x",
        "each block of x is divided by its own norm; with one entry a block, the sign",
        "the direction is no longer m's and the step is √(blocks) times too long; a block cannot "
        "come closer than η",
        lambda a: [(step_by(block_step(cut)),) for cut in CUTS],
        NORMALISED,
        {"AccBO": f"{AUC}, accbo.py:107", "BOREP": f"{AUC}, bo_rep.py:102"},
    ),
    Mistake(
        "no normalisation",
        "x",
        "x − η m",
        "diverges where the gradient grows faster than linearly; crawls where it is small",
        ways(step_by(gradient_step)),
        NORMALISED,
    ),
    Mistake(
        "x step normalised",
        "x",
        "x − η h/‖h‖",
        "another method's step: x never comes closer than η",
        ways(step_by(normalized_step), _plain_norm(stays=False), _plain_norm(stays=True)),
        _PLAIN,
    ),
    Mistake(
        "clipping",
        "x",
        "x − η m min(1, c/‖m‖)",
        "steps shrink with the gradient below the threshold: another method with other constants",
        lambda a: [(clipped(c),) for c in _THRESHOLDS],
        both(NORMALISED, has("y_average")),
    ),
    Mistake(
        "samples normalised",
        "x",
        "each sample is normalised before the momentum",
        "E[h/‖h‖] does not point along ∇Φ under skewed noise: the limit is not stationary",
        lambda a: [
            (
                average_rule(lambda m, h, b: b * m + (1 - b) * _unit(h))
                if AVERAGED(type(a))
                else part(momentum=lambda right: _normalised),
            ),
            (part(h=lambda right: lambda *given: _unit(right(*given))),),  # in m_0 as well
        ],
        lambda cls: AVERAGED(cls) or both(RECURSIVE, has("y_average"))(cls),
    ),
    Mistake(
        "ε in the norm",
        "x",
        "x − η m/(‖m‖ + ε), m/max(‖m‖, ε) or m/√(‖m‖² + ε)",
        "steps shorter than η near stationary points and for badly scaled F",
        _guards,
        both(NORMALISED, has("y_average")),
        apply=guarded("sum", 1e-8),
    ),
    Mistake(
        "norm that underflows",
        "x",
        "‖m‖ by squares that under- or overflow: x stays, or becomes NaN, where m is tiny or huge",
        "stops, or turns to NaN, for badly scaled F in single precision",
        ways(_plain_norm(stays=True), _plain_norm(stays=False)),
        both(NORMALISED, has("y_average")),
        {"AccBO": f"{AUC}, accbo.py:107"},
        edge=True,
    ),
    Mistake(
        "x moves with the old average",
        "x",
        "x moves along m_{t−1}",
        "an estimate meets the step that was made for another one",
        ways(within(x=_with_old_average)),
        both(AVERAGED, NORMALISED),
        scopes=AS_IT_IS,
    ),
    Mistake(
        "x moves with the new average",
        "x",
        "x moves along h_{t+1}",
        "x meets the samples of its own iteration: the analysis does not cover it",
        ways(then(_with_new_average)),
        both(AVERAGED, _PLAIN),
        {"MASOBA": f"{AUC} and data cleaning, ma_soba.py"},
    ),
    Mistake(
        "updates one after the other",
        "x",
        "y first, then z at the new y, then x at the new y and z",
        "another method: samples of one iteration meet iterates that depend on them",
        _gauss_seidel,
        _LINEAR,
        dict.fromkeys(("SLIP", "MASOBA", "BOREP"), f"{CLEANING} and deep AUC, ma_soba.py"),
    ),
)
