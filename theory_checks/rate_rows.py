"""Findings that AccBO's rate and a user's share, and the numbers by which both are judged."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm as normal

from .harness import Outcome
from .rate_runs import REACHED, mean_error
from .statistics import Finding, at_most, half_width, shown

STEEP, FLAT = -3.5, -2.5  # halfway from −3 to −4, a moving average's, and to −2, without noise
SIX, FOUR = (1 - 2 * float(normal.sf(z)) for z in (6, 4))  # as levels of two-sided intervals


def reach_row(quantity: str, outcome: Outcome) -> Finding:
    """Whether μ, with six errors of room, is at most 0.7."""
    mean, error = mean_error(outcome["mean"])
    return at_most(quantity, REACHED, mean, error, SIX)


def reaches(sample: np.ndarray) -> bool:
    """The same of one value a replicate."""
    return reach_row("", {"mean": sample}).passed


def shown_order(quantity: str, predicted: float, order: float, error: float) -> Finding:
    """An exponent with its interval, beside the theory's."""
    half = half_width() * error
    ends = (order - half, order + half) if math.isfinite(half) else None
    return shown(quantity, order, ends, predicted)
