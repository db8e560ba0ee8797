"""What the laws are tried on: six problems, and the twelve combinations of conventions."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

from accbo import AccBO
from accbo.problems import (
    LowerNoise,
    UpperNoise,
    finite_sum,
    nonquadratic,
    quadratic,
    relaxed_smooth,
)

from ..noise import law_fields

ORDERS = ("simultaneous", "sequential")
OPTIONS = {"I": (None, 1), "II": (7, 3)}  # period and lower steps
SAMPLINGS = ("chained", "independent", "randomised")
SCHEDULED = (8, 9, 10, 11, 12, 13)  # log2 T: β = 1 − T^(−2/3), 0.9752 … 0.9975
LEAST = 210  # iterations: a fault that acts in every 200th has its turn


class Combination(NamedTuple):
    """One way to run AccBO, and the problem it is run on."""

    order: str
    option: str
    sampling: str
    problem: str
    exponent: int  # of the schedule whose β it has

    @property
    def label(self) -> str:
        """For findings."""
        return f"{self.order}, {self.option}, {self.sampling}"

    @property
    def momentum(self) -> float:
        """β."""
        return scheduled(self.exponent)

    @property
    def steps(self) -> int:
        """At least five times the memory of the momentum."""
        return max(LEAST, math.ceil(5 / (1 - self.momentum)))


def scheduled(exponent: int) -> float:
    """β = 1 − ε² of the schedule for T = 2^``exponent``, ε = T^(−1/3)."""
    return 1 - 2.0 ** (-2 * exponent / 3)


def combinations(exponents: tuple[int, ...]) -> list[Combination]:
    """The twelve; problems and schedules take turns, so that each meets each sampling."""
    names = tuple(problems())
    every = itertools.product(ORDERS, OPTIONS, SAMPLINGS)
    return [
        Combination(
            *which, names[(index + index // 6) % len(names)], exponents[index % len(exponents)]
        )
        for index, which in enumerate(every)
    ]


@functools.cache
def problems(noisy: bool = True, noise: str | None = None) -> dict[str, Any]:
    """Noise in every part, normal or skewed; coupled levels; two of the g are not quadratic.

    ``noise`` is the law that is asked for in place of both.
    """
    even: dict[str, Any] = {}
    skewed: dict[str, Any] = {}
    if noisy:
        asked = law_fields(noise)
        skew = asked or {"law": "two_point", "probability": 0.1}
        even["noise_upper"] = UpperNoise(0.5, 0.3, 0.4, 0.2, **asked)
        even["noise_lower"] = LowerNoise(0.5, 0.3, 0.3, **asked)
        skewed["noise_upper"] = UpperNoise(0.5, 0.3, 0.4, 0.2, **skew)
        skewed["noise_lower"] = LowerNoise(0.5, 0.3, 0.3, **skew)
    found: dict[str, Any] = {
        "quadratic": quadratic((1.0, 1.5, 2.0), 2, coupling=2.0, seed=1, **even),
        "quadratic, skewed": quadratic((0.6, 1.3), 4, coupling=1.0, seed=2, **skewed),
        "cosh, skewed": relaxed_smooth((0.8, 1.9), 3, coupling=2.0, seed=3, **skewed),
        "cosh": relaxed_smooth((0.8, 1.1, 1.9, 2.2), 2, coupling=0.5, rate=1.4, seed=4, **even),
        "curved": nonquadratic(
            (0.6, 1.1, 1.9), 2, coupling=2.0, shift=1.0, strength=0.5, seed=5, **skewed
        ),
    }
    if noisy:  # its noise is the index
        found["finite sum"] = finite_sum(8, 2, 3, seed=6)
    return found


# sizes that the six do not have: one variable, as many above as below, and more than a few
SIZES = {
    "one variable": Combination("simultaneous", "I", "chained", "one variable", 8),
    "nine variables": Combination("sequential", "II", "independent", "nine variables", 8),
}


@functools.cache
def every_problem(noise: str | None = None) -> dict[str, Any]:
    """The six, and those of other sizes, with noise."""
    asked = law_fields(noise)
    noises: dict[str, Any] = {
        "noise_upper": UpperNoise(0.5, 0.3, 0.4, 0.2, **asked),
        "noise_lower": LowerNoise(0.5, 0.3, 0.3, **asked),
    }
    nine = tuple(0.8 + 0.15 * index for index in range(9))
    return {
        **problems(noise=noise),
        "one variable": quadratic((1.3,), 1, coupling=2.0, seed=7, **noises),
        "nine variables": quadratic(nine, 9, coupling=1.0, seed=8, **noises),
    }


@functools.cache
def noisy() -> Any:
    """For the sums of the sampler: the curvature's noise nearly as large as μ."""
    return relaxed_smooth(
        (0.8, 1.9),
        3,
        coupling=2.0,
        noise_upper=UpperNoise(0.5, 0.3, 0.4, 0.2, "two_point", 0.1),
        noise_lower=LowerNoise(0.5, 0.7, 0.5, "two_point", 0.1),
        seed=3,
    )


def algorithm(
    problem: Any,
    combination: Combination,
    *,
    terms: int = 6,
    upper_step_size: float = 0.01,
    momentum: float | None = None,
) -> AccBO:
    """AccBO on a problem, no two of its numbers alike."""
    scale = 1.1 * problem.constants.curvature
    period, lower_steps = OPTIONS[combination.option]
    return AccBO(
        lower_step_size=0.3 / scale,
        lower_momentum=0.55,
        averaging=0.3,
        momentum=combination.momentum if momentum is None else momentum,
        upper_step_size=upper_step_size,
        neumann_terms=terms,
        neumann_scale=scale,
        neumann_sampling=combination.sampling,
        period=period,
        lower_steps=lower_steps,
        order=combination.order,
    )
