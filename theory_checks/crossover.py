"""Where two methods of different orders cost the same: power laws, calls, and their crossing.

The level that a run of T iterations reaches is a power law of T, fitted; the calls that T
iterations cost are counted, not fitted. Calls as a function of the level follow from both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

FACTORS = (2.0, 4.0)  # the accuracies ε*/2 and ε*/4
LOG_LEVELS = (math.log(1e-6), math.log(10.0))  # where a crossing is looked for


class PowerLaw(NamedTuple):
    """log level = intercept + slope · log T."""

    intercept: float
    slope: float


class Cost(NamedTuple):
    """Calls of a run of T iterations, linear between these points on a doubly logarithmic scale."""

    log_steps: np.ndarray
    log_calls: np.ndarray

    def __call__(self, log_steps: float) -> float:
        """log calls; beyond the last point as between the last two."""
        x, y = self.log_steps, self.log_calls
        index = int(np.clip(np.searchsorted(x, log_steps) - 1, 0, len(x) - 2))
        slope = (y[index + 1] - y[index]) / (x[index + 1] - x[index])
        return float(y[index] + slope * (log_steps - x[index]))


class Method(NamedTuple):
    """What is known of one method: its levels at some T, and its cost at any."""

    log_steps: np.ndarray
    log_levels: np.ndarray
    cost: Cost
    predicted: float  # slope of log level against log T

    def fitted(self) -> PowerLaw:
        """The least-squares line through the levels."""
        slope, intercept = np.polyfit(self.log_steps, self.log_levels, 1)
        return PowerLaw(float(intercept), float(slope))

    def theory(self) -> PowerLaw:
        """The line of the predicted slope through their middle."""
        middle = np.mean(self.log_levels - self.predicted * self.log_steps)
        return PowerLaw(float(middle), self.predicted)


def cost_of(steps: Sequence[int], calls: np.ndarray, smooth: bool = False) -> Cost:
    """The cost through counted points, smoothed where the terms Q of a series grow by whole ones.

    Smoothed, the calls per iteration are the parabola in log T nearest to those counted: Q is
    linear in log T, an independent series takes Q(Q − 1)/2 products.
    """
    x, y = np.log(np.asarray(steps, dtype=float)), calls.astype(float)
    if smooth:
        each = np.polyval(np.polyfit(x, y / np.exp(x), 2), x)
        y = each * np.exp(x)
    return Cost(x, np.log(y))


Laws = tuple[PowerLaw, PowerLaw]  # of the one, of the other
Costs = tuple[Cost, Cost]


def log_ratio(log_level: float, laws: Laws, costs: Costs) -> float:
    """log of (calls of the other)/(calls of the one) until the level is reached."""
    one, other = (
        cost((log_level - law.intercept) / law.slope) for law, cost in zip(laws, costs, strict=True)
    )
    return other - one


def crossing(laws: Laws, costs: Costs) -> float:
    """log ε*: below it the one is cheaper. NaN where the curves of calls do not cross."""
    low, high = LOG_LEVELS
    if not all(law.slope < 0 for law in laws):
        return math.nan
    if not log_ratio(low, laws, costs) > 0 > log_ratio(high, laws, costs):
        return math.nan
    return float(brentq(log_ratio, low, high, args=(laws, costs), xtol=1e-12))


def comparison(
    one: Method,
    other: Method,
    law: Callable[[Method], PowerLaw] = Method.fitted,
    dearer: Cost | None = None,
) -> np.ndarray:
    """log ε*, and the logs of (calls of the other)/(calls of the one) at ε*/2 and ε*/4.

    ``law`` is ``Method.fitted`` for what is measured, ``Method.theory`` for what is predicted.
    With ``dearer`` the ratios, at the same accuracies, are those at that cost of the one.
    """
    laws, costs = (law(one), law(other)), (one.cost, other.cost)
    star = crossing(laws, costs)
    paid = costs if dearer is None else (dearer, other.cost)
    ratios = [log_ratio(star - math.log(factor), laws, paid) for factor in FACTORS]
    return np.array([star, *ratios])


def errors(
    quantity: Callable[[Method, Method], np.ndarray],
    one: Method,
    other: Method,
    deviations: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Standard errors of ``quantity`` where the log levels have ``deviations``: delta method."""
    pair, squares = (one, other), np.zeros(1 + len(FACTORS))
    for index, method in enumerate(pair):
        for shift in np.diag(deviations[index]) / 2:
            ends = [
                quantity(*(moved if each is method else each for each in pair))
                for moved in (
                    method._replace(log_levels=method.log_levels + sign * shift) for sign in (-1, 1)
                )
            ]
            squares += (ends[1] - ends[0]) ** 2
    return np.sqrt(squares)
