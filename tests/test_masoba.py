"""MA-SOBA against two other programs, the order of its updates, and the laws of h and z."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from accbo import MASOBA, MASOBASample, MASOBAState, NonFiniteError, Replay, Start, Tape, run
from accbo._arrays import map_arrays
from accbo.hypergradient import implicit_gradient
from accbo.problems import LowerNoise, UpperNoise
from accbo.problems.wrapped import ScaledUpper
from tests.support import (
    SKEWED,
    U64,
    Case,
    X,
    Y,
    batch,
    bits,
    condition,
    fields,
    problem,
    replace_parts,
    stored,
)
from tests.test_step import Explicit, at

STEPS = 8
ALGORITHM = MASOBA(
    lower_step_size=0.25, linear_step_size=0.375, momentum=0.875, upper_step_size=0.0625
)
SIZES = tuple(field.name for field in dataclasses.fields(MASOBA) if field.name != "parts")
QUIET = {"noise_upper": UpperNoise(), "noise_lower": LowerNoise()}
TINY = 2.0**-60  # a step that x, counted from 0, records and no derivative sees


def masoba(**changes: Any) -> MASOBA:
    return dataclasses.replace(ALGORITHM, **changes)


def case(algorithm: MASOBA = ALGORITHM, **options: Any) -> Case:
    return Case(problem("nonquadratic"), algorithm, X, Y)._replace(**options)


# --- the second program, with matrices -----------------------------------------------------


def slow(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """The lines of the docstring with explicit matrices, one replicate."""
    a, p = case.algorithm, Explicit(case.problem)
    x, y = case.x, case.y
    for n in range(case.warm_start):
        y = y - a.lower_step_size * p.G_y(x, y, at(replay.start.warm_start, n))
    z, h = 0 * y, 0 * x
    for t in range(steps):
        s = replay.start.first if t == 0 else replay.steps[t - 1]
        if t == 0:
            zetas = [at(s.cross, i) for i in range(case.first)]
            directions = [
                p.F_x(x, y, at(s.upper, i)) - p.G_xy(x, y, zeta) @ z for i, zeta in enumerate(zetas)
            ]
            h_next = np.mean(directions, axis=0)
        else:
            direction = p.F_x(x, y, s.upper) - p.G_xy(x, y, s.cross) @ z
            h_next = h + (1 - a.momentum) * (direction - h)
        x_next = x - a.upper_step_size * h
        y_next = y - a.lower_step_size * p.G_y(x, y, at(s.lower, 0))
        z = z - a.linear_step_size * (p.G_yy(x, y, s.hessian) @ z - p.F_y(x, y, s.upper_y))
        x, y, h = x_next, y_next, h_next
    return {"x": x, "y": y, "z": z, "momentum": h}


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


@pytest.mark.parametrize("name", SIZES)
def test_the_second_program_sees_every_hyper_parameter(name: str) -> None:
    one, other = case(), case(masoba(**{name: getattr(ALGORITHM, name) + 1e-9}))
    replay = stored(one, 4)
    expected, found = slow(one, replay, 4), fields(other.run(4, replay).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-12


# --- the published lines, operation for operation -------------------------------------------


def loop(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """The published lines in the problem's own oracles."""
    a, p, x, y = case.algorithm, case.problem, case.x, case.y
    for n in range(case.warm_start):
        y = y - a.lower_step_size * p.grad_y_lower(x, y, at(replay.start.warm_start, n))
    z, h = 0 * y, 0 * x
    for t in range(steps):
        s = replay.start.first if t == 0 else replay.steps[t - 1]

        def direction(xi: Any, zeta: Any, x: Any = x, y: Any = y, z: Any = z) -> Any:
            return p.grad_x_upper(x, y, xi) - p.cross_lower(x, y, z, zeta)

        if t == 0:
            total = sum(direction(at(s.upper, i), at(s.cross, i)) for i in range(case.first))
            h_next = total / case.first
        else:
            h_next = a.momentum * h + (1 - a.momentum) * direction(s.upper, s.cross)
        residual = p.hvp_lower(x, y, z, s.hessian) - p.grad_y_upper(x, y, s.upper_y)
        y_next = y - a.lower_step_size * p.grad_y_lower(x, y, at(s.lower, 0))
        x, y, z = x - a.upper_step_size * h, y_next, z - a.linear_step_size * residual
        h = h_next
    return {"x": x, "y": y, "z": z, "momentum": h}


@pytest.mark.parametrize("kind", ["quadratic", "cosh", "nonquadratic", "finite_sum"])
def test_a_loop_over_the_published_lines_has_the_same_bits(kind: str) -> None:
    one = case(problem=problem(kind))
    replay = stored(one, 20)
    state = one.run(20, replay).state
    for name, value in loop(one, replay, 20).items():
        assert np.array_equal(getattr(state, name), value), name


# --- wrong variants ------------------------------------------------------------------------


class NewAverage(MASOBA):
    """x moves with the average that has the direction of this iteration in it."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        after = super().step(problem, state, sample)
        return after._replace(x=state.x - self.upper_step_size * after.momentum)


class OneAfterTheOther(MASOBA):
    """Found in public code: z and the direction are taken at the y of this iteration."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        y = super().step(problem, state, sample).y
        return super().step(problem, state._replace(y=y), sample)._replace(y=y)


class NewZ(MASOBA):
    """The direction is taken with the z of this iteration."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        z = super().step(problem, state, sample).z
        momentum = super().step(problem, state._replace(z=z), sample).momentum
        return super().step(problem, state, sample)._replace(momentum=momentum)


class LeakBelow(MASOBA):
    """Found in public code: the gradient of F left over from the last step enters y's."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        after = super().step(problem, state, sample)
        leak = problem.grad_y_upper(state.x, state.y, sample.upper_y)
        return after._replace(y=after.y - self.lower_step_size * leak)


def of(kind: type[MASOBA], **changes: Any) -> MASOBA:
    return kind(**{**dataclasses.asdict(ALGORITHM), **changes})


# --- law: x, y and z move together, x with the old average ---------------------------------


def moves_together(kind: type[MASOBA]) -> None:
    """Every line, from the variables as they were."""
    p, algorithm = problem("nonquadratic"), of(kind)
    replay = stored(case(), 4)
    x, y, z, h, _ = before = case().run(3, replay).state
    s = replay.steps[2]
    after = algorithm.step(p, before, s)
    assert np.array_equal(after.x, x - 0.0625 * h)
    assert np.array_equal(after.y, y - 0.25 * p.grad_y_lower(x, y, at(s.lower, 0)))
    residual = p.hvp_lower(x, y, z, s.hessian) - p.grad_y_upper(x, y, s.upper_y)
    assert np.array_equal(after.z, z - 0.375 * residual)
    direction = implicit_gradient(p, x, y, z, s)
    np.testing.assert_allclose(after.momentum, h + 0.125 * (direction - h), rtol=0, atol=8 * U64)


def x_waits_for_the_sample(kind: type[MASOBA]) -> None:
    """x_{t+1} knows nothing of the samples of iteration t, x_{t+2} knows ξ and ζ⁰ but not π."""
    p, algorithm = problem("nonquadratic"), of(kind)
    replay = stored(case(), 5)
    before = case().run(3, replay).state
    one, next_one = replay.steps[2:4]
    other = map_arrays(lambda leaf: -leaf, one)
    mixed = one._replace(lower=other.lower, hessian=other.hessian, upper_y=other.upper_y)
    after = [algorithm.step(p, before, sample) for sample in (one, other, mixed)]
    assert bits(after[0].x) == bits(after[1].x) == bits(after[2].x)
    later = [algorithm.step(p, state, next_one) for state in after]
    assert np.all(later[0].x != later[1].x)
    assert bits(later[0].x) == bits(later[2].x)
    assert np.all(later[0].y != later[2].y)


def a_single_direction_acts_one_iteration_later(kind: type[MASOBA]) -> None:
    """At β = 0 x_{t+2} = x_{t+1} − η D_t with D_t at (x_t, y_t, z_t)."""
    p, algorithm = problem("nonquadratic"), of(kind, momentum=0.0)
    replay = stored(case(), 6)
    states = [case(masoba(momentum=0.0)).run(2, replay).state]
    for sample in replay.steps[1:]:
        states.append(algorithm.step(p, states[-1], sample))
    for (x, y, z, _, t), after, later in zip(states, states[1:], states[2:], strict=False):
        direction = implicit_gradient(p, x, y, z, replay.steps[t - 1])
        np.testing.assert_allclose(later.x, after.x - 0.0625 * direction, rtol=0, atol=4 * U64)


ORDER = (moves_together, x_waits_for_the_sample, a_single_direction_acts_one_iteration_later)


@pytest.mark.parametrize("law", ORDER)
def test_the_order_of_the_updates(law: Any) -> None:
    law(MASOBA)


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        *itertools.product([NewAverage], ORDER),
        (OneAfterTheOther, moves_together),
        (OneAfterTheOther, x_waits_for_the_sample),  # π reaches x through the direction
        (OneAfterTheOther, a_single_direction_acts_one_iteration_later),
        (NewZ, moves_together),
        (NewZ, x_waits_for_the_sample),
        (NewZ, a_single_direction_acts_one_iteration_later),
        (LeakBelow, moves_together),
    ],
)
def test_another_order_is_rejected(kind: type[MASOBA], law: Any) -> None:
    with pytest.raises(AssertionError):
        law(kind)


# --- law: lag and variance of the moving average --------------------------------------------

COUNT = 40


def zeros_of(layout: Any, leading: tuple[int, ...] = ()) -> Any:
    """A sample of ``layout`` with zeros; every leaf ``(rows…, *leading, size)``."""
    parts = {
        name: {
            key: np.zeros((*draw.leading, *leading, *draw.noise.shape))
            for key, draw in part.items()
        }
        for name, part in layout._asdict().items()
    }
    return type(layout)(**parts)


def averages(algorithm: Any, noise: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """States t = 1, 2, … and D_t, where the direction is 0 but for ``noise``, (T, …, d_x).

    x and y start at 0 and stay, so that the additive noise of ∇_x F alone is left of D_t.
    """
    p = problem("quadratic", noise_upper=UpperNoise(additive_x=0.5), noise_lower=LowerNoise())
    shape = noise.shape[1:-1]
    x, y = np.zeros((*shape, p.d_x)), np.zeros((*shape, p.d_y))
    layout = algorithm.draw(p)
    zero = zeros_of(layout, shape)
    samples = [zero._replace(upper={**zero.upper, "additive_x": values}) for values in noise]
    layout = algorithm.draw_start(p, 0, 1)
    first = zeros_of(layout.first, shape)
    first = first._replace(upper={**first.upper, "additive_x": noise[:1]})
    warm = {key: np.zeros((0, *shape, 3)) for key in layout.warm_start}
    states = [algorithm.init(p, x, y, Start(warm, first))]
    for sample in samples[1:]:
        states.append(algorithm.step(p, states[-1], sample))
    return states, 0.5 * noise


STILL = {"upper_step_size": TINY, "lower_step_size": 1e-300, "linear_step_size": 1e-300}


def lag(kind: type[MASOBA]) -> None:
    """D_t − h_{t+1} = β/(1−β) d (1 − β^t), and x moves with h_t: 1/(1−β) d (1 − β^t)."""
    drift = np.array([0.25, -0.5])
    path = np.arange(COUNT)[:, None] * drift
    states, directions = averages(of(kind, **STILL), path)
    for t, state in enumerate(states):
        gap = 0.5 * drift * (1 - 0.875**t)
        expected = 0.875 / 0.125 * gap
        np.testing.assert_allclose(directions[t] - state.momentum, expected, rtol=0, atol=1e3 * U64)
        if t > 0:
            moved = (states[t - 1].x - state.x) / TINY
            np.testing.assert_allclose(directions[t] - moved, gap / 0.125, rtol=0, atol=1e3 * U64)


PATHS = np.array(list(itertools.product((-1.0, 1.0), repeat=STEPS)))  # one sign an iteration


def variance(kind: type[MASOBA]) -> None:
    """V_t = β² V_{t−1} + (1−β)² s² from V_0 = s², over every path; x gets that of V_{t−1}."""
    noise = np.stack([PATHS.T, -PATHS.T], axis=-1)  # (T, paths, 2)
    states, _ = averages(of(kind, **STILL), noise)
    expected, before = 0.25, 0.0
    for t, state in enumerate(states):
        if t > 0:
            before, expected = expected, 0.875**2 * expected + 0.125**2 * 0.25
            moved = (states[t - 1].x - state.x) / TINY
            np.testing.assert_allclose(np.mean(moved**2, axis=0), before, rtol=1e-13)
        np.testing.assert_allclose(np.mean(state.momentum, axis=0), 0, rtol=0, atol=20 * U64)
        np.testing.assert_allclose(np.mean(state.momentum**2, axis=0), expected, rtol=1e-13)


def swapped(gradient: Any, new: Any, momentum: Any, decay: float) -> Any:
    return (1 - decay) * momentum + decay * gradient(*new)


def recursive(gradient: Any, new: Any, momentum: Any, decay: float) -> Any:
    """As recursive momentum at rest where both points have their own sample: no weight 1 − β."""
    return decay * momentum + gradient(*new)


@pytest.mark.parametrize("law", [lag, variance])
def test_the_moving_average(law: Any) -> None:
    law(MASOBA)


@pytest.mark.parametrize("law", [lag, variance])
@pytest.mark.parametrize("wrong", [swapped, recursive])
def test_another_average_is_rejected(law: Any, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_parts(monkeypatch, MASOBA, momentum=wrong)
    with pytest.raises(AssertionError):
        law(MASOBA)


@pytest.mark.parametrize("law", [lag, variance])
def test_a_step_with_the_new_average_is_rejected(law: Any) -> None:
    with pytest.raises(AssertionError):
        law(NewAverage)


# --- law: z solves the linear system -------------------------------------------------------


def contraction(algorithm: Any, state_of: Any) -> None:
    """Along the eigenvector of h, z* − z_t = (1 − νh)^t (z* − z_0), and z* = H⁻¹∇_y f stays."""
    p = problem("quadratic", **QUIET)
    values, vectors = np.linalg.eigh(p.hessian)
    solution = np.linalg.solve(p.hessian, p.grad_y_upper(X, Y))
    starts = np.vstack([solution, solution - vectors.T])  # z*, and off it along each vector
    sample = zeros_of(algorithm.draw(p))
    x, y = np.tile(X, (4, 1)), np.tile(Y, (4, 1))
    still = dataclasses.replace(algorithm, lower_step_size=1e-300, upper_step_size=1e-300)
    state = state_of(x, y, starts, 0 * x, 1)
    for t in range(1, 30):
        state = still.step(p, state, sample)
        error = (solution - state.z) @ vectors  # by eigenvector
        np.testing.assert_allclose(error[0], 0, rtol=0, atol=20 * U64)
        left = (1 - algorithm.linear_step_size * values) ** t
        np.testing.assert_allclose(error[1:], np.diag(left), rtol=0, atol=20 * U64)


SIGNS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


def stationary_variance(algorithm: Any, state_of: Any) -> None:
    """The solution M of the law of the covariance is that of the next z too, over all samples.

    M = A M A + ν² (c² diag(M + z* z*ᵀ) + Σ), A = I − νH, Σ the covariance of ∇_y F. Six equally
    likely points have mean z* and covariance M; every sign of ζ, of both parts of ξ', is met.
    """
    upper = UpperNoise(additive_y=0.5, multiplicative_y=0.25)
    p = problem("quadratic", noise_upper=upper, noise_lower=LowerNoise(curvature=0.25))
    nu, H = algorithm.linear_step_size, p.hessian
    solution = np.linalg.solve(H, p.grad_y_upper(X, Y))
    A = np.eye(3) - nu * H
    noise = nu**2 * np.diag(0.25**2 * solution**2 + 0.5**2 + 0.25**2 * Y**2)
    diagonal = np.diag(np.eye(3).ravel())  # M ↦ diag M, on M as a vector
    law = np.kron(A, A) + nu**2 * 0.25**2 * diagonal
    M = np.linalg.solve(np.eye(9) - law, noise.ravel()).reshape(3, 3)
    points = np.linalg.cholesky(3 * M).T
    points = solution + np.vstack([points, -points])
    z, zeta, n0, n1 = (
        part.reshape(-1, 3)
        for part in np.broadcast_arrays(
            points[:, None, None, None],
            SIGNS[None, :, None, None],
            SIGNS[None, None, :, None],
            SIGNS[None, None, None, :],
        )
    )
    x, y = np.tile(X, (len(z), 1)), np.tile(Y, (len(z), 1))
    sample = zeros_of(algorithm.draw(p), (len(z),))
    sample = sample._replace(
        hessian={**sample.hessian, "curvature": zeta},
        upper_y={**sample.upper_y, "additive_y": n0, "multiplicative_y": n1},
    )
    after = algorithm.step(p, state_of(x, y, z, 0 * x, 1), sample).z
    summed = 2 * len(z) * U64  # numbers of order 1, added one after the other
    np.testing.assert_allclose(after.mean(axis=0), solution, rtol=0, atol=summed)
    np.testing.assert_allclose(np.cov(after.T, bias=True), M, rtol=0, atol=summed)
    assert np.all(np.diag(M) > 1e-2)


LINEAR = (contraction, stationary_variance)


def right_side_unscaled(product: Any, v: Any, z: Any, step_size: float) -> Any:
    return z - step_size * product(z) + v


def ascent(product: Any, v: Any, z: Any, step_size: float) -> Any:
    return z + step_size * (product(z) - v)


def twice_the_step(product: Any, v: Any, z: Any, step_size: float) -> Any:
    """The right fixed point, another contraction and another variance."""
    return z - 2 * step_size * (product(z) - v)


WRONG_STEPS = (right_side_unscaled, ascent, twice_the_step)


@pytest.mark.parametrize("law", LINEAR)
def test_z(law: Any) -> None:
    law(ALGORITHM, MASOBAState)


@pytest.mark.parametrize("law", LINEAR)
@pytest.mark.parametrize("wrong", WRONG_STEPS)
def test_a_wrong_step_of_z_is_rejected(
    law: Any, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_parts(monkeypatch, MASOBA, z=wrong)
    with pytest.raises(AssertionError):
        law(ALGORITHM, MASOBAState)


# --- relations -----------------------------------------------------------------------------


def scaling(kind: type[MASOBA], k: int) -> None:
    """F and its noise by 2^k, η by 2^{−k}: x and y as before to the bit, h and z by 2^k."""
    one = case()
    replay = stored(one, 20)
    other = one._replace(
        problem=ScaledUpper(one.problem, 2.0**k),
        algorithm=of(kind, upper_step_size=2.0 ** (-4 - k)),
    )
    plain = one._replace(algorithm=of(kind)).run(20, replay).state
    scaled = other.run(20, replay).state
    for name, power in (("x", 0), ("y", 0), ("z", k), ("momentum", k)):
        expected = getattr(plain, name) * 2.0**power
        assert np.array_equal(getattr(scaled, name), expected), name


@pytest.mark.parametrize("k", [-40, -1, 40])
def test_the_scale_of_f_is_that_of_the_step(k: int) -> None:
    scaling(MASOBA, k)


def test_a_normalised_step_is_rejected_by_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    def normalised(x: Any, direction: Any, step_size: float) -> Any:
        return x - step_size * direction / (1e-8 + np.linalg.norm(direction, axis=-1))

    replace_parts(monkeypatch, MASOBA, x=normalised)
    with pytest.raises(AssertionError):
        scaling(MASOBA, -40)


def test_replicates_may_be_permuted_and_split() -> None:
    many = case(x=batch(X, 4), y=batch(Y, 4))
    replay = stored(many, 20)
    together = many.run(20, replay).state
    for chosen in ([2, 0, 3, 1], [0, 1], [2, 3], [3]):

        def of_these(leaf: Any, axis: int = -2, chosen: Any = chosen) -> Any:
            return np.take(leaf, chosen, axis=axis)

        part = Replay(map_arrays(of_these, replay.start), map_arrays(of_these, replay.steps))
        some = many._replace(x=many.x[chosen], y=many.y[chosen]).run(20, part).state
        assert bits(some) == bits(map_arrays(lambda leaf, of=of_these: of(leaf, 0), together))


# --- where it ends -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["quadratic", "cosh", "nonquadratic"])
def test_without_noise_it_reaches_the_stationary_point(kind: str) -> None:
    quiet = problem(kind, **QUIET)
    state = run(ALGORITHM, quiet, X, Y, steps=3000).state
    np.testing.assert_allclose(quiet.hypergradient(state.x), 0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.momentum, 0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.y, quiet.solution(state.x), rtol=0, atol=1e-12)
    H = np.stack([quiet.hvp_lower(state.x, state.y, e) for e in np.eye(3)], axis=-1)
    solution = np.linalg.solve(H, quiet.grad_y_upper(state.x, state.y))
    np.testing.assert_allclose(state.z, solution, rtol=0, atol=1e-12)


def test_a_diverging_run_names_the_iteration() -> None:
    with pytest.raises(NonFiniteError, match=r"iteration \d+: \w+"):
        case(masoba(linear_step_size=100.0)).run(1000, 1)


# --- conventions and bad input -------------------------------------------------------------


def test_iteration_0_leaves_x_and_its_average_is_a_mean() -> None:
    one = case(warm_start=0, first=4)
    replay = stored(one, 1)
    state, first = one.run(1, replay).state, replay.start.first
    assert np.array_equal(state.x, X)
    samples = [one.problem.grad_x_upper(X, Y, at(first.upper, i)) for i in range(4)]  # z_0 = 0
    np.testing.assert_allclose(state.momentum, np.mean(samples, axis=0), rtol=0, atol=20 * U64)
    v = one.problem.grad_y_upper(X, Y, first.upper_y)
    np.testing.assert_allclose(state.z, 0.375 * v, rtol=4 * U64)
    later = one.run(2, stored(one, 2)).state
    np.testing.assert_allclose(later.x, X - 0.0625 * state.momentum, rtol=0, atol=4 * U64)


def test_samples_are_fresh() -> None:
    """ξ and ξ' are two draws: ∇_x F and ∇_y F do not share one."""
    sample = Tape(1).open(X).start(ALGORITHM.draw_start(problem("quadratic"), 0, 1)).first
    assert isinstance(sample, MASOBASample)
    for name, leaf in sample.upper_y.items():
        assert np.all(leaf != sample.upper[name][0])


def test_more_than_one_lower_step_is_refused() -> None:
    one = case()
    replay = stored(one, 2)
    two = {name: np.concatenate((leaf, leaf)) for name, leaf in replay.steps[0].lower.items()}
    with pytest.raises(ValueError, match="2 rows; MA-SOBA takes one step"):
        ALGORITHM.step(one.problem, one.run(1, replay).state, replay.steps[0]._replace(lower=two))


@pytest.mark.parametrize(
    ("name", "value", "interval"),
    [
        ("lower_step_size", 0.0, r"\(0, inf\)"),
        ("linear_step_size", -1.0, r"\(0, inf\)"),
        ("upper_step_size", float("nan"), r"\(0, inf\)"),
        ("momentum", 1.0, r"\[0, 1\)"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(name: str, value: float, interval: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must lie in {interval}"):
        masoba(**{name: value})
    with pytest.raises(TypeError, match=f"{name} must be a number"):
        masoba(**{name: True})
