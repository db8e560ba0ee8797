"""Normalised steps are linear in D, plain ones exponential; faults and other claims break it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize

from accbo import AccBO
from tests.backends import need
from theory_checks import unbounded_smoothness as check
from theory_checks.harness import DIVERGED, Settings, measure
from theory_checks.sweep import run_checks


def pieces(settings: Settings, *kinds: str) -> dict[tuple[Any, ...], Any]:
    return {
        piece.key: measure(settings, piece)[0]
        for piece in check.pieces(settings)
        if piece.key[0] in kinds
    }


# --- the check -------------------------------------------------------------------------------


def test_holds() -> None:
    settings = Settings(seed=3)
    (verdict,) = run_checks([check], settings, panels=True)
    assert verdict.passed, [finding for finding in verdict.findings if not finding.passed]
    assert verdict.false_alarm < 1e-8
    names = [finding.quantity for finding in verdict.findings]
    assert len(set(names)) == len(names)
    for panel in verdict.panels:
        assert {curve.predicted for curve in panel.curves} == {False, True}


JUDGES = {  # all of them must hold; the dear one comes last
    "lengths": check._judge_lengths,
    "counts": check._judge_counts,
    "noisy": check._judge_noisy,
}


def fails(fault: str, kind: str) -> bool:
    """Whether the findings of one kind do not hold under ``fault``."""
    outcomes = pieces(Settings(fault=fault), kind)
    if any(DIVERGED in outcome for outcome in outcomes.values()):
        return True
    with np.errstate(invalid="ignore"):  # a fault may never arrive: its count is infinite
        findings = JUDGES[kind](outcomes)
    assert findings
    return not all(finding.passed for finding in findings)


@pytest.mark.parametrize("fault", check.KILLS)
def test_kills(fault: str) -> None:
    assert any(fails(fault, kind) for kind in JUDGES)


def test_no_judge_of_a_fault_is_left_out() -> None:
    outcomes = pieces(Settings(), *JUDGES)
    judged = [finding for judge in JUDGES.values() for finding in judge(outcomes)]
    assert judged == check.judge(Settings(fault=check.DESIGNATED), outcomes)
    assert all(finding.passed for finding in judged)


@pytest.mark.parametrize("backend", ["strict", "torch"])
def test_other_backends_need_the_same_steps(backend: str) -> None:
    need(backend)
    key = ("counts", 0.4)
    (piece,) = [piece for piece in check.pieces(Settings()) if piece.key == key]
    one, other = (measure(Settings(backend=name), piece)[0]["steps"] for name in ("numpy", backend))
    assert np.array_equal(one, other)


def test_one_step_too_many_is_within_the_claim_and_two_are_not() -> None:
    outcomes = pieces(Settings(), "counts")
    for extra, passed in ((1.0, True), (2.0, False)):
        late = {
            (kind, eta): {"steps": check.predicted_counts(eta) + extra} for kind, eta in outcomes
        }
        assert all(finding.passed for finding in check._judge_counts(late)) == passed


def test_a_plain_step_in_place_of_the_normalised_one_is_not_linear() -> None:
    """The rival at one constant step for all D: what the fault "no normalisation" is."""
    distance = check._run(
        Settings(),
        check.plain(np.full((3, 1), check.largest_plain_step(8.0) / 2), 16.0),
        check.problem(),
        check._from(np.array([4.0, 8.0, 16.0])),
        2000,
        check._DISTANCE,
    )["distance"]
    counts = check.first_passage(distance)
    assert np.isfinite(counts[:2]).all()
    assert np.isinf(counts[2])


# --- the theory, by other ways -----------------------------------------------------------------


@pytest.mark.parametrize("x", [0.3, 2.0, 7.0])
def test_the_slope_is_the_hypergradient(x: float) -> None:
    point = np.array([x, x / 2])
    expected = [check.slope(x), check.slope(x / 2)]
    np.testing.assert_allclose(check.problem().hypergradient(point), expected, rtol=1e-12)


@pytest.mark.parametrize("D", [4.0, 9.0])
def test_the_path_by_the_invariant_of_the_flow(D: float) -> None:
    """∫dx/φ' differs by a constant between the coordinates, which makes near a function of far."""

    def time(start: float, end: float) -> float:
        return integrate.quad(lambda x: 1 / check.slope(x), start, end, epsabs=0, epsrel=1e-12)[0]

    def near(far: float) -> float:
        """Where the near coordinate is once the far one has come to ``far``."""
        left = time(far, D)
        return float(
            optimize.brentq(lambda x: time(x, D / 2) - left, 1e-3, D / 2, xtol=1e-13, rtol=1e-13)
        )

    end = optimize.brentq(lambda far: math.hypot(far, near(far)) - check.RADIUS, 0.1, 0.5)
    length, _ = integrate.quad(
        lambda far: math.hypot(1, check.slope(near(far)) / check.slope(far)), end, D, limit=200
    )
    assert check.path_length(D) == pytest.approx(length, rel=1e-6)


def test_paths_are_between_the_straight_line_and_the_corner() -> None:
    for D in (4.0, 32.0, 300.0):
        straight = math.hypot(D, D / 2) - check.RADIUS
        assert straight < check.path_length(D) < 1.5 * D
    far = check.path_length(300.0) / 300
    assert far == pytest.approx((1 + math.sqrt(2)) / 2, abs=0.01)  # down to D/2, then diagonal


@pytest.mark.parametrize("D", [4.0, 8.0, 12.0])
def test_beyond_the_largest_plain_step_the_far_coordinate_grows(D: float) -> None:
    step = check.largest_plain_step(D)
    for factor, grows in ((0.999, False), (1.001, True)):
        assert (abs(D - factor * step * check.slope(D)) > D) == grows


def test_first_passage() -> None:
    distance = np.array([[2.0, 2.0, 0.4], [1.0, 0.9, 0.3], [0.5, 0.7, 0.2], [0.6, 0.6, 0.1]])
    assert check.first_passage(distance).tolist() == [3.0, math.inf, 1.0]
    crossing = np.array([[0.9], [0.6], [0.4]])
    assert check.passage_time(crossing)[0] == pytest.approx(2.5)


def test_first_faster() -> None:
    ladder = np.array([4, 5, 6])
    assert check.first_faster(ladder, np.array([2, 2, 2]), [1, 3, 4]) == 5
    assert check.first_faster(ladder, np.array([2, 2, 2]), [3, 3, 4]) == 4
    assert check.first_faster(ladder, np.array([2, 2, 5]), [3, 3, 4]) == math.inf


def test_one_term_of_the_series_is_exact_here() -> None:
    """Otherwise counts would measure the bias of the series as well."""
    algorithm = check.accbo(check.ETA)
    assert isinstance(algorithm, AccBO)
    assert algorithm.neumann_terms == 1
    hessian = check.problem().hvp_lower(np.ones((1, 2)), np.zeros((1, 2)), np.eye(2)[:1])
    np.testing.assert_allclose(hessian, algorithm.neumann_scale * np.eye(2)[:1])


def test_without_noise_a_start_k_steps_farther_takes_k_steps_more() -> None:
    """So that nothing but the noise can be what the equality of the noisy runs finds."""
    starts, steps = check.shifted_starts(), 1000
    found = check._run(
        Settings(), check.accbo(check.ETA), check.problem(), starts, steps, check._DISTANCE
    )
    times = check.passage_time(found["distance"])
    np.testing.assert_allclose(times - times[0], check.SHIFTS, atol=1e-4)


def test_the_lag_below_lets_a_plain_step_come_less_than_one_step_early() -> None:
    """The bound of the docstring, and what it bounds: every step of the grid, not the best."""
    a, h = check.accbo(check.ETA), check.CURVATURE
    near = (1 - a.lower_step_size * h) * a.lower_momentum
    lag = (1 - near) / (a.lower_step_size * h) + (1 - a.averaging) / a.averaging
    early = lag / h**2 * integrate.quad(
        lambda x: 1 / (math.cosh(x / h) ** 2 * check.slope(x)), check.RADIUS, 40
    )[0]  # fmt: skip
    assert 0.5 < early < 0.6
    best = min(check._plain(Settings(), 8)["steps"])
    assert check.best_plain_steps(8.0) - check.LAG_AND_ROUNDING <= best
    assert best <= check.best_plain_steps(8.0)


@pytest.mark.parametrize("off", [-3.0, 3.0])
def test_a_plain_count_off_by_three_steps_fails(off: float) -> None:
    settings = Settings()
    outcomes: dict[tuple[Any, ...], Any] = {
        ("plain", D): {
            "steps": np.where(check.FRACTIONS < 1, check.best_plain_steps(float(D)), math.inf)
        }
        for D in check.LADDER["quick"]
    }
    outcomes["counts", check.ETA] = {"steps": check.predicted_counts(check.ETA)}
    assert all(f.passed for f in check.judge_plain(settings, outcomes))
    moved = {key: {"steps": found["steps"] + off} for key, found in outcomes.items()}
    moved["counts", check.ETA] = outcomes["counts", check.ETA]
    failed = [f.quantity for f in check.judge_plain(settings, moved) if not f.passed]
    assert "steps of the best plain step, D = 13" in failed


def test_a_noise_that_delays_by_a_fifth_of_a_step_is_seen() -> None:
    outcomes = pieces(Settings(), "noisy")
    late = {key: {"time": found["time"].copy()} for key, found in outcomes.items()}
    for found in late.values():
        found["time"][1:] += 0.2
    assert all(f.passed for f in check._judge_noisy(outcomes))
    assert not any(f.passed for f in check._judge_noisy(late))
