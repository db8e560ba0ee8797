"""Steps of the lower level: y moves towards y*(x) at a fixed x."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accbo._arrays import Array, fold, rows
from accbo.problem import BilevelProblem

Gradient = Callable[[Array], Array]


def gradient_step(gradient: Gradient, y: Array, step_size: float) -> Array:
    """y − α ∇_y G(y), shape ``(..., d_y)``."""
    return y - step_size * gradient(y)


def gradient_steps(
    problem: BilevelProblem, x: Array, y: Array, samples: Any, step_size: float
) -> Array:
    """SGD on y at a fixed x, one step per row of ``samples``; shape ``(..., d_y)``."""

    def advance(y: Array, sample: Any) -> Array:
        return gradient_step(lambda y: problem.grad_y_lower(x, y, sample), y, step_size)

    return fold(advance, y, samples)


def expect_one_step(samples: Any, algorithm: str) -> None:
    """Raise ``ValueError`` unless ``samples`` has the row of the one step of ``algorithm``."""
    if rows(samples) != 1:
        raise ValueError(f"sample.lower has {rows(samples)} rows; {algorithm} takes one step")


def nesterov_step(
    gradient: Gradient, y: Array, y_previous: Array, step_size: float, momentum: float
) -> Array:
    """One step of stochastic Nesterov acceleration, shape ``(..., d_y)``.

    z = y + γ (y − y_previous), then z − α ∇_y G(z). The gradient is taken at z.
    """
    z = y + momentum * (y - y_previous)
    return z - step_size * gradient(z)


def average(y_average: Array, y: Array, weight: float) -> Array:
    """ŷ ← (1 − τ) ŷ + τ y, shape ``(..., d_y)``."""
    return (1 - weight) * y_average + weight * y
