"""How far an average of a known law of noise strays: Chernoff's bound, whatever the law.

e = Σ c_j n_j is a weighted sum of independent noises of one law, which is a function of uniform
numbers: its moment generating function M is an integral that we take numerically. An average of
``count`` independent values X exceeds (K(λ) + log(2/level)/count)/λ, K(λ) = log E exp(λX), with
probability level/2 at most, for every λ > 0, so that the least of them over some λ is an end that
holds for that law and that count. No normal approximation is made, and no error is estimated from
the values: a law that has few large values among them gets a wide range, not a false alarm.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp, ndtri

from accbo._law import Law, evaluate

from .noise import law_fields

CELLS = 2000  # of the uniform numbers, equally wide in log u/(1 − u)
LEAST = 2.0**-54  # of the uniform numbers of a tape, which else are multiples of 2^−53
FARTHEST = 53 * math.log(2)  # log u/(1 − u) of the last of them
EXPONENT = 5000.0  # the largest λe² that is integrated over
SPAN, FINE = 0.002, 20  # the λ that are tried: down to this share of the largest, and how many
ROUNDED = 1e-15  # n² of a law that is a sign, and least E x² − 1 that is told from 0
STEP, BEYOND = 0.25, 12.0  # of the integral over g: its steps, and how far it goes beyond its peak
# sinh of it is the largest s·value that is tabulated: √(2·EXPONENT) times the end of that integral
WIDEST, ENTRIES, BLOCKS = math.asinh(100.0 * (BEYOND + 100.0)), 8001, 64


class Values:
    """A law as values with their probabilities, of mean 0 and variance 1."""

    def __init__(self, value: np.ndarray, chance: np.ndarray) -> None:
        """Tabulate log M, closely where exp(s·value) bends."""
        self.largest = float(np.max(np.abs(value)))
        self.is_a_sign = bool(np.max(np.abs(value**2 - 1)) < ROUNDED)
        self.fourth_cumulant = float(chance @ value**4) - 3
        self._at = np.sinh(np.linspace(-WIDEST, WIDEST, ENTRIES)) / self.largest
        blocks = np.array_split(self._at, BLOCKS)  # the whole table at once would not fit a cache
        self._log = np.concatenate([_log_moments(value, chance, at) for at in blocks])

    def log_moments(self, at: np.ndarray) -> np.ndarray:
        """log M, never below it: the chords of a convex function."""
        return np.interp(at, self._at, self._log)


def _log_moments(value: np.ndarray, chance: np.ndarray, at: np.ndarray) -> np.ndarray:
    """log Σ chance·exp(at·value), the largest term taken out."""
    exponents = np.outer(at, value)
    largest = np.max(exponents, axis=1)
    exponents -= largest[:, None]
    return np.asarray(np.log(np.exp(exponents, out=exponents) @ chance) + largest)


@functools.lru_cache(maxsize=8)
def values_of(noise: str) -> Values:
    """The law that is asked for as ``--noise``: two values, or the midpoints of cells."""
    asked: dict[str, Any] = {"law": "two_point", "probability": 0.1} | law_fields(noise)
    if asked["law"] == "two_point":
        p = asked["probability"]
        up, down = math.sqrt((1 - p) / p), -math.sqrt(p / (1 - p))
        return Values(np.array([up, down]), np.array([p, 1 - p]))
    ends = np.linspace(-FARTHEST, FARTHEST, CELLS + 1)
    chance = np.diff(expit(ends))
    chance = (chance + chance[::-1]) / 2  # 1 − u has no digits where u has them
    chance /= np.sum(chance)
    middles = np.clip(expit((ends[1:] + ends[:-1]) / 2), LEAST, 1 - 2 * LEAST)
    value = evaluate(_function(asked["law"]), middles, "the law")
    value = value - chance @ value
    return Values(value / math.sqrt(chance @ value**2), chance)


def _function(law: Law) -> Callable[[np.ndarray], np.ndarray]:
    return law if callable(law) else ndtri


def fourth_moment(law: Values, weights: np.ndarray) -> np.ndarray:
    """E e⁴ of e = Σ c_j n_j, c along the last axis."""
    square = np.sum(weights**2, axis=-1)
    return np.asarray(law.fourth_cumulant * np.sum(weights**4, axis=-1) + 3 * square**2)


def square_ends(law: Values, weights: np.ndarray, count: int, level: float) -> tuple[float, float]:
    """Ends of the mean of e²/E e² over ``count`` values, as many of each row of ``weights``.

    Below, exp(−x) ≤ 1 − x + x²/2 for x ≥ 0 needs no more than E e⁴. Above, E exp(λe²) is
    E exp(√(2λ) g e) with a standard normal g, and that the integral over g of a product of M.
    """
    unit = weights / np.linalg.norm(weights, axis=-1, keepdims=True)
    fourth = fourth_moment(law, unit)
    room = math.log(2 / level) / count
    best = math.sqrt(2 * room / max(float(np.mean(fourth)) - 1, ROUNDED))
    small = min(best, 1.0) * np.geomspace(SPAN, 4, 400)
    inner = np.log1p(-small + np.outer(fourth, small**2) / 2)
    low = max(0.0, float(np.max(-(np.mean(inner, axis=0) + room) / small)))
    reach = law.largest * float(np.max(np.sum(np.abs(unit), axis=-1)))
    tried = min(2 * best, EXPONENT / reach**2) * np.geomspace(SPAN, 1, FINE)
    upper = [np.mean([_log_of_square(law, row, each) for row in unit]) for each in tried]
    return low, float(np.min((np.array(upper) + room) / tried))


def _log_of_square(law: Values, weights: np.ndarray, rate: float) -> float:
    """log E exp(λe²), λ being ``rate``.

    The integrand bends at most as a standard normal density does, so that steps of ¼ are exact.
    """
    scale = math.sqrt(2 * rate)
    end = BEYOND + scale * law.largest * float(np.sum(np.abs(weights)))
    normal = np.arange(-end, end, STEP)
    exponents = np.sum(law.log_moments(np.outer(normal, scale * weights)), axis=1) - normal**2 / 2
    return float(logsumexp(exponents)) + math.log(STEP / math.sqrt(2 * math.pi))


def sum_ends(law: Values, weights: np.ndarray, count: int, level: float) -> tuple[float, float]:
    """Ends of the mean of e = Σ c_j n_j over ``count`` values."""
    room = math.log(2 / level) / count
    tried = math.sqrt(2 * room) / float(np.linalg.norm(weights)) * np.geomspace(SPAN, 2, 80)

    def end(sign: int) -> float:
        inner = np.sum(law.log_moments(sign * np.outer(tried, weights)), axis=1)
        return float(np.min((inner + room) / tried))

    return -end(-1), end(1)
