"""Relaxed smoothness of f (SPEC §1): the constants along a trajectory, the trend far from it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from accbo.auditing.finding import FAILS, HOLDS, UNTOLD, Finding, point_of
from accbo.auditing.growth import FAST, Ray, Trend, follow, steepest
from accbo.auditing.oracle import Normals, Oracle, Point, Points, unit

GRADIENTS = {"x": "grad_x_upper", "y": "grad_y_upper"}
SEARCHED = 4  # steps of a power iteration towards the steepest direction
NEAR = 1e-5  # of a difference that must pass for a derivative, in float64
NUDGE = 1e-6  # the same far away
TINY = 1e-300


class Pairs(NamedTuple):
    """‖∇f(z)‖ and ‖∇f(z) − ∇f(z')‖/‖z − z'‖ of pairs (z, z')."""

    gradients: np.ndarray
    slopes: np.ndarray


class Relaxed(NamedTuple):
    """slope ≤ l0 + l1 gradient on ``pairs`` pairs, of distances up to ``radius``."""

    l0: float
    l1: float
    radius: float
    pairs: int


def relaxed_smoothness(oracle: Oracle, walk: Points, normals: Normals) -> dict[str, Relaxed]:
    """The constants of ∇_x f and ∇_y f (keys x, y) that fit the pairs near ``walk``.

    The radius depends on the constants that it is to give: it is found in three rounds.
    """
    radius, found = 0.1, {}
    for _ in range(3):
        found = {v: fit(_pairs(oracle, v, walk, normals, radius), radius) for v in GRADIENTS}
        both = sum(constants.l1**2 for constants in found.values())
        radius = min(1.0, 1 / math.sqrt(2 * both)) if both else 1.0
    return found


def fit(pairs: Pairs, radius: float) -> Relaxed:
    """The L0, L1 ≥ 0 with slope ≤ L0 + L1·gradient at every pair whose mean slack is least.

    For a given L1 the least L0 is the largest slope − L1·gradient: what remains is convex in L1.
    """
    g, r = pairs

    def level(l1: float) -> float:
        return max(0.0, float(np.max(r - l1 * g)))

    mean = float(np.mean(g))
    low, high = 0.0, level(0.0) / max(mean, TINY)  # beyond, more slack than at L1 = 0
    for _ in range(200):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if level(left) + left * mean <= level(right) + right * mean:
            high = right
        else:
            low = left
    if low * float(np.max(g)) < 1e-6 * float(np.max(r, initial=0)):
        low = 0.0
    return Relaxed(level(low), low, radius, len(g))


def _pairs(oracle: Oracle, variable: str, walk: Points, normals: Normals, radius: float) -> Pairs:
    """Pairs at three distances on both sides along two random directions and a steep one."""
    method = GRADIENTS[variable]
    gradients, slopes = [], []
    near = NEAR * math.sqrt(oracle.roundoff / 2**-53)
    steps = [sign * s for s in (near, 0.25 * radius, 0.999 * radius) for sign in (1.0, -1.0)]
    for x, y in walk:
        here = oracle.mean(method, x, y)
        directions = [unit(normals((x.size + y.size,))) for _ in range(2)]
        directions.append(_steep(oracle, variable, (x, y), here, normals, near))
        moves = np.array([step * d for d in directions for step in steps])
        there = oracle.mean(method, x + moves[:, : x.size], y + moves[:, x.size :], finite=False)
        slope = np.linalg.norm(there - here, axis=1) / np.linalg.norm(moves, axis=1)
        slopes.append(slope[np.isfinite(slope)])
        gradients.append(np.full(len(slopes[-1]), np.linalg.norm(here)))
    return Pairs(np.concatenate(gradients), np.concatenate(slopes))


def _steep(
    oracle: Oracle, variable: str, point: Point, here: np.ndarray, normals: Normals, step: float
) -> np.ndarray:
    """A unit direction in ``variable`` along which ∇f in it changes fast: a power iteration."""
    x, y = point
    own = normals(here.shape)
    for _ in range(SEARCHED):
        own = unit(own)
        moved = (x + step * own, y) if variable == "x" else (x, y + step * own)
        change = (oracle.mean(GRADIENTS[variable], *moved) - here) / step
        if np.linalg.norm(change) <= TINY:
            break
        own = change
    own = unit(own)
    blank = np.zeros_like(y if variable == "x" else x)
    return np.concatenate((own, blank) if variable == "x" else (blank, own))


def smoothness(
    oracle: Oracle, variable: str, found: Relaxed, all_rays: list[Ray], normals: Normals
) -> Finding:
    """The finding for ∇f in ``variable``."""
    ray, worst = steepest(
        [(ray, trend) for ray in all_rays for trend in _far(oracle, variable, ray, normals)]
    )
    figures = {
        f"L_{variable}0": found.l0,
        f"L_{variable}1": found.l1,
        "radius": found.radius,
        "exponent": worst.exponent,
    }
    text = (
        f"L_{variable}0 = {found.l0:.4g}, L_{variable}1 = {found.l1:.4g} fit {found.pairs} pairs "
        f"near the walk up to {found.radius:.3g} apart"
    )
    verdict, at = HOLDS, None
    if math.isnan(worst.exponent):
        verdict, at = UNTOLD, point_of(*ray.at(worst.reach), oracle.seed)
        text += f"; not finite beyond distance {worst.reach:.3g}, too near for a trend"
    elif worst.exponent > FAST:
        verdict, at = FAILS, point_of(*ray.at(worst.reach), oracle.seed)
        text += f"; far out ‖∇²f‖/(1 + ‖∇f‖) grows {worst.said()}: no constants do"
    else:
        text += (
            f"; ‖∇²f‖/(1 + ‖∇f‖) is at most {worst.values[-1]:.3g} to distance {worst.reach:.4g}"
        )
    claim = f"∇_{variable} f is (L_{variable}0, L_{variable}1)-smooth within the radius"
    name = f"relaxed smoothness in {variable}"
    return Finding(name, claim, "SPEC §1", verdict, text, figures, at, "upper")


def _far(oracle: Oracle, variable: str, ray: Ray, normals: Normals) -> list[Trend]:
    """The local Lipschitz constant of the gradient over 1 + its norm; its envelope."""
    method, size = GRADIENTS[variable], ray.x.size
    directions = np.stack((np.concatenate((ray.dx, ray.dy)), unit(normals((size + ray.y.size,)))))

    step = NUDGE * math.sqrt(oracle.roundoff / 2**-53)

    def ratio(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
        here = oracle.mean(method, x, y, finite=False)
        moved = x + step * directions[:, :size], y + step * directions[:, size:]
        change = oracle.mean(method, *moved, finite=False) - here
        slope = float(np.max(np.linalg.norm(change, axis=1))) / step
        return (slope / (1 + float(np.linalg.norm(here))),)

    return follow(ray, ratio, envelope=True)


def bounded_gradient(oracle: Oracle, walk: Points, ray: Ray) -> Finding:
    """l_f0 from within: ‖∇_y f‖ along ``walk``, whose y is near y*(x); its growth in y alone."""

    def size(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
        return (float(np.linalg.norm(oracle.mean("grad_y_upper", x, y, finite=False))),)

    largest = max(size(*point)[0] for point in walk)
    figures = {"l_f0": largest}
    text, verdict = f"‖∇_y f(x, y*(x))‖ is at most {largest:.4g} on the walk", HOLDS
    for trend in follow(ray, size):
        figures["exponent"] = trend.exponent
        if trend.exponent > FAST:
            verdict = UNTOLD
            text += f"; in y it grows {trend.said()}: l_f0 is finite on bounded sets only"
    claim = "‖∇_y f(x, y*(x))‖ ≤ l_f0"
    return Finding("bounded ∇_y f", claim, "SPEC §1", verdict, text, figures, level="upper")
