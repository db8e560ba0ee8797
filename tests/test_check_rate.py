"""The rate: what is read from a run, the faults that it sees, schedules and problems put in."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import schedules
from accbo.conformance.faults import FAULTS
from accbo.conformance.running.target import TargetError
from theory_checks import rate, rate_own, rate_rows, rate_runs
from theory_checks import rate_reasons as reasons
from theory_checks.harness import Settings, measure
from theory_checks.own import own_problem, own_schedule
from theory_checks.starts import at_height
from theory_checks.sweep import run_checks

# Every fault shows at the largest ε of the check, in one third of a second, but for these:
BY_EXPONENT = ("two-iterations-old momentum",)

SCHEDULES = """
from dataclasses import replace
from accbo import schedules
from accbo.conformance.faults import FAULTS
from accbo.problems import LowerNoise, UpperNoise, plateau, quadratic

def same(constants, steps):
    return schedules.accbo(constants, steps=steps)

def renamed(constants, steps):
    return replace(same(constants, steps), epsilon=0.987, steps=3)

def constant_variance(constants, steps):
    return replace(same(constants, steps), lower_scale=1.0)

def no_momentum(constants, steps):
    found = same(constants, steps)
    return replace(found, algorithm=replace(found.algorithm, momentum=0.0))

def slow_below(constants, steps):
    found = same(constants, steps)
    return replace(found, algorithm=replace(found.algorithm, lower_momentum=0.0))

def tiny_steps(constants, steps):  # whatever ε
    found = same(constants, steps)
    return replace(found, algorithm=replace(found.algorithm, upper_step_size=0.004))

def batches(constants, steps):
    return schedules.stocbio(constants, epsilon=(steps / 64) ** (-1 / 3))

def average(constants, steps, name=1 / 3):
    epsilon, found = steps**-name, same(constants, steps)
    algorithm = replace(found.algorithm, momentum=1 - epsilon, upper_step_size=epsilon**2.5)
    return replace(found, algorithm=FAULTS["no correction"].apply(algorithm))

def renamed_average(constants, steps):
    return average(constants, steps, 1 / 2.6)

def borep(constants, steps):
    return schedules.borep(constants, steps=steps)

def long_start(constants, steps):
    return replace(same(constants, steps), first=steps + 1)

def no_algorithm(constants, steps):
    return replace(same(constants, steps), algorithm=object())

def negative(constants, steps):
    return replace(same(constants, steps), lower_scale=-1.0)

def fixed():
    return quadratic((1.0, 1.3), 3, coupling=0.5, noise_upper=UpperNoise(0.2, 0.1, 0.2, 0.1))

class Negative:
    def __init__(self, problem):
        self.problem = problem

    def __getattr__(self, name):
        return getattr(self.problem, name)

    @property
    def constants(self):
        return replace(self.problem.constants, mu=-1.0)

def concave():
    return Negative(fixed())

def family(epsilon):
    return plateau(epsilon, noise_lower=LowerNoise(1.25, law="two_point"))
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(SCHEDULES)
    return str(path)


def piece(settings: Settings, *key: Any) -> Any:
    (found,) = [each for each in rate.pieces(settings) if each.key == key]
    return measure(settings, found)[0]


def at(settings: Settings, power: float = 2) -> tuple[bool, bool]:
    """Whether R1 and R6 hold of AccBO's run at ε = 2^−``power``."""
    outcome = piece(settings, rate.ACCBO, power)
    if "diverged" in outcome:
        return False, False
    reached = rate_rows.reach_row("", outcome).passed
    return reached, bool(np.min(outcome["entry"]) >= rate._edge(2.0**-power) * (1 - 1e-9))


# --- AccBO, its rivals, faults ----------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 3])
def test_reaches_and_not_before_the_bound(seed: int) -> None:
    assert at(Settings(seed=seed)) == (True, True)


@pytest.mark.parametrize("name", rate.OTHERWISE)
def test_reaches_in_other_conventions_with_room(name: str) -> None:
    """Not in the other order or option by luck: a fresh seed fails with less than 1e-6."""
    (power,) = rate.ARMS[name].quick
    row = rate_rows.reach_row("", piece(Settings(seed=1), name, power))
    assert row.passed
    assert row.false_alarm < 1e-6


@pytest.mark.parametrize("fault", [name for name in rate.KILLS if name not in BY_EXPONENT])
def test_kills(fault: str) -> None:
    assert at(Settings(fault=fault)) != (True, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda g, new, old, m, b: g(*new) + b * m - 0.99 * b * g(*old),
        lambda g, new, old, m, b: g(*new) + 0.99 * b * (m - g(*old)),
    ],
    ids=["0.99 of the correction", "0.99 β"],
)
def test_kills_what_is_one_per_cent_off(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(algorithm: Any) -> Any:
        parts = algorithm.parts._replace(momentum=change)
        return dataclasses.replace(algorithm, parts=parts)

    monkeypatch.setattr(Settings, "apply_fault", lambda self, algorithm: apply(algorithm))
    reached, _ = at(Settings(fault="clipping"), 2.5)
    assert not reached


def test_kills_a_first_momentum_of_one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    right = rate_runs.fixed_schedule
    one = lambda *a, **k: dataclasses.replace(right(*a, **k), first=1)  # noqa: E731
    monkeypatch.setattr(rate, "fixed_schedule", one)
    assert not at(Settings())[0]


def made(powers: tuple[float, ...], order: float) -> dict[Any, Any]:
    """Outcomes with n = c ε^order exactly, but for a little noise in what is left out."""
    found = {}
    for k in powers:
        count = 5 * 2.0 ** (-order * k)
        left_out = count * np.exp(1e-3 * np.cos(np.arange(rate_runs.GROUPS)))
        found[k] = {
            "mean": 0.6 + 0.02 * np.cos(np.arange(64)),
            "count": np.asarray(count),
            "left_out": left_out,
            "entry": np.full(64, 2 * rate._edge(2.0**-k)),
            "start": np.array([8.0, 4.0]),
        }
    return found


@pytest.mark.parametrize(("order", "passed"), [(-3.0, True), (-3.5, False), (-4.0, False)])
def test_an_exponent_halfway_to_a_moving_averages_fails(order: float, passed: bool) -> None:
    settings = Settings(fault="clipping")  # AccBO's rows alone
    powers = rate.ARMS[rate.ACCBO].quick
    runs = made(powers, order)
    findings = rate.judge(settings, {(rate.ACCBO, k): runs[k] for k in powers})
    assert {f.quantity[:2] for f in findings if not f.passed} == (set() if passed else {"R2"})
    assert rate.power(settings, findings) > 0.99


def test_what_reaches_and_does_not_enter_early_lies_between_two_multiples() -> None:
    """R1 and R6 alone: n ε³ from 2(√(1 + 2ε²) − ε²) to 8, with no fit and no window."""
    for power in rate.ARMS[rate.ACCBO].full:
        epsilon = 2.0**-power
        least = rate._edge(epsilon) * epsilon**3
        assert least == pytest.approx(2 * (math.sqrt(1 + 2 * epsilon**2) - epsilon**2), rel=1e-12)
        assert 1.99 < least <= 2
        assert rate._steps(rate.ARMS[rate.ACCBO], power) * epsilon**3 == pytest.approx(8, abs=0.01)
        edge = rate_runs.instance(epsilon).hypergradient(np.array([[epsilon, 0.0]]))
        assert np.linalg.norm(edge) == pytest.approx(epsilon / math.sqrt(2))
    assert math.sqrt(0.5) > rate_runs.REACHED


def test_the_whole_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer replicates and larger ε: every row is there, holds, and the pictures are drawn."""
    arms = {
        name: arm._replace(
            quick=tuple(min(k, 2.5) for k in arm.quick[:3]) if name == rate.ACCBO else arm.quick,
            replicates=64,
        )
        for name, arm in rate.ARMS.items()
        if name != rate.CONSTANT
    }
    arms[rate.ACCBO] = arms[rate.ACCBO]._replace(quick=(1.5, 2, 2.5))
    for name in rate.OTHERWISE:
        arms[name] = rate.ARMS[name]._replace(quick=(2.0,), replicates=64)
    arms[rate.CONSTANT] = rate.ARMS[rate.CONSTANT]._replace(quick=(2.0,), replicates=16)
    monkeypatch.setattr(rate, "ARMS", arms)
    settings = Settings(seed=1)
    (verdict,) = run_checks([rate], settings, panels=True)
    rows = {finding.quantity[:2] for finding in verdict.findings if finding.judged}
    assert rows == {"R1", "R2", "R3", "R4", "R5", "R6"}
    rivals = [f for f in verdict.findings if f.quantity[:2] in ("R3", "R5", "R6")]
    assert all(finding.passed for finding in rivals)
    assert max(len(finding.quantity) for finding in verdict.findings) <= 51
    counts, slopes = verdict.panels
    labels = {curve.label for curve in counts.curves}
    names = {label.split(", measured −")[0] for label in labels}
    assert {rate.ACCBO, rate.AVERAGE, rate.DESCENT, rate.ZERO, "slope −3", "slope −4"} <= names
    assert {curve.predicted for curve in slopes.curves} == {True, False}


# --- what is read from a run --------------------------------------------------------------------


def test_where_the_running_mean_is_reached() -> None:
    times = np.array([10.0, 20.0, 30.0, 40.0])
    curve = np.array([1.0, 0.7, 0.4, 0.1])[:, None] * np.array([0.9, 1.1])  # means 1, .85, .7, .55
    assert rate_runs.first_reached(curve, times) == pytest.approx(30.0)
    between = rate_runs.first_reached(curve + 0.075, times)  # .775 at 30 and .625 at 40: half way
    assert between == pytest.approx(math.sqrt(30 * 40))
    assert rate_runs.first_reached(curve + 1.0, times) == math.inf


def test_the_jackknife_is_the_standard_error_of_a_mean() -> None:
    """log n linear in the groups' means: the error is that of their mean."""
    values = np.cos(np.arange(rate_runs.GROUPS) * 1.7)
    left_out = np.exp((values.sum() - values) / (len(values) - 1))
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    assert rate_runs.jackknife(left_out) == pytest.approx(error)
    assert math.isnan(rate_runs.jackknife(np.array([1.0, math.inf])))


def test_starts_have_a_gap_of_one() -> None:
    for epsilon in (0.5, 0.1):
        problem = rate_runs.instance(epsilon)
        x = rate_runs.plateau_starts(epsilon, 5, 2)
        np.testing.assert_allclose(problem.value(x), 1.0, rtol=1e-13)
        np.testing.assert_allclose(at_height(problem, 1.0, 5, 2), x, rtol=1e-9)


def test_a_rise_that_is_never_reached_is_refused() -> None:
    flat = dataclasses.replace(rate_runs.instance(0.5))
    with pytest.raises(TargetError, match="does not rise by inf"):
        at_height(flat, math.inf, 2, 0)


# --- what a user puts in ------------------------------------------------------------------------


def verdict_of(monkeypatch: pytest.MonkeyPatch, powers: tuple[float, ...], **given: Any) -> Any:
    monkeypatch.setattr(rate_own, "POWERS", {"quick": powers})
    (verdict,) = run_checks([rate], Settings(**given), panels=True)
    return verdict


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("constant_variance", "lower variance not O(ε)"),
        ("no_momentum", "no momentum, β = 0"),
        ("average", "moving average, not recursive"),
        ("renamed_average", "moving average, not recursive"),
        ("borep", "moving average, not recursive"),
        ("slow_below", "its α, γ or τ"),
    ],
)
def test_a_schedule_fails_for_the_reason_that_is_named(
    own: str, name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_own, "LOWER", 4.0)  # so that its variance tells at the larger ε too
    verdict = verdict_of(monkeypatch, (1.5, 2.0), schedule=f"{own}:{name}")
    failed = [finding.quantity for finding in verdict.findings if not finding.passed]
    assert f"R1 μ, ε = 2^−2: {reason}" in failed
    assert max(map(len, failed)) <= 51


def test_steps_that_do_not_shrink_with_epsilon_have_no_rate(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They reach in this window, the flatter the longer: their noise is felt only below it."""
    verdict = verdict_of(monkeypatch, (1.5, 2.0), schedule=f"{own}:tiny_steps")
    (row,) = [f for f in verdict.findings if f.quantity.startswith("R4 exponent of samples(ε)")]
    assert row.measured > -2.5
    assert not row.passed


def test_batches_count_one_by_one(own: str) -> None:
    """StocBiO's grow like 1/ε²: n(ε) alone would be that of few iterations."""
    found = []
    for epsilon in (0.5, 0.25):
        problem, steps = rate_runs.instance(epsilon), round(64 / epsilon**3)
        batches = own_schedule(f"{own}:batches", problem.constants, steps)
        right = own_schedule(f"{own}:same", problem.constants, steps)
        x = rate_runs.plateau_starts(epsilon, 2, 0)
        found.append([spent(s, problem, x, steps)["∇_xF"] for s in (right, batches)])
    assert found == [[2, 4], [2, 16]]


def spent(schedule: Any, problem: Any, x: Any, steps: int) -> dict[str, float]:
    values = reasons.spent_an_iteration(schedule, problem, x, steps, problem.epsilon)
    return dict(zip(reasons.KINDS, values.tolist(), strict=True))


class OnceCheap:
    """AccBO that draws a batch above and takes one of its samples, in the first step at least."""

    def __init__(self, algorithm: Any, size: int) -> None:
        self._algorithm, self._size = algorithm, size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def draw(self, problem: Any, refresh: bool = True) -> Any:
        layout = self._algorithm.draw(problem, refresh)
        upper = {k: d._replace(leading=(self._size,)) for k, d in layout.upper.items()}
        return layout._replace(upper=upper)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        one = {name: leaf[0] for name, leaf in sample.upper.items()}
        return self._algorithm.step(problem, state, sample._replace(upper=one))


def test_what_is_drawn_counts_whatever_becomes_of_it() -> None:
    problem, x = rate_runs.instance(0.25), rate_runs.plateau_starts(0.25, 2, 0)
    right = rate_runs.fixed_schedule(problem)
    batch = dataclasses.replace(right, algorithm=OnceCheap(right.algorithm, 16))
    one, many = (spent(each, problem, x, 100) for each in (right, batch))
    assert one["∇_xF"] == many["∇_xF"] == 2
    assert (one["numbers drawn"], many["numbers drawn"]) == (6, 6 + 15 * 4)


def test_a_variance_below_epsilon_is_a_batch_that_buys_it() -> None:
    problem, x = rate_runs.instance(0.25), rate_runs.plateau_starts(0.25, 2, 0)
    right = rate_runs.fixed_schedule(problem)
    found = [
        spent(dataclasses.replace(right, lower_scale=scale), problem, x, 100)["∇_yG"]
        for scale in (1.0, 0.5, 0.25, 0.0)
    ]
    assert found == [1, 1, 4, math.inf]


@pytest.mark.parametrize(
    ("kind", "growth", "passed"),
    [("∇_xF", 0.0, True), ("∇_yG", -0.4, True), ("∇_yG", -1.0, False), ("∇_yG", -math.inf, False)],
)
def test_the_dearest_kind_is_judged(kind: str, growth: float, passed: bool) -> None:
    growths = {"∇_xF": 0.0, "∇_yF": 0.0, kind: growth}
    row, felt, _ = rate_own._rates(-3.0, 0.01, growths)
    assert (row.quantity, row.passed) == (f"R3 exponent of calls(ε), {kind}", passed)
    assert felt.passed


def test_another_name_for_epsilon_changes_nothing(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    same, renamed = (
        verdict_of(monkeypatch, (1.5, 2.0), schedule=f"{own}:{name}")
        for name in ("same", "renamed")
    )
    assert same.passed
    assert same.findings == renamed.findings


def test_a_fault_on_top_of_a_schedule(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"schedule": f"{own}:same", "fault": "no correction"}
    assert not verdict_of(monkeypatch, (1.5, 2.0), **given).passed
    with pytest.raises(TargetError, match="has another method"):
        verdict_of(monkeypatch, (2.0,), schedule=f"{own}:borep", fault="no correction")


@pytest.mark.parametrize("factory", ["fixed", "family"])
def test_own_problem(own: str, factory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = verdict_of(monkeypatch, (1.5, 2.0), problem=f"{own}:{factory}")
    assert verdict.passed, verdict.findings
    monkeypatch.setattr(
        Settings, "apply_fault", lambda self, a: FAULTS["sign of the implicit term"].apply(a)
    )
    assert not verdict_of(monkeypatch, (1.5, 2.0), problem=f"{own}:{factory}", fault="x").passed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("long_start", "first must be an integer from 1 to steps = 256, got 257"),
        ("no_algorithm", "its algorithm, a object, lacks init, step, draw"),
        ("negative", "lower_scale must be finite and >= 0, got -1.0"),
    ],
)
def test_a_schedule_that_cannot_be_run_is_refused(own: str, name: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        own_schedule(f"{own}:{name}", rate_runs.instance(0.5).constants, 256)
    with pytest.raises(TargetError, match=f"{name}: "):
        rate.pieces(Settings(schedule=f"{own}:{name}"))


def test_a_factory_that_wants_a_number(own: str) -> None:
    assert own_problem(f"{own}:family", 0.25).epsilon == 0.25
    assert own_problem(f"{own}:fixed", 0.25).d_x == 3
    with pytest.raises(TargetError, match="callable without arguments here"):
        own_problem(f"{own}:family")


def test_constants_that_no_schedule_follows_from_are_refused(own: str) -> None:
    with pytest.raises(TargetError, match="concave: its constants must have 0 < mu <= curvature"):
        own_problem(f"{own}:concave")


def test_which_momentum_reads_the_old_point() -> None:
    problem = rate_runs.instance(0.25)
    x = rate_runs.plateau_starts(0.25, 2, 0)
    right = rate_runs.fixed_schedule(problem)
    average = dataclasses.replace(right, algorithm=FAULTS["no correction"].apply(right.algorithm))
    borep = schedules.borep(problem.constants, steps=64)
    found = [reasons.reads_the_old_point(each, problem, x) for each in (right, average, borep)]
    assert found == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("reached", "decay", "recursive", "text"),
    [
        ({"variance": True}, 0.1, 1.0, "lower variance not O(ε)"),
        ({"upper": True}, 1.0, 1.0, "no momentum, β = 0"),
        ({"upper": False, "both": True}, 0.1, 0.0, "moving average, not recursive; variance"),
        ({"upper": True}, 0.1, 1.0, "its momentum, β, η or upper step"),
        ({"upper": False}, 0.1, 1.0, "none of variance, β, η, α, γ, τ alone"),
        ({"lower": True}, 0.1, 1.0, "its α, γ or τ"),
        ({"variance": False}, 0.1, 1.0, "its own method, not taken apart"),
    ],
)
def test_the_words_for_a_cause(
    reached: dict[str, bool], decay: float, recursive: float, text: str
) -> None:
    assert reasons.cause(reached, np.array([decay, 0.1, 0.1]), recursive) == text
