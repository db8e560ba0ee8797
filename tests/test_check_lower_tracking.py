"""The law of the lower level holds, its formulas agree with other derivations, faults break it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import solve_discrete_lyapunov

from accbo.conformance.faults import FAULTS, Fault
from accbo.conformance.mistakes.changes import Variant, part
from tests.outside_faults import FAULTS as OUTSIDE
from theory_checks import (
    gaussian,
    lower_decrease,
    lower_paths,
    lower_share,
    lower_steps,
    lower_tracking,
    statistics,
)
from theory_checks import lower_theory as theory
from theory_checks.harness import DIVERGED, Settings, measure
from theory_checks.sweep import run_checks

# the kinds of pieces in which nothing is random, cheap enough to be run for every fault
EXACT = (
    "trajectory",
    "step",
    "scaling",
    "eigenvector",
    "contraction",
    "identity",
    "too long",
)


def killers(settings: Settings, kinds: tuple[str, ...]) -> set[str]:
    """Which of ``kinds`` do not hold."""
    outcomes = {
        piece.key: measure(settings, piece)[0]
        for piece in lower_tracking.pieces(settings)
        if piece.key[0] in kinds
    }
    found = {key[0] for key, outcome in outcomes.items() if DIVERGED in outcome}
    for kind in set(kinds) - found:
        findings = lower_tracking.judge_kind(settings, kind, outcomes)
        assert findings
        if not all(finding.passed for finding in findings):
            found.add(kind)
    return found


# --- the check -------------------------------------------------------------------------------


def test_holds():
    (verdict,) = run_checks([lower_tracking], Settings(seed=3), panels=True)
    assert verdict.passed, [finding for finding in verdict.findings if not finding.passed]
    assert verdict.false_alarm < 2e-7
    assert lower_tracking.power(Settings(), verdict.findings) > 0.97
    names = [finding.quantity for finding in verdict.findings]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 51
    assert len(verdict.panels) == 6


@pytest.mark.parametrize("fault", lower_tracking.KILLS)
def test_kills(fault):
    assert killers(Settings(fault=fault), EXACT)


def test_kills_with_noise():
    """The designated fault is seen by the sampled laws too."""
    kinds = ("noise", "rival")
    assert "noise" in killers(Settings(fault=lower_tracking.DESIGNATED), kinds)


def test_order_of_outcomes_does_not_matter():
    settings = Settings()
    pieces = [piece for piece in lower_tracking.pieces(settings) if piece.key[0] in EXACT]
    outcomes = {piece.key: measure(settings, piece)[0] for piece in pieces}
    backwards = dict(reversed(outcomes.items()))
    for kind in EXACT:
        one, other = (lower_tracking.judge_kind(settings, kind, o) for o in (outcomes, backwards))
        assert one == other


def test_missing_piece_is_no_pass():
    with pytest.raises(KeyError):
        lower_tracking.judge_kind(Settings(), "trajectory", {})


# --- faults that the catalogue does not have -----------------------------------------------


@dataclass(frozen=True)
class Broken(Variant):
    """One mistake, as functions on the way in and out of a step."""

    sample: Any = staticmethod(lambda sample: sample)
    start: Any = staticmethod(lambda start: start)
    begun: Any = staticmethod(lambda algorithm, problem, x, y, start, state: state)
    after: Any = staticmethod(lambda before, after, algorithm: after)

    def init(self, problem, x, y, start):
        start = self.start(start)
        state = self.algorithm.init(problem, x, y, start)
        return self.begun(self.algorithm, problem, x, y, start, state)

    def step(self, problem, state, sample):
        after = self.algorithm.step(problem, state, self.sample(sample))
        return self.after(state, after, self.algorithm)


def repeated(part: dict[str, Any]) -> dict[str, Any]:
    """Every row the first one."""
    return {key: np.broadcast_to(leaf[:1], leaf.shape) for key, leaf in part.items()}


def momentum_of_the_warm_start(algorithm, problem, x, y, start, state):
    """y_1 as if iteration 0 were the next step of the warm start."""
    both = {k: np.concatenate((v, start.first.lower[k])) for k, v in start.warm_start.items()}
    longer = algorithm.init(problem, x, y, start._replace(warm_start=both))
    return state._replace(y=longer.y_previous)


def average_from_the_given_start(algorithm, problem, x, y, start, state):
    average = (1 - algorithm.averaging) * y + algorithm.averaging * state.y
    return state._replace(y_average=average)


def average_of_old_y(before, after, algorithm):
    kept = 1 - algorithm.averaging
    y_average = kept * before.y_average + algorithm.averaging * before.y
    return after._replace(y_average=y_average)


def averages_at_refreshes_only(before, after, algorithm):
    moved = np.any(after.y != before.y)
    return after if moved else after._replace(y_average=before.y_average)


HIDDEN = {
    "one sample for all steps of a refresh": (
        lambda a: Broken(a, sample=lambda s: s._replace(lower=repeated(s.lower))),
        "noise",
    ),
    "one sample for the whole warm start": (
        lambda a: Broken(a, start=lambda s: s._replace(warm_start=repeated(s.warm_start))),
        "noise",
    ),
    "momentum of the warm start kept": (
        lambda a: Broken(a, begun=momentum_of_the_warm_start),
        "eigenvector",
    ),
    "average from the given start": (
        lambda a: Broken(a, begun=average_from_the_given_start),
        "trajectory",
    ),
    "noise below half as large": (
        lambda a: Broken(
            a, sample=lambda s: s._replace(lower={k: v / 2 for k, v in s.lower.items()})
        ),
        "noise",
    ),
    "average of y_t": (lambda a: Broken(a, after=average_of_old_y), "trajectory"),
    "averages at refreshes only": (
        lambda a: Broken(a, after=averages_at_refreshes_only),
        "trajectory",
    ),
    "half a step": (
        part(y=lambda right: lambda g, y, p, a, m: y + m * (y - p) - a / 2 * g(y)),
        "step",
    ),
    "single precision below": (
        part(
            y_average=lambda right: lambda v, y, w: right(v, y, w).astype(np.float32).astype(float)
        ),
        "trajectory",
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_kills_what_it_was_not_shown(name, monkeypatch):
    change, kind = HIDDEN[name]
    monkeypatch.setitem(FAULTS, name, Fault(name, "", "", "", "", "", change))
    monkeypatch.setitem(lower_tracking.REPLICATES, "quick", 1000)
    assert killers(Settings(fault=name), (kind,)) == {kind}


# --- the formulas, derived in other ways --------------------------------------------------


LOWER = theory.Lower(np.array([[0.8]]), 0.3, 0.45, 0.35, 0.7)


def scalar_path(lower: theory.Lower, warm_start: int, noise: np.ndarray, targets: np.ndarray):
    """y_t and ŷ_t of SPEC 2, written out for one coordinate; ``noise`` in the order of use."""
    h, alpha, gamma = float(lower.hessian[0, 0]), lower.step_size, lower.momentum
    draws = iter(noise)

    def advance(y, before, target):
        z = y + gamma * (y - before)
        return z - alpha * (h * (z - target) + lower.sigma * next(draws)), y

    y = before = 0.5
    for _ in range(warm_start):
        y, before = advance(y, before, targets[0])
    before = average = y
    found = [(y, before, average)]
    for t, target in enumerate(targets):
        if lower.period is None:
            y, before = advance(y, before, target)
        else:
            inner = (y, y)
            for _ in range(lower.lower_steps if t % lower.period == 0 else 0):
                inner = advance(*inner, target)
            y = inner[0]
        average = (1 - lower.averaging) * average + lower.averaging * y
        found.append((y, before, average))
    return np.array(found)


@pytest.mark.parametrize("period", [None, 3])
def test_recursion_against_impulses(period):
    """A linear law: its mean is the path without noise, its covariance the sum over impulses."""
    lower = LOWER._replace(period=period, lower_steps=2)
    targets = 0.4 + 0.1 * np.arange(8)[:, None]
    laws = list(theory.path_laws(lower, np.array([0.5]), targets, 2))
    count = 40  # more draws than are taken
    mean = scalar_path(lower, 2, np.zeros(count), targets[:, 0])
    responses = np.array(
        [scalar_path(lower, 2, unit, targets[:, 0]) - mean for unit in np.eye(count)]
    )
    kept = [0, 2] if period else [0, 1, 2]  # in Option II the middle block is the inner pair's
    for t, law in enumerate(laws):
        covariance = np.einsum("ki,kj->ij", responses[:, t], responses[:, t])
        np.testing.assert_allclose(law.mean[kept], mean[t][kept], rtol=1e-13)
        np.testing.assert_allclose(
            law.covariance[np.ix_(kept, kept)], covariance[np.ix_(kept, kept)], atol=1e-15
        )


def test_full_matrix_is_its_eigenvalues():
    """In the eigenbasis of H the law is that of every eigenvalue alone."""
    problem = lower_paths.problem_of(lower_paths.PATHS["simultaneous"])
    laws, targets = lower_paths.laws("simultaneous")
    values, basis = np.linalg.eigh(problem.hessian)
    np.testing.assert_allclose(values, lower_paths.SPECTRUM, rtol=1e-14)
    turn = np.kron(np.eye(3), basis.T)
    for index, h in enumerate(values):
        lower = lower_paths.lower_of(lower_paths.PATHS["simultaneous"], np.array([[h]]))
        along = targets[:-1] @ basis[:, index : index + 1]
        for full, one in zip(
            laws, theory.path_laws(lower, np.zeros(1), along, lower_paths.WARM_START), strict=True
        ):
            kept = np.arange(index, 9, 3)
            np.testing.assert_allclose((turn @ full.mean)[kept], one.mean, atol=1e-14)
            turned = turn @ full.covariance @ turn.T
            np.testing.assert_allclose(turned[np.ix_(kept, kept)], one.covariance, atol=1e-15)


@pytest.mark.parametrize("h", [0.4, 1.0, 2.5])
def test_closed_forms(h):
    """Against the fixed point and the Lyapunov equation of SPEC's own matrix, written out."""
    alpha, gamma, tau, sigma, drift = 0.17, 0.62, 0.23, 0.7, 0.05
    a = 1 - alpha * h
    matrix = np.array(
        [
            [a * (1 + gamma), -a * gamma, 0],
            [1, 0, 0],
            [tau * a * (1 + gamma), -tau * a * gamma, 1 - tau],
        ]
    )
    noise = np.array([-alpha, 0, -tau * alpha]) * sigma
    covariance = solve_discrete_lyapunov(matrix, np.outer(noise, noise))
    lower = theory.Lower(np.array([[h]]), alpha, gamma, tau, sigma)
    lag, found = theory.stationary(theory.step_of(h, lower), drift)
    np.testing.assert_allclose(found, covariance, rtol=1e-12)
    assert theory.variance(h, sigma, alpha, gamma) == pytest.approx(covariance[0, 0], rel=1e-12)
    assert theory.lag(h, drift, alpha, gamma) == pytest.approx(lag[0], rel=1e-12)
    assert lag[2] - lag[0] == pytest.approx(theory.average_lag(drift, tau), rel=1e-12)
    # γ = 0, τ = 1 is SGD
    gradient = theory.step_of(h, lower._replace(momentum=0.0, averaging=1.0))
    lag, found = theory.stationary(gradient, drift)
    assert theory.gradient_lag(h, drift, alpha) == pytest.approx(lag[2], rel=1e-12)
    spread = theory.gradient_variance(h, sigma, alpha)
    assert spread == pytest.approx(found[2, 2], rel=1e-12)
    assert theory.variance(h, sigma, alpha, 0.0) == pytest.approx(spread, rel=1e-12)


def test_nothing_is_stationary_where_a_step_expands():
    lower = LOWER._replace(step_size=3.0)
    lag, covariance = theory.stationary(theory.step_of(1.0, lower), 0.1)
    assert np.all(np.isnan(lag))
    assert np.all(np.isnan(covariance))


def test_contraction_against_many_pairs():
    """The pencil's largest eigenvalue is approached by pairs on a circle, never exceeded."""
    s, h = theory.rate(0.1, 1.0), 0.1
    matrix = theory.step_of(h, LOWER._replace(step_size=1.0, momentum=theory.matched_momentum(s)))
    largest, pair = theory.contraction(h, matrix.matrix[:2, :2], 0.1, s)
    angles = np.linspace(0, np.pi, 20_001)
    pairs = np.stack((np.cos(angles), np.sin(angles)), axis=-1)

    def decrease(pairs):
        after = pairs @ matrix.matrix[:2, :2].T
        values = [
            theory.lyapunov(h / 2 * p[:, 0] ** 2, p[:, :1], p[:, :1] - p[:, 1:], 0.1, s)
            for p in (pairs, after)
        ]
        return values[1] / values[0]

    assert decrease(pair[None])[0] == pytest.approx(largest, rel=1e-12)
    assert largest - 1e-6 < np.max(decrease(pairs)) <= largest * (1 + 1e-12)


@pytest.mark.parametrize("s", [0.3, 0.05])
def test_the_share_of_the_averages_variance_by_its_series(s: float) -> None:
    n = np.arange(4000.0)
    powers = (1 - s) ** n
    own, averaged = (n + 1) * powers, s / 2 * (n + 1) * (n + 2) * powers
    assert lower_steps.averaged_share(s) == pytest.approx(np.sum(averaged**2) / np.sum(own**2))
    assert lower_steps.averaged_share(1e-9) == pytest.approx(0.75, rel=1e-8)


@pytest.mark.parametrize(
    ("length", "published"), [(1.0, 0.64061), (0.5, 0.75348), (0.25, 0.83005), (0.1, 0.89515)]
)
def test_worst_quadratic_is_the_worst_function_of_all(length, published):
    """Performance estimation found no function that is worse; half a unit of its last digit."""
    assert lower_decrease.worst_quadratic(length) == pytest.approx(published, abs=6e-6)


# --- the share of runs that stray --------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("lower_noise_95", "Option I, two-point"),
        ("restart_average", "Option II, normal"),
        ("opt2_n_minus_1", "Option II, two-point"),
    ],
)
def test_share_kills(fault, seen, monkeypatch):
    monkeypatch.setitem(FAULTS, fault, Fault(fault, "", "", "", "", "", OUTSIDE[fault]))
    outcomes = [
        lower_share.measure_runs(Settings(fault=fault), seen, first, 1000)["largest"]
        for first in range(0, 4000, 1000)
    ]
    simulated = lower_share.measure_recursion(Settings(), seen, 0)["largest"]
    findings = lower_share.judge_shares(seen, np.concatenate(outcomes), simulated)
    assert not all(finding.passed for finding in findings)


def test_a_bound_for_normal_noise_is_false_for_two_points():
    """Why the runs are compared with a simulation of their own noise."""
    normal, skewed = (
        lower_share.measure_recursion(Settings(), f"Option I, {law}", 0)["largest"]
        for law in ("normal", "two-point")
    )
    assert not lower_share.judge_shares("Option I, normal", skewed[:4000], normal)[-1].passed


def test_what_is_no_number_strays():
    simulated = np.arange(1000.0)
    findings = lower_share.judge_shares("", np.full(400, np.nan), simulated)
    assert not any(finding.passed for finding in findings)


# --- the tests of a Gaussian vector -----------------------------------------------------------


def vectors(seed: int, count: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size))


def test_scores_are_standard_normal():
    """Over 400 small samples, where an approximation for large ones would show."""
    scores = np.concatenate([gaussian.wishart_scores(vectors(seed, 5, 3)) for seed in range(400)])
    assert stats.kstest(scores, "norm").pvalue > 1e-6
    each = scores.reshape(400, 6)
    assert np.max(np.abs(np.corrcoef(each.T) - np.eye(6))) < 5 / np.sqrt(400)


@pytest.mark.parametrize(
    "change",
    [
        np.diag([1.0, 1.0, 1.12]),
        np.diag([1.0, 0.9, 1.0]),
        np.array([[1.0, 0, 0], [0, 1, 0], [0.12, 0, 1]]),
    ],
)
def test_every_entry_of_the_covariance_is_judged(change):
    white = vectors(0, 8000, 3)
    assert gaussian.predicted_covariance("", white).passed
    assert not gaussian.predicted_covariance("", white @ change.T).passed


def test_the_exponent_of_sgd_at_equal_step_is_judged_by_its_own_remainder():
    """By the closed forms at the two ε: 6e-9, where O(s) of the others is 1.6e-3."""
    squares = []
    for power in lower_steps.FINE:
        epsilon = 2.0**power
        lag = theory.gradient_lag(lower_steps.MU, lower_steps.PACE * epsilon**2, epsilon**2)
        sigma = lower_steps.ADDITIVE * math.sqrt(epsilon)
        squares.append((lag, theory.gradient_variance(lower_steps.MU, sigma, epsilon**2)))
    assert squares[0][0] == pytest.approx(squares[1][0], rel=1e-12)
    slope = (math.log1p(squares[0][1] / squares[0][0] ** 2) / 2 / math.log(2)) * 7 / 8
    room = lower_steps._room_at_equal_step(2.0 ** lower_steps.FINE[0])
    assert slope < room < 3 * slope


def test_power_is_that_of_the_row_that_sees_least():
    few = statistics.equal_variance("Var ŷ, SNAG, ε = 2^-2", 1.0, 1.0, 2_000)
    many = statistics.equal_variance("Var ŷ of SGD, h = 2.5", 1.0, 1.0, 16_000)
    coarse = statistics.equal_mean("y* − ŷ of SGD, h = 0.4", 0.26, 0.26, 0.02)
    other = statistics.equal_variance("χ²/k of Cov v, x", 1.0, 1.0, 5)
    settings = Settings()
    assert lower_tracking.power(settings, [few, many, other]) > 0.97
    renamed = dataclasses.replace(few, quantity="Var ŷ of SGD, h = 2.5")  # 10 % of it is 3.2 errors
    assert lower_tracking.power(settings, [renamed, many]) < 0.01
    assert lower_tracking.power(settings, [many, coarse]) < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_a_full_covariance_shows_what_the_check_says(seed):
    """One entry of nine coordinates has to be off by 30 %, all of them by 12 %."""
    white = vectors(seed, lower_tracking.REPLICATES["quick"], 9)
    one = np.diag([1.0] * 8 + [1.3**0.5])
    assert gaussian.predicted_covariance("", white).passed
    assert not gaussian.predicted_covariance("", white @ one).passed
    assert not gaussian.predicted_covariance("", white * 1.12**0.5).passed


def test_mean_is_judged_in_every_coordinate():
    white = vectors(0, 8000, 3)
    assert gaussian.predicted_mean("", white).passed
    for unit in np.eye(3):
        assert not gaussian.predicted_mean("", white + 0.12 * unit).passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_vectors_do_not_pass(value):
    white = vectors(0, 50, 3)
    white[3, 1] = value
    with np.errstate(all="ignore"):
        assert not gaussian.predicted_mean("", white).passed
        assert not gaussian.predicted_covariance("", white).passed


def test_whitening():
    covariance = np.array([[2.0, 0.3], [0.3, 0.5]])
    factor = np.linalg.cholesky(covariance)
    white = vectors(2, 6, 2)
    samples = white @ factor.T + np.array([1.0, -2.0])
    np.testing.assert_allclose(
        gaussian.whiten(samples, np.array([1.0, -2.0]), covariance), white, atol=1e-14
    )
