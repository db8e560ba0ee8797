"""The samples that several algorithms share, and how they are drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

from accbo.hypergradient import hessian_rows
from accbo.problem import BilevelProblem, Noise
from accbo.sampling import Start, draw_fields


class NeumannSample(NamedTuple):
    """The noise of an iteration that sums a series; every part maps field names to arrays.

    ``hessian`` has a leading axis over the factors of the series, ``lower`` one over the
    lower steps of this iteration (which may be of length 0).
    """

    upper: Any  # ξ
    cross: Any  # ζ⁰
    hessian: Any  # ζ
    power: Any  # q of the randomised series, (..., 1); empty otherwise
    lower: Any  # π


class LinearSample(NamedTuple):
    """The noise of an iteration that tracks z, the solution of a linear system.

    Every part maps field names to arrays; ``lower`` has a leading axis over the lower steps
    (which may be of length 0).
    """

    upper: Any  # ξ, of ∇_x F
    upper_y: Any  # ξ', of ∇_y F
    cross: Any  # ζ⁰
    hessian: Any  # ζ
    lower: Any  # π


def neumann_layout(
    problem: BilevelProblem,
    sampling: str,
    terms: int,
    lower_steps: int,
    leading: tuple[int, ...] = (),
) -> NeumannSample:
    """A series of ``terms`` terms; the upper-level parts have the ``leading`` axes."""
    factors = hessian_rows(sampling, terms)
    power = {"power": Noise("index", (1,), terms)}
    return NeumannSample(
        upper=draw_fields(problem.upper_noise, leading),
        cross=draw_fields(problem.cross_noise, leading),
        hessian=draw_fields(problem.hessian_noise, (*leading, factors)),
        power=draw_fields(power, leading) if sampling == "randomised" else {},
        lower=draw_fields(problem.lower_noise, (lower_steps,), scaled=True),
    )


def linear_layout(problem: BilevelProblem, lower_steps: int) -> LinearSample:
    """One of everything but the lower steps."""
    return LinearSample(
        upper=draw_fields(problem.upper_noise),
        upper_y=draw_fields(problem.upper_noise),
        cross=draw_fields(problem.cross_noise),
        hessian=draw_fields(problem.hessian_noise),
        lower=draw_fields(problem.lower_noise, (lower_steps,), scaled=True),
    )


def linear_start(
    problem: BilevelProblem, layout: LinearSample, warm_start: int, first: int
) -> Start:
    """T0 = ``warm_start`` lower steps, and S = ``first`` samples of what m_0 is the mean over."""
    return Start(
        warm_start=draw_fields(problem.lower_noise, (warm_start,), scaled=True),
        first=layout._replace(
            upper=draw_fields(problem.upper_noise, (first,)),
            cross=draw_fields(problem.cross_noise, (first,)),
        ),
    )
