"""Oracle calls: the check's formulas and fits derived in other ways, and what it must catch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from accbo import schedules
from theory_checks import crossover
from theory_checks import oracle_calls as check
from theory_checks.crossover import Cost, Method
from theory_checks.harness import Settings, judge, measure
from theory_checks.oracle_ablation import ABLATION, judge_ablation, paired_ratio
from theory_checks.oracle_counts import judge_counts

# as the quick profile with shorter runs: its bands and its errors hold for these too
SHORT = {
    "AccBO": {5: 2048, 6: 2048, 7: 2048, 8: 1024, 9: 512, 10: 512},
    "SLIP": {6: 2048, 7: 2048, 8: 1024, 9: 512, 10: 512, 12: 128},
}
BY_COUNTS, BY_LEVEL, BY_LONGEST = check.KILLS[:7], check.KILLS[7:15], check.KILLS[15:]


RIGHT = Settings(seed=5)


@pytest.fixture(autouse=True, scope="module")
def _short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(check.LADDERS, "quick", SHORT)
        yield


def outcomes(settings: Settings, *kinds: str) -> dict[tuple[Any, ...], Any]:
    """The outcomes of the pieces whose keys begin so, or of all."""
    return {
        piece.key: measure(settings, piece)[0]
        for piece in check.pieces(settings)
        if not kinds or piece.key[: len(kinds)] == kinds
    }


@pytest.fixture(scope="module")
def right(_short: None) -> dict[tuple[Any, ...], Any]:
    """Everything about AccBO itself."""
    return outcomes(RIGHT)


# --- the check -------------------------------------------------------------------------------


def test_holds_and_shows_it(right: dict[tuple[Any, ...], Any]) -> None:
    verdict = judge(check, RIGHT, right, 0.0, panels=True)
    assert verdict.passed, [finding for finding in verdict.findings if not finding.passed]
    assert max(len(finding.quantity) for finding in verdict.findings) <= 51
    assert len({finding.quantity for finding in verdict.findings}) == len(verdict.findings)
    assert len(verdict.panels) == 3
    assert verdict.panels[-1].ticks == list(ABLATION)  # the longest runs are no variant
    for panel in verdict.panels:
        for curve in panel.curves:
            assert np.all(np.isfinite(curve.y)), (panel.title, curve.label)


@pytest.mark.parametrize("fault", BY_COUNTS)
def test_counts_kill(fault: str) -> None:
    findings = judge_counts(outcomes(Settings(fault=fault), "counts")["counts",]["counted"])
    assert not all(finding.passed for finding in findings)


def test_the_crossover_kills(right: dict[tuple[Any, ...], Any]) -> None:
    settings = Settings(seed=RIGHT.seed, fault="different sample")
    found = {**right, **outcomes(settings, "level", "AccBO")}
    verdict = judge(check, settings, found, 0.0, panels=True)
    missed = [f.quantity for f in verdict.findings if not f.passed]
    assert any(quantity.startswith("level, SLIP") for quantity in missed)
    assert math.isnan(verdict.false_alarm)  # what right code does is not seen from a failure


@pytest.mark.parametrize("fault", BY_LEVEL)
def test_ablation_kills(fault: str) -> None:
    settings = Settings(fault=fault)
    levels = check._ablated(outcomes(settings, "ablation"))
    assert not all(f.passed for f in judge_ablation(levels))


@pytest.mark.parametrize("fault", BY_LONGEST)
def test_the_longest_runs_kill(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(check.LADDERS, "quick", {"AccBO": {11: 256}, "SLIP": {14: 64}})
    settings = Settings(fault=fault)
    found = outcomes(settings, "level") | outcomes(settings, "calls")
    assert not check.judge_cheaper(settings, found).passed


def test_under_a_fault_the_rivals_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str | None, tuple[Any, ...]]] = []

    def measured(settings: Settings, piece: Any) -> Any:
        seen.append((settings.fault, piece.key))
        return {}

    monkeypatch.setattr(check, "_measure", measured)
    check._rival.cache_clear()
    faults = ("no averaging", "stale sample")
    for fault in faults:
        outcomes(Settings(fault=fault))
    check._rival.cache_clear()
    for fault, key in seen:
        assert ("AccBO" in key or key[0] in ("counts", "calls")) == (fault is not None)
    rivals = [key for fault, key in seen if fault is None]
    assert len(rivals) == len(set(rivals)) > 0
    assert all((fault, ("ablation", "AccBO")) in seen for fault in faults)


# --- fits and crossings on power laws that are known -----------------------------------------


def cost(each: float) -> Cost:
    """``each`` calls an iteration, exactly."""
    steps = np.array([2.0, 2.0**10])
    return crossover.cost_of([2, 2**10], each * steps)


def method(level: float, slope: float, each: float, powers: range = range(5, 12)) -> Method:
    log_steps = math.log(2) * np.array(powers)
    return Method(log_steps, math.log(level) + slope * log_steps, cost(each), slope)


def test_the_crossing_of_two_power_laws_by_hand() -> None:
    """c_A T^(−1/3) at 30 calls and c_S T^(−1/4) at 5: ε* = 5 c_S⁴/(30 c_A³), ratios 2 and 4."""
    pair = method(0.7, -1 / 3, 30.0), method(0.8, -1 / 4, 5.0)
    star = 5 * 0.8**4 / (30 * 0.7**3)
    for law in (Method.fitted, Method.theory):
        found = np.exp(crossover.comparison(*pair, law=law))
        np.testing.assert_allclose(found, [star, 2, 4], rtol=1e-9)
    dearer = np.exp(crossover.comparison(*pair, dearer=cost(60.0)))
    np.testing.assert_allclose(dearer, [star, 1, 2], rtol=1e-9)


def test_theory_keeps_the_middle_and_takes_the_slope() -> None:
    one = method(0.7, -0.4, 30.0)._replace(predicted=-1 / 3)
    law, fit = one.theory(), one.fitted()
    assert law.slope == -1 / 3
    assert fit.slope == pytest.approx(-0.4, rel=1e-12)
    middle = float(np.mean(one.log_steps))
    assert law.intercept + law.slope * middle == pytest.approx(fit.intercept + fit.slope * middle)


@pytest.mark.parametrize(
    ("one", "other"),
    [(method(0.7, 0.1, 30.0), method(0.8, -0.25, 5.0)), (method(9.0, -0.2, 9.0),) * 2],
    ids=["rises", "never cheaper"],
)
def test_curves_that_do_not_cross_have_no_crossing(one: Method, other: Method) -> None:
    found = crossover.comparison(one, other)
    assert np.all(np.isnan(found))


def test_errors_by_simulation() -> None:
    """The delta method against the spread of 2,000 crossings with disturbed levels."""
    pair = method(0.7, -1 / 3, 30.0), method(0.8, -1 / 4, 5.0)
    deviations = np.linspace(0.002, 0.006, 7), np.linspace(0.004, 0.001, 7)
    stated = crossover.errors(crossover.comparison, *pair, deviations)
    generator = np.random.default_rng(0)
    found = []
    for _ in range(2000):
        moved = [
            each._replace(log_levels=each.log_levels + e * generator.standard_normal(7))
            for each, e in zip(pair, deviations, strict=True)
        ]
        found.append(crossover.comparison(*moved))
    # the standard deviation of 2,000 values has a relative error of 1.6 %; 5 of them
    np.testing.assert_allclose(np.std(found, axis=0), stated, rtol=0.08)


def test_the_smoothed_cost_takes_the_steps_out_of_q() -> None:
    """Q = ⌈log T⌉: smoothed, calls are those of a Q between log T and log T + 1."""
    powers = range(5, 19)
    x = math.log(2) * np.array(powers)
    counted = (2 * np.ceil(x) + 5) * np.exp(x)
    smooth = crossover.cost_of([2**k for k in powers], counted, smooth=True)
    each = np.exp(smooth.log_calls - x)
    assert np.all((each > 2 * x + 5) & (each < 2 * x + 7))
    assert np.all(np.diff(each, 2) < 0.1)
    assert smooth(x[3]) == pytest.approx(smooth.log_calls[3], rel=1e-14)
    middle = (smooth.log_calls[3] + smooth.log_calls[4]) / 2
    assert smooth((x[3] + x[4]) / 2) == pytest.approx(middle, rel=1e-14)
    slope = (smooth.log_calls[-1] - smooth.log_calls[-2]) / (x[-1] - x[-2])
    assert smooth(x[-1] + 5) == pytest.approx(smooth.log_calls[-1] + 5 * slope, rel=1e-12)


# --- counts and decisions --------------------------------------------------------------------


def test_calls_of_whole_runs_are_the_formula(right: dict[tuple[Any, ...], Any]) -> None:
    found = right[("calls",)]
    constants = check.crossing_problem().constants
    for index, power in enumerate(check.COUNTED["AccBO"]):
        T = 2**power
        one = schedules.accbo(constants, steps=T)
        Q, S, T0 = one.algorithm.neumann_terms, one.first, one.warm_start
        assert found["chained"][index] == (T - 1) * (2 * Q + 5) + S * (Q + 2) + T0 + 1
        start = S * (3 + Q * (Q - 1) // 2) + T0 + 1
        assert found["independent"][index] == (T - 1) * (Q * (Q - 1) + 7) + start
        lower = T + T0
        more = found["paid"][index] - found["chained"][index]
        assert more == lower * (math.ceil(1 / one.epsilon) - 1)
    for index, power in enumerate(check.COUNTED["SLIP"]):
        two = schedules.slip(constants, steps=2**power)
        start = 2 * two.first + 3 + two.warm_start
        assert found["SLIP"][index] == 5 * (2**power - 1) + start


def synthetic(calls: Any, shift: float, spread: float) -> dict[tuple[Any, ...], Any]:
    """Outcomes whose levels are power laws, AccBO's exponent off by ``shift``."""
    generator, found = np.random.default_rng(1), {("calls",): calls}
    for name, level in (("AccBO", 0.7), ("SLIP", 0.8)):
        slope = check.EXPONENTS[name] + (shift if name == "AccBO" else 0.0)
        for power, replicates in SHORT[name].items():
            noise = 1 + spread * generator.standard_normal(replicates)
            found["level", name, power, 0] = {"level": level * 2.0 ** (slope * power) * noise}
    return found


@pytest.mark.parametrize("shift", [0.0, 0.12])
def test_an_accbo_that_falls_more_slowly_is_seen(
    right: dict[tuple[Any, ...], Any], shift: float
) -> None:
    found = synthetic(right[("calls",)], shift, 0.05)
    finding = check.judge_cheaper(Settings(), found)
    assert finding.passed == (shift == 0.0)
    if finding.passed:
        assert finding.false_alarm < 1e-9


def test_fits_are_shown_and_not_judged(right: dict[tuple[Any, ...], Any]) -> None:
    for sampling in check.SAMPLINGS:
        for finding in check.judge_crossover(RIGHT, right, sampling):
            assert finding.kind == "shown", finding.quantity
            assert math.isnan(finding.predicted)  # the theory's line goes through the levels too


def test_a_pair_s_ratio_by_hand() -> None:
    values, base = np.array([2.0, 4.0, 9.0]), np.array([1.0, 2.0, 3.0])
    ratio, error = paired_ratio(values, base)
    assert ratio == 2.5
    differences = (values - 2.5 * base) / 2
    assert error == pytest.approx(np.std(differences, ddof=1) / math.sqrt(3))
    assert paired_ratio(3 * base, base)[1] == pytest.approx(0, abs=1e-15)
