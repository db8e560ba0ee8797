"""Calls as they are counted, of an iteration, of a start and of whole runs, beside the formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accbo import AccBO, Calls, count_calls, schedules

from .harness import Outcome, Settings
from .oracle_instances import DIMENSION, crossing_problem, schedule_of
from .statistics import Finding, exact

COUNTED = {"AccBO": range(5, 19), "SLIP": range(6, 23)}  # log2 T at which calls are counted
SAMPLINGS = ("chained", "independent")


TERMS, PERIOD, LOWER_STEPS, WARM_START, FIRST = 5, 4, 6, 7, 3


def _accbo(settings: Settings, sampling: str = "chained", **more: Any) -> Any:
    """An AccBO of ``TERMS`` terms; its step sizes do not matter to counts."""
    return settings.apply_fault(
        AccBO(
            lower_step_size=0.1,
            lower_momentum=0.5,
            averaging=0.3,
            momentum=0.9,
            upper_step_size=0.01,
            neumann_terms=TERMS,
            neumann_scale=crossing_problem().constants.curvature,
            neumann_sampling=sampling,
            **more,
        )
    )


def _count(algorithm: Any, steps: int, warm_start: int = 0, first: int = 1) -> Calls:
    """Counted on the host: calls do not depend on the array library."""
    problem, nothing = crossing_problem(), np.zeros(DIMENSION)
    return count_calls(
        algorithm, problem, nothing, nothing, steps=steps, warm_start=warm_start, first=first
    )


def _iteration(algorithm: Any, iterations: int = 1) -> np.ndarray:
    """Calls of an iteration by kind, the mean of t = 1 … iterations."""
    ends = [np.array(_count(algorithm, steps)) for steps in (1 + iterations, 1)]
    return (ends[0] - ends[1]) / iterations


def _start(algorithm: Any) -> tuple[int, int]:
    """Calls that the warm start adds, and those of iteration 0 but for the lower step."""
    warm, cold = (_count(algorithm, 1, T0, FIRST) for T0 in (WARM_START, 0))
    return warm.total - cold.total, cold.total - cold.grad_y_lower


def formulas() -> dict[str, float]:
    """What SPEC 4.6 says, by quantity, in the order in which ``_counts`` measures."""
    Q, S = TERMS, FIRST
    return {
        "calls of ∇_x F an iteration, chained": 2,
        "calls of ∇_y F an iteration, chained": 2,
        "calls of ∇_y G an iteration, chained": 1,
        "calls of ∇²_yy G v an iteration, chained": 2 * (Q - 1),
        "calls of ∇²_xy G v an iteration, chained": 2,
        "values an iteration, chained": 0,
        "calls an iteration, chained": 2 * Q + 5,
        "calls an iteration, independent": Q * (Q - 1) + 7,
        "calls an iteration, randomised (Q − 1 products)": 2 * Q + 5,
        "calls an iteration, Option II": 2 * Q + 4 + LOWER_STEPS / PERIOD,
        "lower calls between refreshes, Option II": 0,
        "calls of the warm start, T0 = 7, AccBO": WARM_START,
        "upper-level calls of t = 0, S = 3, AccBO": S * (Q + 2),
        "calls an iteration, SLIP": 5,
        "calls of the warm start, T0 = 7, SLIP": WARM_START,
        "upper-level calls of t = 0, S = 3, SLIP": 2 * S + 2,
    }


def counts(settings: Settings) -> list[float]:
    """Every quantity of ``formulas``, counted."""
    chained = _accbo(settings)
    second = _accbo(settings, period=PERIOD, lower_steps=LOWER_STEPS)
    slip = schedules.slip(crossing_problem().constants, steps=1024).algorithm
    kinds = _iteration(chained)
    return [
        *kinds,
        sum(kinds),
        *(sum(_iteration(_accbo(settings, s))) for s in ("independent", "randomised")),
        sum(_iteration(second, PERIOD)),
        _count(second, PERIOD).grad_y_lower - _count(second, 1).grad_y_lower,
        *_start(chained),
        sum(_iteration(slip)),
        *_start(slip),
    ]


def calls_of_runs(settings: Settings) -> Outcome:
    """The calls of whole runs of every length in ``COUNTED``."""
    found = {}
    for sampling in SAMPLINGS:
        runs = [_run_calls(settings, "AccBO", power, sampling) for power in COUNTED["AccBO"]]
        found[sampling] = np.array([calls.total for calls, _ in runs])
        if sampling == "chained":
            found["paid"] = np.array([_paid(*each) for each in runs])
    runs = [_run_calls(settings, "SLIP", power) for power in COUNTED["SLIP"]]
    return {**found, "SLIP": np.array([calls.total for calls, _ in runs])}


def _paid(calls: Calls, epsilon: float) -> int:
    """Calls where a lower variance of O(ε) is that of a minibatch of 1/ε samples."""
    return calls.total + calls.grad_y_lower * (math.ceil(1 / epsilon) - 1)


def _run_calls(
    settings: Settings, method: str, power: int, sampling: str = "chained"
) -> tuple[Calls, float]:
    """The calls of a whole run of 2^power iterations, and its ε."""
    schedule = schedule_of(method, crossing_problem(), 2**power, sampling)
    algorithm: Any = schedule.algorithm
    if method == "AccBO":
        algorithm = settings.apply_fault(algorithm)
    calls = _count(algorithm, schedule.steps, schedule.warm_start, schedule.first)
    return calls, schedule.epsilon


def judge_counts(counted: np.ndarray) -> list[Finding]:
    """Calls against the formulas, as equalities."""
    pairs = zip(formulas().items(), counted, strict=True)
    return [exact(quantity, value, float(found), 0.0) for (quantity, value), found in pairs]
