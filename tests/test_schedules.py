"""The schedules: orders by halving ε, caps, the series' bias, steps against accuracy."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import accbo
from accbo import schedules
from accbo.problem import Constants
from accbo.problems import LowerNoise, relaxed_smooth
from accbo.schedules import Factors, neumann_terms
from tests.support import problem

CONSTANTS = problem("cosh").constants  # μ = 1, l = 2¼
EPSILON = 2.0**-4


def halved(schedule: Any, **options: Any) -> tuple[Any, Any]:
    return schedule(CONSTANTS, epsilon=EPSILON, **options), schedule(
        CONSTANTS, epsilon=EPSILON / 2, **options
    )


@pytest.mark.parametrize(
    ("schedule", "step", "steps"),
    [(schedules.accbo, 4, 8), (schedules.moving_average, 8, 16)],
    ids=["accbo", "moving average"],
)
def test_orders_by_halving_the_accuracy(schedule: Any, step: int, steps: int) -> None:
    one, half = halved(schedule)
    a, b = one.algorithm, half.algorithm
    assert (1 - a.momentum) / (1 - b.momentum) == 4
    assert a.upper_step_size / b.upper_step_size == step
    assert a.lower_step_size / b.lower_step_size == 4
    assert a.averaging / b.averaging == pytest.approx(2, rel=1e-15)
    assert half.steps / one.steps == steps
    assert half.first / one.first == 2
    assert one.lower_scale / half.lower_scale == pytest.approx(math.sqrt(2), rel=1e-15)
    # T0 = Õ(1/√(μα)): twice as many, and a logarithm
    assert 2 < half.warm_start / one.warm_start < 2.5
    # Q = O(log 1/ε): log 2 more, divided by the contraction
    more = math.log(2) / -math.log1p(-CONSTANTS.mu / CONSTANTS.curvature)
    assert math.floor(more) <= b.neumann_terms - a.neumann_terms <= math.ceil(more)


def test_values_by_hand() -> None:
    one = schedules.accbo(CONSTANTS, epsilon=EPSILON)
    a = one.algorithm
    assert CONSTANTS.mu == pytest.approx(1)
    assert a.momentum == 1 - EPSILON**2
    assert a.upper_step_size == a.lower_step_size == EPSILON**2
    root = math.sqrt(CONSTANTS.mu) * EPSILON
    assert a.averaging == pytest.approx(root, rel=1e-14)
    assert a.lower_momentum == pytest.approx((1 - root) / (1 + root), rel=1e-14)
    assert a.neumann_scale == CONSTANTS.curvature == pytest.approx(2.25)
    assert (one.steps, one.first, one.lower_scale) == (4096, 32, 0.25)
    assert one.warm_start == math.ceil(2 * (1 + math.log(16)) / root)
    assert (a.period, a.lower_steps) == (None, 1)
    rival = schedules.moving_average(CONSTANTS, epsilon=EPSILON)
    assert rival.algorithm.upper_step_size == EPSILON**3
    assert rival.steps == 16**4


def test_slip_by_hand() -> None:
    one = schedules.slip(CONSTANTS, epsilon=EPSILON)
    a = one.algorithm
    assert a.momentum == 1 - EPSILON**2
    assert a.upper_step_size == EPSILON**3
    assert a.lower_step_size == a.linear_step_size == EPSILON**2
    assert (one.steps, one.first, one.lower_scale) == (16**4, 32, 1.0)
    assert one.warm_start == math.ceil(2 * (1 + math.log(16)) * 16**2 / CONSTANTS.mu)
    twice = Factors(lower_step=2.0, linear_step=4.0, upper_step=8.0, momentum=16.0)
    b = schedules.slip(CONSTANTS, epsilon=EPSILON, factors=twice).algorithm
    assert b.lower_step_size == 2 * a.lower_step_size
    assert b.linear_step_size == 4 * a.linear_step_size
    assert b.upper_step_size == 8 * a.upper_step_size
    assert 1 - b.momentum == 16 * (1 - a.momentum)
    most = schedules.slip(CONSTANTS, epsilon=0.99, factors=Factors(momentum=2.0)).algorithm
    assert most.lower_step_size == most.linear_step_size == 1 / CONSTANTS.curvature
    assert most.momentum == 0


def test_slip_orders_by_halving_the_accuracy() -> None:
    one, half = halved(schedules.slip)
    a, b = one.algorithm, half.algorithm
    assert (1 - a.momentum) / (1 - b.momentum) == 4
    assert a.upper_step_size / b.upper_step_size == 8
    assert a.lower_step_size / b.lower_step_size == 4
    assert a.linear_step_size / b.linear_step_size == 4
    assert half.steps / one.steps == 16
    assert 4 < half.warm_start / one.warm_start < 5  # Õ(1/(μα)): four times, and a logarithm


def test_option_two_refreshes_every_1_over_epsilon() -> None:
    one, half = halved(schedules.accbo, option="II")
    assert (one.algorithm.period, half.algorithm.period) == (16, 32)
    assert one.algorithm.lower_step_size == EPSILON**2
    assert one.algorithm.lower_steps == 32  # 2/√(μα) with μ = 1 up to a last bit of LAPACK's
    assert schedules.accbo(CONSTANTS, epsilon=0.3, option="II").algorithm.period == 4


def test_the_lower_step_is_capped_at_one_over_l() -> None:
    steep = dataclasses.replace(CONSTANTS, mu=9.0, curvature=400.0)
    loose, tight = (schedules.accbo(steep, epsilon=e).algorithm for e in (0.2, 0.01))
    assert loose.lower_step_size == 1 / 400
    assert tight.lower_step_size == 0.01**2
    assert loose.averaging == pytest.approx(math.sqrt(9 / 400), rel=1e-15)
    flat = dataclasses.replace(CONSTANTS, mu=1.0, curvature=1.0)  # √(μα) = 1 at most
    most = schedules.accbo(flat, epsilon=0.999, factors=Factors(lower_step=5.0)).algorithm
    assert (most.lower_step_size, most.averaging, most.lower_momentum) == (1.0, 1.0, 0.0)
    assert schedules.accbo(flat, epsilon=0.5, factors=Factors(momentum=5.0)).algorithm.momentum == 0
    assert (
        schedules.accbo(flat, epsilon=0.9, factors=Factors(averaging=5.0)).algorithm.averaging == 1
    )


@pytest.mark.parametrize(
    ("factor", "field", "ratio"),
    [
        ("upper_step", "upper_step_size", 2),
        ("lower_step", "lower_step_size", 2),
        ("averaging", "averaging", 2),
    ],
)
def test_factors_stand_in_front(factor: str, field: str, ratio: float) -> None:
    plain = schedules.accbo(CONSTANTS, epsilon=EPSILON).algorithm
    more = schedules.accbo(CONSTANTS, epsilon=EPSILON, factors=Factors(**{factor: 2.0})).algorithm
    assert getattr(more, field) / getattr(plain, field) == pytest.approx(ratio, rel=1e-14)


def test_all_factors_are_one_but_the_three_named() -> None:
    assert dataclasses.asdict(Factors()) == {
        "momentum": 1.0,
        "upper_step": 1.0,
        "lower_step": 1.0,
        "linear_step": 1.0,
        "averaging": 1.0,
        "first": 2.0,
        "warm_start": 2.0,
        "lower_steps": 2.0,
        "lower_scale": 1.0,
    }


# --- Q -------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.3, 0.1, 0.01, 1e-6])
@pytest.mark.parametrize("kind", ["cosh", "nonquadratic"])
def test_the_bias_of_the_series_is_below_epsilon_and_no_term_is_idle(
    kind: str, epsilon: float
) -> None:
    c = problem(kind).constants
    bound = c.l_g1 * c.l_f0 / c.mu
    terms = neumann_terms(c, epsilon)
    assert bound * (1 - c.mu / c.curvature) ** terms <= epsilon
    assert bound * (1 - c.mu / c.curvature) ** (terms - 1) > epsilon


@pytest.mark.parametrize("epsilon", [0.3, 0.01, 1e-6])
def test_the_bias_of_the_hypergradient_itself_is_below_epsilon(epsilon: float) -> None:
    """On the worst v there is, along the eigenvector of μ with the length l_f0."""
    p = relaxed_smooth((1.0, 2.0, 4.0), 3, coupling=np.eye(3), rotate=False)
    c, terms = p.constants, neumann_terms(p.constants, epsilon)
    v = np.array([c.l_f0, 0.0, 0.0])
    powers = [np.linalg.matrix_power(np.eye(3) - p.hessian / c.curvature, q) for q in range(terms)]
    series = sum(powers) @ v / c.curvature
    x = y = np.zeros(3)
    bias = p.cross_lower(x, y, np.linalg.solve(p.hessian, v) - series)
    assert 0 < np.linalg.norm(bias) <= epsilon
    # l_g1 stands where ‖∇²_xy g‖ = 1 would do: no more than this factor is given away
    slack = c.l_g1 / (1 - c.mu / c.curvature)
    assert np.linalg.norm(bias) > epsilon / slack * 0.999


def test_one_term_where_the_hessian_is_isotropic() -> None:
    c = relaxed_smooth((2.0, 2.0), 2).constants
    flat = dataclasses.replace(c, curvature=c.mu)
    assert neumann_terms(flat, 1e-9) == 1
    assert schedules.accbo(flat, epsilon=0.01).algorithm.neumann_terms == 1
    assert neumann_terms(CONSTANTS, 0.999e6) == 1  # a bias that is allowed anyway


def test_an_infinite_l_f0_is_replaced_by_the_gradient_bound() -> None:
    c: Constants = problem("quadratic").constants
    assert c.l_f0 == math.inf
    finite = dataclasses.replace(c, l_f0=7.0)
    assert neumann_terms(c, 0.01, gradient_bound=7.0) == neumann_terms(finite, 0.01)
    assert neumann_terms(c, 0.01) == neumann_terms(dataclasses.replace(c, l_f0=1.0), 0.01)
    assert neumann_terms(finite, 0.01, gradient_bound=1e6) == neumann_terms(finite, 0.01)
    wide = schedules.accbo(c, epsilon=0.01, gradient_bound=7.0).algorithm.neumann_terms
    assert wide == neumann_terms(finite, 0.01) > neumann_terms(c, 0.01)


# --- steps and accuracy --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "power"),
    [(schedules.accbo, 3), (schedules.moving_average, 4), (schedules.slip, 4)],
)
def test_steps_and_accuracy_belong_together(schedule: Any, power: int) -> None:
    for exponent in range(2, 9):
        steps = 2 ** (power * exponent)
        by_steps = schedule(CONSTANTS, steps=steps)
        by_accuracy = schedule(CONSTANTS, epsilon=2.0**-exponent)
        assert by_steps.steps == by_accuracy.steps == steps
        assert by_steps.epsilon == pytest.approx(2.0**-exponent, rel=1e-15)
    for steps in (2, 100, 1000, 12345):
        one = schedule(CONSTANTS, steps=steps)
        assert one.steps == steps
        assert one.epsilon == pytest.approx(steps ** (-1 / power), rel=1e-15)
    assert schedule(CONSTANTS, epsilon=0.3).steps == math.ceil(0.3**-power)


@pytest.mark.parametrize("option", ["I", "II"])
def test_a_schedule_runs(option: str) -> None:
    p = relaxed_smooth((1.0, 1.5), 2, noise_lower=LowerNoise(additive=0.5, curvature=0.25))
    one = schedules.accbo(
        p.constants, steps=64, option=option, sampling="independent", order="sequential"
    )
    assert (one.algorithm.neumann_sampling, one.algorithm.order) == ("independent", "sequential")
    result = accbo.run(
        one.algorithm,
        p,
        np.full(2, 0.5),
        np.zeros(2),
        steps=one.steps,
        warm_start=one.warm_start,
        first=one.first,
        noise=accbo.Tape(0, lower_scale=one.lower_scale),
    )
    assert result.state.iteration == 64
    # with noise on the lower level only, ‖∇Φ‖ has fallen to the order of ε
    start = float(np.linalg.norm(p.hypergradient(np.full(2, 0.5))))
    assert np.linalg.norm(p.hypergradient(result.state.x)) < start
