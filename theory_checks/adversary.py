"""Search for the pair of points that a claim about pairs fits worst.

A claim says that some ratio of two points p and p + δ, ‖δ‖ ≤ radius, is at most 1. Pairs at
random hardly ever come near the worst one, so an optimiser looks for it: many pairs at once,
some fixed and some of the seed, then L-BFGS-B from the best of them. A pair is written as
(p, direction, log ‖δ‖) in a box, so that the radius is a bound that can be attained.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import optimize
from scipy.stats import qmc

Ratio = Callable[[np.ndarray, np.ndarray], np.ndarray]  # p and p + δ, (n, d) each, to (n,)

NEAREST = 1e-3  # ‖δ‖ from here, times the radius where that is below 1
STEP = 1e-6  # of the difference quotients that the optimiser follows
FLAT = 1e-12  # the least ratio whose logarithm is told from another


@dataclass(frozen=True)
class Space:
    """Where pairs are looked for: |p_i| ≤ ``reach``, ``nearest`` ≤ ‖δ‖ ≤ ``radius``.

    Pairs closer than ``nearest`` are left out: a difference of theirs is mostly rounding. An
    infinite radius is searched up to the box's width.
    """

    dimension: int
    reach: float
    radius: float

    @property
    def farthest(self) -> float:
        """The largest ‖δ‖, short of the radius by more than the rounding of p + δ."""
        return min(self.radius * (1 - 1e-9), 2 * self.reach)

    @property
    def nearest(self) -> float:
        """The smallest ‖δ‖."""
        return NEAREST * min(self.farthest, 1.0)

    @property
    def bounds(self) -> np.ndarray:
        """Of (p, direction, log ‖δ‖), ``(2 d + 1, 2)``."""
        box = [(-self.reach, self.reach)] * self.dimension + [(-1.0, 1.0)] * self.dimension
        return np.array([*box, (math.log(self.nearest), math.log(self.farthest))])

    def scatter(self, unit: np.ndarray) -> np.ndarray:
        """Pairs from ``unit``, ``(n, 2 d + 1)`` in [0, 1]: p on all scales, δ uniform in log."""
        signed = 2 * unit - 1
        signed[:, : self.dimension] **= 3  # dense near 0, where a gradient's structure is
        low, high = self.bounds.T
        return (low + high) / 2 + signed * (high - low) / 2

    def pairs(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p and p + δ of every row of ``points``, ``(n, d)`` each."""
        p, direction = points[:, : self.dimension], points[:, self.dimension : -1]
        length = np.linalg.norm(direction, axis=-1, keepdims=True)
        unit = np.where(length > 0, direction, np.eye(1, self.dimension))  # 0 shows nowhere
        return p, p + np.exp(points[:, -1:]) * unit / np.where(length > 0, length, 1.0)


class Effort(NamedTuple):
    """How hard to look: pairs tried at first, climbs from the best, iterations of each."""

    tried: int
    climbs: int
    iterations: int


class Found(NamedTuple):
    """The worst pair, its ratio, and the ratio that every climb came to."""

    ratio: float
    first: np.ndarray
    second: np.ndarray
    climbs: np.ndarray
    tried: float  # the largest ratio before any climb: what pairs at random come to


def search(ratio: Ratio, space: Space, effort: Effort, seed: int) -> Found:
    """The largest ``ratio`` over pairs of ``space``.

    Half the pairs are the same whatever the seed, and half the climbs start from the best of
    those: what they reach is reached for every seed. A ratio that is no number counts as
    infinite: a claim about it is not met.
    """
    columns = 2 * space.dimension + 1
    starts, best = [], 0.0
    for scramble in (False, True):
        net = qmc.Sobol(columns, scramble=scramble, seed=seed)
        points = space.scatter(net.random(effort.tried // 2))
        values = _finite(ratio(*space.pairs(points)))
        order = np.argsort(-values)[: effort.climbs // 2]
        starts.append(points[order])
        best = max(best, float(values[order[0]]))
    ends = np.array([_climb(ratio, space, start, effort) for start in np.concatenate(starts)])
    values = _finite(ratio(*space.pairs(ends)))
    first, second = space.pairs(ends[[np.argmax(values)]])
    return Found(float(np.max(values)), first[0], second[0], values, best)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.inf)


def _climb(ratio: Ratio, space: Space, start: np.ndarray, effort: Effort) -> np.ndarray:
    """Where L-BFGS-B on −log ratio ends; all difference quotients in one call."""
    low, high = space.bounds.T
    width = high - low
    shifts = STEP * np.concatenate((np.zeros((1, len(start))), np.eye(len(start))))

    def objective(unit: np.ndarray) -> tuple[float, np.ndarray]:
        inward = np.where(unit > 0.5, -1.0, 1.0)  # never beyond the box
        points = low + (unit + shifts * inward) * width
        values = np.minimum(_finite(ratio(*space.pairs(points))), 1e300)
        heights = -np.log(np.maximum(values, FLAT))
        return float(heights[0]), (heights[1:] - heights[0]) / (STEP * inward)

    found = optimize.minimize(
        objective,
        np.clip((start - low) / width, 0.0, 1.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * len(start),
        options={"maxiter": effort.iterations, "maxfun": 2 * effort.iterations},
    )
    return low + np.clip(found.x, 0.0, 1.0) * width
