"""Why a user's schedule does not reach: what has to be replaced so that it does."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from accbo import AccBO, Tape, count_calls, run
from accbo._arrays import row
from accbo.momentum import recursive_momentum
from accbo.problem import Constants
from accbo.sampling import sample_bytes
from accbo.schedules import Schedule, accbo
from accbo.upper import normalized_step

VARIANCE, UPPER, LOWER, BOTH = "variance", "upper", "lower", "both"
SHOWN = {
    VARIANCE: "the same with a lower variance of O(ε)",
    UPPER: "the same with AccBO's momentum, β and η",
    LOWER: "the same with AccBO's α, γ and τ",
    BOTH: "the same with its variance, β and η",
}


def alternatives(
    schedule: Schedule[Any], constants: Constants, steps: int
) -> dict[str, Schedule[Any]]:
    """``schedule`` with one thing at a time as AccBO's own schedule has it."""
    standard = accbo(constants, steps=steps)
    found: dict[str, Schedule[Any]] = {}
    quieter = schedule.lower_scale > standard.lower_scale * (1 + 1e-9)
    if quieter:
        found[VARIANCE] = dataclasses.replace(schedule, lower_scale=standard.lower_scale)
    if isinstance(schedule.algorithm, AccBO):
        algorithm = dataclasses.replace(
            schedule.algorithm,
            momentum=standard.algorithm.momentum,
            upper_step_size=standard.algorithm.upper_step_size,
            parts=schedule.algorithm.parts._replace(momentum=recursive_momentum, x=normalized_step),
        )
        if algorithm != schedule.algorithm:
            found[UPPER] = dataclasses.replace(schedule, algorithm=algorithm, first=standard.first)
        below = dataclasses.replace(
            schedule.algorithm,
            lower_step_size=standard.algorithm.lower_step_size,
            lower_momentum=standard.algorithm.lower_momentum,
            averaging=standard.algorithm.averaging,
            period=None,
            lower_steps=1,
        )
        if below != schedule.algorithm:
            found[LOWER] = dataclasses.replace(schedule, algorithm=below)
        if quieter and UPPER in found:
            found[BOTH] = dataclasses.replace(found[UPPER], lower_scale=standard.lower_scale)
    return found


def parameters(schedule: Schedule[Any]) -> np.ndarray:
    """(1 − β, η, the lower noise's variance), NaN for what the algorithm does not have."""
    decay = getattr(schedule.algorithm, "momentum", math.nan)
    step = getattr(schedule.algorithm, "upper_step_size", math.nan)
    return np.array([1 - decay, step, schedule.lower_scale**2], dtype=float)


KINDS = ("∇_xF", "∇_yF", "∇_yG", "∇²_yyG v", "∇²_xyG v", "values", "numbers drawn")


def spent_an_iteration(
    schedule: Schedule[Any], problem: Any, x: np.ndarray, steps: int, epsilon: float
) -> np.ndarray:
    """What the mean iteration of a run takes of each of ``KINDS``.

    Calls, those of a batch one by one; a lower gradient whose variance is below ε counts as the
    batch of ε/variance that buys it. And the numbers of noise drawn, whatever becomes of them: an
    algorithm may make other calls in a later iteration than in the one that is counted.
    """
    algorithm, y = schedule.algorithm, problem.solution(x)
    whole, start = (count_calls(algorithm, problem, x, y, steps=count) for count in (steps, 1))
    calls = (np.array(whole) - np.array(start)) / (steps - 1)
    kinds = [bool(algorithm.refreshes(t)) for t in range(1, steps)]
    drawn = sum(
        kinds.count(kind) * sample_bytes(algorithm.draw(problem, kind), 1) / 8
        for kind in set(kinds)
    )
    variance = schedule.lower_scale**2
    calls[KINDS.index("∇_yG")] *= max(1.0, epsilon / variance if variance > 0 else math.inf)
    return np.append(calls, drawn / (steps - 1))


def reads_the_old_point(schedule: Schedule[Any], problem: Any, x: np.ndarray) -> float:
    """1 where the momentum depends on the previous point, as a recursive one does; else 0.

    NaN where the algorithm's state does not say what its previous point is.
    """
    algorithm = schedule.algorithm
    state = run(algorithm, problem, x, problem.solution(x), steps=2, progress=False).state
    olds = [name for name in ("x_previous", "y_average_previous") if hasattr(state, name)]
    if not olds:
        return 0.0 if hasattr(state, "momentum") else math.nan
    sample = row(Tape(1).open(x).block(algorithm.draw(problem, True), 1), 0)
    moved = state._replace(**{name: getattr(state, name) + 1.0 for name in olds})
    here, there = (algorithm.step(problem, each, sample).momentum for each in (state, moved))
    return float(not np.array_equal(here, there))


def cause(reached: dict[str, bool], facts: np.ndarray, recursive: float) -> str:
    """In a few words, what keeps the schedule from reaching."""
    if reached.get(VARIANCE):
        return "lower variance not O(ε)"
    if facts[0] == 1:
        named = "no momentum, β = 0"
    elif recursive == 0:
        named = "moving average, not recursive"
    elif reached.get(UPPER) or reached.get(BOTH):
        named = "its momentum, β, η or upper step"
    elif reached.get(LOWER):
        return "its α, γ or τ"
    elif not {UPPER, LOWER} & reached.keys():
        return "its own method, not taken apart"
    else:
        return "none of variance, β, η, α, γ, τ alone"
    return f"{named}; variance" if reached.get(BOTH) and not reached.get(UPPER) else named
