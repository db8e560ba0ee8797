"""VRBO against a second program, and the law that its estimates belong to where they stand."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from accbo import VRBO, Replay, Tape, VRBOBatch, VRBOSample, VRBOState, run
from accbo._arrays import row
from accbo.problems import LowerNoise, UpperNoise, finite_sum, quadratic
from accbo.spider import spider
from tests.support import (
    SKEWED,
    U64,
    Case,
    X,
    Y,
    bits,
    condition,
    fields,
    problem,
    replace_parts,
    stored,
)
from tests.test_step import Explicit, at, estimate

STEPS = 8
ALGORITHM = VRBO(
    lower_step_size=0.25,
    upper_step_size=0.0625,
    period=3,
    lower_steps=2,
    large_batch=4,
    small_batch=2,
    neumann_terms=4,
    neumann_scale=3.0,
)
QUIET = problem("nonquadratic", noise_upper=UpperNoise(), noise_lower=LowerNoise())


def vrbo(**changes: Any) -> VRBO:
    return dataclasses.replace(ALGORITHM, **changes)


def case(algorithm: VRBO = ALGORITHM, **options: Any) -> Case:
    return Case(problem("nonquadratic"), algorithm, X, Y)._replace(**options)


# --- the second program --------------------------------------------------------------------


@dataclasses.dataclass
class Series:
    """What the second program's ``estimate`` reads of an algorithm."""

    neumann_terms: int
    neumann_scale: float
    neumann_sampling: str = "chained"


def slow(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """The lines of the docstring with explicit matrices, one replicate and sample at a time."""
    a, p = case.algorithm, Explicit(case.problem)
    series = Series(a.neumann_terms, a.neumann_scale)
    x, y, u, v = case.x, case.y, None, None
    for n in range(case.warm_start):
        y = y - a.lower_step_size * p.G_y(x, y, at(replay.start.warm_start, n))

    def below(point: Any, batch: Any, *index: int) -> Any:
        return p.G_y(*point, at(batch.lower, *index))

    def above(point: Any, batch: Any, *index: int) -> Any:
        *inner, s = index
        xi, zeta0 = at(batch.upper, *index), at(batch.cross, *index)
        return estimate(p, series, *point, xi, zeta0, lambda j: at(batch.hessian, *inner, j, s), 0)

    for k in range(steps):
        sample = replay.start.first if k == 0 else replay.steps[k - 1]
        if k % a.period == 0:
            u = np.mean([below((x, y), sample.large, s) for s in range(a.large_batch)], axis=0)
            v = np.mean([above((x, y), sample.large, s) for s in range(a.large_batch)], axis=0)
        points = [(x, y), (x - a.upper_step_size * v, y)]
        for i in range(a.lower_steps + 1):
            for s in range(a.small_batch):
                for e, old, new in [(below, *points[-2:]), (above, *points[-2:])]:
                    change = e(new, sample.inner, i, s) - e(old, sample.inner, i, s)
                    if e is below:
                        u = u + change / a.small_batch
                    else:
                        v = v + change / a.small_batch
            x_next, y_i = points[-1]
            points.append((x_next, y_i - a.lower_step_size * u))
        x, y = points[-2]  # where u and v were taken last
    return {"x": x, "y": y, "lower_estimate": u, "estimate": v}


@pytest.mark.parametrize("steps", [1, 2, 3, 4, STEPS])
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


@pytest.mark.parametrize("name", ["lower_step_size", "upper_step_size", "neumann_scale"])
def test_the_second_program_sees_every_size(name: str) -> None:
    one, other = case(), case(vrbo(**{name: getattr(ALGORITHM, name) + 1e-9}))
    replay = stored(one, 4)
    expected, found = slow(one, replay, 4), fields(other.run(4, replay).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-12


@pytest.mark.parametrize(
    "change", [{"period": 2}, {"lower_steps": 1}, {"neumann_terms": 3}, {"small_batch": 1}]
)
def test_what_has_another_shape_is_another_run(change: dict[str, int]) -> None:
    one, other = case(), case(vrbo(**change))
    expected = slow(one, stored(one, 4), 4)
    found = fields(other.run(4, stored(other, 4)).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-3


# --- wrong variants ------------------------------------------------------------------------


def first_difference_at_the_new_x(gradient: Any, new: Any, old: Any, v: Any, size: int) -> Any:
    """Found in public code: the old point was copied after x had moved."""
    return spider(gradient, new, (new[0], old[1]), v, size)


def the_difference_twice(gradient: Any, new: Any, old: Any, v: Any, size: int) -> Any:
    """The difference counted twice."""
    return spider(gradient, new, old, v, size) + spider(gradient, new, old, v, size) - v


def y_of_the_dropped_step(problem: Any, state: Any, sample: Any, algorithm: VRBO) -> Any:
    """y_{k+1} one step past the last difference: u and v then belong to another point."""
    after = algorithm.step(problem, state, sample)
    return after._replace(y=after.y - algorithm.lower_step_size * after.lower_estimate)


# --- law: without noise, u and v are the gradients where the run stands ---------------------


def h(x: Any, y: Any) -> Any:
    """The series of 4 terms at a point of ``QUIET``, by dense matrices."""
    p = Explicit(QUIET)
    zero = {"curvature": np.zeros(3), "coupling": np.zeros(3)}
    factor = np.eye(3) - p.G_yy(x, y, zero) / 3.0
    inverse = sum(np.linalg.matrix_power(factor, q) for q in range(4)) / 3.0
    return p.w * x - p.G_xy(x, y, zero) @ inverse @ np.tanh(y - p.t)


def telescopes(step: Any = None, **changes: Any) -> None:
    """u_k = ∇_y g(x_k, y_k) and v_k = h(x_k, y_k) for every k between refreshes."""
    algorithm = vrbo(period=100, **changes)
    stream = Tape(0).open(X)
    state = algorithm.init(QUIET, X, Y, stream.start(algorithm.draw_start(QUIET, 1, 1)))
    for _ in range(6):
        x, y, u, v, _ = state
        np.testing.assert_allclose(u, QUIET.grad_y_lower(x, y), rtol=0, atol=200 * U64)
        np.testing.assert_allclose(v, h(x, y), rtol=0, atol=200 * U64)
        sample = row(stream.block(algorithm.draw(QUIET, False), 1), 0)
        if step is None:
            state = algorithm.step(QUIET, state, sample)
        else:
            state = step(QUIET, state, sample, algorithm)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_the_estimates_belong_to_the_point_of_the_state(m: int) -> None:
    telescopes(lower_steps=m)


@pytest.mark.parametrize("variant", [first_difference_at_the_new_x, the_difference_twice])
def test_a_wrong_difference_is_rejected(monkeypatch: pytest.MonkeyPatch, variant: Any) -> None:
    replace_parts(monkeypatch, VRBO, estimate=variant, lower_estimate=variant)
    with pytest.raises(AssertionError):
        telescopes()


def test_y_past_the_last_difference_is_rejected() -> None:
    """Why the last step is dropped: the next first difference would leave it out."""
    with pytest.raises(AssertionError):
        telescopes(y_of_the_dropped_step)


def test_the_first_difference_alone_sees_the_move_of_x() -> None:
    """With y at rest, v_{k+1} − v_k is h at the new x less h at the old."""
    algorithm = vrbo(period=100, lower_step_size=1e-300)
    stream = Tape(0).open(X)
    one = algorithm.init(QUIET, X, Y, stream.start(algorithm.draw_start(QUIET, 0, 1)))
    two = algorithm.step(QUIET, one, row(stream.block(algorithm.draw(QUIET, False), 1), 0))
    moved = h(two.x, Y) - h(one.x, Y)
    np.testing.assert_allclose(two.estimate - one.estimate, moved, rtol=0, atol=50 * U64)
    assert np.linalg.norm(moved) > 1e-3


# --- law: unbiased, over every outcome of the batches ---------------------------------------


def mean_error(period: int) -> tuple[np.ndarray, np.ndarray]:
    """E (u − ∇_y g) and E (v − E h) at the points reached, over all samples of one iteration.

    Two terms a level, one term of the series, m = 1 and batches of one: the sample is three
    indices (ξ, ζ⁰, π) for each of two differences, and three more at a refresh.
    """
    host = finite_sum(2, 2, 3, upper_batch=1, lower_batch=1, seed=4)
    changes = {"period": period, "lower_steps": 1, "large_batch": 1, "small_batch": 1}
    algorithm = vrbo(**changes, neumann_terms=1)
    refresh = algorithm.refreshes(1)
    paths = np.array(list(itertools.product(range(2), repeat=9 if refresh else 6))).T
    count = paths.shape[1]  # replicates, one per outcome
    none = np.zeros((0, count), dtype=np.int64)

    def batch(rows: Any, xi: Any, zeta0: Any, pi: Any) -> VRBOBatch:
        """Fields of shape ``(*rows, count, 1)``; a series of one term has no Hessian sample."""
        xi, zeta0, pi = ({"index": part.reshape(*rows, count, 1)} for part in (xi, zeta0, pi))
        zeta = {"index": np.zeros((*rows[:-1], 0, rows[-1], count, 1), dtype=np.int64)}
        return VRBOBatch(xi, zeta0, zeta, pi)

    large = batch((1,), *paths[6:]) if refresh else batch((0,), none, none, none)
    sample = VRBOSample(large, batch((2, 1), paths[0:2], paths[2:4], paths[4:6]))
    x, y = np.tile(X, (count, 1)), np.tile(Y, (count, 1))
    u, v = host.grad_y_lower(x, y), full(host, x, y)
    if refresh:  # what stood there before must not matter
        u, v = u + 1, v - 2
    after = algorithm.step(host, VRBOState(x, y, u, v, 1), sample)
    return (
        np.mean(after.lower_estimate - host.grad_y_lower(after.x, after.y), axis=0),
        np.mean(after.estimate - full(host, after.x, after.y), axis=0),
    )


def full(host: Any, x: Any, y: Any) -> Any:
    """E h of one term: ∇_x f − ∇²_xy g ∇_y f/l."""
    return host.grad_x_upper(x, y) - host.cross_lower(x, y, host.grad_y_upper(x, y) / 3.0)


@pytest.mark.parametrize("period", [1, 2], ids=["refresh", "between"])
def test_the_estimates_are_unbiased_where_the_run_stands(period: int) -> None:
    for error in mean_error(period):
        np.testing.assert_allclose(error, 0 * error, rtol=0, atol=40 * U64)


@pytest.mark.parametrize("variant", [first_difference_at_the_new_x, the_difference_twice])
def test_a_biased_difference_is_rejected(monkeypatch: pytest.MonkeyPatch, variant: Any) -> None:
    replace_parts(monkeypatch, VRBO, estimate=variant, lower_estimate=variant)
    assert max(np.max(np.abs(error)) for error in mean_error(2)) > 1e-3


# --- where it ends, conventions, bad input -------------------------------------------------


def test_without_noise_it_reaches_the_stationary_point() -> None:
    """H = l I, where any number of terms is exact."""
    quiet = quadratic((2.0, 2.0, 2.0), 2, seed=3)
    algorithm = vrbo(
        neumann_scale=2.0, upper_step_size=0.25, lower_steps=4, period=7, large_batch=1
    )
    state = run(algorithm, quiet, X, Y, steps=150).state
    np.testing.assert_allclose(state.x, quiet.minimiser(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.estimate, 0 * X, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.y, quiet.solution(state.x), rtol=0, atol=1e-12)


def test_x_moves_against_the_estimate_that_stood_but_at_a_refresh() -> None:
    one = case()
    replay = stored(one, 5)
    for k, refreshed in ((2, False), (3, True), (4, False)):
        before, after = one.run(k, replay).state, one.run(k + 1, replay).state
        moved = (before.x - after.x) / 0.0625
        assert np.allclose(moved, before.estimate, rtol=0, atol=1e-12) is not refreshed


def test_a_refresh_forgets_the_estimates_that_stood() -> None:
    one = case()
    replay = stored(one, 4)
    before = one.run(3, replay).state
    lost = before._replace(estimate=before.estimate + 5, lower_estimate=before.lower_estimate - 3)
    after = [one.algorithm.step(one.problem, s, replay.steps[2]) for s in (before, lost)]
    assert bits(after[0]) == bits(after[1])


def test_iteration_0_is_a_refresh_with_s1_in_place_of_s() -> None:
    layout = ALGORITHM.draw_start(problem("nonquadratic"), 2, 9)
    assert layout.first == ALGORITHM.draw(problem("nonquadratic"), True)
    assert layout.first.large.upper["additive_x"].leading == (4,)
    assert layout.first.inner.hessian["curvature"].leading == (3, 3, 2)
    between = ALGORITHM.draw(problem("nonquadratic"), False)
    assert between.large.upper["additive_x"].leading == (0,)
    assert [ALGORITHM.refreshes(k) for k in range(7)] == [True, False, False] * 2 + [True]


def test_a_sample_of_the_wrong_kind_of_iteration_is_refused() -> None:
    one = case()
    replay = stored(one, 3)
    swapped = replay.steps[0]._replace(large=replay.start.first.large)
    with pytest.raises(
        ValueError, match=r"iteration 1: sample\.large\.upper\['additive_x'\] has shape \(4, 2\)"
    ):
        one.run(3, Replay(replay.start, (swapped, *replay.steps[1:])))


@pytest.mark.parametrize(
    "name", ["period", "lower_steps", "large_batch", "small_batch", "neumann_terms"]
)
def test_counts_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got 0"):
        vrbo(**{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer >= 1, got True"):
        vrbo(**{name: True})


@pytest.mark.parametrize("name", ["lower_step_size", "upper_step_size", "neumann_scale"])
def test_sizes_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must lie in"):
        vrbo(**{name: 0.0})
