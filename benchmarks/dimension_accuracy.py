"""What accuracy AccBO reaches in a fixed number of steps, against d_x and d_y.

Every bound of the theory is in constants (μ, l, ‖C‖, ‖∇²Φ‖, ‖x_0 − x*‖) that are the same for
every d here, and in the total noise: E‖m − ∇Φ‖ ≈ √((1 − β)/(1 + β)) times the noise of a whole
hypergradient, whatever the number of its coordinates. So at constant total noise, noise/√d a
coordinate, accuracy does not depend on d; at constant noise a coordinate the error of m, and
with it the bound, grows like √d. With d_x fixed that bound is loose: C maps whatever noise the
d_y coordinates have on d_x directions.

‖∇Φ‖ follows the error of m, and falls behind where m forgets sooner than x turns: to leading
order x is driven by m's error e, dx = −η(∇Φ + e)/‖m‖ with e of memory 1/(1 − β), so that
‖∇Φ‖² = ‖e‖² a/(a + 1 − β) and ‖m‖² = ‖e‖² (1 − β)/(a + 1 − β) with a = η‖∇²Φ‖/‖m‖. At d = 10⁴,
constant noise a coordinate and T = 1,000 that is ‖∇Φ‖ = 0.86‖e‖; 0.84 was seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

from accbo import Tape, run, schedules
from accbo._arrays import norm
from accbo.problems import LowerNoise, UpperNoise
from accbo.sampling import random_matrix
from benchmarks.dimension_plan import LEAST, Plan
from benchmarks.matrix_free import Chain
from theory_checks.statistics import slope

TOTAL, EACH = 1.0, 0.1  # total noise, noise a coordinate: the same thing at d = 100
DISTANCE = 0.3  # of the start from the minimiser
GROUP_NUMBERS = 80_000  # coordinates of the replicates that run together: caches, memory
RECORDS = 125  # states looked at in a run
LEVEL = 0.99
REGIMES = ("constant total noise", "constant noise a coordinate")
BOUND = dict(zip(REGIMES, (0.0, 0.5), strict=True))  # exponents of the accuracy
QUANTITIES = ("gradient", "error")

Key = tuple[str, int, int]  # regime, d_x, d_y


def study(plan: Plan) -> dict[str, Any]:
    """Levels with intervals of every size, and exponents with theirs, ready for JSON."""
    curves = {
        along: [(d, *_pair(along, d)) for d in plan.accuracy if d >= least]
        for along, least in (("d_x = d_y", 1), ("d_x alone", LEAST), ("d_y alone", LEAST))
    }
    keys: list[Key] = [
        (regime, d_x, d_y)
        for regime in REGIMES
        for _, d_x, d_y in dict.fromkeys(point for curve in curves.values() for point in curve)
    ]  # (100, 100) lies on all curves
    samples = {
        key: measure(plan, key, seed) for seed, key in enumerate(tqdm(keys, desc="accuracy"))
    }
    return {
        "accuracy": [_row(plan, key, samples[key]) for key in keys],
        "accuracy_growth": [
            _growth(
                along, regime, quantity, [(d, samples[regime, d_x, d_y]) for d, d_x, d_y in curve]
            )
            for regime in REGIMES
            for along, curve in curves.items()
            for quantity in QUANTITIES
            if sum(d >= LEAST for d, _, _ in curve) > 1
        ],
    }


def chain(regime: str, d_x: int, d_y: int) -> Chain:
    """The instance: only its additive noise depends on the regime."""
    x, y = (TOTAL / math.sqrt(d) if regime == REGIMES[0] else EACH for d in (d_x, d_y))
    return Chain(
        d_x,
        d_y,
        noise_upper=UpperNoise(x, 0.1, y, 0.1),
        noise_lower=LowerNoise(y, 0.1, 0.1),
    )


def measure(plan: Plan, key: Key, seed: int) -> dict[str, np.ndarray]:
    """Means over t ≥ T/2 of ‖∇Φ(x_t)‖ and of ‖m_t − ∇Φ(x_t)‖, one a replicate."""
    regime, d_x, d_y = key
    problem = chain(regime, d_x, d_y)
    replicates = GROUP_NUMBERS // max(d_x, d_y)
    replicates = max(plan.least_replicates, min(plan.most_replicates, replicates))
    size = max(1, min(replicates, GROUP_NUMBERS // max(d_x, d_y)))
    groups = [
        _group(plan, problem, seed, first, min(size, replicates - first))
        for first in range(0, replicates, size)
    ]
    return {name: np.concatenate([group[name] for group in groups]) for name in QUANTITIES}


def _group(
    plan: Plan, problem: Chain, seed: int, first: int, replicates: int
) -> dict[str, np.ndarray]:
    schedule = schedules.accbo(problem.constants, steps=plan.steps)
    directions = np.stack(
        [random_matrix(1, problem.d_x, seed * 1024 + first + r)[0] for r in range(replicates)]
    )
    x = problem.minimiser() + DISTANCE * directions / norm(directions)[:, None]
    result = run(
        schedule.algorithm,
        problem,
        x,
        problem.solution(x),
        steps=plan.steps,
        noise=Tape(seed, lower_scale=schedule.lower_scale, first_replicate=first),
        warm_start=schedule.warm_start,
        first=schedule.first,
        record={
            "gradient": lambda state: norm(problem.hypergradient(state.x)),
            "error": lambda state: norm(state.momentum - problem.hypergradient(state.x_previous)),
        },
        every=max(1, plan.steps // RECORDS),
        progress=False,
    )
    late = result.iterations >= plan.steps // 2
    return {name: np.mean(values[late], axis=0) for name, values in result.records.items()}


def _pair(along: str, d: int) -> tuple[int, int]:
    return {"d_x = d_y": (d, d), "d_x alone": (d, LEAST), "d_y alone": (LEAST, d)}[along]


def _row(plan: Plan, key: Key, samples: dict[str, np.ndarray]) -> dict[str, Any]:
    regime, d_x, d_y = key
    row: dict[str, Any] = {"regime": regime, "d_x": d_x, "d_y": d_y}
    row["replicates"] = len(samples["gradient"])
    row["steps"] = plan.steps
    for name, values in samples.items():
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        half = float(stats.t.isf((1 - LEVEL) / 2, len(values) - 1)) * error
        mean = float(np.mean(values))
        row[name], row[f"{name}_interval"] = mean, [mean - half, mean + half]
    return row


def _growth(
    along: str, regime: str, quantity: str, points: Sequence[tuple[int, dict[str, np.ndarray]]]
) -> dict[str, Any]:
    """The exponent from d = ``LEAST`` on: below, the mean of a norm is short of its square."""
    kept = [(d, samples[quantity]) for d, samples in points if d >= LEAST]
    exponent, error = slope([d for d, _ in kept], [values for _, values in kept])
    half = float(stats.norm.isf((1 - LEVEL) / 2)) * error
    return {
        "along": along,
        "regime": regime,
        "quantity": quantity,
        "bound": BOUND[regime],
        "exponent": exponent,
        "interval": [exponent - half, exponent + half],
        "from": kept[0][0],
        "to": kept[-1][0],
    }
