"""SLIP against a second program, and the laws of its linear-system iterate."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from accbo import SLIP, SLIPSample, Tape
from accbo._arrays import named_leaves
from accbo.hypergradient import implicit_gradient, linear_system_step
from accbo.problems import LowerNoise, UpperNoise
from tests.backends import Backend
from tests.support import (
    ROUNDOFF,
    SKEWED,
    U64,
    Case,
    X,
    Y,
    batch,
    bits,
    condition,
    errors,
    exact,
    fields,
    problem,
    stored,
)
from tests.test_step import Explicit, at

STEPS = 8
ALGORITHM = SLIP(
    lower_step_size=0.25, linear_step_size=0.125, momentum=0.875, upper_step_size=2.0**-6
)


def slip(**changes: Any) -> SLIP:
    return dataclasses.replace(ALGORITHM, **changes)


def case(algorithm: SLIP = ALGORITHM, **options: Any) -> Case:
    return Case(problem("nonquadratic"), algorithm, X, Y)._replace(**options)


# --- the second program --------------------------------------------------------------------


def slow(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """SPEC §5's row with explicit matrices, one replicate."""
    a, p = case.algorithm, Explicit(case.problem)
    x, y, z = case.x, case.y, np.zeros_like(case.y)
    for n in range(case.warm_start):
        y = y - a.lower_step_size * p.G_y(x, y, at(replay.start.warm_start, n))
    m = None
    for t in range(steps):
        s = replay.start.first if t == 0 else replay.steps[t - 1]

        def h(*index: int, x: Any = x, y: Any = y, z: Any = z, s: Any = s) -> Any:
            cross = p.G_xy(x, y, at(s.cross, *index))
            return p.F_x(x, y, at(s.upper, *index)) - cross @ z

        if t == 0:
            m = np.mean([h(i) for i in range(case.first)], axis=0)
        else:
            m = a.momentum * m + (1 - a.momentum) * h()
        residual = p.G_yy(x, y, s.hessian) @ z - p.F_y(x, y, s.upper_y)
        y_next = y - a.lower_step_size * p.G_y(x, y, at(s.lower, 0))
        x, y, z = x - a.upper_step_size * m / np.sqrt(m @ m), y_next, z - 0.125 * residual
    return {"x": x, "y": y, "z": z, "momentum": m}


@pytest.mark.parametrize("steps", [1, 2, STEPS])
@pytest.mark.parametrize("noise", [problem("nonquadratic").noise_upper, SKEWED])
def test_every_step_is_that_of_the_second_program(noise: UpperNoise, steps: int) -> None:
    one = case()._replace(problem=problem("nonquadratic", noise_upper=noise))
    replay = stored(one, STEPS)
    K = condition(one, steps, replay)
    state = one.run(steps, replay).state
    assert state.iteration == steps
    for name, expected in slow(one, replay, steps).items():
        error = np.linalg.norm(getattr(state, name) - expected)
        assert error <= 10 * max(K[name], 1.0) * U64, name


@pytest.mark.parametrize(
    "change",
    [
        {"lower_step_size": 0.25 + 1e-9},
        {"momentum": 0.875 + 1e-9},
        {"upper_step_size": 2.0**-6 + 1e-9},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_second_program_sees_every_hyper_parameter(change: dict[str, float]) -> None:
    one, other = case(), case(slip(**change))
    replay = stored(one, 4)
    expected, found = slow(other, replay, 4), fields(one.run(4, replay).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-12


# --- the laws ------------------------------------------------------------------------------


def test_the_fixed_point_of_z_solves_the_linear_system() -> None:
    H, v = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([1.0, -3.0])
    solution = np.linalg.solve(H, v)
    moved = linear_system_step(lambda u: H @ u, v, solution, 0.25)
    np.testing.assert_allclose(moved, solution, rtol=0, atol=8 * U64)
    z = np.zeros(2)
    for n in range(1, 40):
        z = linear_system_step(lambda u: H @ u, v, z, 0.25)
        # e_n = (I − νH)^n e_0 exactly, up to rounding
        error = np.linalg.matrix_power(np.eye(2) - 0.25 * H, n) @ solution
        np.testing.assert_allclose(solution - z, error, rtol=0, atol=50 * U64)


@pytest.mark.parametrize("kind", ["quadratic", "cosh", "nonquadratic"])
def test_without_noise_y_and_z_arrive_and_the_direction_is_the_hypergradient(kind: str) -> None:
    quiet = problem(kind, noise_upper=UpperNoise(), noise_lower=LowerNoise())
    still = slip(upper_step_size=1e-300)  # x does not move
    state = Case(quiet, still, X, Y, 0, 1).run(2000, 0).state
    solution = quiet.solution(X)
    np.testing.assert_allclose(state.y, solution, atol=1e-13)
    H = np.stack([quiet.hvp_lower(X, solution, e) for e in np.eye(3)], axis=-1)
    np.testing.assert_allclose(
        state.z, np.linalg.solve(H, quiet.grad_y_upper(X, solution)), atol=1e-13
    )
    np.testing.assert_allclose(state.momentum, quiet.hypergradient(X), atol=1e-12)


def test_the_upper_direction_is_a_moving_average() -> None:
    """With h constant, m_t = h + β^t (m_0 − h); a recursive momentum would stay at m_0."""
    quiet = problem("quadratic", noise_upper=UpperNoise(), noise_lower=LowerNoise())
    solution = quiet.solution(X)
    still = slip(lower_step_size=1e-300, linear_step_size=1e-300, upper_step_size=1e-300)
    layout = still.draw_start(quiet, 0, 1)
    state = still.init(quiet, X, solution, Tape().open(X).start(layout))
    off = np.array([3.0, -5.0])
    h = quiet.grad_x_upper(X, solution)  # z = 0
    state = state._replace(momentum=h + off)
    for t in range(1, 20):
        state = still.step(quiet, state, Tape().open(X).start(layout).first)
        np.testing.assert_allclose(state.momentum, h + 0.875**t * off, atol=50 * U64)


def test_the_step_has_length_eta_and_all_variables_read_the_old_ones() -> None:
    one = case()
    replay = stored(one, 3)
    before = one.run(2, replay).state
    after = one.algorithm.step(one.problem, before, replay.steps[1])
    s = replay.steps[1]
    assert np.linalg.norm(after.x - before.x) == pytest.approx(2.0**-6, rel=1e-13)
    h = implicit_gradient(one.problem, before.x, before.y, before.z, s)
    np.testing.assert_allclose(
        after.momentum, 0.875 * before.momentum + 0.125 * h, rtol=0, atol=20 * U64
    )
    lower = one.problem.grad_y_lower(before.x, before.y, at(s.lower, 0))
    assert np.array_equal(after.y, before.y - 0.25 * lower)


def test_z_starts_at_zero_and_m_0_is_a_mean() -> None:
    one = case(warm_start=0, first=4)
    replay = stored(one, 1)
    state, first = one.run(1, replay).state, replay.start.first
    samples = [one.problem.grad_x_upper(X, Y, at(first.upper, i)) for i in range(4)]
    np.testing.assert_allclose(state.momentum, np.mean(samples, axis=0), atol=20 * U64)
    np.testing.assert_allclose(
        state.z, 0.125 * one.problem.grad_y_upper(X, Y, first.upper_y), rtol=4 * U64
    )


def test_samples_are_fresh() -> None:
    """ξ and ξ' are two draws: ∇_x F and ∇_y F do not share one."""
    sample = Tape(1).open(X).start(ALGORITHM.draw_start(problem("quadratic"), 0, 1)).first
    assert isinstance(sample, SLIPSample)
    for name, leaf in sample.upper_y.items():
        assert np.all(leaf != sample.upper[name][0])


def test_more_than_one_lower_step_is_refused() -> None:
    one = case()
    replay = stored(one, 2)
    two = {name: np.concatenate((leaf, leaf)) for name, leaf in replay.steps[0].lower.items()}
    with pytest.raises(ValueError, match="2 rows; SLIP takes one step"):
        one.algorithm.step(
            one.problem, one.run(1, replay).state, replay.steps[0]._replace(lower=two)
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [("lower_step_size", 0.0), ("linear_step_size", -1.0), ("momentum", 1.0)],
)
def test_hyper_parameters_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must lie in"):
        slip(**{name: value})


# --- backends ------------------------------------------------------------------------------

TAPED = 20


def test_short_runs_agree_with_50_digits(backend: Backend) -> None:
    one = case()
    state = one.to(backend).run(TAPED, Tape(1)).state
    assert state.iteration == TAPED
    assert all(backend.holds(leaf) for _, leaf in named_leaves(state))
    replay = stored(one, TAPED)
    K, found = condition(one, TAPED, replay), errors(state, exact(one, TAPED, replay))
    for name, error in found.items():
        assert error <= 10 * K[name] * ROUNDOFF["float64"], name


@pytest.mark.parametrize("backend", ["strict", "strict-device1"], indirect=True)
def test_strict_has_the_bits_of_numpy(backend: Backend) -> None:
    one = case(x=batch(X, 3), y=batch(Y, 3))
    assert bits(one.to(backend).run(TAPED, 1).state) == bits(one.run(TAPED, 1).state)


def test_replicates_are_independent_runs() -> None:
    many = case(x=batch(X, 3), y=batch(Y, 3))
    state = many.run(TAPED, Tape(1)).state
    for r in range(3):
        alone = many._replace(x=many.x[r], y=many.y[r])
        mine = alone.run(TAPED, Tape(1, first_replicate=r)).state
        for name, leaf in fields(mine).items():
            assert leaf.tobytes() == getattr(state, name)[r].tobytes(), name
