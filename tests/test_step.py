"""AccBO against a second program: SPEC §2 per replicate, with explicit matrices.

The second program shares nothing with the package but the numbers it is given. Tolerance:
10·K·u of ``support.condition``, for two float64 programs that round differently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accbo._arrays import map_arrays
from tests.support import (
    LOWER,
    SKEWED,
    U64,
    UPPER,
    Case,
    X,
    Y,
    batch,
    bits,
    changed,
    condition,
    fields,
    problem,
    stored,
)

STEPS = 8


# --- the second program --------------------------------------------------------------------


class Explicit:
    """The problem with the log-cosh lower level, one replicate, as matrices."""

    def __init__(self, p: Any) -> None:
        self.H, self.C, self.W, self.k = p.hessian, p.coupling, p.shift, p.strength
        self.w, self.t = p.weights, p.target
        self.up, self.low = p.noise_upper, p.noise_lower

    def F_x(self, x: Any, y: Any, xi: Any) -> Any:
        noise = self.up.additive_x * xi["additive_x"]
        return self.w * x + noise + self.up.multiplicative_x * xi["multiplicative_x"] * x

    def F_y(self, x: Any, y: Any, xi: Any) -> Any:
        noise = self.up.additive_y * xi["additive_y"]
        return np.tanh(y - self.t) + noise + self.up.multiplicative_y * xi["multiplicative_y"] * y

    def G_y(self, x: Any, y: Any, pi: Any) -> Any:
        C = np.diag(1 + self.low.coupling * pi["coupling"]) @ self.C
        H = self.H + self.low.curvature * np.diag(pi["curvature"])
        bend = self.k * np.tanh(y - self.W @ x)
        return H @ y - C @ x + bend + self.low.additive * pi["additive"]

    def G_yy(self, x: Any, y: Any, zeta: Any) -> Any:
        bend = np.diag(self.k / np.cosh(y - self.W @ x) ** 2)
        return self.H + bend + self.low.curvature * np.diag(zeta["curvature"])

    def G_xy(self, x: Any, y: Any, zeta: Any) -> Any:
        bend = np.diag(self.k / np.cosh(y - self.W @ x) ** 2)
        return -self.C.T @ np.diag(1 + self.low.coupling * zeta["coupling"]) - self.W.T @ bend


def at(part: Any, *index: int) -> Any:
    """One entry of every field's leading axes."""
    return {name: leaf[index] for name, leaf in part.items()}


def estimate(
    p: Explicit, a: Any, x: Any, y: Any, xi: Any, zeta0: Any, zeta: Any, power: Any
) -> Any:
    """h(x, y) of SPEC §2; ``zeta(j)`` is row j of the Hessian samples."""
    Q, scale, v = a.neumann_terms, a.neumann_scale, p.F_y(x, y, xi)

    def factor(j: int) -> Any:
        return np.eye(v.size) - p.G_yy(x, y, zeta(j)) / scale

    if a.neumann_sampling == "chained":
        total, running = v, v
        for q in range(1, Q):
            running = factor(q - 1) @ running
            total = total + running
        inverse = total / scale
    elif a.neumann_sampling == "independent":
        rows = {}
        for j in range(1, Q):
            for q in range(j, Q):
                rows[q, j] = len(rows)
        inverse = 0
        for q in range(Q):
            term = v
            for j in range(1, q + 1):
                term = factor(rows[q, j]) @ term
            inverse = inverse + term / scale
    else:
        term = v
        for j in range(1, int(power) + 1):
            term = factor(j - 1) @ term
        inverse = Q / scale * term
    return p.F_x(x, y, xi) - p.G_xy(x, y, zeta0) @ inverse


def slow(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """``steps`` iterations of one replicate, t = 0 … steps − 1."""
    a, p = case.algorithm, Explicit(case.problem)
    alpha, gamma, tau = a.lower_step_size, a.lower_momentum, a.averaging
    beta, eta = a.momentum, a.upper_step_size

    def snag(x: Any, y: Any, y_previous: Any, pi: Any) -> Any:
        z = y + gamma * (y - y_previous)
        return z - alpha * p.G_y(x, z, pi)

    def below(t: int, x: Any, y: Any, y_previous: Any, lower: Any) -> Any:
        if a.period is None:
            return snag(x, y, y_previous, at(lower, 0))
        if t % a.period != 0:
            return y
        new, old = y, y
        for n in range(a.lower_steps):
            new, old = snag(x, new, old, at(lower, n)), new
        return new

    def h(x: Any, y: Any, s: Any, *index: int) -> Any:
        power = s.power["power"][index][0] if s.power else None
        xi, zeta0 = at(s.upper, *index), at(s.cross, *index)
        return estimate(p, a, x, y, xi, zeta0, lambda j: at(s.hessian, *index, j), power)

    x, y, y_previous = case.x, case.y, case.y
    for n in range(case.warm_start):
        y, y_previous = snag(x, y, y_previous, at(replay.start.warm_start, n)), y
    y_previous, average = y, y
    m = x_previous = average_previous = None
    for t in range(steps):
        s = replay.start.first if t == 0 else replay.steps[t - 1]
        y_next = below(t, x, y, y_previous, s.lower)
        average_next = (1 - tau) * average + tau * y_next
        new = (x, average) if a.order == "simultaneous" else (x, average_next)
        old = (x_previous, average_previous if a.order == "simultaneous" else average)
        if t == 0:
            m = np.mean([h(*new, s, i) for i in range(case.first)], axis=0)
        else:
            m = h(*new, s) + beta * (m - h(*old, s))
        x_next = x - eta * m / np.sqrt(m @ m)
        x_previous, x = x, x_next
        y_previous, y = y, y_next
        average_previous, average = average, average_next
    return {
        "x": x,
        "x_previous": x_previous,
        "y": y,
        "y_previous": y_previous,
        "y_average": average,
        "y_average_previous": average_previous,
        "momentum": m,
    }


# --- the comparison ------------------------------------------------------------------------

OPTIONS = ({}, {"period": 1, "lower_steps": 3}, {"period": 3, "lower_steps": 2})


@pytest.mark.parametrize("option", OPTIONS, ids=["I", "II-1", "II-3"])
@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
@pytest.mark.parametrize("sampling", ["chained", "independent", "randomised"])
def test_every_step_is_that_of_the_second_program(
    sampling: str, order: str, option: dict[str, int]
) -> None:
    algorithm = changed(neumann_sampling=sampling, order=order, **option)
    noise = SKEWED if order == "sequential" else UPPER
    case = Case(problem("nonquadratic", noise_upper=noise), algorithm, X, Y)
    replay = stored(case, STEPS)
    K = condition(case, STEPS, replay)
    state = case.algorithm.init(case.problem, case.x, case.y, replay.start)
    for steps in range(1, STEPS + 1):
        assert state.iteration == steps
        expected = slow(case, replay, steps)
        for name, value in fields(state).items():
            # K grows with the steps at first; a field of size below 1 rounds at least once
            tolerance = 10 * max(K[name], 1.0) * U64
            assert np.linalg.norm(value - expected[name]) <= tolerance, (steps, name)
        if steps < STEPS:
            state = case.algorithm.step(case.problem, state, replay.steps[steps - 1])


@pytest.mark.parametrize("first", [1, 4])
@pytest.mark.parametrize("warm_start", [0, 1, 5])
@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
def test_the_start_is_that_of_the_second_program(order: str, warm_start: int, first: int) -> None:
    case = Case(problem("nonquadratic"), changed(order=order), X, Y, warm_start, first)
    replay = stored(case, 3)
    K = condition(case, 3, replay)
    state = case.run(3, replay).state
    for name, expected in slow(case, replay, 3).items():
        error = np.linalg.norm(getattr(state, name) - expected)
        assert error <= 10 * max(K[name], 1.0) * U64, name


def test_a_batch_of_replicates_is_many_second_programs() -> None:
    case = Case(problem("nonquadratic"), changed(period=2, lower_steps=2), X, Y)
    many = case._replace(x=batch(X, 3), y=batch(Y, 3))
    replay = stored(many, STEPS)
    state = fields(many.run(STEPS, replay).state)
    for r in range(3):
        mine = map_arrays(lambda leaf, r=r: leaf[..., r, :], replay)
        one = case._replace(x=many.x[r], y=many.y[r])
        K = condition(one, STEPS, mine)
        for name, expected in slow(one, mine, STEPS).items():
            error = np.linalg.norm(state[name][r] - expected)
            assert error <= 10 * max(K[name], 1.0) * U64, name


@pytest.mark.parametrize(
    "change",
    [
        {"lower_step_size": 0.25 + 1e-9},
        {"lower_momentum": 0.375 + 1e-9},
        {"averaging": 0.25 + 1e-9},
        {"momentum": 0.875 + 1e-9},
        {"upper_step_size": 2.0**-6 + 1e-9},
        {"neumann_scale": 3.0 + 1e-9},
        {"neumann_terms": 5, "neumann_sampling": "randomised"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_second_program_sees_every_hyper_parameter(change: dict[str, Any]) -> None:
    case = Case(
        problem("nonquadratic"), changed(**{"neumann_sampling": "randomised", **change}), X, Y
    )
    replay = stored(case, 4)
    plain = case._replace(algorithm=changed(neumann_sampling="randomised"))
    if "neumann_terms" in change:
        replay = stored(plain, 4)
    expected = slow(case, replay, 4)
    found = fields(plain.run(4, stored(plain, 4)).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-12


# --- the start, by value -------------------------------------------------------------------


@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
def test_iteration_zero_leaves_the_state_as_declared(order: str) -> None:
    case = Case(problem("quadratic"), changed(order=order), X, Y, warm_start=0)
    state = case.run(1, 1).state
    assert state.iteration == 1
    assert np.array_equal(state.x_previous, X)  # x_0
    assert np.array_equal(state.y_previous, Y)  # y_0 = y_init where T0 = 0
    assert np.array_equal(state.y_average_previous, Y)  # ŷ_0
    assert np.array_equal(state.y_average, 0.75 * Y + 0.25 * state.y)
    assert np.linalg.norm(state.x - X) == pytest.approx(2.0**-6, rel=1e-13)
    assert np.any(state.y != Y)


def test_the_warm_start_discards_its_momentum() -> None:
    """One step after T0 of them is the step from the pair (y_0, y_0)."""
    case = Case(problem("quadratic"), changed(), X, Y, warm_start=4)
    replay = stored(case, 1)
    state = case.run(1, replay).state
    fresh = case._replace(y=state.y_previous, warm_start=0)
    start = stored(fresh, 1).start._replace(first=replay.start.first)
    again = fresh.algorithm.init(fresh.problem, fresh.x, fresh.y, start)
    assert bits(again) == bits(state)
    assert np.any(state.y_previous != Y)


def test_nothing_depends_on_what_stood_before_iteration_zero() -> None:
    """m_0 has no old point: momentum β does not enter iteration 0."""
    case = Case(problem("nonquadratic"), changed(), X, Y)
    other = case._replace(algorithm=changed(momentum=0.125))
    assert bits(case.run(1, 1).state) == bits(other.run(1, 1).state)
    assert bits(case.run(2, 1).state) != bits(other.run(2, 1).state)


def test_a_mean_of_first_samples_is_a_mean() -> None:
    case = Case(problem("nonquadratic"), changed(), X, Y, warm_start=0, first=4)
    replay = stored(case, 1)
    state = case.run(1, replay).state
    singles = []
    for i in range(4):
        pick = slice(i, i + 1)
        first = replay.start.first
        one = first._replace(
            upper=map_arrays(lambda leaf, p=pick: leaf[p], first.upper),
            cross=map_arrays(lambda leaf, p=pick: leaf[p], first.cross),
            hessian=map_arrays(lambda leaf, p=pick: leaf[p], first.hessian),
        )
        singles.append(
            case.algorithm.init(case.problem, X, Y, replay.start._replace(first=one)).momentum
        )
    assert len({single.tobytes() for single in singles}) == 4
    np.testing.assert_allclose(state.momentum, np.mean(singles, axis=0), rtol=0, atol=20 * U64)


# --- Option II and the zero momentum -------------------------------------------------------


@pytest.mark.parametrize("period", [1, 2, 3])
def test_the_lower_level_moves_at_multiples_of_the_period_only(period: int) -> None:
    case = Case(problem("quadratic"), changed(period=period, lower_steps=2), X, Y, warm_start=0)
    record = {"y": lambda s: s.y, "old": lambda s: s.y_previous, "average": lambda s: s.y_average}
    result = case.run(10, 1, record=record)
    for t, y, old in zip(
        result.iterations, result.records["y"], result.records["old"], strict=True
    ):
        moved = bool(np.any(y != old))
        assert moved == ((t - 1) % period == 0)  # records stand behind iteration t − 1
    changes = np.any(np.diff(result.records["average"], axis=0) != 0, axis=-1)
    assert np.all(changes)  # averaging happens at every iteration


def test_period_one_with_one_step_is_option_one_without_lower_momentum() -> None:
    one = Case(problem("nonquadratic"), changed(lower_momentum=0.0), X, Y)
    two = Case(problem("nonquadratic"), changed(period=1, lower_momentum=0.0), X, Y)
    three = Case(problem("nonquadratic"), changed(period=1), X, Y)
    assert bits(one.run(6, 1).state) == bits(two.run(6, 1).state)
    # every step restarts, so that γ is without effect; the warm start has to be without it
    assert bits(one._replace(warm_start=0).run(6, 1).state) == bits(
        three._replace(warm_start=0).run(6, 1).state
    )


@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
def test_zero_momentum_leaves_x_and_goes_on(order: str) -> None:
    quiet = {"noise_upper": type(UPPER)(), "noise_lower": type(LOWER)()}
    p = problem("quadratic", target=0.0, **quiet)
    case = Case(p, changed(order=order), np.zeros(2), np.zeros(3))
    state = case.run(5, 1).state
    assert np.array_equal(state.x, np.zeros(2))
    assert np.array_equal(state.momentum, np.zeros(2))
    both = case._replace(x=np.array([[0.0, 0.0], [1.0, 2.0]]), y=np.zeros((2, 3)))
    moved = both.run(5, 1).state.x
    assert np.array_equal(moved[0], np.zeros(2))
    assert np.all(moved[1] != [1.0, 2.0])


def test_a_step_changes_nothing_it_was_given() -> None:
    case = Case(problem("nonquadratic"), changed(), X.copy(), Y.copy())
    replay = stored(case, 3)
    before = bits((replay.start, replay.steps, case.problem))
    state = case.algorithm.init(case.problem, case.x, case.y, replay.start)
    known = bits(state)
    once = case.algorithm.step(case.problem, state, replay.steps[0])
    twice = case.algorithm.step(case.problem, state, replay.steps[0])
    assert bits(once) == bits(twice)
    assert bits(state) == known
    assert bits((replay.start, replay.steps, case.problem)) == before
    assert np.array_equal(case.x, X)
