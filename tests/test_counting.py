"""Oracle calls: the formulas of SPEC 4.6 as equalities, and a counter that sees what is called."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from accbo import SLIP, Calls, Tape, count_calls, run
from accbo.conformance.faults import FAULTS
from accbo.counting import Counted
from accbo.problems import LowerNoise, UpperNoise
from tests.backends import Backend
from tests.support import UPPER, X, Y, batch, changed, problem

SLIP_ONE = SLIP(lower_step_size=0.25, linear_step_size=0.1, momentum=0.5, upper_step_size=0.01)


def calls(algorithm: Any, steps: int, kind: str = "nonquadratic", **start: int) -> Calls:
    return count_calls(algorithm, problem(kind), X, Y, steps=steps, **start)


def per_iteration(algorithm: Any, iterations: int) -> float:
    """Of the iterations t ≥ 1; iteration 0 has one evaluation."""
    return (calls(algorithm, 1 + iterations).total - calls(algorithm, 1).total) / iterations


@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
@pytest.mark.parametrize("Q", [1, 2, 5, 9])
def test_accbo_by_the_formulas(Q: int, order: str) -> None:
    def accbo(sampling: str, **more: Any) -> Any:
        return changed(neumann_terms=Q, neumann_sampling=sampling, order=order, **more)

    assert per_iteration(accbo("chained"), 7) == 2 * Q + 5
    assert per_iteration(accbo("independent"), 7) == Q * (Q - 1) + 7
    # all Q − 1 products are evaluated, whatever q is drawn
    assert per_iteration(accbo("randomised"), 7) == 2 * Q + 5


@pytest.mark.parametrize(("period", "steps"), [(1, 1), (1, 4), (3, 2), (5, 7)])
def test_option_two_has_n_over_i_lower_calls(period: int, steps: int) -> None:
    algorithm = changed(period=period, lower_steps=steps)  # Q = 4, chained
    assert per_iteration(algorithm, 4 * period) == pytest.approx(2 * 4 + 4 + steps / period)
    assert calls(algorithm, 1).grad_y_lower == steps  # t = 0 is a refresh


def test_slip_takes_five() -> None:
    assert per_iteration(SLIP_ONE, 6) == 5
    assert calls(SLIP_ONE, 1 + 6, first=1) == Calls(7, 7, 7, 7, 7, 0)


def test_the_start_is_counted() -> None:
    found = calls(changed(), 1, warm_start=11, first=6)  # Q = 4
    assert found == Calls(6, 6, 11 + 1, 6 * 3, 6, 0)
    # SLIP: S samples of ∇_x F and the cross derivative, one step each of y and z
    assert calls(SLIP_ONE, 1, warm_start=11, first=6) == Calls(6, 1, 11 + 1, 1, 6, 0)


@pytest.mark.parametrize("sampling", ["chained", "independent", "randomised"])
@pytest.mark.parametrize("kind", ["quadratic", "nonquadratic", "finite_sum"])
@pytest.mark.parametrize("replicates", [(), (1,), (4,), (2, 3)])
def test_a_batch_of_replicates_counts_once(replicates: Any, kind: str, sampling: str) -> None:
    x, y = (np.broadcast_to(a, (*replicates, a.size)).copy() for a in (X, Y))
    algorithm = changed(neumann_sampling=sampling)
    found = count_calls(algorithm, problem(kind), x, y, steps=5, warm_start=2, first=3)
    assert found == calls(algorithm, 5, warm_start=2, first=3)


def test_an_oracle_without_noise_is_counted_all_the_same() -> None:
    quiet = problem("quadratic", noise_upper=UpperNoise(), noise_lower=LowerNoise())
    for algorithm in (changed(neumann_sampling="independent"), SLIP_ONE):
        assert count_calls(algorithm, quiet, X, Y, steps=5) == calls(algorithm, 5)


def test_the_static_count_is_that_of_a_whole_run() -> None:
    """The counter handed to ``run`` itself, every step eager, refreshes and all."""
    for algorithm in (
        changed(period=3, lower_steps=2, neumann_sampling="independent"),
        changed(order="sequential"),
        SLIP_ONE,
    ):
        counted = Counted(problem("quadratic"), 1)
        x, y = batch(X, 4), batch(Y, 4)
        run(algorithm, counted, x, y, steps=11, noise=Tape(2), warm_start=3, first=2)
        assert counted.calls == calls(algorithm, 11, warm_start=3, first=2)


def test_the_counter_changes_no_number() -> None:
    p = problem("nonquadratic", noise_upper=UPPER)
    plain, counted = (run(changed(), q, X, Y, steps=5, noise=1).state for q in (p, Counted(p)))
    assert all(np.array_equal(a, b) for a, b in zip(plain[:-1], counted[:-1], strict=True))


def test_stacks_of_points_vectors_and_samples_count_each() -> None:
    p = Counted(problem("quadratic"), 1)
    x, y = batch(X, 4), batch(Y, 4)
    two = (np.stack((x, x)), np.stack((y, y)))
    p.grad_x_upper(*two)
    p.hvp_lower(*two, np.zeros((5, 2, 4, 3)))
    p.hvp_lower(x, y, y, {"curvature": np.ones((7, 4, 3))})
    p.cross_lower(x, y, np.zeros((0, 4, 3)))
    p.grad_y_lower(x, y)
    p.upper(x, y)
    p.lower(*two)
    assert p.calls == Calls(2, 0, 1, 10 + 7, 0, 3)
    assert p.calls.total == 23


@pytest.mark.parametrize("backend", ["strict", "jax", "torch", "mparray"], indirect=True)
def test_every_backend_counts_the_same(backend: Backend) -> None:
    p, x, y = (backend.move(part) for part in (problem("quadratic"), X, Y))
    for algorithm in (changed(neumann_sampling="independent"), SLIP_ONE):
        found = count_calls(algorithm, p, x, y, steps=9, warm_start=2, first=2)
        assert found == calls(algorithm, 9, "quadratic", warm_start=2, first=2)


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        ("one term too few", -2),
        ("one term too many", 2 * 4),  # this variant computes its last term anew
        ("no correction", -6),  # one point instead of two
        ("stale sample", -6),
    ],
)
def test_faults_that_cost_or_save_calls_are_seen(fault: str, more: int) -> None:
    assert per_iteration(FAULTS[fault].apply(changed()), 3) == 2 * 4 + 5 + more


def test_a_missing_warm_start_is_seen() -> None:
    cold = FAULTS["no warm start"].apply(changed())
    assert calls(cold, 1, warm_start=9).total == calls(changed(), 1, warm_start=9).total - 9


def test_a_period_off_by_one_is_seen() -> None:
    right = dataclasses.replace(changed(), period=3, lower_steps=5)
    wrong = FAULTS["period off by one"].apply(right)
    assert calls(right, 3).grad_y_lower == 5  # t = 0 only
    assert calls(wrong, 3).grad_y_lower == 10  # and t = 2
