"""Pictures of n(ε): every method's points with its line, and the slopes between neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .harness import Outcome
from .panels import Curve
from .rate_runs import exponent, jackknife


def counts_of(name: str, powers: Sequence[float], runs: list[Outcome], order: int) -> list[Curve]:
    """n with its 99 % interval, and ε^order through the middle; nothing where n is infinite."""
    inverse = 2.0 ** np.array(powers)
    counts = np.array([float(run["count"]) for run in runs])
    there = np.isfinite(counts)
    if not there.any():
        return []
    inverse, counts = inverse[there], counts[there]
    errors = np.array([jackknife(run["left_out"]) for run in runs])[there]
    half = 2.58 * np.nan_to_num(errors)
    logs = np.log(inverse)
    line = np.exp(np.mean(np.log(counts)) - order * (logs - logs.mean()))
    measured, error = exponent(
        1 / inverse, [run for run, here in zip(runs, there, strict=True) if here]
    )
    fit = f", measured −{-measured:.2f} ± {2.58 * error:.2f}" if math.isfinite(error) else ""
    return [
        Curve(
            f"{name}{fit}",
            inverse,
            counts,
            counts * np.exp(-half),
            counts * np.exp(half),
            group=name,
        ),
        Curve(f"slope −{-order}", inverse, line, predicted=True, group=name),
    ]


def local_slopes(
    name: str, powers: Sequence[float], runs: list[Outcome], aside: float
) -> list[Curve]:
    """The slope between neighbouring ε, in the middle of each pair, with 99 % intervals.

    ``aside`` moves the points, by a factor, from under those of another curve.
    """
    middles, slopes, halves = [], [], []
    for k in range(len(powers) - 1):
        pair = 2.0 ** -np.array(powers[k : k + 2])
        order, error = exponent(pair, runs[k : k + 2])
        if math.isfinite(order) and math.isfinite(error):
            middles.append(aside / math.sqrt(pair[0] * pair[1]))
            slopes.append(order)
            halves.append(2.58 * error)
    if not middles:
        return []
    y, half = np.array(slopes), np.array(halves)
    return [Curve(name, middles, y, y - half, y + half)]
