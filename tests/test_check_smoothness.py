"""Relaxed smoothness holds, its bounds agree with other derivations, faults and lies break it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize

from accbo import Tape, move
from accbo._arrays import to_host
from accbo.problems import nonquadratic, relaxed_smooth
from accbo.problems._logcosh import FINITE_RADIUS
from tests.backends import need
from theory_checks import smoothness as check
from theory_checks.adversary import Effort, Space, search
from theory_checks.harness import Settings, measure
from theory_checks.sweep import run_checks

EFFORT = check.EFFORT["quick"]
INSTANCES = check.instances("full")
# the cheapest pieces in which each fault shows
SEEN = {
    "γ as 1−γ": ("m_0 off ∇Φ", "quadratic"),
    "one term too few": ("m_0 off ∇Φ", "strong coupling"),
    "one term too many": ("m_0 off ∇Φ", "strong coupling"),
    "cross derivative at the wrong point": ("line by m_0", "log cosh below"),
}


def judged(key: tuple[str, str], settings: Settings) -> Any:
    (piece,) = [piece for piece in check.pieces(settings) if piece.key == key]
    return check._judge(settings, key, measure(settings, piece)[0])


# --- the check -------------------------------------------------------------------------------


def test_holds() -> None:
    settings = Settings(seed=3)
    (verdict,) = run_checks([check], settings, panels=True)
    assert verdict.passed, [finding for finding in verdict.findings if not finding.passed]
    assert verdict.false_alarm == 0
    names = [finding.quantity for finding in verdict.findings]
    assert len(set(names)) == len(names) == len(check.pieces(settings))
    assert max(map(len, names)) <= 51
    for panel in verdict.panels:
        assert {curve.predicted for curve in panel.curves} == {False, True}


@pytest.mark.parametrize("fault", check.KILLS)
def test_kills(fault: str) -> None:
    """By many times the claim where m_0 is not a gradient of Φ at all."""
    key = SEEN.get(fault, ("line by m_0", "strong coupling"))
    finding = judged(key, Settings(fault=fault))
    assert not finding.passed
    if key[0] == "line by m_0":
        assert finding.measured > 10


@pytest.mark.parametrize("backend", ["strict", "torch"])
def test_other_backends_find_the_same(backend: str) -> None:
    need(backend)
    key = ("line by m_0", "cosh alone")
    one, other = (judged(key, Settings(backend=name)) for name in ("numpy", backend))
    assert other.passed
    assert other.measured == pytest.approx(one.measured, rel=1e-4)


def test_known_suprema_are_reached_from_the_fixed_starts_alone() -> None:
    """So that no seed can fail the right algorithm: a false alarm of 0."""
    settings = Settings()
    for piece in check.pieces(settings):
        supremum = check.instances("quick")[piece.key[1]].suprema.get(piece.key[0])
        if supremum is not None:
            fixed = check.measure(settings, piece)["climbs"][: EFFORT.climbs // 2]
            assert max(fixed) >= check.ATTAINED * supremum, piece.key


# --- lies in the constants -----------------------------------------------------------------


def _claim_with(name: str, statement: str, **factors: float) -> float:
    """The worst ratio where some of the declared constants are multiplied by factors."""
    problem = INSTANCES[name].problem
    c = problem.constants
    lie = dataclasses.replace(c, **{key: value * getattr(c, key) for key, value in factors.items()})
    estimate = check.Estimate(Settings(), problem)
    ratio = check._below(statement, estimate, lie)
    space = Space(problem.d_x, INSTANCES[name].reach, c.radius)
    return search(ratio, space, EFFORT, 0).ratio


def test_a_constant_of_f_two_thousandths_too_small_is_seen() -> None:
    instance = INSTANCES["cosh with ripples"]
    problem, c = instance.problem, instance.problem.constants
    space = Space(4, instance.reach, check.upper_radius(c.L_x1, c.L_y1))
    for factor, holds in ((1.0, True), (0.998, False)):
        in_x = check.relaxed(
            lambda z: problem.grad_x_upper(z[:, :2], z[:, 2:]), factor * c.L_x0, factor * c.L_x1
        )
        in_y = check.relaxed(lambda z: problem.grad_y_upper(z[:, :2], z[:, 2:]), factor, 0.0)
        for ratio in (in_x, in_y):
            assert (search(ratio, space, EFFORT, 0).ratio <= 1) == holds


def test_a_constant_of_phi_is_seen_as_far_as_it_is_tight() -> None:
    assert _claim_with("quadratic", "∇Φ", smoothness=0.998) > 1
    assert _claim_with("strong coupling", "∇Φ", L_y0=0.85) > 1
    assert _claim_with("strong coupling", "line by m_0", L_y0=0.85) > 1
    assert _claim_with("cosh alone", "∇Φ", L_x1=0.64) > 1
    assert _claim_with("cosh with ripples", "∇Φ", L_x1=0.6) < 1  # loose: not seen


# --- the bounds, by other ways -----------------------------------------------------------------


def test_the_factor_of_cosh_is_the_root_of_its_equation() -> None:
    def gap(c: float) -> float:
        d = 1 / (math.sqrt(2) * c)
        return c - math.expm1(d) / d

    assert optimize.brentq(gap, 1, 2, xtol=1e-15) == pytest.approx(FINITE_RADIUS, abs=1e-14)


def test_suprema_of_cosh_on_a_grid() -> None:
    """Of the formulas themselves, without the problems' code or the search."""
    instance = INSTANCES["cosh alone"]
    c = instance.problem.constants
    x = np.linspace(-12, 30, 400)[:, None]
    for name, L0, L1, radius in (
        ("∇Φ", c.K0, c.K1, c.radius),
        (check.HESSIAN_FORM, 1.0, 1.0, math.sqrt(0.5)),
    ):
        s = np.linspace(0.01, 1, 60) * radius
        ratio = (np.sinh(x + s) - np.sinh(x)) / ((L0 + L1 * np.abs(np.sinh(x))) * s)
        assert np.max(ratio) == pytest.approx(instance.suprema[name], rel=1e-9)
        if name == "∇Φ":
            gap = np.cosh(x + s) - np.cosh(x) - np.sinh(x) * s
            ratio = 2 * gap / ((L0 + L1 * np.abs(np.sinh(x))) * s**2)
            assert np.max(ratio) == pytest.approx(instance.suprema["line by m_0"], rel=1e-9)


def test_the_search_misses_nothing_that_a_grid_of_hessians_finds() -> None:
    """‖∇²Φ‖ by central differences on 90,000 points: what pairs come to as they close up."""
    instance = INSTANCES["log cosh below"]
    problem, c = instance.problem, instance.problem.constants
    axis = np.linspace(-12, 12, 300)
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    h = 1e-4
    columns = [
        (problem.hypergradient(x + h * e) - problem.hypergradient(x - h * e)) / (2 * h)
        for e in np.eye(2)
    ]
    (a, b), (_, d) = (column.T for column in columns)
    norm = np.abs(a + d) / 2 + np.hypot((a - d) / 2, b)
    size = np.linalg.norm(problem.hypergradient(x), axis=-1)
    grid = float(np.max(norm / (c.K0 + c.K1 * size)))
    found = judged(("∇Φ", "log cosh below"), Settings()).measured
    assert grid <= found * 1.0001
    assert grid == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("name", check.instances("quick"))
def test_rounding_is_bounded_at_50_digits(name: str) -> None:
    like = need("mparray").like
    instance = INSTANCES[name]
    problem, c = instance.problem, instance.problem.constants
    exact = move(problem, like)
    estimate = check.Estimate(Settings(), problem)
    unit = np.random.default_rng(1).uniform(-1, 1, (8, problem.d_x))
    x = instance.reach * unit * np.abs(unit) ** np.arange(8)[:, None]  # on all scales
    x_exact = move(x, like)
    y = problem.solution(x)
    y_exact, at_y = exact.solution(x_exact), move(y, like)
    algorithm = estimate.plan.algorithm()
    layout = algorithm.draw_start(problem, estimate.plan.warm_start, 1)
    start = move(Tape(0).open(x).start(layout), like)
    momentum = algorithm.init(exact, x_exact, move(np.zeros_like(y), like), start).momentum

    def off(computed: np.ndarray, truth: Any) -> np.ndarray:
        return np.abs(to_host(move(computed, like) - truth))

    above = (
        (estimate.gradient(x), exact.hypergradient(x_exact), x, c.K0, c.K1),
        (estimate.momentum(x), momentum, x, c.K0, c.K1),
        (
            problem.grad_x_upper(x, y),
            exact.grad_x_upper(x_exact, at_y),
            np.concatenate((x, y), axis=-1),
            c.L_x0,
            c.L_x1,
        ),
    )
    for computed, truth, point, L0, L1 in above:
        allowed = check.gradient_error(point, computed, L0, L1)
        assert np.all(np.linalg.norm(off(computed, truth), axis=-1) <= allowed)
    assert np.all(off(estimate.value(x), exact.upper(x_exact, y_exact)) <= estimate.value_error(x))
    # in exact arithmetic m_0 is off by no more than its bias
    distance = np.linalg.norm(to_host(momentum - exact.hypergradient(x_exact)), axis=-1)
    assert np.all(distance <= estimate.bias(x))


@pytest.mark.parametrize("terms", [1, 2, 5, 20])
@pytest.mark.parametrize("warm_start", [1, 2, 5, 20])
def test_bias_is_bounded_however_short_series_and_warm_start(
    terms: int, warm_start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check.Plan, "terms", terms)
    monkeypatch.setattr(check.Plan, "warm_start", warm_start)
    for problem in (nonquadratic(), relaxed_smooth(spectrum=(0.2, 1.0))):
        estimate = check.Estimate(Settings(), problem)
        x = np.random.default_rng(terms).uniform(-3, 3, (200, 2))
        off = np.linalg.norm(estimate.momentum(x) - estimate.gradient(x), axis=-1)
        assert np.all(off <= estimate.bias(x))


# --- cancellation ------------------------------------------------------------------------------


def test_cancelled_digits_are_not_held_against_the_claim() -> None:
    """Pairs one rounding apart: the bare ratio breaks the claim, the guarded one is 0."""
    problem = INSTANCES["strong coupling"].problem
    c = problem.constants
    p = np.linspace(0.02, 0.05, 500)[:, None]
    q = np.nextafter(p, np.inf)
    here, there = problem.hypergradient(p), problem.hypergradient(q)
    bare = np.abs(there - here) / (c.K0 + c.K1 * np.abs(here)) / (q - p)
    assert np.max(bare) > 1  # the supremum is 0.9003
    assert np.max(check.relaxed(problem.hypergradient, c.K0, c.K1)(p, q)) == 0


# --- the search --------------------------------------------------------------------------------

SPACE = Space(2, 3.0, 0.5)


def test_pairs_stay_in_their_space() -> None:
    points = SPACE.scatter(np.random.default_rng(0).random((5000, 5)))
    points[0] = 0.0  # a direction of length 0 stands for the first axis
    p, q = SPACE.pairs(points)
    length = np.linalg.norm(q - p, axis=-1)
    assert np.max(np.abs(p)) <= SPACE.reach
    assert np.all(length[1:] >= SPACE.nearest * (1 - 1e-12))
    assert np.all(length[1:] <= SPACE.radius)
    np.testing.assert_allclose(q[0] - p[0], [1.0, 0.0])


def test_the_search_finds_a_narrow_peak_and_the_border() -> None:
    """A peak 0.01 wide at a given point, higher the farther the pair, along one direction."""
    peak = np.array([1.234, -0.567])

    def ratio(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        near = 1 / (1 + 1e4 * np.sum((p - peak) ** 2, axis=-1))
        return near * (q - p)[:, 1]

    found = search(ratio, SPACE, EFFORT, 0)
    assert found.tried < 0.3
    assert found.ratio == pytest.approx(SPACE.radius, rel=1e-5)
    np.testing.assert_allclose(found.first, peak, atol=1e-4)
    np.testing.assert_allclose(found.second - found.first, [0, 0.5], atol=2e-3)


def test_a_seed_changes_half_of_the_starts() -> None:
    def ratio(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return 2 + np.sin(20 * p[:, 0]) + np.sin(17 * q[:, 1])

    effort = Effort(64, 6, 0)
    one, other, again = (search(ratio, SPACE, effort, seed).climbs for seed in (0, 1, 0))
    assert np.array_equal(one, again)
    assert np.array_equal(one[:3], other[:3])
    assert not np.array_equal(one[3:], other[3:])


def test_a_ratio_that_is_no_number_meets_no_claim() -> None:
    def ratio(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return np.where(p[:, 0] > 2.5, np.nan, 0.5)

    assert search(ratio, SPACE, EFFORT, 0).ratio == math.inf


def test_pairs_at_random_do_not_come_near() -> None:
    """Why there is an optimiser: as many random pairs stay well below what it finds."""
    outcome = measure(Settings(), check.Piece(check.NAME, ("f in x", "cosh with ripples"), 0.0))[0]
    assert outcome["tried"] < 0.9 * outcome["ratio"]
