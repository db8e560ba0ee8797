"""Mistakes of a constraint that the method does not have: projections and clamps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from accbo._arrays import Array, namespace, norm, rows
from accbo.conformance.mistakes.changes import Iteration, innermost, part, warm_started, within
from accbo.conformance.mistakes.lower import LOOPS, NESTEROV
from accbo.conformance.mistakes.mistake import Change, Choices, Mistake, every, has

Onto = Callable[[Array], Array]
RADII = (1.0, 10.0)  # the others are read off the numbers


def ball(radius: float) -> Onto:
    """The nearest point of norm at most ``radius``."""

    def onto(z: Array) -> Array:
        length = norm(z)[..., None]
        xp = namespace(z)
        return xp.where(length > radius, z * (radius / xp.where(length > 0, length, 1.0)), z)

    return onto


def box(edge: float) -> Onto:
    """Every entry clamped to [−c, c]."""
    return lambda z: namespace(z).clip(z, -edge, edge)


def _every_result(onto: Onto) -> Change:
    return part(y=lambda right: lambda *given: onto(right(*given)))


def _last_of_many(onto: Onto) -> Change:
    """AccBO's y after the last of its lower steps alone."""

    def rule(right: Any, at: Iteration, *given: Any) -> Array:
        at.seen["steps"] = at.seen.get("steps", 0) + 1
        y: Array = right(*given)
        return onto(y) if at.seen["steps"] == rows(at.sample.lower) else y

    return within(y=rule)


def _every_of_many(onto: Onto) -> Change:
    """After every step of a loop."""

    def make(right: Any) -> Any:
        def loop(problem: Any, x: Array, y: Array, samples: Any, size: float) -> Array:
            for index in range(rows(samples)):
                one = {name: leaf[index : index + 1, ...] for name, leaf in samples.items()}
                y = onto(right(problem, x, y, one, size))
            return y

        return loop

    return part(y=make)


def projected_y(onto: Onto) -> list[Change]:
    """y projected after the last lower step of an iteration, or after every one."""

    def last(algorithm: Any) -> Any:
        change = _last_of_many if NESTEROV(_type(algorithm)) else _every_result
        return warm_started(onto)(change(onto)(algorithm))

    def each(algorithm: Any) -> Any:
        change = _every_of_many if LOOPS(_type(algorithm)) else _every_result
        return change(onto)(algorithm)

    return [last, each]


def _type(algorithm: Any) -> type:
    return type(innermost(algorithm))


def projected_x(onto: Onto) -> Change:
    """x projected after its step."""
    return part(x=lambda right: lambda *given: onto(right(*given)))


def clamped_m(edge: float) -> list[Change]:
    """The momentum clamped entry by entry, in the state or on its way to x."""
    onto = box(edge)
    return [
        part(momentum=lambda right: lambda *given: onto(right(*given))),
        part(x=lambda right: lambda x, m, size: right(x, onto(m), size)),
    ]


def choices(changes: Iterable[Change]) -> Sequence[Choices]:
    """One way for each of them."""
    return [(change,) for change in changes]


def _ys(algorithm: Any) -> Sequence[Choices]:
    return choices(change for r in RADII for s in (ball, box) for change in projected_y(s(r)))


MISTAKES = (
    Mistake(
        "y projected",
        "y",
        "y is projected on a ball, or clamped to a box",
        "where y*(x) lies outside, y never comes near it: the lower problem is another one",
        _ys,
        every,
        laws=False,
    ),
    Mistake(
        "x projected",
        "x",
        "x is projected on a ball, or clamped to a box",
        "minimisers outside are never reached, and ‖∇Φ‖ does not vanish at the edge",
        lambda a: choices(projected_x(s(r)) for r in RADII for s in (ball, box)),
        every,
        laws=False,
    ),
    Mistake(
        "momentum clamped",
        "momentum",
        "the entries of m are clamped to [−c, c]",
        "m turns towards a corner of the box: the direction is no longer that of the gradient",
        lambda a: choices(change for c in RADII for change in clamped_m(c)),
        has("momentum", "x"),
        laws=False,
    ),
)
