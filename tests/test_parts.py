"""The parts of the method by value: steps, momentum, and the series by enumeration."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accbo._arrays import evaluate_pair, fold, matvec, norm, rmatvec, to_host
from accbo.hypergradient import NEUMANN, hessian_rows, hypergradient
from accbo.lower import average, gradient_step, nesterov_step
from accbo.momentum import moving_average, recursive_momentum
from accbo.problems import LowerNoise, quadratic
from accbo.upper import gradient_step as plain_step
from accbo.upper import normalized_step
from tests.backends import Backend, no_conversions
from tests.support import ROUNDOFF, U64, problem

# --- the upper step ------------------------------------------------------------------------


def guarded(backend: Backend, function: Any, *arguments: Any) -> np.ndarray:
    """``function(*arguments)`` on the host, without a look at a value where guarded."""
    if not backend.guarded:
        return to_host(function(*arguments))
    with no_conversions():
        result = function(*arguments)
    return to_host(result)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_normalised_step_has_length_eta(backend: Backend, dtype: str) -> None:
    if backend.name == "mparray" and dtype == "float32":
        pytest.skip("mparray: one working precision for every dtype")
    u, eta = ROUNDOFF[dtype], 0.125
    tiny, huge = (1e-200, 1e200) if dtype == "float64" else (1e-30, 1e30)
    direction = np.array([[3.0, -4.0], [1e-3, 1.0], [tiny, 2 * tiny], [-huge, huge], [0.0, -1.0]])
    step = guarded(
        backend,
        normalized_step,
        backend.array(np.zeros((5, 2)), dtype),
        backend.array(direction, dtype),
        eta,
    )
    # scaling, vecdot, root, two divisions: 8 roundings at most, d = 2
    assert np.max(np.abs(np.linalg.norm(step.astype(float), axis=-1) / eta - 1)) <= 8 * u
    np.testing.assert_allclose(step[0], [-0.6 * eta, 0.8 * eta], rtol=8 * u)
    np.testing.assert_allclose(step[2], -eta * np.array([1, 2]) / 5**0.5, rtol=8 * u)


def test_a_zero_direction_does_not_move_x(backend: Backend) -> None:
    x = np.array([[1.0, -2.0], [3.0, 4.0]])
    direction = np.array([[0.0, 0.0], [0.0, 1e-300]])
    after = guarded(backend, normalized_step, backend.array(x), backend.array(direction), 0.5)
    assert np.array_equal(after, [[1.0, -2.0], [3.0, 3.5]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scaling_the_direction_by_powers_of_two_changes_no_bit(dtype: type) -> None:
    generator = np.random.default_rng(1)
    x, direction = generator.standard_normal((2, 50, 7)).astype(dtype)
    known = normalized_step(x, direction, 0.1)
    for exponent in (-40, -1, 1, 40):
        assert np.array_equal(normalized_step(x, direction * dtype(2.0**exponent), 0.1), known)


def test_the_normalised_step_takes_one_norm_over_all_of_x() -> None:
    step = normalized_step(np.zeros(4), np.array([1.0, 0.0, 0.0, 7.0]), 1.0)
    np.testing.assert_allclose(step, np.array([-1, 0, 0, -7]) / 50**0.5, rtol=8 * U64)


# --- the lower step ------------------------------------------------------------------------


def test_lower_steps_by_value() -> None:
    seen = []

    def gradient(y: np.ndarray) -> np.ndarray:
        seen.append(y)
        return 2 * y

    y, y_previous = np.array([4.0, -2.0]), np.array([2.0, 2.0])
    assert np.array_equal(nesterov_step(gradient, y, y_previous, 0.25, 0.5), [2.5, -2.0])
    assert np.array_equal(seen[0], [5.0, -4.0])  # z, not y
    assert np.array_equal(gradient_step(gradient, y, 0.25), [2.0, -1.0])
    assert np.array_equal(plain_step(y, np.array([1.0, 2.0]), 0.5), [3.5, -3.0])
    assert np.array_equal(average(np.array([8.0, 4.0]), y, 0.25), [7.0, 2.5])
    assert np.array_equal(average(np.array([8.0, 4.0]), y, 1.0), y)


# --- momentum ------------------------------------------------------------------------------


def test_momentum_by_value() -> None:
    def gradient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x * y

    new, old = (np.array([3.0]), np.array([5.0])), (np.array([2.0]), np.array([7.0]))
    m = np.array([10.0])
    assert recursive_momentum(gradient, new, old, m, 0.25) == 15 + 0.25 * (10 - 14)
    assert moving_average(gradient, new, m, 0.25) == 0.25 * 10 + 0.75 * 15


@pytest.mark.parametrize("sampling", NEUMANN)
@pytest.mark.parametrize("replicates", [(), (1,), (5,), (2, 3)])
def test_the_stacked_pair_is_two_calls_bit_for_bit(sampling: str, replicates: Any) -> None:
    from accbo import AccBO, Tape
    from accbo._arrays import row
    from tests.support import ALGORITHM, changed

    p = problem("nonquadratic")
    algorithm: AccBO = changed(neumann_sampling=sampling)
    assert algorithm.neumann_terms == ALGORITHM.neumann_terms
    generator = np.random.default_rng(3)
    new, old = (
        tuple(generator.standard_normal((*replicates, d)) for d in (2, 3)) for _ in range(2)
    )
    sample = row(Tape(2).open(new[0]).block(algorithm.draw(p), 1), 0)
    gradient = algorithm._gradient(p, sample)
    for stacked, alone in zip(
        evaluate_pair(gradient, new, old), (gradient(*new), gradient(*old)), strict=True
    ):
        assert stacked.shape == (*replicates, 2)
        assert stacked.tobytes() == alone.tobytes()


# --- the Neumann series --------------------------------------------------------------------

# d_y = 2; H and the sign matrices do not commute
H = np.array([[1.25, 0.375], [0.375, 2.0]])
C = 0.5
SCALE = 3.0
V = np.array([1.0, -0.625])


def product(v: np.ndarray, sample: Any) -> np.ndarray:
    """(H + c diag(s)) v."""
    return matvec(H, v, "matmul") + C * sample["curvature"] * v


def factor(signs: np.ndarray) -> np.ndarray:
    return np.eye(2) - (H + C * np.diag(signs)) / SCALE


def series(terms: int) -> np.ndarray:
    """S_Q v of the expectation, by explicit powers."""
    mean = np.eye(2) - H / SCALE
    return sum(np.linalg.matrix_power(mean, q) @ V for q in range(terms)) / SCALE


def everything(sampling: str, terms: int) -> SimpleNamespace:
    """Every outcome of the signs (and of q), each once, as replicates."""
    rows = hessian_rows(sampling, terms)
    patterns = np.array(list(itertools.product((-1.0, 1.0), repeat=2 * rows)))
    signs = np.moveaxis(patterns.reshape(-1, rows, 2), 1, 0)
    power: dict[str, np.ndarray] = {}
    if sampling == "randomised":
        count = signs.shape[1]
        signs = np.tile(signs, (1, terms, 1))
        power = {"power": np.repeat(np.arange(terms), count)[:, None]}
    return SimpleNamespace(hessian={"curvature": signs}, power=power)


def estimates(sampling: str, terms: int, sample: Any) -> np.ndarray:
    count = sample.hessian["curvature"].shape[1]
    v = np.broadcast_to(V, (count, 2))
    return NEUMANN[sampling](product, v, sample, terms, SCALE)


@pytest.mark.parametrize("terms", [3, 4])
@pytest.mark.parametrize("sampling", NEUMANN)
def test_the_mean_over_all_signs_is_the_truncated_series(sampling: str, terms: int) -> None:
    sample = everything(sampling, terms)
    mean = np.mean(estimates(sampling, terms, sample), axis=0)
    # pairwise sums of at most 2^12 values below Q |v|/l: their rounding is log2 of it
    assert np.max(np.abs(mean - series(terms))) <= 40 * U64 * terms
    # the shared sample has another mean: that the enumeration can tell is no matter of course
    if sampling != "randomised":
        one = {
            "curvature": np.broadcast_to(
                sample.hessian["curvature"][:1], (sample.hessian["curvature"].shape)
            )
        }
        shared = SimpleNamespace(hessian=one, power=sample.power)
        wrong = np.mean(estimates(sampling, terms, shared), axis=0)
        assert np.max(np.abs(wrong - series(terms))) > 1e-3


def test_variances_come_in_the_order_stated() -> None:
    total = {
        sampling: float(np.sum(np.var(estimates(sampling, 4, everything(sampling, 4)), axis=0)))
        for sampling in NEUMANN
    }
    assert 0 < total["independent"] < total["chained"] < total["randomised"]


@pytest.mark.parametrize("terms", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("sampling", NEUMANN)
def test_factor_one_is_applied_first(sampling: str, terms: int) -> None:
    # not signs but uniform numbers: no two factors commute
    noise = np.random.default_rng(terms).uniform(-1, 1, (hessian_rows(sampling, terms), 2))
    factors = [factor(s) for s in noise]
    for q in range(terms):
        sample = SimpleNamespace(hessian={"curvature": noise}, power={"power": np.array([q])})
        found = NEUMANN[sampling](product, V, sample, terms, SCALE)
        right, wrong = (explicit(sampling, terms, q, factors, r) for r in (False, True))
        assert np.max(np.abs(found - right)) <= 20 * terms * U64
        longest = q if sampling == "randomised" else terms - 1
        assert (np.max(np.abs(found - wrong)) > 1e-3) == (longest >= 2)


def explicit(
    sampling: str, terms: int, q: int, factors: list[np.ndarray], backwards: bool
) -> np.ndarray:
    """The series by explicit matrices; ``backwards`` applies the last factor first."""

    def applied(chosen: list[np.ndarray]) -> np.ndarray:
        v = V
        for matrix in reversed(chosen) if backwards else chosen:
            v = matrix @ v
        return v

    if sampling == "chained":
        return sum(applied(factors[:k]) for k in range(terms)) / SCALE
    if sampling == "randomised":
        return applied(factors[:q]) * terms / SCALE
    place, first = {}, 0  # stage-major: j = 1.., within it q = j..Q−1
    for j in range(1, terms):
        for k in range(j, terms):
            place[k, j], first = first, first + 1
    return sum(applied([factors[place[k, j]] for j in range(1, k + 1)]) for k in range(terms)) / (
        SCALE
    )


def test_hessian_rows_by_value() -> None:
    assert [hessian_rows("chained", q) for q in (1, 2, 10)] == [0, 1, 9]
    assert [hessian_rows("independent", q) for q in (1, 2, 10)] == [0, 1, 45]
    assert [hessian_rows("randomised", q) for q in (1, 2, 10)] == [0, 1, 9]


@pytest.mark.parametrize("terms", [1, 2, 3, 7])
@pytest.mark.parametrize("sampling", ["chained", "independent"])
def test_an_isotropic_hessian_makes_any_number_of_terms_exact(sampling: str, terms: int) -> None:
    """Bit for bit where 1/l is; else 1/l and two products round: 2u of v left over, 2u of v/l."""
    sample = SimpleNamespace(hessian={"none": np.zeros((hessian_rows(sampling, terms), 0))})
    for scale in (4.0, SCALE):
        found = NEUMANN[sampling](lambda v, _, scale=scale: scale * v, V, sample, terms, scale)
        rounding = 0.0 if scale == 4.0 else 4 * 2.0**-53
        np.testing.assert_allclose(found, V / scale, rtol=rounding, atol=0)


def test_the_random_term_is_exact_on_average_for_an_isotropic_hessian() -> None:
    sample = SimpleNamespace(
        hessian={"none": np.zeros((3, 4, 0))}, power={"power": np.arange(4)[:, None]}
    )
    found = NEUMANN["randomised"](
        lambda v, _: SCALE * v, np.broadcast_to(V, (4, 2)), sample, 4, SCALE
    )
    np.testing.assert_allclose(found, [4 * V / SCALE, 0 * V, 0 * V, 0 * V], rtol=4 * U64, atol=0)


@pytest.mark.parametrize("terms", [1, 2, 3, 8])
def test_without_noise_independent_is_chained_bit_for_bit(terms: int) -> None:
    p = quadratic((1.0, 1.5, 2.5), 2, form="matmul", noise_lower=LowerNoise(additive=0.5))
    generator = np.random.default_rng(9)
    x, y, v = (generator.standard_normal((6, d)) for d in (2, 3, 3))
    results = [
        NEUMANN[sampling](
            lambda u, zeta: p.hvp_lower(x, y, u, zeta),
            v,
            SimpleNamespace(hessian={"none": np.zeros((hessian_rows(sampling, terms), 6, 0))}),
            terms,
            2.75,
        )
        for sampling in ("chained", "independent")
    ]
    assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize("sampling", NEUMANN)
def test_a_wrong_number_of_hessian_samples_is_refused(sampling: str) -> None:
    sample = SimpleNamespace(hessian={"curvature": np.ones((4, 2))}, power={"power": np.zeros(1)})
    with pytest.raises(ValueError, match=f"4 rows; the {sampling} series of Q = 3 terms takes"):
        NEUMANN[sampling](product, V, sample, 3, SCALE)


# --- the hypergradient ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["quadratic", "cosh", "nonquadratic"])
def test_the_hypergradient_with_an_exact_inverse_is_that_of_the_problem(kind: str) -> None:
    p = problem(kind)
    generator = np.random.default_rng(5)
    sample = SimpleNamespace(upper=None, cross=None)
    for x in generator.standard_normal((4, 2)):
        y = p.solution(x)

        def inverse(product: Any, v: np.ndarray, sample: Any) -> np.ndarray:
            matrix = np.stack([product(e, None) for e in np.eye(3)], axis=-1)
            return np.linalg.solve(matrix, v)

        found = hypergradient(p, x, y, sample, inverse)
        # a solve of condition below 3 and a few products of numbers below 5
        np.testing.assert_allclose(found, p.hypergradient(x), rtol=0, atol=100 * U64 * 5)


# --- the arrays underneath -----------------------------------------------------------------


def test_products_norm_and_fold_by_value() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    v, w = np.array([[1.0, 10.0], [2.0, 0.0]]), np.array([[1.0, 10.0, 100.0]])
    for form in ("shared", "matmul"):
        assert np.array_equal(matvec(matrix, v, form), [[21, 43, 65], [2, 6, 10]])
        assert np.array_equal(rmatvec(matrix, w, form), [[531, 642]])
    assert np.array_equal(norm(np.array([[3.0, 4.0], [0.0, 0.0]])), [5, 0])
    rows = {"a": np.array([[1.0], [2.0], [3.0]])}
    assert fold(lambda carry, s: 10 * carry + s["a"], np.zeros(1), rows) == 123


@pytest.mark.parametrize("count", [0, 2])
def test_one_step_is_neither_none_nor_two(count: int) -> None:
    from accbo.lower import expect_one_step

    with pytest.raises(ValueError, match=f"sample.lower has {count} rows; SLIP takes one step"):
        expect_one_step({"none": np.zeros((count, 3, 0))}, "SLIP")
