"""The SAGA table by exact enumeration over a small sum, and variants that the laws reject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accbo._arrays import map_arrays, to_host
from accbo.algorithms import SABA, SABASample
from accbo.problem import Noise
from accbo.problems import quadratic
from accbo.saga import Sum, Table, expect_rows, full_pass, saga, sums_of
from tests.backends import Backend
from tests.support import U64, problem, replace_parts
from tests.test_all_pairs import case_of

TERMS, SIZE = 5, 3
STORED = np.cos(np.arange(15.0) ** 2).reshape(TERMS, SIZE)  # seen at five older points
NEW = np.sin(1 + np.arange(15.0) ** 2).reshape(TERMS, SIZE)  # every term at the point of today
TABLE = Table(STORED, STORED.mean(axis=0))
ALL = np.arange(TERMS)[:, None]  # one replicate per outcome of the index

Estimator = Callable[[Table, Any, Any], tuple[Any, Table]]


def outcomes(estimator: Estimator, table: Table = TABLE) -> tuple[np.ndarray, Table]:
    """The estimate and the table for every index, equally likely."""
    return estimator(Table(*(np.stack([leaf] * TERMS) for leaf in table)), ALL, NEW)


# --- wrong variants ------------------------------------------------------------------------


def of_another_index(table: Table, index: Any, new: Any) -> tuple[Any, Table]:
    """The control variate of the next term (found in public code in another shape)."""
    _, after = saga(table, index, new)
    control, _ = saga(table, (index + 1) % TERMS, 0 * new)
    return new + control, after


def without_the_mean(table: Table, index: Any, new: Any) -> tuple[Any, Table]:
    estimate, after = saga(table, index, new)
    return estimate - table.mean, after


def with_the_new_mean(table: Table, index: Any, new: Any) -> tuple[Any, Table]:
    """SAG's direction: the mean after the update."""
    _, after = saga(table, index, new)
    return after.mean, after


def no_update(table: Table, index: Any, new: Any) -> tuple[Any, Table]:
    return saga(table, index, new)[0], table


def no_update_of_the_mean(table: Table, index: Any, new: Any) -> tuple[Any, Table]:
    estimate, after = saga(table, index, new)
    return estimate, after._replace(mean=table.mean)


# --- the laws ------------------------------------------------------------------------------


def unbiased(estimator: Estimator) -> None:
    """The mean over all indices is the mean of all new terms, whatever the table holds."""
    estimates, _ = outcomes(estimator)
    np.testing.assert_allclose(estimates.mean(axis=0), NEW.mean(axis=0), rtol=0, atol=20 * U64)


def variance_of_the_differences(estimator: Estimator) -> None:
    """Var of the estimate = Var over the terms of new − stored."""
    estimates, _ = outcomes(estimator)
    np.testing.assert_allclose(
        estimates.var(axis=0), (NEW - STORED).var(axis=0), rtol=0, atol=20 * U64
    )


def exact_once_up_to_date(estimator: Estimator) -> None:
    """At rest, from a table of zeros: after an epoch in any order, every outcome is the mean."""
    table = Table(np.zeros((TERMS, SIZE)), np.zeros(SIZE))
    for i in (3, 0, 4, 1, 2):
        _, table = estimator(table, np.array([i]), NEW[i])
    np.testing.assert_allclose(table.mean, NEW.mean(axis=0), rtol=0, atol=20 * U64)
    assert np.array_equal(table.stored, NEW)
    estimates, _ = outcomes(estimator, table)
    np.testing.assert_allclose(estimates, np.tile(table.mean, (TERMS, 1)), rtol=0, atol=20 * U64)


def mean_of_the_stored(estimator: Estimator) -> None:
    """The mean kept is the mean of what is stored after every step."""
    table = TABLE
    generator = np.random.default_rng(0)
    for _ in range(50):
        i = int(generator.integers(TERMS))
        before = table.stored
        _, table = estimator(table, np.array([i]), generator.standard_normal(SIZE))
        np.testing.assert_allclose(table.mean, table.stored.mean(axis=0), rtol=0, atol=100 * U64)
        others = np.arange(TERMS) != i
        assert np.array_equal(table.stored[others], before[others])
        assert np.all(table.stored[i] != before[i])


LAWS = (unbiased, variance_of_the_differences, exact_once_up_to_date, mean_of_the_stored)


@pytest.mark.parametrize("law", LAWS)
def test_saga_obeys(law: Callable[[Estimator], None]) -> None:
    law(saga)


@pytest.mark.parametrize(
    ("variant", "broken"),
    [
        (of_another_index, variance_of_the_differences),  # its mean is right
        (of_another_index, exact_once_up_to_date),
        (without_the_mean, unbiased),
        (with_the_new_mean, unbiased),
        (no_update, exact_once_up_to_date),
        (no_update, mean_of_the_stored),
        (no_update_of_the_mean, mean_of_the_stored),
        (no_update_of_the_mean, exact_once_up_to_date),
    ],
)
def test_a_wrong_variant_is_rejected(variant: Estimator, broken: Any) -> None:
    with pytest.raises(AssertionError):
        broken(variant)


def test_the_control_variate_of_another_index_adds_variance_at_rest() -> None:
    """Var(new_i − stored_{i+1}) where the table is up to date: above zero, and without bias."""
    table = Table(NEW, NEW.mean(axis=0))
    estimates, _ = outcomes(of_another_index, table)
    expected = (NEW - np.roll(NEW, -1, axis=0)).var(axis=0)
    np.testing.assert_allclose(estimates.var(axis=0), expected, rtol=0, atol=20 * U64)
    np.testing.assert_allclose(estimates.mean(axis=0), table.mean, rtol=0, atol=20 * U64)
    assert np.all(expected > 0.1)


# --- batches and backends ------------------------------------------------------------------


def test_every_backend_has_the_same_table(backend: Backend) -> None:
    table = Table(*(backend.array(np.stack([leaf] * TERMS)) for leaf in TABLE))
    index = backend.move({"index": ALL})["index"]
    estimate, after = saga(table, index, backend.array(NEW))
    expected, wanted = outcomes(saga)
    assert backend.holds(estimate)
    np.testing.assert_allclose(to_host(estimate), expected, rtol=0, atol=4 * U64)
    assert np.array_equal(to_host(after.stored), wanted.stored)
    np.testing.assert_allclose(to_host(after.mean), wanted.mean, rtol=0, atol=4 * U64)


def test_a_replicate_alone_has_the_bits_it_has_in_a_batch() -> None:
    estimates, after = outcomes(saga)
    for i in range(TERMS):
        estimate, alone = saga(TABLE, ALL[i], NEW[i])
        assert estimate.tobytes() == estimates[i].tobytes()
        assert alone.stored.tobytes() == after.stored[i].tobytes()
        assert alone.mean.tobytes() == after.mean[i].tobytes()


def test_the_table_given_is_left_alone() -> None:
    before = STORED.copy()
    saga(TABLE, ALL[2], NEW[2])
    assert np.array_equal(TABLE.stored, before)


# --- a full pass, and what is no finite sum ------------------------------------------------


def test_a_full_pass_sees_every_term_at_every_replicate() -> None:
    host = problem("finite_sum", lower_batch=1)
    x, y = np.array([[0.5, -0.25], [1.0, 0.75]]), np.ones((2, 3)) * [[0.5], [-0.25]]
    table = full_pass(host.grad_y_lower, (x, y), Sum("index", 8), y)
    assert table.stored.shape == (2, 8, 3)
    for r in range(2):
        for i in range(8):
            one = host.grad_y_lower(x[r], y[r], {"index": np.array([i])})
            assert table.stored[r, i].tobytes() == one.tobytes()
    np.testing.assert_allclose(table.mean, host.grad_y_lower(x, y), rtol=0, atol=20 * U64)


def test_a_derivative_without_noise_has_a_row_for_every_term() -> None:
    y = np.zeros((2, 3))
    table = full_pass(lambda y, _: np.ones_like(y), (y,), Sum("index", 4), y)
    assert np.array_equal(table.stored, np.ones((2, 4, 3)))


def test_the_sums_of_a_problem() -> None:
    host = problem("finite_sum", upper_batch=1, lower_batch=1)
    assert sums_of(host) == (Sum("index", 8), Sum("index", 6))


def test_what_is_no_finite_sum_is_named() -> None:
    host = problem("finite_sum", upper_batch=1, lower_batch=1)
    normal = Other(host, upper_noise=problem("quadratic").upper_noise)
    elsewhere = Other(host, hessian_noise={"index": Noise("index", (1,), 7)})
    for wrong, message in (
        (quadratic(), r"SABA needs a finite sum: lower_noise must be one field of law 'index'"),
        (normal, r"upper_noise must be one field of law 'index', it has {'additive_x': 'normal'"),
        (elsewhere, r"SABA needs a finite sum: one index must decide"),
        (problem("finite_sum", upper_batch=1), r"lower_noise has batches of shape \(3,\)"),
        (problem("finite_sum", lower_batch=1), r"one term at a time, .* batches of shape \(2,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            sums_of(wrong)


class Other:
    """A problem with some of its declarations replaced."""

    def __init__(self, problem: Any, **changes: Any) -> None:
        self._problem, self._changes = problem, changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._problem, name)


def test_a_table_of_another_size_is_named() -> None:
    with pytest.raises(ValueError, match="the table of mean has 5 rows, the sum of the problem 6"):
        expect_rows(Table(TABLE, TABLE), (Sum("index", 5), Sum("index", 6)))


@pytest.mark.parametrize("kind", ["finite_sum", "ridge", "deep AUC"])
def test_a_step_is_right_on_average_over_all_indices(kind: str) -> None:
    """Also where ∇²_xy G or ∇²_yy G is the same for every term, after tables have aged."""
    one = case_of("SABA", kind)
    p, a = one.problem, one.algorithm
    state = one.run(4, 1).state
    x, y, z = state[:3]
    below, above = sums_of(p)
    i, j = (part.reshape(-1, 1) for part in np.indices((below.terms, above.terms)))
    every = map_arrays(lambda leaf: np.broadcast_to(leaf, (len(i), *leaf.shape)), state)
    after = a.step(p, every, SABASample({above.field: j}, {below.field: i[None]}))
    expected = {
        "x": x - a.upper_step_size * (p.grad_x_upper(x, y) - p.cross_lower(x, y, z)),
        "y": y - a.lower_step_size * p.grad_y_lower(x, y),
        "z": z - a.linear_step_size * (p.hvp_lower(x, y, z) - p.grad_y_upper(x, y)),
    }
    for name, value in expected.items():
        found = getattr(after, name)
        assert np.any(found != found[0]) or np.all(value == getattr(state, name)), name
        summed = len(i) * max(1.0, float(np.max(np.abs(found))))
        np.testing.assert_allclose(found.mean(axis=0), value, rtol=0, atol=summed * U64)


def test_an_estimate_without_the_mean_is_wrong_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(table: Table, index: Any, new: Any) -> tuple[Any, Table]:
        estimate, after = saga(table, index, new)
        return estimate - table.mean, after

    made = ("grad_y_lower", "hvp_lower", "cross_lower", "grad_y_upper", "grad_x_upper")
    replace_parts(monkeypatch, SABA, **dict.fromkeys(made, without))
    for kind in ("finite_sum", "ridge", "deep AUC"):
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            test_a_step_is_right_on_average_over_all_indices(kind)
