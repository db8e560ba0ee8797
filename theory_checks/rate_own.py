"""Whether a user's own schedule or problem has AccBO's rate, and why not (SPEC 4.4b).

What is asked of it stands under Variations in ``rate``.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from accbo import AccBO, Tape
from accbo.conformance.running.target import TargetError
from accbo.schedules import Schedule
from accbo.schedules import accbo as accbo_schedule

from .harness import Outcome, Settings
from .own import own_problem, own_schedule
from .panels import Panel
from .rate_pictures import counts_of
from .rate_reasons import (
    KINDS,
    SHOWN,
    alternatives,
    cause,
    parameters,
    reads_the_old_point,
    spent_an_iteration,
)
from .rate_rows import FLAT, STEEP, reach_row, reaches, shown_order
from .rate_runs import (
    GAP,
    REACHED,
    asked_noise,
    cost,
    exponent,
    instance,
    mean_error,
    plateau_starts,
    reach,
)
from .starts import at_height
from .statistics import Finding, at_least, at_most, shown, slope

OWN = "own"
POWERS = {"quick": (2.0, 2.5, 3.0), "full": (2.0, 2.5, 3.0, 3.5)}
REPLICATES = 64
BUDGET = 64.0  # T = 64/ε³: constants of 1 take four times as long as those fixed in ``rate``, the
LOWER = 2.0  # randomised series twice that; and they hide the noise below: α is 64 times smaller
GROWTH = 1 + 3 / STEEP  # μ ~ ε^−GROWTH at T ~ ε⁻³ where n ~ ε^STEEP

Outcomes = dict[tuple[Any, ...], Outcome]


def asked(settings: Settings) -> bool:
    """Whether there is something of the user's to judge."""
    return settings.schedule is not None or settings.problem is not None


def keys(settings: Settings) -> list[tuple[tuple[Any, ...], float]]:
    """The key and the cost of every piece: one run an ε.

    What the user put in is called here once for every ε, so that it is refused at once.
    """
    for power in POWERS[settings.profile]:
        _case(settings, power)
    return [((OWN, power), cost(_steps(power), REPLICATES)) for power in POWERS[settings.profile]]


def _steps(power: float) -> int:
    return math.ceil(BUDGET * 8.0**power)


def _case(settings: Settings, power: float) -> tuple[Any, Schedule[Any]]:
    """The problem and the schedule of a run at ε = 2^−``power``."""
    epsilon = 2.0**-power
    if settings.problem is not None:
        problem = own_problem(settings.problem, epsilon)
    else:
        problem = instance(epsilon, asked_noise(settings, lower=LOWER))
    steps = _steps(power)
    if settings.schedule is not None:
        return problem, own_schedule(settings.schedule, problem.constants, steps)
    return problem, accbo_schedule(problem.constants, steps=steps)


# --- measured --------------------------------------------------------------------------------


def measure(settings: Settings, power: float) -> tuple[Outcome, dict[str, np.ndarray]]:
    """The run at one ε with its curve, and at the least ε what would help where it fails."""
    epsilon, steps, seed = 2.0**-power, _steps(power), settings.seed * 64 + round(8 * power)
    problem, schedule = _case(settings, power)
    if settings.problem is not None:
        start = at_height(problem, GAP, REPLICATES, seed)
    else:
        start = plateau_starts(epsilon, REPLICATES, seed)

    def outcome_of(schedule: Schedule[Any]) -> tuple[Outcome, dict[str, np.ndarray]]:
        tape = Tape(seed, schedule.lower_scale)
        # a fault may read what it should not: that is what it is judged for
        alone = settings.fault is None
        return reach(schedule, problem, start, epsilon, steps, tape, settings.backend, alone=alone)

    if settings.fault is not None:
        if not isinstance(schedule.algorithm, AccBO):
            raise TargetError(f"--fault changes an AccBO; {settings.schedule} has another method")
        algorithm = settings.apply_fault(schedule.algorithm)
        schedule = dataclasses.replace(schedule, algorithm=algorithm)
    try:
        outcome, curves = outcome_of(schedule)
        if settings.schedule is not None:
            outcome["parameters"] = parameters(schedule)
            outcome["spent"] = spent_an_iteration(schedule, problem, start, steps, epsilon)
            last = power == POWERS[settings.profile][-1]
            if last and not reaches(outcome["mean"]):
                outcome["recursive"] = np.asarray(reads_the_old_point(schedule, problem, start))
                for what, other in alternatives(schedule, problem.constants, steps).items():
                    outcome[what] = outcome_of(other)[0]["mean"]
    except (TypeError, ValueError, AttributeError) as error:
        target = settings.schedule or settings.problem
        raise TargetError(f"{target} cannot be run: {type(error).__name__}: {error}") from error
    return outcome, curves


# --- judged ----------------------------------------------------------------------------------


def judge(settings: Settings, outcomes: Outcomes) -> list[Finding]:
    """Whether it reaches; where not, the row says why. Whether its rate is AccBO's."""
    powers = POWERS[settings.profile]
    runs = [outcomes[OWN, k] for k in powers]
    last, epsilons = runs[-1], 2.0 ** -np.array(powers)
    reason = _reason(last) if "recursive" in last else ""
    found = []
    for k, run in zip(powers, runs, strict=True):
        row = reach_row(f"R1 μ, ε = 2^−{k:g}", run)
        if not row.passed and reason:
            row = dataclasses.replace(row, quantity=f"{row.quantity}: {reason}")
        found.append(row)
    growth, spread = slope(list(epsilons), [run["mean"] for run in runs])
    found.append(at_least("R2 exponent of μ in ε", -GROWTH, growth, spread))
    order, error = exponent(epsilons, runs)
    if settings.problem is not None:  # whose noise may not be felt
        found.append(at_least("R3 exponent of n(ε)", STEEP, order, error))
    else:
        found += _rates(order, error, _growths(epsilons, runs))
    found += [
        shown(f"μ, {text}", mean_error(last[what])[0], predicted=REACHED)
        for what, text in SHOWN.items()
        if what in last
    ]
    return found if settings.schedule is None else [*found, *_orders(epsilons, runs)]


def _reason(last: Outcome) -> str:
    reached = {what: reaches(last[what]) for what in SHOWN if what in last}
    return cause(reached, last["parameters"], float(last["recursive"]))


def _growths(epsilons: np.ndarray, runs: list[Outcome]) -> dict[str, float]:
    """The exponent in ε of what an iteration takes of each kind; of what it takes none, nothing."""
    spent = np.array([run["spent"] for run in runs])
    found = {}
    for kind, column in zip(KINDS, spent.T, strict=True):
        if np.all(np.isfinite(column)) and np.all(column > 0):
            growth = np.polyfit(np.log(epsilons), np.log(column), 1)[0]
            found[kind] = round(float(growth), 9) + 0.0  # rounding is not to name the dearest
        elif np.any(column > 0):  # at some ε none, or without end
            found[kind] = -math.inf
    return found


def _rates(order: float, error: float, growths: dict[str, float]) -> list[Finding]:
    """The exponent of all that is spent of each kind until 0.7ε, and of the samples of ∇_xF."""
    dearest = min(growths, key=lambda kind: growths[kind])
    samples = order + growths[KINDS[0]]
    return [
        at_least(f"R3 exponent of calls(ε), {dearest}", STEEP, order + growths[dearest], error),
        at_most("R4 exponent of samples(ε): noise felt", FLAT, samples, error),
        shown_order("exponent of samples(ε)", -3.0, samples, error),
    ]


def _orders(epsilons: np.ndarray, runs: list[Outcome]) -> list[Finding]:
    """The orders of 1 − β, η and the lower variance in ε, beside those of SPEC §3."""
    facts = np.array([run["parameters"] for run in runs])
    names = zip(("1 − β", "η", "lower variance"), facts.T, (2.0, 2.0, 1.0), strict=True)
    found = []
    for name, values, theory in names:
        if np.all(values > 0):
            order = float(np.polyfit(np.log(epsilons), np.log(values), 1)[0])
            found.append(shown(f"order of {name} in ε", round(order, 9) + 0.0, predicted=theory))
    return found


# --- shown -----------------------------------------------------------------------------------


def panels(settings: Settings, outcomes: Outcomes) -> list[Panel]:
    """n(ε) and ε⁻³ through its middle."""
    powers = POWERS[settings.profile]
    yours = counts_of("yours", powers, [outcomes[OWN, k] for k in powers], -3)
    return [Panel("Iterations", CAPTION, "1/ε", "n(ε)", yours, True, True, (), True)]


CAPTION = (
    "Iterations after which the mean of ‖∇Φ‖ over all of them is 0.7ε, 99 % intervals, and ε⁻³ "
    "through their middle. There is no point where it is not reached."
)
