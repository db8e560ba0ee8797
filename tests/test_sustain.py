"""SUSTAIN against a second program, its two recursions on one sample, and its shrinking sizes."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from accbo import SUSTAIN, Start, Tape, run
from accbo._arrays import namespace, row
from accbo.hypergradient import hypergradient, neumann_gradient
from accbo.problems import LowerNoise, UpperNoise, quadratic
from tests.support import SKEWED, U64, Case, X, Y, condition, fields, problem, stored
from tests.test_step import Explicit, at, estimate

STEPS = 8
ALGORITHM = SUSTAIN(
    lower_step_size=0.375,
    upper_step_size=0.0625,
    lower_averaging=1.25,
    upper_averaging=0.75,
    offset=2.5,
    neumann_terms=4,
    neumann_scale=3.0,
)
STILL = {"lower_step_size": 1e-300, "upper_step_size": 1e-300}


def sustain(**changes: Any) -> SUSTAIN:
    return dataclasses.replace(ALGORITHM, **changes)


def case(algorithm: SUSTAIN = ALGORITHM, **options: Any) -> Case:
    return Case(problem("nonquadratic"), algorithm, X, Y)._replace(**options)


# --- the second program --------------------------------------------------------------------


@dataclasses.dataclass
class Series:
    """What the second program's ``estimate`` reads of an algorithm."""

    neumann_terms: int
    neumann_scale: float
    neumann_sampling: str = "randomised"


def slow(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """The lines of the docstring with explicit matrices, one replicate."""
    a, p = case.algorithm, Explicit(case.problem)
    series, w = Series(a.neumann_terms, a.neumann_scale), a.offset
    x, y = case.x, case.y
    for n in range(case.warm_start):
        y = y - a.lower_step_size / w ** (1 / 3) * p.G_y(x, y, at(replay.start.warm_start, n))

    def h(x: Any, y: Any, s: Any, *index: int) -> Any:
        xi, zeta0 = at(s.upper, *index), at(s.cross, *index)
        power = s.power["power"][index][0]
        return estimate(p, series, x, y, xi, zeta0, lambda j: at(s.hessian, *index, j), power)

    u = m = x_previous = y_previous = None
    for t in range(steps):
        s = replay.start.first if t == 0 else replay.steps[t - 1]
        pi = at(s.lower, 0)
        if t == 0:
            u = p.G_y(x, y, pi)
            m = np.mean([h(x, y, s, i) for i in range(case.first)], axis=0)
        else:
            eta = (w + t - 1) ** (-2 / 3)
            below, above = 1 - a.lower_averaging * eta, 1 - a.upper_averaging * eta
            u = p.G_y(x, y, pi) + below * (u - p.G_y(x_previous, y_previous, pi))
            m = h(x, y, s) + above * (m - h(x_previous, y_previous, s))
        x_previous, y_previous = x, y
        x = x - a.upper_step_size / (w + t) ** (1 / 3) * m
        y = y - a.lower_step_size / (w + t) ** (1 / 3) * u
    return {
        "x": x,
        "x_previous": x_previous,
        "y": y,
        "y_previous": y_previous,
        "lower_momentum": u,
        "momentum": m,
    }


@pytest.mark.parametrize("steps", [1, 2, STEPS])
@pytest.mark.parametrize("noise", [problem("nonquadratic").noise_upper, SKEWED])
def test_every_step_is_that_of_the_second_program(noise: UpperNoise, steps: int) -> None:
    one = case()._replace(problem=problem("nonquadratic", noise_upper=noise))
    replay = stored(one, STEPS)
    K = condition(one, steps, replay)
    state = one.run(steps, replay).state
    assert state.iteration == steps
    expected = slow(one, replay, steps)
    assert fields(state).keys() == expected.keys()
    for name, value in expected.items():
        error = np.linalg.norm(getattr(state, name) - value)
        assert error <= 10 * max(K[name], 1.0) * U64, name


@pytest.mark.parametrize(
    "name",
    [
        "lower_step_size",
        "upper_step_size",
        "lower_averaging",
        "upper_averaging",
        "offset",
        "neumann_scale",
    ],
)
def test_the_second_program_sees_every_hyper_parameter(name: str) -> None:
    one, other = case(), case(sustain(**{name: getattr(ALGORITHM, name) + 1e-9}))
    replay = stored(one, 4)
    expected, found = slow(one, replay, 4), fields(other.run(4, replay).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-12


# --- wrong variants ------------------------------------------------------------------------


class TwoIndices(SUSTAIN):
    """Found in public code: the old point has a random index of its own."""

    def _gradient(self, problem: Any, sample: Any) -> Any:
        power = sample.power["power"]
        other = (power + 1) % self.neumann_terms

        def torn(x: Any, y: Any) -> Any:
            pair = x.ndim > power.ndim  # of the new and the old point; iteration 0 has one
            q = namespace(power).stack([power, other]) if pair else power
            both = sample._replace(power={"power": q})
            scale = self.neumann_scale
            return neumann_gradient(problem, both, "randomised", self.neumann_terms, scale)(x, y)

        return torn


class TwoLowerSamples(SUSTAIN):
    """The old point of the lower recursion meets a sample of its own: −π for π."""

    def _lower_gradient(self, problem: Any, sample: Any) -> Any:
        pi = row(sample.lower, 0)

        def torn(x: Any, y: Any) -> Any:
            if x.ndim == 1 or x.shape[0] != 2:
                return problem.grad_y_lower(x, y, pi)
            both = {name: np.stack([leaf, -leaf]) for name, leaf in pi.items()}
            return problem.grad_y_lower(x, y, both)

        return torn


class NoCorrection(SUSTAIN):
    """The old point of the lower recursion is the new one: a moving average."""

    def _lower_gradient(self, problem: Any, sample: Any) -> Any:
        right = super()._lower_gradient(problem, sample)
        return lambda x, y: right(x[:1], y[:1]) + 0 * y if x.ndim > 1 else right(x, y)


def of(kind: type[SUSTAIN], **changes: Any) -> SUSTAIN:
    return kind(**{**dataclasses.asdict(ALGORITHM), **changes})


def without_first_axis(first: Any, index: int) -> Any:
    """The sample of iteration 0 as one of a later iteration: sample ``index`` of the S."""
    parts = {name: at(part, index) for name, part in first._asdict().items() if name != "lower"}
    return first._replace(**parts)


# --- law: on one sample for ever, both momenta are the estimates themselves ------------------


def exact_tracking(kind: type[SUSTAIN]) -> None:
    """u_t = ∇_y G(x_t, y_t; π) and m_t = h(x_t, y_t; S) for all t, whatever η_t."""
    host, algorithm = problem("nonquadratic"), of(kind)
    start = Tape(5).open(X).start(algorithm.draw_start(host, 0, 1))
    one = without_first_axis(start.first, 0)
    state = algorithm.init(host, X, Y, start)
    for _ in range(10):
        at_old = (state.x_previous, state.y_previous)
        gradient = neumann_gradient(host, one, "randomised", 4, 3.0)
        expected = gradient(*at_old)
        np.testing.assert_allclose(state.momentum, expected, rtol=0, atol=100 * U64)
        below = host.grad_y_lower(*at_old, at(one.lower, 0))
        np.testing.assert_allclose(state.lower_momentum, below, rtol=0, atol=100 * U64)
        state = algorithm.step(host, state, one)


def test_on_a_constant_sample_the_recursions_track_exactly() -> None:
    exact_tracking(SUSTAIN)


@pytest.mark.parametrize("kind", [TwoIndices, TwoLowerSamples, NoCorrection])
def test_tracking_rejects(kind: type[SUSTAIN]) -> None:
    with pytest.raises(AssertionError):
        exact_tracking(kind)


# --- law: variance at rest, over every outcome of the random index --------------------------

TERMS, TIMES = 3, 4
PATHS = np.array(list(itertools.product(range(TERMS), repeat=TIMES)))  # q_0 … q_3, equally likely


def at_rest(kind: type[SUSTAIN]) -> np.ndarray:
    """m_0 … m_3 for every path of the index, where neither x nor y moves, (4, 81, d_x)."""
    quiet = problem("nonquadratic", noise_upper=UpperNoise(), noise_lower=LowerNoise())
    algorithm = of(kind, neumann_terms=TERMS, **STILL)
    x, y = np.tile(X, (len(PATHS), 1)), np.tile(Y, (len(PATHS), 1))
    stream = Tape(0).open(x)  # of a problem without noise only the index is drawn
    start = stream.start(algorithm.draw_start(quiet, 0, 1))
    first = start.first._replace(power={"power": PATHS[None, :, :1]})
    state = algorithm.init(quiet, x, y, Start(start.warm_start, first))
    momenta = [state.momentum]
    for t in range(1, TIMES):
        sample = row(stream.block(algorithm.draw(quiet), 1), 0)
        state = algorithm.step(quiet, state, sample._replace(power={"power": PATHS[:, t : t + 1]}))
        momenta.append(state.momentum)
    return np.stack(momenta)


def variance_at_rest(kind: type[SUSTAIN]) -> None:
    """V_t = (1 − η_t)² V_{t−1} + η_t² V_0, and E m_t = E h: the series of Q terms."""
    momenta = at_rest(kind)
    quiet = problem("nonquadratic", noise_upper=UpperNoise(), noise_lower=LowerNoise())
    p = Explicit(quiet)
    zero = {"curvature": np.zeros(3), "coupling": np.zeros(3)}
    power = (np.eye(3) - p.G_yy(X, Y, zero) / 3.0, np.tanh(Y - p.t))
    inverse = sum(np.linalg.matrix_power(power[0], q) @ power[1] for q in range(TERMS)) / 3.0
    mean = p.w * X - p.G_xy(X, Y, zero) @ inverse
    expected = np.sum((momenta[0] - mean) ** 2) / len(PATHS)
    first = expected
    assert first > 1e-3
    for t in range(TIMES):
        if t > 0:
            eta = 0.75 * (2.5 + t - 1) ** (-2 / 3)
            expected = (1 - eta) ** 2 * expected + eta**2 * first
        np.testing.assert_allclose(momenta[t].mean(axis=0), mean, rtol=0, atol=100 * U64)
        found = np.sum((momenta[t] - mean) ** 2) / len(PATHS)
        assert found == pytest.approx(expected, rel=1e-13)


def test_variance_at_rest() -> None:
    variance_at_rest(SUSTAIN)


def test_a_different_random_index_at_the_two_points_is_rejected_at_rest() -> None:
    with pytest.raises(AssertionError):
        variance_at_rest(TwoIndices)
    # it adds variance where the right rule takes it away
    right, wrong = (np.var(at_rest(kind)[-1], axis=0).sum() for kind in (SUSTAIN, TwoIndices))
    assert wrong > 1.5 * right


def test_at_rest_the_lower_momentum_is_a_weighted_mean_of_its_samples() -> None:
    """u_t = (1 − η_t) u_{t−1} + η_t d_t on every path: V_t/V_0 is the sum of squared weights."""
    host, algorithm = problem("quadratic"), sustain(**STILL)
    stream = Tape(8).open(X)
    start = stream.start(algorithm.draw_start(host, 0, 1))
    state = algorithm.init(host, X, Y, start)
    expected = host.grad_y_lower(X, Y, at(start.first.lower, 0))
    for t in range(1, 8):
        sample = row(stream.block(algorithm.draw(host), 1), 0)
        state = algorithm.step(host, state, sample)
        eta = 1.25 * (2.5 + t - 1) ** (-2 / 3)
        expected = (1 - eta) * expected + eta * host.grad_y_lower(X, Y, at(sample.lower, 0))
        np.testing.assert_allclose(state.lower_momentum, expected, rtol=0, atol=100 * U64)


# --- the sizes, and where it ends ----------------------------------------------------------


def test_the_steps_shrink_like_the_cube_root_of_t() -> None:
    one = case()
    replay = stored(one, 30)
    for t in (0, 1, 7, 29):
        state = one.run(t + 1, replay).state
        a, b = 0.0625 * (2.5 + t) ** (-1 / 3), 0.375 * (2.5 + t) ** (-1 / 3)
        moved = state.x_previous - state.x, state.y_previous - state.y
        np.testing.assert_allclose(moved[0], a * state.momentum, rtol=0, atol=4 * U64)
        np.testing.assert_allclose(moved[1], b * state.lower_momentum, rtol=0, atol=4 * U64)


def test_without_noise_it_reaches_the_stationary_point() -> None:
    """H = l I: one term of the series is exact, and no index is left to chance."""
    quiet = quadratic((2.0, 2.0, 2.0), 2, seed=3)
    algorithm = sustain(
        neumann_terms=1, neumann_scale=2.0, lower_step_size=0.75, upper_step_size=0.75
    )
    state = run(algorithm, quiet, X, Y, steps=1000).state
    np.testing.assert_allclose(state.x, quiet.minimiser(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.momentum, 0 * X, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.y, quiet.solution(state.x), rtol=0, atol=1e-12)


# --- conventions and bad input -------------------------------------------------------------


def test_the_first_directions_are_plain_estimates() -> None:
    one = case(warm_start=0, first=4)
    replay = stored(one, 1)
    state, first = one.run(1, replay).state, replay.start.first
    samples = [
        hypergradient(
            one.problem,
            X,
            Y,
            without_first_axis(first, i),
            one_random_term,
        )
        for i in range(4)
    ]
    np.testing.assert_allclose(state.momentum, np.mean(samples, axis=0), atol=40 * U64)
    below = one.problem.grad_y_lower(X, Y, at(first.lower, 0))
    assert np.array_equal(state.lower_momentum, below)
    assert np.array_equal(state.x_previous, X)
    assert np.array_equal(state.y_previous, Y)


def one_random_term(product: Any, v: Any, sample: Any) -> Any:
    for j in range(int(sample.power["power"][0])):
        v = v - product(v, at(sample.hessian, j)) / 3.0
    return 4 / 3.0 * v


def test_more_than_one_lower_step_is_refused() -> None:
    one = case()
    replay = stored(one, 2)
    two = {name: np.concatenate((leaf, leaf)) for name, leaf in replay.steps[0].lower.items()}
    with pytest.raises(ValueError, match="2 rows; SUSTAIN takes one step"):
        one.algorithm.step(
            one.problem, one.run(1, replay).state, replay.steps[0]._replace(lower=two)
        )


@pytest.mark.parametrize(
    ("name", "value", "interval"),
    [
        ("lower_step_size", 0.0, r"\(0, inf\)"),
        ("upper_step_size", -1.0, r"\(0, inf\)"),
        ("offset", 0.5, r"\[1, inf\)"),
        ("lower_averaging", 1.9, r"\[0, 1\.84202\]"),  # 1 − η_1 would be negative
        ("upper_averaging", 1.9, r"\[0, 1\.84202\]"),
        ("upper_averaging", -0.1, r"\[0, 1\.84202\]"),
        ("neumann_scale", 0.0, r"\(0, inf\)"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(name: str, value: float, interval: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must lie in {interval}"):
        sustain(**{name: value})
    with pytest.raises(TypeError, match=f"{name} must be a number"):
        sustain(**{name: None})


def test_the_number_of_terms_is_an_integer() -> None:
    with pytest.raises(ValueError, match="neumann_terms must be an integer >= 1, got 0"):
        sustain(neumann_terms=0)
    with pytest.raises(TypeError, match=r"neumann_terms must be an integer >= 1, got 2\.0"):
        sustain(neumann_terms=2.0)
