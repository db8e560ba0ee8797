"""TTSA against a second program, its two recursions by their moments, and its shrinking sizes."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from typing import Any

import numpy as np
import pytest

from accbo import TTSA, NonFiniteError, Tape, TTSASample, TTSAState, run
from accbo._arrays import row
from accbo.hypergradient import NEUMANN, hypergradient, implicit_gradient, neumann_gradient
from accbo.problems import LowerNoise, UpperNoise, quadratic
from accbo.problems.wrapped import ScaledUpper
from tests.support import SKEWED, U64, Case, X, Y, bits, condition, fields, problem, stored
from tests.test_step import Explicit, at, estimate

STEPS = 8
ALGORITHM = TTSA(
    lower_step_size=0.375,
    upper_step_size=0.0625,
    offset=2.5,
    neumann_terms=4,
    neumann_scale=3.0,
)
MODULE = sys.modules["accbo.algorithms.ttsa"]


def ttsa(**changes: Any) -> TTSA:
    return dataclasses.replace(ALGORITHM, **changes)


def case(algorithm: TTSA = ALGORITHM, **options: Any) -> Case:
    return Case(problem("nonquadratic"), algorithm, X, Y)._replace(**options)


# --- the second program, with matrices -----------------------------------------------------


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
        y = y - a.lower_step_size / w**0.4 * p.G_y(x, y, at(replay.start.warm_start, n))
    for t in range(steps):
        s = replay.start.first if t == 0 else replay.steps[t - 1]
        y = y - a.lower_step_size / (w + t) ** 0.4 * p.G_y(x, y, at(s.lower, 0))
        power = s.power["power"][0]
        h = estimate(p, series, x, y, s.upper, s.cross, lambda j, s=s: at(s.hessian, j), power)
        x = x - a.upper_step_size / (w + t) ** 0.6 * h
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


@pytest.mark.parametrize("name", ["lower_step_size", "upper_step_size", "offset", "neumann_scale"])
def test_the_second_program_sees_every_hyper_parameter(name: str) -> None:
    one, other = case(), case(ttsa(**{name: getattr(ALGORITHM, name) + 1e-9}))
    replay = stored(one, 4)
    expected, found = slow(one, replay, 4), fields(other.run(4, replay).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-12


def loop(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """The published lines in the problem's own oracles, operation for operation."""
    a, p, x, y = case.algorithm, case.problem, case.x, case.y
    b, inverse = a.lower_step_size, 1 / a.neumann_scale
    for n in range(case.warm_start):
        y = y - b * a.offset ** (-2 / 5) * p.grad_y_lower(x, y, at(replay.start.warm_start, n))
    for t in range(steps):
        s = replay.start.first if t == 0 else replay.steps[t - 1]
        y = y - b * (a.offset + t) ** (-2 / 5) * p.grad_y_lower(x, y, at(s.lower, 0))
        term = p.grad_y_upper(x, y, s.upper)
        for j in range(int(s.power["power"][0])):
            term = term - inverse * p.hvp_lower(x, y, term, at(s.hessian, j))
        term = (a.neumann_terms * inverse) * term
        h = p.grad_x_upper(x, y, s.upper) - p.cross_lower(x, y, term, s.cross)
        x = x - a.upper_step_size * (a.offset + t) ** (-3 / 5) * h
    return {"x": x, "y": y}


@pytest.mark.parametrize("kind", ["quadratic", "cosh", "nonquadratic", "finite_sum"])
def test_a_loop_over_the_published_lines_has_the_same_bits(kind: str) -> None:
    one = case(problem=problem(kind))
    replay = stored(one, 20)
    state = one.run(20, replay).state
    for name, value in loop(one, replay, 20).items():
        assert np.array_equal(getattr(state, name), value), name


# --- wrong variants ------------------------------------------------------------------------


def without_the_factor(
    problem: Any, sample: Any, sampling: str, terms: int, scale: float, *_: Any
) -> Any:
    """Found in public code: one random term, not times Q."""

    def series(product: Any, v: Any, sample: Any) -> Any:
        return NEUMANN[sampling](product, v, sample, terms, scale) / terms

    return lambda x, y: hypergradient(problem, x, y, sample, series)


def one_factor_more(
    problem: Any, sample: Any, sampling: str, terms: int, scale: float, *_: Any
) -> Any:
    """Found in public code: q from {1..Q} for {0..Q−1}."""

    def series(product: Any, v: Any, sample: Any) -> Any:
        v = v - product(v, at(sample.hessian, 0)) / scale
        return NEUMANN[sampling](product, v, sample, terms, scale)

    return lambda x, y: hypergradient(problem, x, y, sample, series)


def one_sample_for_all_factors(
    problem: Any, sample: Any, sampling: str, terms: int, scale: float, *_: Any
) -> Any:
    """Found in public code: every factor of the product on the same sample."""
    first = {name: 0 * leaf + leaf[:1] for name, leaf in sample.hessian.items()}
    return neumann_gradient(problem, sample._replace(hessian=first), sampling, terms, scale)


def without_the_minus(
    problem: Any, sample: Any, sampling: str, terms: int, scale: float, *_: Any
) -> Any:
    """Found in public code: the implicit term with a plus."""
    right = neumann_gradient(problem, sample, sampling, terms, scale)
    return lambda x, y: 2 * problem.grad_x_upper(x, y, sample.upper) - right(x, y)


def x_from_the_old_y(algorithm: TTSA, problem: Any, state: Any, sample: Any) -> Any:
    terms, scale = algorithm.neumann_terms, algorithm.neumann_scale
    h = neumann_gradient(problem, sample, "randomised", terms, scale)(state.x, state.y)
    return state.x - algorithm._upper_size(state.iteration) * h


class OldY(TTSA):
    """h at (x_t, y_t): both levels move together."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        x = x_from_the_old_y(self, problem, state, sample)
        return super().step(problem, state, sample)._replace(x=x)


class NewX(TTSA):
    """x first, and the lower step at x_{t+1}."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        x = x_from_the_old_y(self, problem, state, sample)
        return super().step(problem, state._replace(x=x), sample)._replace(x=x)


class ConstantSizes(TTSA):
    """Found in public code: sizes that do not shrink."""

    def _lower_size(self, t: int) -> float:
        return super()._lower_size(0)

    def _upper_size(self, t: int) -> float:
        return super()._upper_size(0)


class SwappedExponents(TTSA):
    """The upper step shrinks more slowly than the lower."""

    def _lower_size(self, t: int) -> float:
        return self.lower_step_size * (self.offset + t) ** (-3 / 5)

    def _upper_size(self, t: int) -> float:
        return self.upper_step_size * (self.offset + t) ** (-2 / 5)


class LateClock(TTSA):
    """The sizes of iteration t + 1."""

    def _lower_size(self, t: int) -> float:
        return super()._lower_size(t + 1)

    def _upper_size(self, t: int) -> float:
        return super()._upper_size(t + 1)


def of(kind: type[TTSA], **changes: Any) -> TTSA:
    return kind(**{**dataclasses.asdict(ALGORITHM), **changes})


# --- law: the lower recursion on a prescribed path of x -------------------------------------


def enumerated(*counts: int) -> np.ndarray:
    """All outcomes of independent draws, uniform on {0..count−1} each: (draws, outcomes)."""
    return np.array(list(itertools.product(*map(range, counts)))).T


def average(values: np.ndarray) -> np.ndarray:
    """Mean over the outcomes, added in pairs: along the first axis NumPy adds one by one."""
    return np.mean(np.ascontiguousarray(values.T), axis=-1).T


def lower_moments(kind: type[TTSA]) -> None:
    """Per eigenvalue, over all outcomes of six steps with fair signs for the additive noise.

    e = y − y*(x_t) would hide the path, so: E y and E y² of
    y ← (1 − β_t (h + c s)) y + β_t C x_t − β_t a n, where s multiplies y and n does not.
    """
    h, c, a, times = np.array([1.0, 2.5]), 0.25, 0.5, 6
    C = np.array([[1.0], [-0.75]])
    noise = LowerNoise(additive=a, curvature=c)
    host = quadratic(h, 1, coupling=C, rotate=False, noise_lower=noise, form="matmul")
    n, s = 2 * enumerated(*[2] * 2 * times).reshape(2, times, -1, 1) - 1.0
    count = n.shape[1]
    algorithm = of(kind, neumann_terms=1)
    state = TTSAState(np.zeros((count, 1)), np.tile([0.5, -0.25], (count, 1)), 0)
    none = {"none": np.zeros((count, 0))}
    mean = np.array([0.5, -0.25])
    square = mean**2
    for t, path in enumerate([1.0, -0.5, 0.25, 2.0, -1.5, 0.75]):
        zero = np.zeros((count, 1), dtype=np.int64)
        pi = {"additive": n[None, t] + 0 * h, "curvature": s[None, t] + 0 * h}
        hessian = {"curvature": np.zeros((0, count, 2))}
        sample = TTSASample(none, none, hessian, {"power": zero}, pi)
        state = state._replace(x=np.full((count, 1), path))
        state = algorithm.step(host, state, sample)
        beta = 0.375 * (2.5 + t) ** -0.4
        keep, drive = 1 - beta * h, beta * C[:, 0] * path
        square = (
            (keep**2 + beta**2 * c**2) * square
            + 2 * keep * drive * mean
            + drive**2
            + beta**2 * a**2
        )
        mean = keep * mean + drive
        np.testing.assert_allclose(average(state.y), mean, rtol=0, atol=100 * U64)
        variance = average((state.y - mean) ** 2)
        assert np.all(variance > 1e-3)
        np.testing.assert_allclose(variance, square - mean**2, rtol=1e-12)


def test_the_lower_level_on_a_prescribed_path() -> None:
    lower_moments(TTSA)


@pytest.mark.parametrize("kind", [ConstantSizes, SwappedExponents, LateClock, NewX])
def test_the_lower_law_rejects(kind: type[TTSA]) -> None:
    with pytest.raises(AssertionError):
        lower_moments(kind)


# --- law: both recursions together, over every outcome of three steps ------------------------


def joint_moments(kind: type[TTSA]) -> None:
    """E and covariance of (x_t, y_t) for one eigenvalue, 24 outcomes a step.

    With u = y_{t+1} − t the term c·(Q/l)(1 − h/l)^q (u + a_y n) of h_t has E = c S_1 E u and
    E (·)² = c² S_2 (E u² + a_y²); S_1 is the series of Q terms, S_2 its randomised square.
    """
    h, c, w, target, Q, scale = 1.0, 0.75, 0.5, 1.25, 3, 3.0
    a, a_x, a_y = 0.5, 0.25, 0.375
    host = quadratic(
        (h,),
        1,
        coupling=np.array([[c]]),
        weights=w,
        target=target,
        rotate=False,
        noise_upper=UpperNoise(additive_x=a_x, additive_y=a_y),
        noise_lower=LowerNoise(additive=a),
        form="matmul",
    )
    times = 3
    outcomes = enumerated(*[2, 2, 2, Q] * times).reshape(times, 4, -1, 1)
    count = outcomes.shape[2]
    algorithm = of(kind, neumann_terms=Q, neumann_scale=scale, upper_step_size=0.75)
    x, y = 0.5, -1.0
    state = TTSAState(np.full((count, 1), x), np.full((count, 1), y), 0)
    S_1 = sum((1 - h / scale) ** q for q in range(Q)) / scale
    S_2 = Q * sum((1 - h / scale) ** (2 * q) for q in range(Q)) / scale**2
    xx, xy, yy = x * x, x * y, y * y  # second moments; x and y stand for the means
    for t in range(times):
        n, n_x, n_y = 2.0 * outcomes[t, :3] - 1
        sample = TTSASample(
            upper={"additive_x": n_x, "additive_y": n_y},
            cross={"none": np.zeros((count, 0))},
            hessian={"none": np.zeros((Q - 1, count, 0))},
            power={"power": outcomes[t, 3]},
            lower={"additive": n[None]},
        )
        state = algorithm.step(host, state, sample)
        alpha, beta = 0.75 * (2.5 + t) ** -0.6, 0.375 * (2.5 + t) ** -0.4
        keep, pull = 1 - beta * h, beta * c
        yy = keep**2 * yy + 2 * keep * pull * xy + pull**2 * xx + beta**2 * a**2
        xy = keep * xy + pull * xx
        y = keep * y + pull * x
        xu, uu, yu = xy - target * x, yy - 2 * target * y + target**2, yy - target * y
        stay, push = 1 - alpha * w, alpha * c * S_1
        noise = alpha**2 * (a_x**2 + c**2 * S_2 * (uu + a_y**2))
        xx = stay**2 * xx - 2 * stay * push * xu + noise
        xy = stay * xy - push * yu
        x = stay * x - push * (y - target)
        found = np.concatenate([state.x, state.y], axis=1)
        np.testing.assert_allclose(average(found), [x, y], rtol=0, atol=100 * U64)
        expected = np.array([[xx - x * x, xy - x * y], [xy - x * y, yy - y * y]])
        assert np.all(np.linalg.eigvalsh(expected) > 1e-3)
        away = found - [x, y]
        covariance = average(away[:, :, None] * away[:, None, :])
        np.testing.assert_allclose(covariance, expected, rtol=0, atol=100 * U64)


def test_both_levels_have_the_moments_of_their_recursion() -> None:
    joint_moments(TTSA)


@pytest.mark.parametrize("kind", [ConstantSizes, SwappedExponents, LateClock, OldY, NewX])
def test_the_joint_law_rejects(kind: type[TTSA]) -> None:
    with pytest.raises(AssertionError):
        joint_moments(kind)


@pytest.mark.parametrize("variant", [without_the_factor, one_factor_more, without_the_minus])
def test_the_joint_law_rejects_a_series(monkeypatch: pytest.MonkeyPatch, variant: Any) -> None:
    monkeypatch.setattr(MODULE, "neumann_gradient", variant)
    with pytest.raises(AssertionError):
        joint_moments(TTSA)


# --- law: the direction has the expectation of the full series ------------------------------


def mean_direction() -> tuple[Any, Any]:
    """E (x_t − x_{t+1})/α_t over every index and sign of ζ, and ∇_x f − ∇²_xy g S_Q ∇_y f."""
    noise = LowerNoise(curvature=0.25)
    host = problem("nonquadratic", noise_upper=UpperNoise(), noise_lower=noise)
    Q, p = 3, Explicit(host)
    outcomes = enumerated(Q, *[2] * 6)
    count = outcomes.shape[1]
    signs = 2.0 * outcomes[1:].reshape(2, 3, count).transpose(0, 2, 1) - 1
    algorithm = ttsa(neumann_terms=Q, lower_step_size=1e-300)
    x, y = np.tile(X, (count, 1)), np.tile(Y, (count, 1))
    none = {"none": np.zeros((count, 0))}
    pi = {"curvature": np.zeros((1, count, 3))}
    power = {"power": outcomes[0][:, None]}
    sample = TTSASample(none, none, {"curvature": signs}, power, pi)
    after = algorithm.step(host, TTSAState(x, y, 4), sample)
    zero = {"curvature": np.zeros(3), "coupling": np.zeros(3)}
    factor = np.eye(3) - p.G_yy(X, Y, zero) / 3.0
    inverse = sum(np.linalg.matrix_power(factor, q) for q in range(Q)) / 3.0
    expected = p.w * X - p.G_xy(X, Y, zero) @ inverse @ np.tanh(Y - p.t)
    moved = (x - after.x) / (0.0625 * 6.5**-0.6)
    return average(moved), expected


def test_the_direction_is_unbiased_for_the_full_series() -> None:
    found, expected = mean_direction()
    np.testing.assert_allclose(found, expected, rtol=0, atol=100 * U64)


@pytest.mark.parametrize(
    "variant",
    [without_the_factor, one_factor_more, one_sample_for_all_factors, without_the_minus],
)
def test_a_biased_direction_is_rejected(monkeypatch: pytest.MonkeyPatch, variant: Any) -> None:
    monkeypatch.setattr(MODULE, "neumann_gradient", variant)
    found, expected = mean_direction()
    assert np.linalg.norm(found - expected) > 1e-3


# --- the sizes, and where it ends ----------------------------------------------------------


def exponents(algorithm: TTSA) -> list[float]:
    """log-log slopes of ‖x_{t+1} − x_t‖/‖h‖ and ‖y_{t+1} − y_t‖/‖∇_y G‖ in w + t, from t = 3."""
    host, one = problem("nonquadratic"), case(algorithm)
    replay = stored(one, 41)
    sizes = []
    for t in (3, 40):
        before = one.run(t, replay).state
        s = replay.steps[t - 1]
        after = algorithm.step(host, before, s)
        below = host.grad_y_lower(before.x, before.y, at(s.lower, 0))
        h = neumann_gradient(host, s, "randomised", 4, 3.0)(before.x, after.y)
        moved = (before.x - after.x, h), (before.y - after.y, below)
        sizes.append([np.linalg.norm(a) / np.linalg.norm(b) for a, b in moved])
    slopes = np.log(np.divide(*sizes)) / np.log(5.5 / 42.5)
    return [float(slope) for slope in slopes]


def test_the_upper_size_falls_like_the_power_three_fifths_the_lower_like_two_fifths() -> None:
    assert exponents(ALGORITHM) == pytest.approx([-0.6, -0.4], abs=1e-9)


@pytest.mark.parametrize("kind", [ConstantSizes, SwappedExponents, LateClock])
def test_other_exponents_are_seen(kind: type[TTSA]) -> None:
    assert exponents(of(kind)) != pytest.approx([-0.6, -0.4], abs=1e-3)


def test_without_noise_it_reaches_the_stationary_point() -> None:
    """H = l I: one term of the series is exact, and no index is left to chance."""
    quiet = quadratic((2.0, 2.0, 2.0), 2, seed=3)
    algorithm = ttsa(
        neumann_terms=1, neumann_scale=2.0, lower_step_size=0.5, upper_step_size=0.75, offset=1.0
    )
    state = run(algorithm, quiet, X, Y, steps=2000).state
    np.testing.assert_allclose(state.x, quiet.minimiser(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.y, quiet.solution(state.x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("exponent", [-40, 7, 40])
def test_f_times_a_power_of_two_is_an_upper_step_divided_by_it(exponent: int) -> None:
    one, factor = case(), 2.0**exponent
    scaled = one._replace(
        problem=ScaledUpper(one.problem, factor),
        algorithm=ttsa(upper_step_size=ALGORITHM.upper_step_size / factor),
    )
    assert bits(one.run(20, Tape(3)).state) == bits(scaled.run(20, Tape(3)).state)
    slip = dataclasses.replace(scaled.algorithm, offset=2.5 * (1 + 1e-12))
    other = scaled._replace(algorithm=slip)
    assert bits(one.run(20, Tape(3)).state) != bits(other.run(20, Tape(3)).state)


# --- conventions and bad input -------------------------------------------------------------


def test_iteration_0_is_an_iteration_as_any_other() -> None:
    one = case(warm_start=0, first=5)
    host, layout = one.problem, ALGORITHM.draw_start(one.problem, 0, 5)
    assert layout.first == ALGORITHM.draw(host)
    start = Tape(5).open(X).start(layout)
    after = ALGORITHM.step(host, TTSAState(X, Y, 0), start.first)
    assert bits(ALGORITHM.init(host, X, Y, start)) == bits(after)
    assert after.iteration == 1
    y = Y - 0.375 * 2.5 ** (-2 / 5) * host.grad_y_lower(X, Y, at(start.first.lower, 0))
    assert np.array_equal(after.y, y)


def test_what_an_iteration_draws() -> None:
    layout = ALGORITHM.draw_start(problem("nonquadratic"), 2, 5)
    first = layout.first
    assert first.upper["additive_x"].leading == first.cross["coupling"].leading == ()
    assert first.hessian["curvature"].leading == (3,)
    assert first.power == {"power": (("index", (1,), 4), (), False)}  # {0 … Q − 1}
    assert first.lower["additive"].leading == (1,)
    assert layout.warm_start["additive"].leading == (2,)
    scaled = first.lower["additive"].scaled, layout.warm_start["additive"].scaled
    assert scaled == (True, True)
    assert not first.hessian["curvature"].scaled


def test_with_one_term_the_direction_is_the_first_of_the_series() -> None:
    host, algorithm = problem("nonquadratic"), ttsa(neumann_terms=1)
    sample = row(Tape(5).open(X).block(algorithm.draw(host), 1), 0)
    after = algorithm.step(host, TTSAState(X, Y, 0), sample)
    v = host.grad_y_upper(X, after.y, sample.upper)
    h = implicit_gradient(host, X, after.y, v / 3.0, sample)
    np.testing.assert_allclose(after.x, X - 0.0625 * 2.5**-0.6 * h, rtol=0, atol=4 * U64)


def test_more_than_one_lower_step_is_refused() -> None:
    one = case()
    replay = stored(one, 2)
    two = {name: np.concatenate((leaf, leaf)) for name, leaf in replay.steps[0].lower.items()}
    with pytest.raises(ValueError, match="2 rows; TTSA takes one step"):
        one.algorithm.step(
            one.problem, one.run(1, replay).state, replay.steps[0]._replace(lower=two)
        )


def test_a_run_that_diverges_is_named_with_its_iteration() -> None:
    """Sizes far too long: finite until they are not, and no table of NaN."""
    wild = case(ttsa(lower_step_size=1e20, upper_step_size=1e20))
    with (
        pytest.raises(NonFiniteError, match=r"iteration [1-9]: [xy] holds"),
        np.errstate(all="ignore"),
    ):
        wild.run(50, Tape(1))


@pytest.mark.parametrize(
    ("name", "value", "interval"),
    [
        ("lower_step_size", 0.0, r"\(0, inf\)"),
        ("upper_step_size", -1.0, r"\(0, inf\)"),
        ("offset", 0.5, r"\[1, inf\)"),
        ("neumann_scale", 0.0, r"\(0, inf\)"),
        ("neumann_scale", float("nan"), r"\(0, inf\)"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(name: str, value: float, interval: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must lie in {interval}"):
        ttsa(**{name: value})
    with pytest.raises(TypeError, match=f"{name} must be a number"):
        ttsa(**{name: "1"})


def test_the_number_of_terms_is_an_integer() -> None:
    with pytest.raises(ValueError, match="neumann_terms must be an integer >= 1, got 0"):
        ttsa(neumann_terms=0)
    with pytest.raises(TypeError, match=r"neumann_terms must be an integer >= 1, got 2\.0"):
        ttsa(neumann_terms=2.0)
