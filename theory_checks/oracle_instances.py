"""What the calls of AccBO and of SLIP are compared on: two quadratics, schedules, starts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from accbo import schedules
from accbo.problems import LowerNoise, Quadratic, UpperNoise, quadratic
from accbo.schedules import Schedule

from .starts import directions

SPECTRUM = (1.0, 2.0, 3.0, 4.0)
DIMENSION = len(SPECTRUM)
NOISE_UPPER = UpperNoise(0.5, 0.1, 0.5, 0.1)
NOISE_LOWER = LowerNoise(0.5, 0.1, 0.1)


@functools.lru_cache(maxsize=1)
def crossing_problem() -> Quadratic:
    """The quadratic of ``rate`` with a worse condition: Q is of the order of 10."""
    return quadratic(
        SPECTRUM, DIMENSION, coupling=0.5, noise_upper=NOISE_UPPER, noise_lower=NOISE_LOWER
    )


@functools.lru_cache(maxsize=1)
def ablation_problem() -> Quadratic:
    """C = H, so that y* = x, and little of f in x itself: what happens below matters."""
    hessian = np.asarray(crossing_problem().hessian)
    return quadratic(
        SPECTRUM,
        DIMENSION,
        coupling=hessian,
        weights=0.2,
        noise_upper=NOISE_UPPER,
        noise_lower=NOISE_LOWER,
    )


def schedule_of(
    method: str, problem: Quadratic, steps: int, sampling: str = "chained"
) -> Schedule[Any]:
    """That of ``accbo.schedules`` for ``steps`` iterations of AccBO or of SLIP."""
    if method == "SLIP":
        return schedules.slip(problem.constants, steps=steps)
    return schedules.accbo(problem.constants, steps=steps, sampling=sampling)


def starting_points(problem: Quadratic, replicates: int, seed: int) -> np.ndarray:
    """Points 0.3 from the minimiser of Φ, one a replicate."""
    return problem.minimiser() + 0.3 * directions(replicates, DIMENSION, seed)
