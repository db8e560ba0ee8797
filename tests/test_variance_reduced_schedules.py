"""The schedules of seven other methods: by hand, by halving ε, and as runs."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest

import accbo
from accbo import Tape, count_calls, schedules
from accbo.schedules import Factors, neumann_terms
from tests.support import ALL_PROBLEMS, X, Y, batch, problem

CONSTANTS = problem("cosh").constants  # μ = 1, l = 2¼
EPSILON = 2.0**-4
SUM = problem("finite_sum", upper_batch=1, lower_batch=1)  # 8 + 6 terms
SERIES = ("sustain", "vrbo", "ttsa", "stocbio")  # Q terms for the inverse Hessian
METHODS = (*SERIES, "masoba", "borep")


def test_saba_by_hand() -> None:
    one = schedules.saba(CONSTANTS, samples=64, epsilon=EPSILON)
    a = one.algorithm
    assert a.lower_step_size == a.linear_step_size == pytest.approx(1 / 16, rel=1e-15)
    assert a.upper_step_size == pytest.approx(1 / CONSTANTS.K0)  # the shorter of the two
    assert (one.steps, one.warm_start, one.first, one.lower_scale) == (16 * 256, 0, 1, 1.0)
    twice = Factors(lower_step=2.0, linear_step=4.0, upper_step=0.01)
    b = schedules.saba(CONSTANTS, samples=64, epsilon=EPSILON, factors=twice).algorithm
    assert b.lower_step_size == 2 * a.lower_step_size
    assert b.linear_step_size == 4 * a.linear_step_size
    assert b.upper_step_size == pytest.approx(0.01 / 16, rel=1e-15)
    few = schedules.saba(CONSTANTS, samples=2, epsilon=EPSILON).algorithm
    assert few.lower_step_size == few.linear_step_size == 1 / CONSTANTS.curvature


def test_saba_from_a_number_of_steps() -> None:
    one = schedules.saba(CONSTANTS, samples=64, steps=4096)
    assert one.steps == 4096
    assert one.epsilon == pytest.approx(EPSILON, rel=1e-15)
    with pytest.raises(ValueError, match=r"epsilon must lie in \(0, 1\)"):
        schedules.saba(CONSTANTS, samples=64, steps=15)  # fewer than (n+m)^{2/3}


@pytest.mark.parametrize("samples", [1, 2.0, True, None])
def test_the_number_of_terms_is_an_integer(samples: Any) -> None:
    with pytest.raises(ValueError, match="samples must be an integer >= 2, n \\+ m, got"):
        schedules.saba(CONSTANTS, samples=samples, epsilon=0.1)


def test_sustain_by_hand() -> None:
    one = schedules.sustain(CONSTANTS, epsilon=EPSILON)
    a, root = one.algorithm, 2 ** (1 / 3)
    assert a.offset == 2
    assert a.lower_step_size == pytest.approx(root / CONSTANTS.curvature)  # β_0 = 1/l
    assert a.upper_step_size == pytest.approx(root / CONSTANTS.K0)  # α_0 = 1/K0
    assert a.lower_averaging == a.upper_averaging == 1
    assert a.neumann_terms == neumann_terms(CONSTANTS, EPSILON)
    assert a.neumann_scale == CONSTANTS.curvature
    assert (one.steps, one.warm_start, one.first, one.lower_scale) == (16**3, 0, 1, 1.0)
    less = Factors(lower_step=0.25, upper_step=0.01, momentum=0.5, lower_scale=0.5)
    other = schedules.sustain(CONSTANTS, epsilon=EPSILON, factors=less)
    b = other.algorithm
    assert (b.lower_step_size, b.upper_step_size, b.upper_averaging) == (0.25, 0.01, 0.5)
    assert other.lower_scale == 0.5
    most = schedules.sustain(CONSTANTS, epsilon=EPSILON, factors=Factors(momentum=9.0)).algorithm
    assert most.lower_averaging == 2 ** (2 / 3)  # η_1 = 1


def test_the_sizes_of_sustain_do_not_know_the_accuracy() -> None:
    one, half = (schedules.sustain(CONSTANTS, epsilon=e) for e in (EPSILON, EPSILON / 2))
    assert half.steps == 8 * one.steps
    terms = half.algorithm.neumann_terms
    assert dataclasses.replace(one.algorithm, neumann_terms=terms) == half.algorithm


def test_vrbo_by_hand() -> None:
    one = schedules.vrbo(CONSTANTS, epsilon=EPSILON)
    a = one.algorithm
    assert a.lower_step_size == 1 / CONSTANTS.curvature
    assert a.upper_step_size == 1 / CONSTANTS.K0
    assert (a.period, a.small_batch, a.large_batch) == (16, 16, 2 * 256)
    assert a.lower_steps == math.ceil(2 * CONSTANTS.curvature / CONSTANTS.mu) == 5
    assert (one.steps, one.warm_start, one.first, one.lower_scale) == (256, 0, 1, 1.0)
    less = Factors(lower_step=0.25, upper_step=0.01, lower_steps=4.0, first=1.0)
    b = schedules.vrbo(CONSTANTS, epsilon=EPSILON, factors=less).algorithm
    assert (b.lower_step_size, b.upper_step_size) == (0.25, 0.01)
    assert (b.lower_steps, b.large_batch) == (9, 256)


def test_the_samples_of_vrbo_grow_like_the_third_power() -> None:
    """Per term of the series: S1/q + 2 (m + 1) S2 an iteration, ε⁻² iterations."""

    def samples(epsilon: float) -> float:
        one = schedules.vrbo(CONSTANTS, epsilon=epsilon)
        algorithm = dataclasses.replace(one.algorithm, neumann_terms=1)
        return count_calls(algorithm, problem("cosh"), X, Y, steps=one.steps).total

    assert samples(EPSILON / 2) / samples(EPSILON) == pytest.approx(8, rel=1e-12)


def test_ttsa_by_hand() -> None:
    one = schedules.ttsa(CONSTANTS, epsilon=EPSILON)
    a = one.algorithm
    assert a.offset == 1
    assert a.lower_step_size == 1 / CONSTANTS.curvature  # β_0
    assert a.upper_step_size == 1 / CONSTANTS.K0  # α_0
    assert a.neumann_terms == neumann_terms(CONSTANTS, EPSILON)
    assert a.neumann_scale == CONSTANTS.curvature
    assert (one.steps, one.warm_start, one.first, one.lower_scale) == (16**5, 0, 1, 1.0)
    less = Factors(lower_step=0.25, upper_step=0.01, lower_scale=0.5)
    other = schedules.ttsa(CONSTANTS, epsilon=EPSILON, factors=less)
    assert (other.algorithm.lower_step_size, other.algorithm.upper_step_size) == (0.25, 0.01)
    assert other.lower_scale == 0.5


def test_the_sizes_of_ttsa_do_not_know_the_accuracy() -> None:
    one, half = (schedules.ttsa(CONSTANTS, epsilon=e) for e in (EPSILON, EPSILON / 2))
    assert half.steps == 32 * one.steps
    terms = half.algorithm.neumann_terms
    assert dataclasses.replace(one.algorithm, neumann_terms=terms) == half.algorithm
    assert schedules.ttsa(CONSTANTS, steps=16**5).epsilon == pytest.approx(EPSILON, rel=1e-15)


def test_stocbio_by_hand() -> None:
    one = schedules.stocbio(CONSTANTS, epsilon=EPSILON)
    a = one.algorithm
    assert a.lower_step_size == 1 / CONSTANTS.curvature
    assert a.upper_step_size == 1 / CONSTANTS.K0
    assert a.lower_steps == math.ceil(2 * 2.25 * (1 + math.log(2.25))) == 9
    assert (a.lower_batch, a.upper_batch) == (256, 256)
    assert a.neumann_terms == neumann_terms(CONSTANTS, EPSILON)
    assert (one.steps, one.warm_start, one.first, one.lower_scale) == (256, 0, 1, 1.0)
    less = Factors(lower_step=0.25, upper_step=0.01, lower_steps=4.0)
    b = schedules.stocbio(CONSTANTS, epsilon=EPSILON, factors=less).algorithm
    assert (b.lower_step_size, b.upper_step_size, b.lower_steps) == (0.25, 0.01, 17)


@pytest.mark.parametrize("steps", [49, 100, 512])  # of which the square root is not exact
def test_the_batches_of_stocbio_are_its_steps(steps: int) -> None:
    one = schedules.stocbio(CONSTANTS, steps=steps)
    assert (one.steps, one.algorithm.lower_batch, one.algorithm.upper_batch) == (steps,) * 3


def test_the_samples_of_stocbio_grow_like_the_fourth_power() -> None:
    """Per term of the series: D S + 3 B an iteration, ε⁻² iterations."""

    def samples(epsilon: float) -> float:
        one = schedules.stocbio(CONSTANTS, epsilon=epsilon)
        algorithm = dataclasses.replace(one.algorithm, neumann_terms=1)
        return count_calls(algorithm, problem("cosh"), X, Y, steps=one.steps).total

    assert samples(EPSILON / 2) / samples(EPSILON) == pytest.approx(16, rel=1e-12)


def test_masoba_by_hand() -> None:
    one = schedules.masoba(CONSTANTS, epsilon=EPSILON)
    a = one.algorithm
    assert a.lower_step_size == a.linear_step_size == EPSILON**2
    assert a.momentum == 1 - EPSILON**2
    assert a.upper_step_size == EPSILON**2
    assert (one.steps, one.warm_start, one.first, one.lower_scale) == (16**4, 0, 1, 1.0)
    less = Factors(lower_step=2.0, linear_step=4.0, upper_step=0.5, momentum=16.0, lower_scale=0.5)
    other = schedules.masoba(CONSTANTS, epsilon=EPSILON, factors=less)
    b = other.algorithm
    assert b.lower_step_size == 2 * a.lower_step_size
    assert b.linear_step_size == 4 * a.linear_step_size
    assert b.upper_step_size == a.upper_step_size / 2
    assert 1 - b.momentum == 16 * (1 - a.momentum)
    assert other.lower_scale == 0.5
    most = schedules.masoba(CONSTANTS, epsilon=0.99, factors=Factors(momentum=2.0)).algorithm
    assert most.lower_step_size == most.linear_step_size == 1 / CONSTANTS.curvature
    assert most.upper_step_size == 1 / CONSTANTS.K0
    assert most.momentum == 0


def test_borep_by_hand() -> None:
    one, slip = (f(CONSTANTS, epsilon=EPSILON) for f in (schedules.borep, schedules.slip))
    a = one.algorithm
    for name in ("lower_step_size", "linear_step_size", "momentum", "upper_step_size"):
        assert getattr(a, name) == getattr(slip.algorithm, name)
    for name in ("steps", "warm_start", "first", "lower_scale"):
        assert getattr(one, name) == getattr(slip, name)
    assert (a.period, a.lower_steps) == (256, 2 * 256)  # 2/(μα) with μ = 1
    less = Factors(lower_step=0.25, lower_steps=1.0)
    b = schedules.borep(CONSTANTS, epsilon=EPSILON, factors=less).algorithm
    assert (b.period, b.lower_steps) == (256, 4 * 256)


@pytest.mark.parametrize("name", ["masoba", "borep"])
def test_the_sizes_of_the_averages_by_halving_the_accuracy(name: str) -> None:
    schedule = getattr(schedules, name)
    one, half = (schedule(CONSTANTS, epsilon=e) for e in (EPSILON, EPSILON / 2))
    a, b = one.algorithm, half.algorithm
    assert (1 - a.momentum) / (1 - b.momentum) == 4
    assert a.lower_step_size / b.lower_step_size == 4
    assert a.linear_step_size / b.linear_step_size == 4
    assert a.upper_step_size / b.upper_step_size == {"masoba": 4, "borep": 8}[name]
    assert half.steps / one.steps == 16
    assert schedule(CONSTANTS, steps=16**4).epsilon == pytest.approx(EPSILON, rel=1e-15)
    if name == "borep":
        assert b.period / a.period == b.lower_steps / a.lower_steps == 4


def test_a_smooth_problem_takes_its_own_smoothness() -> None:
    quadratic = problem("quadratic").constants
    assert math.isinf(quadratic.l_f0)
    one = schedules.vrbo(quadratic, epsilon=EPSILON).algorithm
    assert one.upper_step_size == pytest.approx(1 / quadratic.smoothness)
    unknown = dataclasses.replace(quadratic, smoothness=None)
    assert schedules.vrbo(unknown, epsilon=EPSILON).algorithm.upper_step_size == 1
    for schedule in (getattr(schedules, name) for name in SERIES):
        with pytest.raises(ValueError, match="gradient_bound must be > 0, got 0"):
            schedule(quadratic, epsilon=EPSILON, gradient_bound=0)
        wider = schedule(quadratic, epsilon=EPSILON, gradient_bound=100.0).algorithm
        assert wider.neumann_terms > schedule(quadratic, epsilon=EPSILON).algorithm.neumann_terms


@pytest.mark.parametrize(
    ("name", "kind"),
    [("saba", "finite_sum"), *itertools.product(METHODS, ALL_PROBLEMS)],
)
def test_a_run_from_its_schedule_comes_closer(name: str, kind: str) -> None:
    host = SUM if kind == "finite_sum" else problem(kind)
    terms = {"samples": 14} if name == "saba" else {}
    epsilon = 0.2 if name == "ttsa" else 0.125  # whose T is ε⁻⁵
    one = getattr(schedules, name)(host.constants, epsilon=epsilon, **terms)
    result = accbo.run(
        one.algorithm,
        host,
        batch(X, 4),
        batch(Y, 4),
        steps=one.steps,
        noise=Tape(1, lower_scale=one.lower_scale),
        warm_start=one.warm_start,
        first=one.first,
    )
    before, after = (np.linalg.norm(host.hypergradient(x)) for x in (batch(X, 4), result.state.x))
    assert after < 0.35 * before
