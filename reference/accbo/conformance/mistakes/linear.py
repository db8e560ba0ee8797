"""Mistakes of z, which tracks the solution of a linear system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array
from accbo.conformance.mistakes.changes import again, on_problem, part
from accbo.conformance.mistakes.mistake import Choices, Mistake, has, ways
from accbo.problems.wrapped import Wrapped


@dataclass(frozen=True, eq=False)
class NegatedUpperY(Wrapped):
    """−∇_y F."""

    def grad_y_upper(self, x: Array, y: Array, sample: Any = None) -> Array:
        """−∇_y F, shape ``(..., d_y)``."""
        return -super().grad_y_upper(x, y, sample)


def _mirrored(right: Any) -> Any:
    def step(*arguments: Any) -> Array:
        z = arguments[0] if len(arguments) == 3 else arguments[2]
        return 2 * z - right(*arguments)

    return step


def _signs(algorithm: Any) -> Sequence[Choices]:
    return [(part(z=_mirrored),), (on_problem(lambda a, problem: NegatedUpperY(problem)),)]


MISTAKES = (
    Mistake(
        "z at the new point",
        "z",
        "the z step reads (x_{t+1}, y_{t+1}), or (x_t, y_{t+1}), its tables too or not",
        "z, y and x no longer move together: the analysis with one step size does not cover it",
        ways(again((("x", "y"), ("z",))), again((("y",), ("z",)))),
        has("z"),
    ),
    Mistake(
        "z step with the wrong sign",
        "z",
        "z + ν (Hz − ∇_y F), or z − ν (Hz + ∇_y F)",
        "z diverges, or tracks −H⁻¹∇_y F and x ascends in y*'s share of Φ",
        _signs,
        has("z"),
    ),
)
