"""What rounding alone decides: nothing, on whichever processor, kernel or library."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

import accbo
from accbo import schedules
from accbo.problem import Constants
from accbo.problems import quadratic
from accbo.problems._noise import LowerNoise
from accbo.rounding import ceiling, spectral_rounding
from accbo.sampling import random_rotation
from tests.support import changed

LAST_BIT = 2.0**-52


class Shaken:
    """A problem whose largest curvature comes out ``ulps`` last bits off, as elsewhere."""

    def __init__(self, problem: object, ulps: int) -> None:
        self._problem, self._ulps = problem, ulps

    def __getattr__(self, name: str) -> object:
        return getattr(self._problem, name)

    @property
    def constants(self) -> Constants:
        """The problem's own, the curvature moved."""
        own = self._problem.constants
        return dataclasses.replace(own, curvature=own.curvature * (1 + self._ulps * LAST_BIT))


def run(problem: object, scale: float, dtype: str = "float64") -> None:
    """Two steps, a warning being an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, y = np.zeros(problem.d_x, dtype), np.zeros(problem.d_y, dtype)
        moved = accbo.move(getattr(problem, "_problem", problem), like=x)
        shown = Shaken(moved, problem._ulps) if isinstance(problem, Shaken) else moved
        accbo.run(changed(neumann_scale=scale), shown, x, y, steps=2)


@pytest.mark.parametrize("ulps", [-8, -1, 0, 1, 2, 8])
def test_a_scale_equal_to_the_curvature_is_not_below_it(ulps: int) -> None:
    run(Shaken(quadratic((2.0, 2.0), 2, rotate=False), ulps), 2.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [2, 5, 40])
def test_nor_is_it_below_that_of_a_rotated_matrix(size: int, dtype: str) -> None:
    for seed in range(8):
        run(quadratic((2.0,) * size, 2, seed=seed), 2.0, dtype)


def test_a_scale_that_is_below_still_warns() -> None:
    for size in (2, 40):
        with pytest.raises(UserWarning, match="is below the largest curvature"):
            run(quadratic((2.0,) * size, 2), 2.0 * (1 - 1e-9))


@pytest.mark.parametrize("ulps", [-8, -1, 0, 1, 8])
def test_half_the_curvature_is_refused_on_either_side_of_a_rounding(ulps: int) -> None:
    with pytest.raises(ValueError, match="at most half the largest curvature"):
        run(Shaken(quadratic((2.0, 2.0), 2, rotate=False), ulps), 1.0)


def test_a_singular_hessian_is_refused_whatever_sign_its_zero_has() -> None:
    plain = quadratic((1.0, 1.0, 1.0), 2)
    for seed in range(20):
        turn = random_rotation(3, seed)
        hessian = (turn * [0.0, 1.0, 3.0]) @ turn.T
        for zero in (-4, 0, 4):
            moved = (hessian + hessian.T) / 2 + zero * LAST_BIT * np.eye(3)
            with pytest.raises(ValueError, match="must exceed the noise in its curvature"):
                dataclasses.replace(plain, hessian=moved, response=None)


def test_noise_as_large_as_the_smallest_eigenvalue_is_refused_rotated_too() -> None:
    noise = LowerNoise(curvature=0.3)
    for seed in range(20):
        with pytest.raises(ValueError, match="must exceed the noise in its curvature"):
            quadratic((0.3, 1.0, 2.0), 2, noise_lower=noise, seed=seed)
    assert quadratic((0.3 + 1e-9, 1.0), 2, noise_lower=noise).constants.mu > 0


def test_a_count_does_not_hang_on_a_last_bit() -> None:
    assert [ceiling(value) for value in (2.0, 2 + 4e-16, 2 - 4e-16, 2.001, 1.999)] == [
        2,
        2,
        2,
        3,
        2,
    ]
    assert ceiling(0.0) == 0
    plain = quadratic((1.0, 3.0), 2, rotate=False).constants
    wanted = schedules.vrbo(plain, epsilon=0.125).algorithm
    for ulps in range(-4, 5):
        moved = dataclasses.replace(plain, curvature=plain.curvature * (1 + ulps * LAST_BIT))
        found = schedules.vrbo(moved, epsilon=0.125).algorithm
        assert found.lower_steps == wanted.lower_steps


def test_the_rounding_allowed_is_rounding() -> None:
    assert spectral_rounding(10_000) < 1e-12
    assert spectral_rounding(100, 2.0**-24) < 1e-4
    assert spectral_rounding(2, 1e-50) == spectral_rounding(2)  # computed in float64 all the same
