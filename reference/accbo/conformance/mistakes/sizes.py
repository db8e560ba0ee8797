"""Mistakes of step sizes that shrink with the iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accbo._arrays import Array
from accbo.conformance.mistakes.changes import Iteration, part, within
from accbo.conformance.mistakes.mistake import Change, Mistake, has, ways
from accbo.conformance.mistakes.places import AUC

TWO_SCALES, ONE_SCALE = has("y_size", "x_size"), has("size", "decay")
_TTSA = {"TTSA": f"{AUC} and data cleaning, ttsa.py"}
_LOWER, _UPPER = -2 / 5, -3 / 5


def _power(exponent: float) -> Callable[[Any], Any]:
    return lambda right: lambda constant, offset, t: constant * (offset + t) ** exponent


def _powers(lower: float, upper: float) -> Change:
    return part(y_size=_power(lower), x_size=_power(upper))


def _first(right: Any) -> Any:
    """The size of iteration 0."""
    return lambda *arguments: right(*arguments[:-1], 0)


def _constant(right: Any) -> Any:
    """The constant itself, at every t."""
    return lambda *arguments: 1.0


def _own_size(name: str, constant: str, make: Callable[[Any], Any]) -> Change:
    """The step size of one variable alone from ``make(right)``, where one rule makes both."""

    def rule(right: Any, at: Iteration, variable: Array, direction: Array, size: float) -> Array:
        a, t = at.algorithm, 0 if at.state is None else at.state.iteration
        return right(variable, direction, getattr(a, constant) * make(a.parts.size)(a.offset, t))

    return within(None, **{name: rule})


def _own_sizes(make: Callable[[Any], Any]) -> tuple[Change, ...]:
    """β_t alone, and α_t alone."""
    return (
        _own_size("y", "lower_step_size", make),
        _own_size("x", "upper_step_size", make),
    )


def _away(shift: int) -> Callable[[Any], Any]:
    return lambda right: lambda *arguments: right(*arguments[:-1], max(arguments[-1] + shift, 0))


MISTAKES = (
    Mistake(
        "steps that do not shrink",
        "sizes",
        "α, β or both stay a and b, or those of iteration 0",
        "the error stays at the noise of that size",
        ways(
            _powers(0.0, 0.0),
            part(x_size=_power(0.0)),
            part(y_size=_power(0.0)),
            part(y_size=_first, x_size=_first),
            part(x_size=_first),
            part(y_size=_first),
        ),
        TWO_SCALES,
        _TTSA,
    ),
    Mistake(
        "exponents swapped",
        "sizes",
        "α ~ t^{−2/5}, β ~ t^{−3/5}",
        "the lower level falls behind: its steps shrink faster than the upper ones",
        ways(_powers(_UPPER, _LOWER)),
        TWO_SCALES,
    ),
    Mistake(
        "one time scale",
        "sizes",
        "both sizes shrink alike",
        "y no longer follows x: the ratio of the sizes stays",
        ways(_powers(_UPPER, _UPPER), _powers(_LOWER, _LOWER), _powers(-1 / 2, -1 / 2)),
        TWO_SCALES,
    ),
    Mistake(
        "one fixed step size",
        "sizes",
        "α, β, η or all of them do not shrink",
        "the error stays at the noise of that size",
        ways(
            *(
                change
                for make in (_first, _constant)
                for change in (
                    part(size=make, decay=make),
                    part(size=make),
                    part(decay=make),
                    *_own_sizes(make),
                )
            )
        ),
        ONE_SCALE,
    ),
    Mistake(
        "sizes of another iteration",
        "sizes",
        "w + t is off by one",
        "none for long runs; the first steps are other ones",
        ways(
            *(
                part(**dict.fromkeys(names, _away(shift)))
                for names in (("y_size", "x_size"), ("y_size",), ("x_size",))
                for shift in (1, -1)
            )
        ),
        TWO_SCALES,
    ),
    Mistake(
        "sizes of another iteration",
        "sizes",
        "w + t is off by one",
        "none for long runs; the first steps are other ones",
        ways(
            *(
                part(**dict.fromkeys(names, _away(shift)))
                for names in (("size", "decay"), ("decay",), ("size",))
                for shift in (1, -1)
            ),
            *(change for shift in (1, -1) for change in _own_sizes(_away(shift))),
        ),
        ONE_SCALE,
    ),
)
