"""How things grow far away: what finitely many points can say about "everywhere".

Along a ray, at distances 1 … 1024 (as far as numbers are finite), the exponent of a quantity is
the slope of its logarithm over that of the distance, on the outer half: the median over all pairs
of points (Theil and Sen), which a jump or the approach to a bound does not move. Zeros have no
logarithm and are left out. No finite set of values proves a bound on all of space; what is said
is the trend, and how far it was followed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from accbo.auditing.finding import FAILS, HOLDS, UNTOLD, Finding, point_of
from accbo.auditing.oracle import METHODS, Normals, Oracle, repeated, unit

LENGTHS = 2.0 ** np.arange(0, 10.5, 0.5)
NEAR = 8.0  # rays that end before are too short for an exponent
GONE = 1e-8  # a part that counts as 0
FAST = 0.5  # an exponent that counts as growth
SPREAD_DRAWS, SPREAD_STREAM = 256, 5
FEW = 3  # values that an exponent takes


class Ray(NamedTuple):
    """Points (x, y) + s (dx, dy), with (dx, dy) of length 1."""

    x: np.ndarray
    y: np.ndarray
    dx: np.ndarray
    dy: np.ndarray

    def at(self, length: float) -> tuple[np.ndarray, np.ndarray]:
        """The point at ``length``."""
        return self.x + length * self.dx, self.y + length * self.dy


class Trend(NamedTuple):
    """``values`` at ``lengths``; ``exponent`` is NaN where there are too few."""

    lengths: np.ndarray
    values: np.ndarray
    exponent: float

    @property
    def reach(self) -> float:
        """How far it was followed."""
        return float(self.lengths[-1]) if len(self.lengths) else 0.0

    @property
    def vanishes(self) -> bool:
        """Whether it goes to 0: it has, but for GONE, or at the end still falls like a power."""
        if len(self.values) < 4:
            return False
        part = self.values[-1] / self.values[0]
        power = _slope(self.lengths[-4:], self.values[-4:])
        return bool(part < GONE or (self.reach == LENGTHS[-1] and part < 0.1 and power < -FAST))

    def said(self) -> str:
        """In words, after "grows"."""
        like = f"like distance^{self.exponent:.2f}" if self.exponent < 20 else "exponentially"
        return f"{like}, to {self.values[-1]:.3g} at {self.reach:.4g}"


def rays(x: np.ndarray, y: np.ndarray, normals: Normals) -> list[Ray]:
    """A random ray from (x, y), its opposite, and one in y alone."""
    both, alone = (unit(normals((x.size + y.size,))) for _ in range(2))
    dx, dy = both[: x.size], both[x.size :]
    return [Ray(x, y, dx, dy), Ray(x, y, -dx, -dy), Ray(x, y, 0 * dx, unit(alone[x.size :]))]


def follow(
    ray: Ray,
    quantities: Callable[[np.ndarray, np.ndarray], tuple[float, ...]],
    *,
    envelope: bool = False,
) -> list[Trend]:
    """One trend for each of ``quantities(x, y)``, as far as all are finite.

    ``envelope`` takes the largest value so far, so that an oscillation is no growth.
    """
    width = len(quantities(ray.x, ray.y))
    rows: list[tuple[float, ...]] = []
    with np.errstate(all="ignore"):
        for length in LENGTHS:
            try:
                row = quantities(*ray.at(float(length)))
            except (ValueError, np.linalg.LinAlgError):  # an oracle's answer that is not finite
                break
            if not all(map(math.isfinite, row)):
                break
            rows.append(row)
    lengths = LENGTHS[: len(rows)]
    columns = list(np.array(rows).reshape(len(rows), width).T)
    if envelope:
        columns = [np.maximum.accumulate(column) for column in columns]
    return [Trend(lengths, column, _exponent(lengths, column)) for column in columns]


def _exponent(lengths: np.ndarray, values: np.ndarray) -> float:
    if len(lengths) < 4 or lengths[-1] < NEAR:
        return math.nan
    outer = lengths >= math.sqrt(lengths[-1])
    return _slope(lengths[outer], values[outer])


def _slope(lengths: np.ndarray, values: np.ndarray) -> float:
    """0 where all values are zero, NaN where fewer than FEW are not."""
    seen = values != 0
    if not np.any(seen):
        return 0.0
    if np.count_nonzero(seen) < FEW:
        return math.nan
    along, logs = np.log(lengths[seen]), np.log(np.abs(values[seen]))
    i, j = np.triu_indices(len(logs), 1)
    return float(np.median((logs[j] - logs[i]) / (along[j] - along[i])))


def steepest(found: list[tuple[Ray, Trend]]) -> tuple[Ray, Trend]:
    """The ray with the largest exponent; one too short for an exponent yields to growth alone."""
    return max(found, key=lambda pair: np.nan_to_num(pair[1].exponent, nan=FAST))


def variances(oracle: Oracle, all_rays: list[Ray]) -> list[Finding]:
    """How the noise of every gradient grows: one finding a gradient."""
    methods = ("grad_y_lower", "grad_x_upper", "grad_y_upper")
    return [_variance(oracle, method, all_rays) for method in methods]


def _variance(oracle: Oracle, method: str, all_rays: list[Ray]) -> Finding:
    sample = oracle.draw(METHODS[method].level, SPREAD_DRAWS, SPREAD_STREAM)

    def deviation(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
        many = repeated(x, SPREAD_DRAWS), repeated(y, SPREAD_DRAWS)
        answer = oracle(method, *many, sample=sample, finite=False)
        away = answer - np.mean(answer, axis=0)
        rms = math.sqrt(float(np.mean(np.sum(away * away, axis=1))))
        # rounding of large gradients is not noise
        return (rms if rms > 1e4 * oracle.roundoff * float(np.max(np.abs(answer))) else 0.0,)

    trends = [(ray, each) for ray in all_rays for each in follow(ray, deviation, envelope=True)]
    ray, worst = steepest(trends)
    name, claim = f"variance {method}", f"the variance of {method} is bounded over all (x, y)"
    source, level = "SPEC §3", METHODS[method].level
    figures = {"exponent": worst.exponent}
    at = point_of(*ray.at(worst.reach), oracle.seed)
    if math.isnan(worst.exponent):
        text = f"no longer finite beyond distance {worst.reach:.3g}, too near for a trend"
        if worst.reach >= NEAR:
            begins = float(worst.lengths[np.flatnonzero(worst.values)[0]])
            text = f"there is none before distance {begins:.4g}, too far out for a trend"
        return Finding(name, claim, source, UNTOLD, text, figures, at, level)
    if worst.exponent <= FAST / 2:
        text = f"no growth along {len(all_rays)} rays to distance {worst.reach:.4g}"
        return Finding(name, claim, source, HOLDS, text, figures, level=level)
    text = f"the standard deviation grows {worst.said()}"
    if worst.exponent > 1 + FAST / 2:
        return Finding(name, claim, source, FAILS, text, figures, at, level)
    text += ": bounded on bounded sets, and no faster than Lipschitz realisations allow"
    return Finding(name, claim, source, UNTOLD, text, figures, at, level)
