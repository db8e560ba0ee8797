"""The exponents of all algorithms, each on its own schedule, and their behaviour far away.

``guarantee`` is the published one: ‖∇Φ‖ ≤ ε takes N = Õ(ε^{−p}) calls, exponent −1/p. ``floor``
is what the noise floor of the schedule shows near a nondegenerate minimiser, where Φ is a
quadratic: the same for all but two. TTSA's x has relaxed there and floats at the square root of
its step, k^{−3/10}, while y, which the guarantee goes by, floats at k^{−1/5}; SABA has no noise
floor and falls geometrically.

``later`` is the exponent of the last ``LATER`` sizes alone: where it moves towards the prediction,
what is left is the bias of a finite window.

N counts every derivative of the iterations, at Q = 1: what is left out, the start and the length
of the series, are logarithms and lower orders.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm as normal

from accbo import NonFiniteError, Tape, count_calls, run, schedules
from accbo._arrays import norm
from accbo.problems import LowerNoise, UpperNoise, finite_sum, quadratic, relaxed_smooth
from accbo.sampling import random_matrix
from theory_checks.starts import stationary_point
from theory_checks.statistics import slope

LEVEL = 0.99
START = 0.3  # distance from the stationary point
FAR, FAR_STEPS = 10.0, 200
TERMS = 32  # of each sum of the finite-sum problem
RECORDS = 256  # states looked at in a run
LATER = 4  # sizes of the later window: where a finite window bends the exponent, it moves


class Method(NamedTuple):
    """An algorithm's schedule, what is promised of it, and the log2 T at which it is run."""

    schedule: str
    guarantee: float
    floor: float | None
    powers: tuple[int, int]
    replicates: int = 512
    normalised: bool = False


METHODS = {
    "TTSA": Method("ttsa", -1 / 5, -3 / 10, (9, 14)),
    "StocBiO": Method("stocbio", -1 / 4, -1 / 4, (4, 8), 64),
    "MA-SOBA": Method("masoba", -1 / 4, -1 / 4, (9, 14)),
    "SABA": Method("saba", -1 / 2, None, (9, 12), 64),
    "SUSTAIN": Method("sustain", -1 / 3, -1 / 3, (9, 14)),
    "VRBO": Method("vrbo", -1 / 3, -1 / 3, (5, 10), 512),
    "BO-REP": Method("borep", -1 / 4, -1 / 4, (9, 14), normalised=True),
    "SLIP": Method("slip", -1 / 4, -1 / 4, (9, 14), normalised=True),
    "AccBO": Method("accbo", -1 / 3, -1 / 3, (9, 14), normalised=True),
}


def cost(names: Sequence[str], quick: bool) -> int:
    """Iterations of all runs together."""
    return sum(2**power for name in names for power in _powers(METHODS[name], quick))


def exponent(name: str, quick: bool, done: Callable[[int], Any]) -> dict[str, Any]:
    """One row of the table: the slope of log mean ‖∇Φ‖ against log N with its interval."""
    method, problem = METHODS[name], _near(name)
    centre = stationary_point(problem)
    replicates = method.replicates // 4 if quick else method.replicates
    calls, levels = [], []
    for power in _powers(method, quick):
        schedule = _schedule(name, problem, 2**power)
        directions = random_matrix(replicates, problem.d_x, power)
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        x = centre + START * directions
        curve = _gradients(schedule, problem, x, every=max(1, 2**power // RECORDS), seed=power)
        levels.append(np.mean(curve[len(curve) // 2 :], axis=0))
        calls.append(_calls(schedule, problem, x[0]))
        done(2**power)
    measured, half = _slope(calls, levels)
    later, later_half = _slope(calls[-LATER:], levels[-LATER:])
    return {
        "method": name,
        "guarantee": method.guarantee,
        "floor": method.floor,
        "measured": measured,
        "interval": [measured - half, measured + half],
        "later": later,
        "later_interval": [later - later_half, later + later_half],
        "steps": [2**power for power in _powers(method, quick)],
        "calls": calls,
        "levels": [float(np.mean(level)) for level in levels],
        "replicates": replicates,
    }


def _slope(calls: Sequence[int], levels: Sequence[np.ndarray]) -> tuple[float, float]:
    """The slope and half its interval."""
    measured, error = slope(calls, levels)
    return measured, float(normal.isf((1 - LEVEL) / 2)) * error


def far_away(name: str) -> dict[str, Any]:
    """What ``FAR_STEPS`` iterations do from coordinates at D and D/2 of a cosh-like Φ."""
    problem = _far(name)
    if problem is None:
        return {"method": name, "outcome": "its problem has no such growth"}
    x = np.array([FAR, FAR / 2])
    schedule = _schedule(name, problem, FAR_STEPS)
    before = float(np.linalg.norm(problem.hypergradient(x)))
    try:
        after = float(_gradients(schedule, problem, x, every=FAR_STEPS, seed=0)[-1])
    except NonFiniteError as error:
        return {"method": name, "outcome": f"diverges: {error}", "before": before}
    return {"method": name, "outcome": "stays finite", "before": before, "after": after}


def _powers(method: Method, quick: bool) -> range:
    low, high = method.powers
    return range(low - 1, high - 1) if quick else range(low, high + 1)


def _near(name: str) -> Any:
    if name == "SABA":
        return finite_sum(TERMS, 4, 4, upper_samples=TERMS, upper_batch=1, lower_batch=1)
    return quadratic(
        (1.0, 7 / 6, 4 / 3, 1.5),
        4,
        coupling=0.5,
        noise_upper=UpperNoise(0.5, 0.1, 0.5, 0.1),
        noise_lower=LowerNoise(0.5, 0.1, 0.1),
    )


def _far(name: str) -> Any:
    if name == "SABA":
        return None
    return relaxed_smooth(
        (1.0, 1.5),
        2,
        coupling=0.5,
        noise_upper=UpperNoise(0.5, 0.1, 0.5, 0.1),
        noise_lower=LowerNoise(0.5, 0.1, 0.1),
    )


def _schedule(name: str, problem: Any, steps: int) -> Any:
    make = getattr(schedules, METHODS[name].schedule)
    terms = {"samples": 2 * TERMS} if name == "SABA" else {}
    return make(problem.constants, steps=steps, **terms)


def _gradients(schedule: Any, problem: Any, x: np.ndarray, *, every: int, seed: int) -> np.ndarray:
    """‖∇Φ(x_t)‖ at every ``every``-th t, ``(records, R)``, from y*(x)."""
    result = run(
        schedule.algorithm,
        problem,
        x,
        problem.solution(x),
        steps=schedule.steps,
        noise=Tape(seed, lower_scale=schedule.lower_scale),
        warm_start=schedule.warm_start,
        first=schedule.first,
        record={"gradient": lambda state: norm(problem.hypergradient(state.x))},
        every=every,
    )
    return np.asarray(result.records["gradient"])


def _calls(schedule: Any, problem: Any, x: np.ndarray) -> int:
    algorithm = schedule.algorithm
    if hasattr(algorithm, "neumann_terms"):
        algorithm = dataclasses.replace(algorithm, neumann_terms=1)
    y = problem.solution(x)
    return int(count_calls(algorithm, problem, x, y, steps=schedule.steps).total)


# --- tables -----------------------------------------------------------------------------------


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Guarantee, floor, measured exponent with its interval."""
    lines = [
        "exponent of the mean ‖∇Φ(x_t)‖, t ≥ T/2, in the number of oracle calls",
        f"{'method':10}{'guarantee':>10}{'floor':>8}{'measured':>10}   {'99 % interval':16}"
        f"{'later':>8}   {'99 % interval':16}  log2 T",
    ]
    for row in rows:
        (low, high), (later_low, later_high) = row["interval"], row["later_interval"]
        floor = "none" if row["floor"] is None else f"{row['floor']:.3f}"
        first, last = (int(np.log2(row["steps"][index])) for index in (0, -1))
        lines.append(
            f"{row['method']:10}{row['guarantee']:>10.3f}{floor:>8}{row['measured']:>10.3f}"
            f"   [{low:.3f}, {high:.3f}]{row['later']:>8.3f}   [{later_low:.3f}, {later_high:.3f}]"
            f"  {first} … {last}"
        )
    return "\n".join(lines)


def far_table(rows: Sequence[dict[str, Any]]) -> str:
    """Who survives exponential growth."""
    lines = [
        f"{FAR_STEPS} iterations from ({FAR:g}, {FAR / 2:g}) of a Φ like cosh, on the own schedule"
    ]
    for row in rows:
        sizes = f" (‖∇Φ‖ {row['before']:.3g} → {row['after']:.3g})" if "after" in row else ""
        lines.append(f"{row['method']:10}{row['outcome']}{sizes}")
    return "\n".join(lines)
