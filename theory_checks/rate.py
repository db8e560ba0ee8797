"""The rate: AccBO needs Θ(ε⁻³) iterations, counted from a gap that is the same for every ε.

Claim       on a plateau of height ε, from Φ(x_0) − min Φ = 1, the mean of ‖∇Φ(x_t)‖ over all t is
            at most 0.7ε after n(ε) = Θ(ε⁻³) iterations of AccBO. A moving average needs Θ(ε⁻⁴),
            on any constants; with a constant lower variance, on a stale sample or without
            momentum 0.7ε is not reached in the same number of iterations.
Regime      f_ε = ε²(√(1 + ‖y‖²/ε²) − 1), g = ½yᵀHy − yᵀHx, H = diag(1, 2); skewed noise of variance
            1 in ∇_yF that varies with y, 0.25 in ∇_yG, its variance O(ε). AccBO's constants: η =
            ε²/2, 1−β = ε²/8, α = 4ε², T = 8/ε³, S = ⌈1/(1−β)⌉; ε = 2^−2 … 2^−3.5 (full: 2^−5), and
            at 2^−2 the sequential order and Option II on the same constants. (H has no noise:
            independent factors are the chained ones. The randomised series needs other constants;
            it reaches as a ``--schedule``.) They, 0.7 and the sizes of the noise are declared, not
            derived; Φ_ε is convex, the steps are constant. Minimax over methods is another matter:
            ``sample_floor``.
Statistic   μ, the mean over all t < T and all replicates of ‖∇Φ(x_t)‖/ε; n, where the running mean
            first is 0.7; slope of log n against log ε, its error from a jackknife. ε belongs to
            the problem and n is counted, so that no other name for ε changes a number.
Rule        R1 μ + 6 errors at most 0.7 at every ε. R2, R3 AccBO's exponent and the moving
            average's lie on their sides of −3.5, halfway between the two theories, with 6 errors
            of room, and apart. R4, R5 rivals: μ − 4 errors at least 0.7. R6, without chance: no
            replicate passes the plateau's edge before (‖x_0‖ − ε)/η; until then the running mean
            is above 0.7ε. So R1 and R6 hold n between two multiples of ε⁻³, about 2 and 8, and
            nothing is assumed of how a finite window bends a slope: how far AccBO's is from −3 is
            shown. Full: over a grid of η and β no moving average, and none without momentum,
            reaches 0.7.
Variations  ``--schedule``: a function of (constants, steps) that returns a ``Schedule``, run for
            ``steps`` = 64/ε³ on the plateau with 2 in ∇_yG, at ε = 2^−2, 2^−2.5, 2^−3: R1; μ may
            not grow as ε falls by what n ~ ε^−3.5 would make of it; and the exponent of what is
            spent until 0.7ε must be nearer to −3 than to −4, a moving average's: of the calls of
            every kind, those of a batch one by one, of the lower gradients that would buy a
            variance below ε, and of the numbers of noise drawn. That of the samples of ∇_xF must
            be nearer to −3 than to −2 too, that of a method which meets no noise: flatter is no
            rate, but a noise that this window does not feel. Where R1 fails, one thing at a time is
            replaced by AccBO's to say why. The method is handed the oracle alone: what reads y*
            or ∇Φ, or asks without a sample, cannot be run. ``--problem``: a factory of () or of
            (ε), started where Φ is 1 above its stationary point, on the schedule of
            ``accbo.schedules``; ``--noise`` a law. A plain step with an η of its own is ε⁻³ here,
            where Φ is smooth in the ordinary sense, and may pass: ``unbounded_smoothness`` tells
            it apart. So are half of the correction, all of it in every other iteration, and one
            that looks back two points: a share of the present gradient in m is enough here;
            ``own_path`` sees them. A lower variance of O(√ε) is not told from O(ε) in this window,
            nor is 1 − β = 0 after a first momentum of T samples, whose error over ε is ~ ε^−½.
            What a method makes of the numbers of a sample is its own affair: one that takes the
            noise off by its known form is not found out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm as normal

from accbo import Tape
from accbo.conformance.faults import FAULTS
from accbo.schedules import Schedule
from accbo.upper import gradient_step

from . import rate_own
from .harness import Outcome, Piece, Settings, run_checkpoint, save_records
from .panels import Curve, Panel
from .rate_pictures import counts_of, local_slopes
from .rate_rows import FOUR, SIX, STEEP, reach_row, shown_order
from .rate_runs import (
    REACHED,
    TERMS,
    asked_noise,
    cost,
    exponent,
    fixed_schedule,
    instance,
    mean_error,
    plateau_starts,
    reach,
)
from .statistics import (
    Finding,
    at_least,
    at_most,
    half_width,
    shown,
)

NAME = "rate"
CLAIM = "AccBO needs Θ(ε⁻³) iterations from a gap of 1; a moving average Θ(ε⁻⁴)"
IN_WORDS = "AccBO needs ε⁻³ iterations, its rivals ε⁻⁴"
NOT_SHOWN = "that no method needs fewer, or other constants"
SOURCE = "SPEC 4.4b"
EFFECT = "an exponent of −4 in the place of −3"
KILLS = (
    "stale sample",
    "different sample",
    "no correction",
    "correction without β",
    "β and 1−β swapped",
    "old point at (x_{t−1}, ŷ_t)",
    "old point copied after the step",
    "two-iterations-old momentum",
    "norm per block",
    "no normalisation",
    "clipping",
    "samples normalised",
    "upper gradient leaks",
    "no averaging",
    "hypergradient at y",
    "series from q = 1",
    "random term without Q",
    "sign of the implicit term",
)
DESIGNATED = "no correction"
VARIATIONS = ("schedule", "noise", "problem")

ACCBO, AVERAGE, DESCENT, ZERO = "AccBO", "moving average", "plain SGD", "β = 0, Gaussian noise"
CONSTANT, GRID = "constant lower variance", "grid"


class Arm(NamedTuple):
    """One method at some ε = 2^−k; what is not said is as AccBO's on the plateau."""

    quick: tuple[float, ...]
    full: tuple[float, ...]
    replicates: int
    budget: tuple[float, int] = (8.0, 3)  # T = ⌈c/ε^p⌉
    step: tuple[float, int] = (0.5, 2)  # η = c ε^p
    fault: str | None = None  # what turns AccBO into it
    momentum: bool = True  # else β = 0
    normalised: bool = True
    variance: bool = True  # O(ε) below, else constant
    law: str | None = None
    order: str = "simultaneous"
    option: str = "I"


ARMS = {
    ACCBO: Arm((2, 2.5, 3, 3.5), (2, 2.5, 3, 3.5, 4, 4.5, 5), 256),
    AVERAGE: Arm(
        (1, 1.5, 2), (1, 1.5, 2, 2.5, 3), 64, (24.0, 4), (1 / 8, 3), fault="no correction"
    ),
    DESCENT: Arm(
        (1, 1.5, 2),
        (1, 1.5, 2, 2.5, 3),
        32,
        (12.0, 4),
        (1 / 3, 2),
        momentum=False,
        normalised=False,
    ),
    ZERO: Arm(
        (1, 1.5, 2), (1, 1.5, 2, 2.5, 3), 32, (16.0, 4), (1 / 3, 2), momentum=False, law="normal"
    ),
    CONSTANT: Arm((3.5,), (3.5,), 128, variance=False),
    "stale sample": Arm((2.5,), (2.5,), 64, fault="stale sample"),
    "β = 0": Arm((2.5,), (2.5,), 64, momentum=False),
    "moving average on AccBO's schedule": Arm((2.5,), (2.5,), 64, fault="no correction"),
    "sequential": Arm((2.5,), (2.5, 3.5), 256, order="sequential"),
    "Option II": Arm((2.5,), (2.5, 3.5), 256, option="II"),
}
OTHERWISE = ("sequential", "Option II")  # AccBO too, on the same constants
STALLED = ("stale sample", "β = 0", "moving average on AccBO's schedule")

GRID_POWERS = (2.0, 3.0)
GRID_STEPS = tuple(2.0**k for k in range(-5, 2))  # η/ε²
GRID_AVERAGING = (1 / 256, 1 / 64, 1 / 16, 1 / 4, 1.0)  # 1 − β; 1 is no momentum
GRID_REPLICATES = 32


# --- pieces ----------------------------------------------------------------------------------


def pieces(settings: Settings) -> list[Piece]:
    """One run a piece; a row of the grid a piece. Costs are about seconds."""
    if rate_own.asked(settings):
        return [Piece(NAME, *each) for each in rate_own.keys(settings)]
    found = [
        Piece(NAME, (name, power), cost(_steps(arm, power), arm.replicates))
        for name, arm in _arms(settings).items()
        for power in _powers(settings, name)
    ]
    if settings.profile == "full" and settings.fault is None:
        found += [
            Piece(NAME, (GRID, power, index), len(GRID_AVERAGING) * cost(8 * 8**power, 32))
            for power in GRID_POWERS
            for index in range(len(GRID_STEPS))
        ]
    return found


def _arms(settings: Settings) -> dict[str, Arm]:
    """Under a fault AccBO's own runs alone: its rivals are none of the fault's business.

    Nor are the other conventions: ``own_path`` sees a fault in any one of them.
    """
    return ARMS if settings.fault is None else {ACCBO: ARMS[ACCBO]}


def _powers(settings: Settings, name: str) -> tuple[float, ...]:
    return ARMS[name].full if settings.profile == "full" else ARMS[name].quick


def _steps(arm: Arm, power: float) -> int:
    factor, exponent_ = arm.budget
    return math.ceil(factor * 2.0 ** (exponent_ * power))


# --- measured --------------------------------------------------------------------------------


def measure(settings: Settings, piece: Piece) -> Outcome:
    """The run, or the runs of one row of the grid."""
    name, power, *rest = piece.key
    if rate_own.asked(settings):
        outcome, curves = rate_own.measure(settings, power)
        save_records(settings, piece, curves)
        return outcome
    if name == GRID:
        return _measure_grid(settings, power, *rest)
    arm = ARMS[name]
    epsilon = 2.0**-power
    problem = instance(epsilon, asked_noise(settings, arm.law))
    schedule = _schedule(arm, problem)
    if name == ACCBO:
        algorithm = settings.apply_fault(schedule.algorithm)
        schedule = dataclasses.replace(schedule, algorithm=algorithm)
    outcome, curves = reach(
        schedule,
        problem,
        plateau_starts(epsilon, arm.replicates, _seed(settings, name, power)),
        epsilon,
        _steps(arm, power),
        Tape(_seed(settings, name, power), schedule.lower_scale if arm.variance else 1.0),
        settings.backend,
        run_checkpoint(settings, piece),
    )
    save_records(settings, piece, curves)
    return outcome


def _schedule(arm: Arm, problem: Any) -> Schedule[Any]:
    factor, power = arm.step
    changed: dict[str, Any] = {"upper_step_size": factor * problem.epsilon**power}
    changed["order"] = arm.order
    if not arm.momentum:
        changed["momentum"] = 0.0
    if arm.option == "II":  # as SPEC §3
        contraction = fixed_schedule(problem).algorithm.averaging
        changed["period"] = math.ceil(1 / problem.epsilon)
        changed["lower_steps"] = math.ceil(2 / contraction)
    schedule = fixed_schedule(problem, **changed)
    algorithm = schedule.algorithm
    if arm.fault is not None:
        algorithm = FAULTS[arm.fault].apply(algorithm)
    if not arm.normalised:
        parts = algorithm.parts._replace(x=gradient_step)
        algorithm = dataclasses.replace(algorithm, parts=parts)
    return dataclasses.replace(schedule, algorithm=algorithm)


def _seed(settings: Settings, name: str, power: float) -> int:
    """One tape for AccBO and the arm that differs from it below alone."""
    number = list(ARMS).index(ACCBO if name == CONSTANT else name)
    return (settings.seed * 16 + number) * 64 + round(8 * power)


def _measure_grid(settings: Settings, power: float, index: int) -> Outcome:
    """μ of the moving average at one η and every β, one value a replicate."""
    epsilon, seed = 2.0**-power, (settings.seed * 16 + 15) * 64 + round(8 * power)
    problem = instance(epsilon, asked_noise(settings))
    start = plateau_starts(epsilon, GRID_REPLICATES, seed)
    found = {}
    for averaging in GRID_AVERAGING:
        schedule = fixed_schedule(
            problem, momentum=1 - averaging, upper_step_size=GRID_STEPS[index] * epsilon**2
        )
        algorithm = FAULTS["no correction"].apply(schedule.algorithm)
        outcome, _ = reach(
            dataclasses.replace(schedule, algorithm=algorithm),
            problem,
            start,
            epsilon,
            math.ceil(8 / epsilon**3),
            Tape(seed, schedule.lower_scale),
            settings.backend,
        )
        found[f"{averaging:g}"] = outcome["mean"]
    return found


# --- judged ----------------------------------------------------------------------------------


def judge(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """R1 to R6; for a user's own schedule or problem what concerns it."""
    if rate_own.asked(settings):
        return rate_own.judge(settings, outcomes)
    powers = _powers(settings, ACCBO)
    found = [reach_row(f"R1 μ = mean ‖∇Φ‖/ε, ε = 2^−{k:g}", outcomes[ACCBO, k]) for k in powers]
    found += [
        reach_row(f"R1 μ, {name}, ε = 2^−{k:g}", outcomes[name, k])
        for name in OTHERWISE
        if name in _arms(settings)
        for k in _powers(settings, name)
    ]
    order, error = _exponent(settings, ACCBO, outcomes)
    found.append(at_least("R2 exponent of n(ε), AccBO", STEEP, order, error, SIX))
    if settings.fault is None:
        found += _judge_rivals(settings, outcomes, order, error)
    for k in powers:
        bound = _edge(2.0**-k)
        first = float(np.min(outcomes[ACCBO, k]["entry"]))
        # a step's length is rounded, to a few units of the last place of x
        found.append(at_least(f"R6 first entry/bound, ε = 2^−{k:g}", 1 - 1e-9, first / bound))
    found += _shown(settings, outcomes)
    return found


def _judge_rivals(
    settings: Settings, outcomes: dict[tuple[Any, ...], Outcome], order: float, error: float
) -> list[Finding]:
    steep, wide = _exponent(settings, AVERAGE, outcomes)
    found = [
        at_most("R3 exponent of n(ε), moving average", STEEP, steep, wide, SIX),
        at_most("R3 its exponent − AccBO's", 0.0, steep - order, math.hypot(wide, error), SIX),
    ]
    for label, name in (("R4", CONSTANT), *(("R5", name) for name in STALLED)):
        mean, spread = mean_error(outcomes[name, _powers(settings, name)[-1]]["mean"])
        found.append(at_least(f"{label} μ, {name}", REACHED, mean, spread, FOUR))
    if settings.profile == "full":
        for power in GRID_POWERS:
            least, spread, where = _least_of_grid(outcomes, power)
            quantity = f"least μ of {where}, ε = 2^−{power:g}"
            found.append(at_least(quantity, REACHED, least, spread, FOUR))
    return found


def _exponent(
    settings: Settings, name: str, outcomes: dict[tuple[Any, ...], Outcome]
) -> tuple[float, float]:
    powers = _powers(settings, name)
    return exponent(2.0 ** -np.array(powers), [outcomes[name, k] for k in powers])


def _edge(epsilon: float) -> float:
    """(‖x_0‖ − ε)/η: no step is longer than η, so nobody is at the edge before."""
    start = float(np.linalg.norm(plateau_starts(epsilon, 1, 0)))
    return (start - epsilon) / (epsilon**2 / 2)


def _least_of_grid(
    outcomes: dict[tuple[Any, ...], Outcome], power: float
) -> tuple[float, float, str]:
    """The smallest μ of the grid with its error, and where it is."""
    best = (math.inf, 0.0, "")
    for index, step in enumerate(GRID_STEPS):
        for averaging, sample in outcomes[GRID, power, index].items():
            where = f"η = {step:g}ε², 1−β = {averaging}"
            best = min(best, (*mean_error(sample), where))
    return best


def _shown(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """Exponents beside those of the theory, and in calls."""
    found = []
    for name, theory in ((ACCBO, -3.0), (DESCENT, -4.0), (ZERO, -4.0)):
        if name in _arms(settings):
            order, error = _exponent(settings, name, outcomes)
            found.append(shown_order(f"exponent of n(ε), {name}", theory, order, error))
    powers = _powers(settings, ACCBO)
    calls = [_calls(outcomes[ACCBO, k]) for k in powers]
    if np.all(np.isfinite(calls)):
        fit = np.polyfit(-np.array(powers) * math.log(2), np.log(calls), 1)
        found.append(shown("exponent in oracle calls, AccBO", float(fit[0]), predicted=-3.0))
    return found


def _calls(outcome: Outcome) -> float:
    """All calls: 2Q + 5 an iteration, Q + 2 a sample of the start, one a step of the warm start."""
    first, warm_start = outcome["start"]
    return float(outcome["count"] * (2 * TERMS + 5) + first * (TERMS + 2) + warm_start)


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Against ``EFFECT``, from the exponent's interval; 0 where it has none."""
    for finding in findings:
        if finding.quantity.startswith("R2") and finding.interval is not None:
            half = finding.measured - finding.interval[0]
            if math.isfinite(half) and half > 0:
                error = half / half_width(SIX)
                return float(normal.cdf((STEEP + 4.0 + half) / error))
    return 0.0


# --- shown -----------------------------------------------------------------------------------


def panels(
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    findings: Sequence[Finding],
) -> list[Panel]:
    """n(ε) of every method in one picture, and the slopes between neighbours."""
    if rate_own.asked(settings):
        return rate_own.panels(settings, outcomes)
    curves: list[Curve] = []
    slopes: list[Curve] = []
    for name, order in ((ACCBO, -3), (AVERAGE, -4), (DESCENT, -4), (ZERO, -4)):
        if name in _arms(settings):
            powers = _powers(settings, name)
            runs = [outcomes[name, k] for k in powers]
            curves += counts_of(name, powers, runs, order)
            aside = 1 + 0.015 * len(slopes)  # intervals beside one another
            slopes += local_slopes(name, powers, runs, aside)
    powers = _powers(settings, ACCBO)
    inverse = 2.0 ** np.array(powers)
    bound = [_edge(2.0**-k) for k in powers]
    curves.append(Curve("no entry before (‖x₀‖ − ε)/η", inverse, bound, predicted=True))
    ends = np.array([2.0, 2.0 ** max(powers)])
    slopes += [Curve(f"−{order}", ends, [-float(order)] * 2, predicted=True) for order in (3, 4)]
    return [
        Panel(TITLE, _caption(settings), "1/ε", "n(ε)", curves, True, True),
        Panel("Local slopes", SLOPES, "1/ε", "slope of log n in log ε", slopes, True, False),
    ]


def _caption(settings: Settings) -> str:
    """Of what is drawn: under a fault AccBO's points alone."""
    return " ".join((CAPTION, *([] if settings.fault else [RIVALS]), EDGE))


TITLE = "Iterations to a mean gradient of 0.7ε"
CAPTION = (
    "Iterations after which the mean of ‖∇Φ‖ over all of them is 0.7ε, from a gap of 1 on a "
    "plateau of height ε; 99 % intervals. AccBO should lie on ε⁻³, on constants fixed beforehand."
)
RIVALS = (
    "A moving average, plain SGD and normalised steps without momentum follow ε⁻⁴; the last only "
    "under Gaussian noise: under the skewed noise of the other three it never gets there."
)
EDGE = "Below the lowest line no step of AccBO's length can be at the plateau's edge."
SLOPES = (
    "The slopes between neighbouring points of the picture before, with 99 % intervals: whether an "
    "exponent is the same over the whole window."
)
