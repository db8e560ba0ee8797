"""The four problems: closed forms against autodiff and Taylor, y*, ∇Φ, the constants."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from accbo import AccBOSample
from accbo._arrays import named_leaves, row, to_host
from accbo.problems import (
    FiniteSum,
    LowerNoise,
    RelaxedSmooth,
    finite_sum,
    nonquadratic,
    quadratic,
    relaxed_smooth,
)
from accbo.problems._logcosh import FINITE_RADIUS, SECH2_LIPSCHITZ, log_cosh, sech2
from accbo.problems.finite_sum import sigmoid, sigmoid_slope, softplus
from accbo.sampling import Start, Tape, draw_fields
from tests.backends import Backend, need
from tests.support import (
    ALL_PROBLEMS,
    LOWER,
    PROBLEMS,
    SKEWED,
    SPECTRUM,
    U64,
    batch,
    case,
    changed,
    problem,
)

CURVED = ("nonquadratic", "finite_sum")  # the lower level is not quadratic
R = 4  # replicates of a test point
GENERATOR = np.random.default_rng(20)
X = GENERATOR.standard_normal((R, 2))
Y, V = GENERATOR.standard_normal((2, R, 3))
# Closed forms and autodiff take some 50 roundings of terms below `size`, at worst in line.
ROUNDINGS = 50


def samples(problem: Any, noisy: bool) -> tuple[Any, Any]:
    """(ξ, ζ) for the points above, or the expectation."""
    if not noisy:
        return None, None
    layout = Start(draw_fields(problem.upper_noise), draw_fields(problem.lower_noise))
    drawn = Tape(5).open(X).block(layout, 1)
    return row(drawn.warm_start, 0), row(drawn.first, 0)


def size(*arrays: np.ndarray) -> float:
    return max(1.0, *(float(np.max(np.abs(array))) for array in arrays))


def close(closed: Any, other: Any) -> None:
    closed, other = np.asarray(closed), np.asarray(other)
    assert closed.shape == other.shape
    np.testing.assert_allclose(closed, other, rtol=0, atol=ROUNDINGS * U64 * size(other))


# --- against automatic differentiation ------------------------------------------------------


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_closed_forms_are_the_derivatives_of_the_values(kind: str, noisy: bool) -> None:
    like = need("jax")
    import jax

    host = problem(kind, form="shared")
    xi, zeta = samples(host, noisy)
    p, x, y, v = (like.move(part) for part in (host, X, Y, V))
    xi, zeta = (None if s is None else like.move(s) for s in (xi, zeta))

    @jax.jit
    def automatic(x: Any, y: Any, v: Any) -> tuple[Any, ...]:
        def upper(x: Any, y: Any) -> Any:  # replicates are independent: the sum tells them apart
            return p.upper(x, y, xi).sum()

        def slope(x: Any, y: Any) -> Any:
            return jax.grad(lambda y: p.lower(x, y, zeta).sum())(y)

        along = jax.grad(lambda x, y: (slope(x, y) * v).sum(), argnums=(0, 1))(x, y)
        return *jax.grad(upper, argnums=(0, 1))(x, y), slope(x, y), *along

    g_x, g_y, slope, cross, product = automatic(x, y, v)
    close(host.grad_x_upper(X, Y, xi_host := samples(host, noisy)[0]), g_x)
    close(host.grad_y_upper(X, Y, xi_host), g_y)
    zeta_host = samples(host, noisy)[1]
    close(host.grad_y_lower(X, Y, zeta_host), slope)
    close(host.hvp_lower(X, Y, V, zeta_host), product)
    close(host.cross_lower(X, Y, V, zeta_host), cross)
    assert host.upper(X, Y, xi_host).shape == host.lower(X, Y, zeta_host).shape == (R,)


@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_noise_changes_every_oracle(kind: str) -> None:
    p = problem(kind)
    xi, zeta = samples(p, True)
    calls: list[Callable[[Any, Any], np.ndarray]] = [
        lambda xi, zeta: p.upper(X, Y, xi),
        lambda xi, zeta: p.grad_x_upper(X, Y, xi),
        lambda xi, zeta: p.grad_y_upper(X, Y, xi),
        lambda xi, zeta: p.lower(X, Y, zeta),
        lambda xi, zeta: p.grad_y_lower(X, Y, zeta),
        lambda xi, zeta: p.hvp_lower(X, Y, V, zeta),
        lambda xi, zeta: p.cross_lower(X, Y, V, zeta),
    ]
    for call in calls:
        assert np.all(call(xi, zeta) != call(None, None))


@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_hypergradient_is_the_derivative_of_the_value(kind: str) -> None:
    like = need("jax")
    import jax

    host = problem(kind, form="shared")
    p = like.move(host)
    gradient = jax.jit(jax.grad(lambda x: p.value(x).sum()))(like.move(X))
    # the solver of y* repeats its last rounding; 1/μ = 1 of it enters
    close(host.hypergradient(X), gradient)


# --- by Taylor remainders -------------------------------------------------------------------

STEPS = 2.0 ** -np.arange(2, 8)


def order(remainder: Callable[[float], np.ndarray]) -> float:
    """Slope of log remainder against log step; of the replicate where it is least."""
    table = np.abs(np.stack([remainder(float(step)) for step in STEPS]))
    return float(np.min(np.polyfit(np.log(STEPS), np.log(table), 1)[0]))


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_remainders_of_the_upper_level(kind: str, noisy: bool) -> None:
    p = problem(kind)
    xi, _ = samples(p, noisy)
    dx, dy = np.array([0.6, -0.8]), np.array([0.48, 0.6, -0.64])
    first = p.grad_x_upper(X, Y, xi) @ dx + p.grad_y_upper(X, Y, xi) @ dy
    at = p.upper(X, Y, xi)

    def remainder(step: float) -> np.ndarray:
        return p.upper(X + step * dx, Y + step * dy, xi) - at - step * first

    assert order(remainder) >= 1.9
    if kind == "quadratic":  # the second difference is a constant: nothing is left of order 3
        curvature = remainder(1.0)
        left = remainder(0.5) - curvature / 4
        assert np.max(np.abs(left)) <= ROUNDINGS * U64 * size(at, curvature)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_remainders_of_the_lower_level(kind: str, noisy: bool) -> None:
    p = problem(kind)
    _, zeta = samples(p, noisy)
    d = np.array([0.48, 0.6, -0.64])
    at, first = p.lower(X, Y, zeta), p.grad_y_lower(X, Y, zeta) @ d
    second = 0.5 * p.hvp_lower(X, Y, np.broadcast_to(d, Y.shape), zeta) @ d

    def remainder(step: float) -> np.ndarray:
        return p.lower(X, Y + step * d, zeta) - at - step * first - step**2 * second

    if kind in CURVED:
        assert order(remainder) >= 2.9
        assert order(lambda step: remainder(step) + step**2 * second) <= 2.2
    else:
        assert np.max(np.abs(remainder(1.0))) <= ROUNDINGS * U64 * size(at, first, second)


@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_remainders_of_the_cross_derivative(kind: str) -> None:
    p = problem(kind)
    _, zeta = samples(p, True)
    d = np.array([0.6, -0.8])
    at = np.sum(p.grad_y_lower(X, Y, zeta) * V, axis=-1)
    first = p.cross_lower(X, Y, V, zeta) @ d

    def remainder(step: float) -> np.ndarray:
        return np.sum(p.grad_y_lower(X + step * d, Y, zeta) * V, axis=-1) - at - step * first

    if kind in CURVED:
        assert order(remainder) >= 1.9
    else:
        assert np.max(np.abs(remainder(1.0))) <= ROUNDINGS * U64 * size(at, first)


@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_remainders_of_the_value(kind: str) -> None:
    p = problem(kind)
    d = np.array([0.6, -0.8])
    at, first = p.value(X), p.hypergradient(X) @ d
    assert order(lambda step: p.value(X + step * d) - at - step * first) >= 1.9
    direct = p.grad_x_upper(X, p.solution(X)) @ d  # without the implicit term it is no derivative
    assert order(lambda step: p.value(X + step * d) - at - step * direct) <= 1.2


# --- y* ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_solution_is_stationary_to_rounding(kind: str) -> None:
    p = problem(kind)
    for scale in (1e-3, 1.0, 30.0):
        y = p.solution(scale * X)
        residual = p.grad_y_lower(scale * X, y)
        terms = size(y) * p.constants.curvature + size(scale * X) * p.constants.l_g1
        assert np.max(np.abs(residual)) <= ROUNDINGS * U64 * terms


@pytest.mark.parametrize("strength", [0.5, 8.0])
def test_the_solver_converges_where_it_is_slowest(strength: float) -> None:
    """Far from y = Wx tanh is flat, and the contraction is the bound k/(μ + k) itself."""
    p = nonquadratic((1.0, 2.0), 2, strength=strength, rotate=False, shift=-1.0, form="matmul")
    x = 30.0 * np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    y = p.solution(x)
    assert np.min(p.hvp_lower(x, y, np.eye(2)[0])[:, 0]) <= 1.01 * p.constants.mu  # flat
    terms = size(y) * p.constants.curvature + size(x) * p.constants.l_g1
    assert np.max(np.abs(p.grad_y_lower(x, y))) <= ROUNDINGS * U64 * terms


@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_solution_agrees_with_scipy(kind: str) -> None:
    p = problem(kind)
    basis = np.eye(3)
    for x in X:
        found = scipy.optimize.minimize(
            lambda y, x=x: p.lower(x, y),
            np.ones(3),
            jac=lambda y, x=x: p.grad_y_lower(x, y),
            hess=lambda y, x=x: p.hvp_lower(np.broadcast_to(x, (3, 2)), y, basis),
            method="trust-exact",
            options={"gtol": 1e-9},
        )
        # μ-strong convexity: ‖y − y*‖ ≤ ‖∇g(y)‖/μ
        assert np.linalg.norm(found.jac) <= 1e-8
        distance = float(np.linalg.norm(found.x - p.solution(x)))
        assert distance <= np.linalg.norm(found.jac) / p.constants.mu + 1e-14


def test_the_minimiser_of_the_quadratic_is_stationary() -> None:
    p = problem("quadratic", target=(3.0, 2.0, -1.0), weights=(0.5, 2.0))
    assert np.max(np.abs(p.hypergradient(p.minimiser()))) <= ROUNDINGS * U64
    assert np.linalg.norm(p.minimiser()) > 0.1


# --- constants -----------------------------------------------------------------------------


def hessian(p: Any, x: np.ndarray, y: np.ndarray, zeta: Any) -> np.ndarray:
    """∇²_yy G as a matrix, row i = ∇²_yy G e_i."""
    return np.stack([p.hvp_lower(x, y, e, zeta) for e in np.eye(p.d_y)], axis=-1)


def cross(p: Any, x: np.ndarray, y: np.ndarray, zeta: Any) -> np.ndarray:
    """∇²_xy G as a matrix (d_x, d_y)."""
    return np.stack([p.cross_lower(x, y, e, zeta) for e in np.eye(p.d_y)], axis=-1)


def signs(count: int) -> np.ndarray:
    return np.array(list(itertools.product((-1.0, 1.0), repeat=count)))


def points() -> list[tuple[np.ndarray, np.ndarray]]:
    """Points near and far, and those where log cosh is most and least curved."""
    generator = np.random.default_rng(2)
    near = [(generator.standard_normal(2), generator.standard_normal(3)) for _ in range(20)]
    return [(np.zeros(2), np.zeros(3)), (np.zeros(2), np.full(3, 30.0)), *near]


@pytest.mark.parametrize("noise", [LOWER, LowerNoise(curvature=0.99, coupling=2.0)])
@pytest.mark.parametrize("kind", PROBLEMS)
def test_every_realisation_is_strongly_convex_and_no_steeper_than_declared(
    kind: str, noise: LowerNoise
) -> None:
    p = problem(kind, noise_lower=noise)
    eigenvalues = np.array(
        [
            np.linalg.eigvalsh(hessian(p, x, y, {"curvature": pattern}))
            for x, y in points()
            for pattern in signs(3)
        ]
    )
    assert eigenvalues.min() == pytest.approx(SPECTRUM[0] - noise.curvature, abs=1e-14)
    assert eigenvalues.min() > 0
    assert eigenvalues.max() == pytest.approx(p.constants.curvature, abs=1e-14)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_mu_is_the_least_curvature_of_the_expectation(kind: str) -> None:
    p = problem(kind)
    least = min(np.linalg.eigvalsh(hessian(p, x, y, None))[0] for x, y in points())
    assert least == pytest.approx(p.constants.mu, abs=1e-14)
    assert p.constants.mu == pytest.approx(SPECTRUM[0], abs=1e-14)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_no_realisation_exceeds_l_g1(kind: str) -> None:
    p = problem(kind)
    largest = max(
        np.linalg.norm(np.vstack((cross(p, x, y, zeta), hessian(p, x, y, zeta))), 2)
        for x, y in points()
        for curvature in signs(3)
        for coupling in signs(3)
        for zeta in [{"curvature": curvature, "coupling": coupling}]
    )
    # l_g1 = hypot(a, b) with a and b each attained, so at most √2 of what is attained
    slack = 1.0 if kind != "nonquadratic" else (1 + 0.25 + 0.5) / (1.25)  # ‖C + kW‖ < ‖C‖ + k‖W‖
    assert p.constants.l_g1 / (math.sqrt(2) * slack) <= largest <= p.constants.l_g1 * (1 + 1e-14)


def test_no_pair_exceeds_l_g2() -> None:
    p = problem("nonquadratic")
    generator = np.random.default_rng(3)
    worst = 0.0
    for _ in range(3000):
        x, y = generator.standard_normal(2), generator.standard_normal(3)
        dx, dy = 1e-3 * generator.standard_normal(2), 1e-3 * generator.standard_normal(3)
        length = math.hypot(np.linalg.norm(dx), np.linalg.norm(dy))
        for matrix in (hessian, cross):
            change = matrix(p, x + dx, y + dy, None) - matrix(p, x, y, None)
            worst = max(worst, float(np.linalg.norm(change, 2)) / length)
    assert worst <= p.constants.l_g2
    assert worst >= 0.5 * p.constants.l_g2  # it is no idle bound
    assert problem("quadratic").constants.l_g2 == problem("cosh").constants.l_g2 == 0


@pytest.mark.parametrize("kind", ["cosh", "nonquadratic"])
def test_l_f0_is_the_supremum_of_the_upper_gradient_in_y(kind: str) -> None:
    p = problem(kind, coupling=np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), rotate=False)
    for scale, reached in ((1.0, 0.0), (100.0, 0.99)):
        x = scale * np.array([[1.0, 1.0], [1.0, 2.0], [-1.0, -1.5]])
        norms = np.linalg.norm(p.grad_y_upper(x, p.solution(x)), axis=-1)
        assert np.all(norms <= p.constants.l_f0 * (1 + 1e-15))
        assert norms.max() >= reached * p.constants.l_f0
    assert problem("quadratic").constants.l_f0 == math.inf


def finite_radius_excess(p: RelaxedSmooth, share: float) -> float:
    """Largest ‖∇_x f(z) − ∇_x f(z')‖ − share·(L_x0 + L_x1‖∇_x f(z)‖)‖z − z'‖ of a search."""
    c = p.constants
    radius = 1 / math.sqrt(2 * (share * c.L_x1) ** 2)
    start = np.linspace(-12, 12, 4801)[:, None]
    moves = radius * np.r_[np.linspace(-1, -0.05, 20), np.linspace(0.05, 1, 20)]
    x, move = np.broadcast_arrays(start, moves)
    here, there = (p.grad_x_upper(z[..., None], np.zeros(1))[..., 0] for z in (x, x + move))
    allowed = share * (c.L_x0 + c.L_x1 * np.abs(here)) * np.abs(move)
    return float(np.max((np.abs(there - here) - allowed) / (1 + np.abs(here))))


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("ripple", [0.0, 0.15, 1.0])
def test_finite_radius_smoothness_of_the_cosh(rate: float, ripple: float) -> None:
    p = relaxed_smooth((1.0,), 1, rate=rate, ripple=ripple, frequency=3.0)
    assert finite_radius_excess(p, 1.0) <= 1e-12
    if ripple == 0:  # where the constants are the least there are, 1 % less does not hold
        assert finite_radius_excess(p, 0.99) > 1e-3
        assert finite_radius_excess(p, 1 / FINITE_RADIUS) > 1e-2


def test_the_finite_radius_factor_is_the_root_it_claims_to_be() -> None:
    def gap(c: float) -> float:
        d = 1 / (math.sqrt(2) * c)
        return math.expm1(d) / d - c

    assert scipy.optimize.brentq(gap, 1.0, 2.0, xtol=1e-15) == pytest.approx(
        FINITE_RADIUS, abs=4 * 2.0**-52
    )


@pytest.mark.parametrize("kind", PROBLEMS)
def test_l_y0_and_l_x0_bound_the_upper_curvature(kind: str) -> None:
    p = problem(kind)
    generator = np.random.default_rng(4)
    y = 3 * generator.standard_normal((2000, 3))
    step = 0.05 * generator.standard_normal((2000, 3))
    x = np.zeros((2000, 2))
    change = p.grad_y_upper(x, y + step) - p.grad_y_upper(x, y)
    ratio = np.linalg.norm(change, axis=-1) / np.linalg.norm(step, axis=-1)
    assert 0.9 * p.constants.L_y0 <= ratio.max() <= p.constants.L_y0 * (1 + 1e-12)
    if kind != "cosh":
        step = 0.05 * generator.standard_normal((2000, 2))
        change = p.grad_x_upper(x + step, y) - p.grad_x_upper(x, y)
        ratio = np.linalg.norm(change, axis=-1) / np.linalg.norm(step, axis=-1)
        assert 0.9 * p.constants.L_x0 <= ratio.max() <= p.constants.L_x0 * (1 + 1e-12)


def test_smoothness_of_the_quadratic_value() -> None:
    p = problem("quadratic", weights=(0.5, 2.0))
    columns = [p.hypergradient(e) - p.hypergradient(np.zeros(2)) for e in np.eye(2)]
    largest = np.linalg.eigvalsh(np.stack(columns))[-1]
    assert pytest.approx(largest, rel=1e-14) == p.constants.K0
    assert p.constants.K1 == 0
    assert p.constants.radius == math.inf


@pytest.mark.parametrize("kind", ["cosh", *CURVED])
def test_relaxed_smoothness_of_the_value(kind: str) -> None:
    p = problem(kind)
    c = p.constants
    generator = np.random.default_rng(6)
    x = 3 * generator.standard_normal((4000, 2))
    step = generator.standard_normal((4000, 2))
    step *= (min(c.radius, 1.0) * generator.random(4000) / np.linalg.norm(step, axis=-1))[:, None]
    here, there = p.hypergradient(x), p.hypergradient(x + step)
    allowed = (c.K0 + c.K1 * np.linalg.norm(here, axis=-1)) * np.linalg.norm(step, axis=-1)
    ratio = np.linalg.norm(there - here, axis=-1) / allowed
    assert ratio.max() <= 1
    assert ratio.max() >= 0.02  # loose, as the theory's constants are, and not idle


def test_constants_by_value() -> None:
    """K0, K1 and the radius of SPEC §1, computed by hand for one set of constants."""
    from accbo.problem import Constants

    c = Constants(
        mu=2.0,
        l_g1=4.0,
        l_g2=3.0,
        curvature=4.0,
        L_x0=5.0,
        L_x1=7.0,
        L_y0=11.0,
        L_y1=13.0,
        l_f0=1.5,
    )
    root = math.sqrt(1 + 4.0)
    inner = 5 + 7 * 4 * 1.5 / 2 + 2 * (11 + 13 * 1.5) + 1.5 * (4 * 3 + 3 * 2) / 4
    assert pytest.approx(root * inner, rel=1e-15) == c.K0
    assert pytest.approx(root * 7, rel=1e-15) == c.K1
    assert c.radius == pytest.approx(1 / math.sqrt(2 * 5 * (49 + 169)), rel=1e-15)


# --- the finite sum ------------------------------------------------------------------------

ORACLES: dict[str, Callable[[Any, Any], np.ndarray]] = {
    "upper": lambda p, s: p.upper(X, Y, s),
    "grad_x_upper": lambda p, s: p.grad_x_upper(X, Y, s),
    "grad_y_upper": lambda p, s: p.grad_y_upper(X, Y, s),
    "lower": lambda p, s: p.lower(X, Y, s),
    "grad_y_lower": lambda p, s: p.grad_y_lower(X, Y, s),
    "hvp_lower": lambda p, s: p.hvp_lower(X, Y, V, s),
    "cross_lower": lambda p, s: p.cross_lower(X, Y, V, s),
}


def by_hand(p: FiniteSum, name: str, j: int) -> np.ndarray:
    """One term of a mean, written sample by sample from the formulas."""
    level = "upper" if "upper" in name else "lower"
    a, c, b = (getattr(p, f"{level}_{part}")[j] for part in ("features", "offsets", "labels"))
    t = b * (Y @ a + X @ c)
    first, second = -b / (1 + np.exp(t)), np.exp(t) / (1 + np.exp(t)) ** 2
    ridge, z = (p.upper_ridge, X) if level == "upper" else (p.lower_ridge, Y)
    if name == level:
        return np.log(1 + np.exp(-t)) + 0.5 * ridge * np.sum(z * z, axis=-1)
    return {
        "grad_x_upper": first[:, None] * c + ridge * X,
        "grad_y_upper": first[:, None] * a,
        "grad_y_lower": first[:, None] * a + ridge * Y,
        "hvp_lower": (second * (V @ a))[:, None] * a + ridge * V,
        "cross_lower": (second * (V @ a))[:, None] * c,
    }[name]


@pytest.mark.parametrize("form", ["shared", "matmul"])
@pytest.mark.parametrize("name", ORACLES)
def test_a_batch_is_the_mean_of_its_samples_and_repetition_counts(name: str, form: str) -> None:
    p = problem("finite_sum", form=form)
    count = len(p.upper_labels if "upper" in name else p.lower_labels)
    for index in ([0], [5], [2, 4], [3, 3], [1, 1, 4]):
        expected = np.mean([by_hand(p, name, j) for j in index], axis=0)
        close(ORACLES[name](p, {"index": np.array(index)}), expected)
    close(ORACLES[name](p, None), np.mean([by_hand(p, name, j) for j in range(count)], axis=0))


@pytest.mark.parametrize("size_of_batch", [1, 2])
@pytest.mark.parametrize("name", ORACLES)
def test_the_mean_over_all_batches_is_the_expectation(name: str, size_of_batch: int) -> None:
    """Enumerated: every batch is equally likely, so unbiasedness is an identity."""
    p = problem("finite_sum")
    noise = (p.upper_noise if "upper" in name else p.lower_noise)["index"]
    batches = np.array(list(itertools.product(range(noise.parameter), repeat=size_of_batch)))
    values = [ORACLES[name](p, {"index": index}) for index in batches]
    assert len(values) == {1: 1, 2: noise.parameter}[size_of_batch] * noise.parameter
    close(ORACLES[name](p, None), np.mean(values, axis=0))
    assert np.max(np.abs(values - np.mean(values, axis=0))) > 0.01  # and no batch is


def test_the_two_levels_have_their_own_samples() -> None:
    p = finite_sum(9, 2, 3, upper_samples=5, upper_batch=4, lower_batch=2)
    assert p.upper_noise == {"index": ("index", (4,), 5)}
    assert p.lower_noise == {"index": ("index", (2,), 9)}
    assert p.hessian_noise == p.cross_noise == p.lower_noise
    assert finite_sum(7).upper_labels.shape == finite_sum(7).lower_labels.shape == (7,)
    assert np.any(finite_sum().upper_features != finite_sum().lower_features)
    layout = changed().draw(p)
    drawn = Tape(0).open(batch(X[0], 6)).block(layout, 50)
    assert set(np.unique(drawn.upper["index"])) == set(range(5))
    assert set(np.unique(drawn.hessian["index"])) == set(range(9))


def test_the_data_are_exact_in_float32_and_depend_on_the_seed() -> None:
    one, same, other = (finite_sum(50, 4, 5, scale=3.0, seed=seed) for seed in (1, 1, 2))
    for name, table in named_leaves(one):
        if name != "inverse":
            assert np.array_equal(table, np.round(64 * table) / 64)
            assert np.array_equal(table, table.astype(np.float32))
            assert np.array_equal(table, dict(named_leaves(same))[name])
            assert not np.array_equal(table, dict(named_leaves(other))[name])
    assert 2.0 < np.std(one.lower_features) < 4.0
    assert set(one.lower_labels) == set(one.upper_labels) == {-1.0, 1.0}


def test_every_backend_has_the_oracles_of_numpy(backend: Backend) -> None:
    """Batches, the whole sum, y* and ∇Φ; an axis for the terms before one for a pair."""
    host = problem("finite_sum")
    index = np.arange(5 * R * 3).reshape(5, 1, R, 3) % 8
    pair = np.stack((V, -2 * V))
    p, x, y, v = (backend.move(part) for part in (host, X, Y, pair))
    sample = backend.move({"index": index})
    assert "int" in str(sample["index"].dtype)
    for name in ("hvp_lower", "cross_lower"):
        found, expected = getattr(p, name)(x, y, v, sample), getattr(host, name)
        assert backend.holds(found)
        assert tuple(found.shape) == (5, 2, R, host.d_y if name == "hvp_lower" else host.d_x)
        close(to_host(found), expected(X, Y, pair, {"index": index}))
        rows = [expected(X, Y, one, {"index": index[q, 0]}) for q in range(5) for one in pair]
        close(to_host(found), np.reshape(rows, found.shape))
    for name in ("solution", "hypergradient", "value"):
        close(to_host(getattr(p, name)(x)), getattr(host, name)(X))
    for name in ("upper", "lower", "grad_x_upper", "grad_y_upper", "grad_y_lower"):
        for one in (None, {"index": index[0, 0] % 6}):
            found = getattr(p, name)(x, y, None if one is None else backend.move(one))
            close(to_host(found), getattr(host, name)(X, Y, one))


def test_jax_traces_every_oracle() -> None:
    like = need("jax")
    import jax

    host = problem("finite_sum")
    index = {"index": np.array([[0, 3], [5, 5], [1, 2], [4, 0]])}
    p, x, y, v, sample = (like.move(part) for part in (host, X, Y, V, index))
    compiled = jax.jit(lambda p, x, y, v, s: (p.hvp_lower(x, y, v, s), p.hypergradient(x)))
    product, gradient = compiled(p, x, y, v, sample)
    close(product, host.hvp_lower(X, Y, V, index))
    close(gradient, host.hypergradient(X))


def test_the_solution_has_the_digits_of_its_backend() -> None:
    mp = need("mparray")
    p, x = (mp.move(part) for part in (problem("finite_sum"), X))
    assert np.max(np.abs(to_host(p.grad_y_lower(x, p.solution(x))))) < 1e-49
    narrow = need("numpy").move(problem("finite_sum"), "float32")
    y = narrow.solution(X.astype(np.float32))
    assert y.dtype == np.float32
    assert np.max(np.abs(y - problem("finite_sum").solution(X))) < 1e-6


@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 6.0])
def test_the_solver_of_the_finite_sum_converges_at_every_scale(scale: float) -> None:
    p = finite_sum(8, 2, 3, scale=scale)
    for far in (1.0, 100.0):
        residual = p.grad_y_lower(far * X, p.solution(far * X))
        terms = size(p.solution(far * X)) * p.constants.curvature + far * size(X) * scale
        assert np.max(np.abs(residual)) <= ROUNDINGS * U64 * max(1.0, terms)


def test_constants_of_the_finite_sum_hold_and_where_stated_are_attained() -> None:
    p = problem("finite_sum", upper_samples=7)
    c, count, zero = p.constants, 8, (np.zeros(2), np.zeros(3))
    curvatures, steepness = [], []
    for x, y in [zero, *points()]:
        for i in range(count):
            zeta = {"index": np.array([i])}
            own, mixed = hessian(p, x, y, zeta), cross(p, x, y, zeta)
            eigenvalues = np.linalg.eigvalsh(own)
            assert eigenvalues[0] >= c.mu * (1 - 1e-14)
            curvatures.append(eigenvalues[-1])
            steepness.append(np.linalg.norm(np.vstack((mixed, own)), 2))
    assert max(curvatures) == pytest.approx(c.curvature, rel=1e-14)  # at margin 0
    assert max(steepness) == pytest.approx(c.l_g1, rel=1e-14)
    x = np.array([1e4, 0.0])  # all margins large: only the ridge is left
    assert np.linalg.eigvalsh(hessian(p, x, np.zeros(3), None))[0] == pytest.approx(c.mu, rel=1e-14)


def test_upper_constants_of_the_finite_sum() -> None:
    generator = np.random.default_rng(8)
    for p, idle in ((problem("finite_sum"), 0.4), (finite_sum(1, 2, 3, seed=1), 0.99)):
        c, worst = p.constants, np.zeros(3)
        # for one sample the bounds are attained: start where the margin is 0 or flat
        x, y = 0.05 * generator.standard_normal((4000, 2)), np.zeros((4000, 3))
        dx, dy = generator.standard_normal((4000, 2)), generator.standard_normal((4000, 3))
        dx[0] = dy[0] = 0
        aligned = np.linalg.svd(np.hstack((p.upper_offsets, p.upper_features)))[2][0]
        x[0], dx[0], dy[0] = 0.0, aligned[:2], aligned[2:]
        step = 1e-4 / np.linalg.norm(np.hstack((dx, dy)), axis=-1)[:, None]
        for k, name in enumerate(("grad_x_upper", "grad_y_upper")):
            change = getattr(p, name)(x + step * dx, y + step * dy) - getattr(p, name)(x, y)
            worst[k] = np.max(np.linalg.norm(change, axis=-1)) / 1e-4
        for scale in (1.0, 1e3):
            far = scale * generator.standard_normal((2000, 2))
            worst[2] = max(worst[2], np.max(np.linalg.norm(p.grad_y_upper(far, y[0]), axis=-1)))
        bounds = np.array([c.L_x0, c.L_y0, c.l_f0])
        assert np.all(worst <= bounds * (1 + 1e-10))  # roundings of size u over a step of 1e-4
        assert np.all(worst >= idle * bounds)


@pytest.mark.parametrize("samples", [1, 8])
def test_no_pair_exceeds_l_g2_of_the_finite_sum(samples: int) -> None:
    p = finite_sum(samples, 2, 3, seed=1)
    generator, worst = np.random.default_rng(9), 0.0
    for _ in range(3000):
        x, y = generator.standard_normal(2), generator.standard_normal(3)
        d = generator.standard_normal(5)
        if samples == 1:  # along the one direction in which anything changes
            d = np.r_[p.lower_offsets[0], p.lower_features[0]]
        d *= 1e-3 / np.linalg.norm(d)
        for matrix in (hessian, cross):
            change = matrix(p, x + d[:2], y + d[2:], None) - matrix(p, x, y, None)
            worst = max(worst, float(np.linalg.norm(change, 2)) / 1e-3)
    assert worst <= p.constants.l_g2
    assert worst >= (0.99 if samples == 1 else 0.15) * p.constants.l_g2


def test_a_run_on_batches_descends() -> None:
    one = case("batches")
    x, y = batch(one.x, 16), batch(one.y, 16)
    assert isinstance(one.algorithm.draw(one.problem), AccBOSample)
    state = one._replace(x=x, y=y).run(400, Tape(3), warm_start=20).state
    before, after = (
        np.mean(np.linalg.norm(one.problem.hypergradient(z), axis=-1)) for z in (x, state.x)
    )
    assert after < 0.5 * before


def test_logistic_functions_keep_their_digits() -> None:
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(400):
        for t in (0.0, 1e-9, 0.3, -0.7, 20.0, -20.0, 700.0, -700.0):
            e, one = mpmath.exp(-mpmath.mpf(t)), np.array([t])
            for found, exact in (
                (softplus(-one), mpmath.log1p(e)),
                (sigmoid(one), 1 / (1 + e)),
                (sigmoid_slope(one), e / (1 + e) ** 2),
            ):
                assert abs(found[0] / float(exact) - 1) <= 8 * U64  # relative, at both ends
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert softplus(np.array([1e300, -1e3])).tolist() == [1e300, 0.0]
        ends = np.array([700.0, -700.0])
        assert sigmoid(ends).tolist() == [1.0, pytest.approx(np.exp(-700.0))]
    ends = np.array([1e300, -1e300])
    assert (sigmoid(ends).tolist(), sigmoid_slope(ends).tolist()) == ([1.0, 0.0], [0.0, 0.0])


# --- log cosh ------------------------------------------------------------------------------


def test_log_cosh_and_sech2_keep_their_digits() -> None:
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        for u in (0.0, 0.3, -0.7, 2.0, -20.0, 400.0, 1e300):
            array = np.array([u])
            value = mpmath.fabs(u) + mpmath.log1p(mpmath.exp(-2 * mpmath.fabs(u))) - mpmath.log(2)
            # two terms of size |u| + log 2 are subtracted: absolute accuracy near 0
            assert abs(log_cosh(array)[0] - float(value)) <= 4 * U64 * max(1.0, abs(u))
            sech = float(mpmath.sech(u) ** 2) if abs(u) < 1e3 else 0.0
            assert abs(sech2(array)[0] - sech) <= 4 * U64
    u = np.linspace(0, 2, 2001)
    slope = np.max(np.abs(np.diff(sech2(u)) / np.diff(u)))
    assert SECH2_LIPSCHITZ * 0.999 <= slope <= SECH2_LIPSCHITZ


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", ["torch", "jax"], indirect=True)
def test_log_cosh_is_differentiated_twice_wherever_it_is_finite(
    backend: Backend, dtype: str
) -> None:
    """To 0, not to NaN, far out; PyTorch's own formula has infinity over infinity there."""
    points = [0.0, 0.5, 39.0, 41.0, 100.0, 2e4, -2e4]
    slopes, curvatures = [], []
    for point in points:
        u = backend.array(np.asarray([point], dtype=dtype))
        if backend.name == "torch":
            import torch

            u.requires_grad_()
            (slope,) = torch.autograd.grad(log_cosh(u).sum(), u, create_graph=True)
            (curvature,) = torch.autograd.grad(slope.sum(), u)
            slope = slope.detach()
        else:
            import jax

            slope = jax.grad(lambda u: log_cosh(u).sum())(u)
            curvature = jax.grad(lambda u: jax.grad(lambda u: log_cosh(u).sum())(u).sum())(u)
        slopes.append(float(slope[0]))
        curvatures.append(float(curvature[0]))
    np.testing.assert_allclose(slopes, np.tanh(points), atol=1e-6 if dtype == "float32" else 1e-15)
    expected = 1 - np.tanh(points) ** 2
    np.testing.assert_allclose(curvatures, expected, atol=1e-6 if dtype == "float32" else 1e-15)


# --- the builders --------------------------------------------------------------------------


def test_builders_give_the_spectrum_and_coupling_asked_for() -> None:
    for build in (quadratic, relaxed_smooth, nonquadratic):
        p = build((1.0, 2.0, 5.0, 9.0), 2, coupling=3.0, seed=7)
        assert (p.d_x, p.d_y) == (2, 4)
        np.testing.assert_allclose(np.linalg.eigvalsh(p.hessian), (1, 2, 5, 9), rtol=1e-14)
        assert np.linalg.norm(p.coupling, 2) == pytest.approx(3.0, rel=1e-14)
        assert np.max(np.abs(p.hessian - np.diag(np.diag(p.hessian)))) > 0.1
        plain = build((1.0, 2.0), 2, rotate=False, coupling=np.eye(2))
        assert np.array_equal(plain.hessian, np.diag([1.0, 2.0]))
        assert np.array_equal(plain.coupling, np.eye(2))


@pytest.mark.parametrize("kind", PROBLEMS)
def test_only_fields_with_a_scale_are_declared(kind: str) -> None:
    p = problem(kind, noise_upper=SKEWED)
    assert p.upper_noise["additive_x"].law == "two_point"
    assert {name: noise.shape for name, noise in p.upper_noise.items()} == {
        "additive_x": (2,),
        "multiplicative_x": (2,),
        "additive_y": (3,),
        "multiplicative_y": (3,),
    }
    assert set(p.lower_noise) == {"additive", "curvature", "coupling"}
    assert (set(p.hessian_noise), set(p.cross_noise)) == ({"curvature"}, {"coupling"})
    for noise in (*p.hessian_noise.values(), *p.cross_noise.values()):
        assert noise.law == "sign"  # bounded: every realisation is strongly convex
    quiet = problem(kind, noise_lower=LowerNoise(additive=1.0))
    assert (set(quiet.lower_noise), dict(quiet.hessian_noise)) == ({"additive"}, {})
