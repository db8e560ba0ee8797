"""StocBiO against a second program, its inner loop by its moments, its estimate by its batches."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from typing import Any

import numpy as np
import pytest

from accbo import (
    TTSA,
    NonFiniteError,
    Replay,
    StocBiO,
    StocBiOSample,
    StocBiOState,
    Tape,
    TTSASample,
    TTSAState,
    run,
)
from accbo._arrays import map_arrays, row
from accbo.algorithms.stocbio import batch_steps
from accbo.hypergradient import neumann_chained, neumann_gradient
from accbo.problems import LowerNoise, UpperNoise, quadratic
from accbo.problems.wrapped import ScaledUpper
from accbo.spider import batch_mean
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
    made_of,
    problem,
    replace_parts,
    stored,
)
from tests.test_step import Explicit, at

STEPS = 8
ALGORITHM = StocBiO(
    lower_step_size=0.25,
    upper_step_size=0.0625,
    lower_steps=3,
    lower_batch=2,
    upper_batch=4,
    neumann_terms=4,
    neumann_scale=3.0,
)
MODULE = sys.modules["accbo.algorithms.stocbio"]


def stocbio(**changes: Any) -> StocBiO:
    return dataclasses.replace(ALGORITHM, **changes)


def case(algorithm: StocBiO = ALGORITHM, **options: Any) -> Case:
    return Case(problem("nonquadratic"), algorithm, X, Y)._replace(**options)


# --- the second program, with matrices -----------------------------------------------------


def slow(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """Alg. 2 and Alg. 3 with explicit matrices, one replicate and sample at a time.

    Alg. 3 goes backwards, from r_Q = v_0 to r_{i−1} = r_i − η ∇²_yy G(B_i) r_i: its B_Q is our
    first factor.
    """
    a, p = case.algorithm, Explicit(case.problem)
    x, y = case.x, case.y

    def mean(oracle: Any, size: int, batch: Any, *index: int) -> Any:
        return np.mean([oracle(x, y, at(batch, *index, s)) for s in range(size)], axis=0)

    for n in range(case.warm_start):
        y = y - a.lower_step_size * mean(p.G_y, a.lower_batch, replay.start.warm_start, n)
    for k in range(steps):
        sample = replay.start.first if k == 0 else replay.steps[k - 1]
        for d in range(a.lower_steps):
            y = y - a.lower_step_size * mean(p.G_y, a.lower_batch, sample.lower, d)
        B, eta, Q = a.upper_batch, 1 / a.neumann_scale, a.neumann_terms - 1
        r = [mean(p.F_y, B, sample.upper)]
        for i in range(Q, 0, -1):
            r.append(r[-1] - eta * mean(p.G_yy, B, sample.hessian, Q - i) @ r[-1])
        v = eta * sum(r)
        x = x - a.upper_step_size * (
            mean(p.F_x, B, sample.upper) - mean(p.G_xy, B, sample.cross) @ v
        )
    return {"x": x, "y": y}


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


@pytest.mark.parametrize("name", ["lower_step_size", "upper_step_size", "neumann_scale"])
def test_the_second_program_sees_every_size(name: str) -> None:
    one, other = case(), case(stocbio(**{name: getattr(ALGORITHM, name) + 1e-9}))
    replay = stored(one, 4)
    expected, found = slow(one, replay, 4), fields(other.run(4, replay).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-12


@pytest.mark.parametrize(
    "change", [{"lower_steps": 2}, {"neumann_terms": 3}, {"lower_batch": 1}, {"upper_batch": 3}]
)
def test_what_has_another_shape_is_another_run(change: dict[str, int]) -> None:
    one, other = case(), case(stocbio(**change))
    expected = slow(one, stored(one, 4), 4)
    found = fields(other.run(4, stored(other, 4)).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-3


def loop(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """The published lines in the problem's own oracles, operation for operation."""
    a, p, x, y = case.algorithm, case.problem, case.x, case.y
    inverse, S, B = 1 / a.neumann_scale, a.lower_batch, a.upper_batch

    def mean(oracle: Any, size: int, point: Any, batch: Any, *index: int) -> Any:
        return sum(oracle(*point, at(batch, *index, s)) for s in range(size)) / size

    for n in range(case.warm_start):
        y = y - a.lower_step_size * mean(p.grad_y_lower, S, (x, y), replay.start.warm_start, n)
    for k in range(steps):
        sample = replay.start.first if k == 0 else replay.steps[k - 1]
        for d in range(a.lower_steps):
            y = y - a.lower_step_size * mean(p.grad_y_lower, S, (x, y), sample.lower, d)
        z = term = mean(p.grad_y_upper, B, (x, y), sample.upper)
        for q in range(1, a.neumann_terms):
            term = term - inverse * mean(p.hvp_lower, B, (x, y, term), sample.hessian, q - 1)
            z = z + term
        direct = mean(p.grad_x_upper, B, (x, y), sample.upper)
        implicit = mean(p.cross_lower, B, (x, y, inverse * z), sample.cross)
        x = x - a.upper_step_size * (direct - implicit)
    return {"x": x, "y": y}


@pytest.mark.parametrize("kind", ["quadratic", "cosh", "nonquadratic", "finite_sum"])
def test_a_loop_over_the_published_lines_has_the_same_bits(kind: str) -> None:
    one = case(problem=problem(kind))
    replay = stored(one, 20)
    state = one.run(20, replay).state
    for name, value in loop(one, replay, 20).items():
        assert np.array_equal(getattr(state, name), value), name


# --- wrong variants ------------------------------------------------------------------------


class FromTheStart(StocBiO):
    """y starts from its first value in every iteration."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        return super().step(problem, state._replace(y=Y + 0 * state.y), sample)


def one_batch(problem: Any, x: Any, y: Any, batches: Any, size: float) -> Any:
    """Found in public code: every lower step on the same batch."""
    first = {name: 0 * leaf + leaf[:1] for name, leaf in batches.items()}
    return batch_steps(problem, x, y, first, size)


def one_step_short(problem: Any, x: Any, y: Any, batches: Any, size: float) -> Any:
    """D − 1 lower steps."""
    return batch_steps(problem, x, y, at(batches, slice(1, None)), size)


def no_zeroing(problem: Any, x: Any, y: Any, batches: Any, size: float) -> Any:
    """Found in public code: the gradients of the inner steps add up."""
    total = 0
    for d in range(next(iter(batches.values())).shape[0]):
        total = total + MODULE.mean(problem.grad_y_lower, x, y, at(batches, d))
        y = y - size * total
    return y


OneBatch, OneStepShort, NoZeroing = (
    made_of(StocBiO, y=wrong) for wrong in (one_batch, one_step_short, no_zeroing)
)


class MeanOfSeries(StocBiO):
    """A batch of series in place of a series of batches: the same mean, another variance."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        after, B = super().step(problem, state, sample), self.upper_batch
        terms, scale = self.neumann_terms, self.neumann_scale
        gradient = neumann_gradient(problem, sample, "chained", terms, scale)
        direction = batch_mean(gradient, (state.x, after.y), B)
        return after._replace(x=state.x - self.upper_step_size * direction)


class OldY(StocBiO):
    """The direction at y_{k−1}."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        none = at(sample.lower, slice(0, 0))
        before = super().step(problem, state, sample._replace(lower=none))
        return super().step(problem, state, sample)._replace(x=before.x)


def of(kind: type[StocBiO], **changes: Any) -> StocBiO:
    return kind(**{**dataclasses.asdict(ALGORITHM), **changes})


def series_from_1(product: Any, v: Any, sample: Any, terms: int, scale: float) -> Any:
    """Found in public code: no term of power 0."""
    return neumann_chained(product, v, sample, terms, scale) - v / scale


def one_batch_for_all_factors(product: Any, v: Any, sample: Any, terms: int, scale: float) -> Any:
    """Found in public code: one Hessian batch."""
    first = {name: 0 * leaf + leaf[:1] for name, leaf in sample.hessian.items()}
    return neumann_chained(product, v, sample._replace(hessian=first), terms, scale)


def first_of_the_batch(oracle: Any, *arguments: Any) -> Any:
    """A batch of which one sample is used."""
    *point, batch = arguments
    return oracle(*point, at(batch, 0))


def batch_on_the_last_argument(oracle: Any, *arguments: Any) -> Any:
    """A point that is not repeated: what has no noise answers once for the whole batch."""
    *point, last, batch = arguments
    size = next(iter(batch.values())).shape[0]
    return batch_mean(lambda last: oracle(*point, last, batch), (last,), size)


# --- law: the inner loop contracts by (1 − αh)^D --------------------------------------------

SPECTRUM = np.array([0.5, 1.0, 2.5])


def still(kind: type[StocBiO], noise: LowerNoise, **changes: Any) -> tuple[Any, StocBiO]:
    """A quadratic with its eigenvalues on the axes, and StocBiO whose x does not move."""
    host = quadratic(SPECTRUM, 2, rotate=False, noise_lower=noise, seed=3, form="matmul")
    sizes = {"upper_step_size": 1e-300, "upper_batch": 1, "neumann_terms": 1}
    return host, of(kind, **{**sizes, **changes})


def contracts(kind: type[StocBiO], D: int) -> None:
    """Without noise y_k − y* = (1 − αh)^D (y_{k−1} − y*), per eigenvalue and for every k."""
    host, algorithm = still(kind, LowerNoise(), lower_steps=D)
    sample = row(Tape().open(X).block(algorithm.draw(host), 1), 0)
    state, solution = StocBiOState(X, Y, 0), host.solution(X)
    for k in range(1, 4):
        state = algorithm.step(host, state, sample)
        expected = (1 - 0.25 * SPECTRUM) ** (k * D) * (Y - solution)
        np.testing.assert_allclose(state.y - solution, expected, rtol=0, atol=40 * U64)
        assert np.array_equal(state.x, X)


@pytest.mark.parametrize("D", [1, 2, 5])
def test_the_inner_loop_contracts_by_its_power(D: int) -> None:
    contracts(StocBiO, D)


@pytest.mark.parametrize("kind", [FromTheStart, OneStepShort, NoZeroing])
def test_another_contraction_is_rejected(kind: type[StocBiO]) -> None:
    with pytest.raises(AssertionError):
        contracts(kind, 3)


# --- law: its variance, over every outcome of its batches -----------------------------------


def enumerated(draws: int) -> np.ndarray:
    """All outcomes of so many fair signs, (draws, outcomes)."""
    return 2.0 * np.array(list(itertools.product(range(2), repeat=draws))).T - 1


def average(values: np.ndarray) -> np.ndarray:
    """Mean over the outcomes, added in pairs: along the first axis NumPy adds one by one."""
    return np.mean(np.ascontiguousarray(values.T), axis=-1).T


def inner_variance(kind: type[StocBiO], D: int, S: int) -> None:
    """E y_D and Var y_D per eigenvalue, for fair signs n and s in place of the laws.

    e ← (1 − α (h + c s̄)) e − α (a n̄ + c s̄ y*), means over S: with c = 0 the variance is
    α² a²/S Σ_{j<D} (1 − αh)^{2j}.
    """
    a, alpha = 0.5, 0.25
    for c in (0.0, 0.25):
        noise = LowerNoise(additive=a, curvature=c)
        host, algorithm = still(kind, noise, lower_steps=D, lower_batch=S)
        signs = enumerated((2 if c else 1) * D * S)
        count = signs.shape[1]
        signs = signs.reshape(-1, D, S, count, 1) + np.zeros(3)
        lower = dict(zip(("additive", "curvature"), signs, strict=False))
        zero = row(Tape().open(np.zeros((count, 2))).block(algorithm.draw(host), 1), 0)
        x, y = np.tile(X, (count, 1)), np.tile(Y, (count, 1))
        state = StocBiOState(x, y, 0)
        after = algorithm.step(host, state, zero._replace(lower=lower)).y

        solution = host.solution(X)
        mean, variance = Y, np.zeros(3)
        for _ in range(D):
            # s multiplies y and is independent of it: E y² enters its part
            variance = (1 - alpha * SPECTRUM) ** 2 * variance + alpha**2 / S * (
                a**2 + c**2 * (variance + mean**2)
            )
            mean = solution + (1 - alpha * SPECTRUM) * (mean - solution)
        np.testing.assert_allclose(average(after), mean, rtol=0, atol=40 * U64)
        np.testing.assert_allclose(average((after - mean) ** 2), variance, rtol=1e-13)
        if c == 0:
            powers = sum((1 - alpha * SPECTRUM) ** (2 * j) for j in range(D))
            np.testing.assert_allclose(variance, alpha**2 * a**2 / S * powers, rtol=1e-14)


@pytest.mark.parametrize(("D", "S"), [(1, 1), (3, 1), (2, 3), (3, 2)])
def test_the_inner_loop_has_the_variance_of_its_batches(D: int, S: int) -> None:
    inner_variance(StocBiO, D, S)


@pytest.mark.parametrize("kind", [OneBatch, OneStepShort, NoZeroing])
def test_another_inner_variance_is_rejected(kind: type[StocBiO]) -> None:
    with pytest.raises(AssertionError):
        inner_variance(kind, 3, 2)


def test_a_batch_of_which_one_sample_is_used_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "mean", first_of_the_batch)
    with pytest.raises(AssertionError):
        inner_variance(StocBiO, 3, 2)


# --- law: the direction has expectation ∇_x f − ∇²_xy g S_Q ∇_y f, and variance by batch ----


def direction_moments(kind: type[StocBiO], B: int, c: float, e: float) -> tuple[float, float]:
    """Mean and variance of (x_k − x_{k+1})/η, checked; one eigenvalue, Q = 3, fair signs.

    With means over B: z = (1 + F_1 + F_2 F_1)(v + a_y n̄_y)/l, F_i = 1 − (h + c s̄_i)/l, and the
    direction is w x + a_x n̄_x + C (1 + e s̄') z.
    """
    h, C, w, target, scale, a_x, a_y = 1.5, 0.75, 0.5, 1.25, 3.0, 0.25, 0.375
    host = quadratic(
        (h,),
        1,
        coupling=np.array([[C]]),
        weights=w,
        target=target,
        rotate=False,
        noise_upper=UpperNoise(additive_x=a_x, additive_y=a_y),
        noise_lower=LowerNoise(curvature=c, coupling=e),
        form="matmul",
    )
    algorithm = of(
        kind,
        lower_step_size=1e-300,
        upper_step_size=1.0,
        lower_steps=1,
        lower_batch=1,
        upper_batch=B,
        neumann_terms=3,
        neumann_scale=scale,
    )
    signs = enumerated((2 + 2 * (c > 0) + (e > 0)) * B)
    count = signs.shape[1]
    n_x, n_y, *of_lower = signs.reshape(-1, B, count, 1)
    stream = Tape().open(np.zeros((count, 1)))
    sample = row(stream.block(algorithm.draw(host), 1), 0)
    sample = sample._replace(upper={"additive_x": n_x, "additive_y": n_y})
    if c:
        sample = sample._replace(hessian={"curvature": np.stack(of_lower[:2])})
    if e:
        sample = sample._replace(cross={"coupling": of_lower[-1]})
    x, y = 0.5, -1.0
    state = StocBiOState(np.full((count, 1), x), np.full((count, 1), y), 0)
    found = x - algorithm.step(host, state, sample).x

    v, F, FF = y - target, 1 - h / scale, (1 - h / scale) ** 2 + c**2 / scale**2 / B
    series = (1 + F + F * F) / scale
    square = (1 + 2 * F * (1 + F) + FF * (1 + 2 * F + FF)) / scale**2
    mean = w * x + C * series * v
    variance = a_x**2 / B + C**2 * (
        (1 + e**2 / B) * square * (v**2 + a_y**2 / B) - (series * v) ** 2
    )
    np.testing.assert_allclose(average(found), mean, rtol=0, atol=40 * U64)
    np.testing.assert_allclose(average((found - mean) ** 2), variance, rtol=1e-12)
    return mean, variance


@pytest.mark.parametrize("B", [1, 2, 3])
def test_the_direction_has_the_moments_of_its_batches(B: int) -> None:
    direction_moments(StocBiO, B, 0.5, 0.25)


def test_where_only_f_is_noisy_its_variance_is_that_of_one_sample_over_b() -> None:
    mean, one = direction_moments(StocBiO, 1, 0.0, 0.0)
    for B in (2, 3, 5):
        assert direction_moments(StocBiO, B, 0.0, 0.0) == (mean, pytest.approx(one / B, rel=1e-13))


@pytest.mark.parametrize("variant", [series_from_1, one_batch_for_all_factors])
def test_another_series_is_rejected(monkeypatch: pytest.MonkeyPatch, variant: Any) -> None:
    replace_parts(monkeypatch, StocBiO, series=lambda *a: variant(*a[:-1]))
    with pytest.raises(AssertionError):
        direction_moments(StocBiO, 2, 0.5, 0.25)


def test_a_mean_of_series_is_rejected_by_its_variance_alone() -> None:
    with pytest.raises(AssertionError, match="rtol=1e-12"):  # the mean, checked first, holds
        direction_moments(MeanOfSeries, 2, 0.5, 0.25)
    direction_moments(MeanOfSeries, 1, 0.5, 0.25)  # where the two are the same


def test_one_sample_of_the_batch_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "mean", first_of_the_batch)
    with pytest.raises(AssertionError, match="rtol=1e-12"):
        direction_moments(StocBiO, 2, 0.5, 0.25)


@pytest.mark.parametrize(
    "kind", [FromTheStart, OneBatch, OneStepShort, NoZeroing, MeanOfSeries, OldY]
)
def test_the_second_program_sees_every_wrong_variant(kind: type[StocBiO]) -> None:
    one, wrong = case(), case(of(kind))
    replay = stored(one, 4)
    expected, found = slow(one, replay, 4), fields(wrong.run(4, replay).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-5


# --- relations, and where it ends ----------------------------------------------------------


def test_with_one_of_everything_iteration_0_is_that_of_ttsa() -> None:
    """D = S = B = Q = 1, where TTSA's sizes have not begun to shrink: bit for bit."""
    host = problem("nonquadratic")
    sizes = {"lower_step_size": 0.25, "upper_step_size": 0.0625, "neumann_scale": 3.0}
    single = {"lower_steps": 1, "lower_batch": 1, "upper_batch": 1, "neumann_terms": 1}
    one, other = StocBiO(**sizes, **single), TTSA(**sizes, neumann_terms=1, offset=1.0)
    sample = row(Tape(4).open(X).block(one.draw(host), 1), 0)
    same = TTSASample(
        upper=at(sample.upper, 0),
        cross=at(sample.cross, 0),
        hessian=at(sample.hessian, slice(None), 0),
        power={"power": np.zeros(1, dtype=np.int64)},
        lower=at(sample.lower, slice(None), 0),
    )
    mine = one.step(host, StocBiOState(X, Y, 0), sample)
    theirs = other.step(host, TTSAState(X, Y, 0), same)
    assert bits(mine) == bits(theirs)
    assert bits(mine) != bits(other.step(host, TTSAState(X, Y, 1), same))


@pytest.mark.parametrize("exponent", [-40, 7, 40])
def test_f_times_a_power_of_two_is_an_upper_step_divided_by_it(exponent: int) -> None:
    one, factor = case(), 2.0**exponent
    scaled = one._replace(
        problem=ScaledUpper(one.problem, factor),
        algorithm=stocbio(upper_step_size=ALGORITHM.upper_step_size / factor),
    )
    assert bits(one.run(20, Tape(3)).state) == bits(scaled.run(20, Tape(3)).state)
    plain = scaled._replace(algorithm=ALGORITHM)
    assert bits(one.run(20, Tape(3)).state) != bits(plain.run(20, Tape(3)).state)


def test_without_noise_it_reaches_the_stationary_point() -> None:
    """H = l I, where any number of terms is exact."""
    quiet = quadratic((2.0, 2.0, 2.0), 2, seed=3)
    algorithm = stocbio(neumann_scale=2.0, upper_step_size=0.25)
    state = run(algorithm, quiet, X, Y, steps=150).state
    np.testing.assert_allclose(state.x, quiet.minimiser(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.y, quiet.solution(state.x), rtol=0, atol=1e-12)


QUIET = problem("quadratic", noise_upper=UpperNoise(), noise_lower=LowerNoise())


def without_noise(B: int, count: int) -> dict[str, bytes]:
    """Replicate 0 of a run without noise of ``count`` replicates on batches of B."""
    algorithm = stocbio(lower_batch=B, upper_batch=B)
    many = case(algorithm, problem=QUIET, x=batch(X, count), y=batch(Y, count))
    return bits(map_arrays(lambda leaf: leaf[0].copy(), many.run(9, 0).state))


def test_without_noise_neither_batches_nor_other_replicates_matter() -> None:
    """An oracle without noise still has a value for every sample of the batch."""
    assert without_noise(1, 1) == without_noise(2, 1) == without_noise(2, 3)


def test_a_mean_over_replicates_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    right = without_noise(2, 3)
    monkeypatch.setattr(MODULE, "mean", batch_on_the_last_argument)
    assert without_noise(2, 3) != right


# --- conventions and bad input -------------------------------------------------------------


def test_iteration_0_is_an_iteration_as_any_other_and_the_warm_start_more_of_its_loop() -> None:
    host = problem("nonquadratic")
    layout = ALGORITHM.draw_start(host, 2, 9)
    assert layout.first == ALGORITHM.draw(host)
    assert layout.warm_start["additive"].leading == (2, 2)
    assert layout.first.lower["additive"].leading == (3, 2)
    assert layout.first.upper["additive_x"].leading == (4,)
    assert layout.first.cross["coupling"].leading == (4,)
    assert layout.first.hessian["curvature"].leading == (3, 4)
    assert layout.first.lower["additive"].scaled
    assert not layout.first.hessian["curvature"].scaled
    start = Tape(5).open(X).start(layout)
    lower = {
        name: np.concatenate((leaf, start.first.lower[name]))
        for name, leaf in start.warm_start.items()
    }
    after = ALGORITHM.step(host, StocBiOState(X, Y, 0), start.first._replace(lower=lower))
    assert bits(ALGORITHM.init(host, X, Y, start)) == bits(after)
    assert after.iteration == 1


def test_a_sample_of_another_batch_is_refused() -> None:
    one = case()
    replay = stored(one, 3)
    other = case(stocbio(upper_batch=5))
    wrong = Replay(replay.start, (stored(other, 2).steps[0], *replay.steps[1:]))
    with pytest.raises(ValueError, match=r"sample\.upper\['additive_x'\] has shape \(5, 2\)"):
        one.run(3, wrong)


def test_a_series_of_another_length_is_refused() -> None:
    one = case()
    replay = stored(one, 2)
    short = replay.steps[0]._replace(hessian=at(replay.steps[0].hessian, slice(1, None)))
    assert isinstance(short, StocBiOSample)
    with pytest.raises(ValueError, match="2 rows; the chained series of Q = 4 terms takes 3"):
        one.algorithm.step(one.problem, StocBiOState(X, Y, 1), short)


def test_a_run_that_diverges_is_named_with_its_iteration() -> None:
    """Sizes far too long: finite until they are not, and no table of NaN."""
    wild = case(stocbio(lower_step_size=1e20, upper_step_size=1e20))
    with (
        pytest.raises(NonFiniteError, match=r"iteration [1-9]: [xy] holds"),
        np.errstate(all="ignore"),
    ):
        wild.run(50, Tape(1))


@pytest.mark.parametrize("name", ["lower_steps", "lower_batch", "upper_batch", "neumann_terms"])
def test_counts_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got 0"):
        stocbio(**{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer >= 1, got True"):
        stocbio(**{name: True})


@pytest.mark.parametrize("name", ["lower_step_size", "upper_step_size", "neumann_scale"])
def test_sizes_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must lie in \(0, inf\), got 0"):
        stocbio(**{name: 0.0})
    with pytest.raises(TypeError, match=f"{name} must be a number"):
        stocbio(**{name: None})
