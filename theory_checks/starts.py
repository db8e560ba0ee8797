"""Where runs start: a stationary point of Φ, a distance from it, a height above it."""

from __future__ import annotations

from typing import Any

import numpy as np

from accbo.conformance.running.target import TargetError
from accbo.sampling import random_matrix


def stationary_point(problem: Any) -> np.ndarray:
    """A stationary point of Φ near 0, by SciPy on the closed form of ∇Φ."""
    from scipy.optimize import root

    found = root(problem.hypergradient, np.zeros(problem.d_x), tol=1e-12)
    residual = float(np.linalg.norm(problem.hypergradient(found.x)))
    if not residual < 1e-8:
        raise TargetError(f"no stationary point of Φ found from x = 0: ‖∇Φ‖ = {residual:.1e}")
    return np.asarray(found.x)


def directions(count: int, size: int, seed: int) -> np.ndarray:
    """Unit vectors in random directions, ``(count, size)``."""
    drawn = random_matrix(count, size, seed)
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


def at_height(problem: Any, height: float, count: int, seed: int) -> np.ndarray:
    """Points along random rays from the stationary point at which Φ is ``height`` above it.

    ``(count, d_x)``, by bisection. Raises ``TargetError`` where Φ does not rise so far.
    """
    centre, rays = stationary_point(problem), directions(count, problem.d_x, seed)

    def rise(lengths: np.ndarray) -> np.ndarray:
        x = centre + lengths[:, None] * rays
        floor = problem.upper(centre, problem.solution(centre))
        return problem.upper(x, problem.solution(x)) - floor

    low, high = np.zeros(count), np.ones(count)
    for _ in range(60):
        short = rise(high) < height
        if not np.any(short):
            break
        low, high = np.where(short, high, low), np.where(short, 2 * high, high)
    else:
        raise TargetError(f"Φ does not rise by {height:g} along a ray from its stationary point")
    for _ in range(60):
        middle = (low + high) / 2
        short = rise(middle) < height
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return centre + high[:, None] * rays
