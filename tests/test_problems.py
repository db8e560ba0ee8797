"""The three problems: closed forms against autodiff and Taylor, y*, ∇Φ, the constants."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from accbo._arrays import row
from accbo.problems import LowerNoise, RelaxedSmooth, nonquadratic, quadratic, relaxed_smooth
from accbo.problems._logcosh import FINITE_RADIUS, SECH2_LIPSCHITZ, log_cosh, sech2
from accbo.sampling import Start, Tape, draw_fields
from tests.backends import need
from tests.support import LOWER, PROBLEMS, SKEWED, SPECTRUM, U64, problem

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
@pytest.mark.parametrize("kind", PROBLEMS)
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


@pytest.mark.parametrize("kind", PROBLEMS)
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


@pytest.mark.parametrize("kind", PROBLEMS)
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
@pytest.mark.parametrize("kind", PROBLEMS)
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
@pytest.mark.parametrize("kind", PROBLEMS)
def test_remainders_of_the_lower_level(kind: str, noisy: bool) -> None:
    p = problem(kind)
    _, zeta = samples(p, noisy)
    d = np.array([0.48, 0.6, -0.64])
    at, first = p.lower(X, Y, zeta), p.grad_y_lower(X, Y, zeta) @ d
    second = 0.5 * p.hvp_lower(X, Y, np.broadcast_to(d, Y.shape), zeta) @ d

    def remainder(step: float) -> np.ndarray:
        return p.lower(X, Y + step * d, zeta) - at - step * first - step**2 * second

    if kind == "nonquadratic":
        assert order(remainder) >= 2.9
        assert order(lambda step: remainder(step) + step**2 * second) <= 2.2
    else:
        assert np.max(np.abs(remainder(1.0))) <= ROUNDINGS * U64 * size(at, first, second)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_remainders_of_the_cross_derivative(kind: str) -> None:
    p = problem(kind)
    _, zeta = samples(p, True)
    d = np.array([0.6, -0.8])
    at = np.sum(p.grad_y_lower(X, Y, zeta) * V, axis=-1)
    first = p.cross_lower(X, Y, V, zeta) @ d

    def remainder(step: float) -> np.ndarray:
        return np.sum(p.grad_y_lower(X + step * d, Y, zeta) * V, axis=-1) - at - step * first

    if kind == "nonquadratic":
        assert order(remainder) >= 1.9
    else:
        assert np.max(np.abs(remainder(1.0))) <= ROUNDINGS * U64 * size(at, first)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_remainders_of_the_value(kind: str) -> None:
    p = problem(kind)
    d = np.array([0.6, -0.8])
    at, first = p.value(X), p.hypergradient(X) @ d
    assert order(lambda step: p.value(X + step * d) - at - step * first) >= 1.9
    direct = p.grad_x_upper(X, p.solution(X)) @ d  # without the implicit term it is no derivative
    assert order(lambda step: p.value(X + step * d) - at - step * direct) <= 1.2


# --- y* ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PROBLEMS)
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


@pytest.mark.parametrize("kind", PROBLEMS)
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


@pytest.mark.parametrize("kind", ["cosh", "nonquadratic"])
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
