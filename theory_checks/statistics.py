"""Decisions with known error rates: what every check reports, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ALPHA = 1e-9  # false alarm of one sampled finding that is an equality


@dataclass(frozen=True)
class Finding:
    """One comparison of theory and measurement; ``interval`` is None where it is exact.

    ``p_value``, where there is one, is uniform on (0, 1) if the theory holds.
    """

    quantity: str
    predicted: float
    measured: float
    interval: tuple[float, float] | None
    rule: str
    passed: bool
    p_value: float | None = None


def exact(quantity: str, predicted: float, measured: float, tolerance: float) -> Finding:
    """An equality up to rounding; ``tolerance`` is absolute and derived by the caller."""
    passed = bool(abs(measured - predicted) <= tolerance)  # False for a NaN
    rule = f"|difference| <= {tolerance:.1e}"
    return Finding(quantity, float(predicted), float(measured), None, rule, passed)


def equal_mean(quantity: str, predicted: float, measured: float, error: float) -> Finding:
    """A mean whose standard error is known: a two-sided z test at ``ALPHA``."""
    half = stats.norm.isf(ALPHA / 2) * error
    low, high = measured - half, measured + half
    rule = f"z test, two-sided, level {ALPHA:g}"
    return Finding(
        quantity,
        float(predicted),
        float(measured),
        (float(low), float(high)),
        rule,
        bool(low <= predicted <= high),
        float(2 * stats.norm.sf(abs(measured - predicted) / error)),
    )


def equal_variance(quantity: str, predicted: float, ratio: float, freedom: int) -> Finding:
    """A variance of Gaussian noise: ``ratio`` × freedom is χ² if the prediction is right.

    ``ratio`` is the mean of e²/V over ``freedom`` independent values; two-sided, level ``ALPHA``.
    """
    value = ratio * freedom
    low = value / stats.chi2.isf(ALPHA / 2, freedom)
    high = value / stats.chi2.ppf(ALPHA / 2, freedom)
    return Finding(
        quantity,
        float(predicted),
        float(predicted * ratio),
        (float(predicted * low), float(predicted * high)),
        f"chi2 test, two-sided, level {ALPHA:g}",
        bool(low <= 1 <= high),
        float(2 * min(stats.chi2.cdf(value, freedom), stats.chi2.sf(value, freedom))),
    )


def within_band(
    quantity: str, predicted: float, band: float, measured: float, error: float, level: float
) -> Finding:
    """A quantity known up to a declared bias: its whole interval must lie within the band."""
    half = stats.norm.isf((1 - level) / 2) * error
    low, high = measured - half, measured + half
    return Finding(
        quantity,
        float(predicted),
        float(measured),
        (float(low), float(high)),
        f"{100 * level:g} % interval within {band:g} of the prediction",
        bool(predicted - band <= low and high <= predicted + band),
    )


def at_least(quantity: str, bound: float, measured: float, error: float, level: float) -> Finding:
    """An inequality: the lower end of the interval must reach ``bound``."""
    half = stats.norm.isf((1 - level) / 2) * error
    low, high = measured - half, measured + half
    return Finding(
        quantity,
        float(bound),
        float(measured),
        (float(low), float(high)),
        f"{100 * level:g} % interval above the prediction",
        bool(low >= bound),
    )


def at_most(quantity: str, bound: float, measured: float, error: float, level: float) -> Finding:
    """An inequality: the upper end of the interval must not exceed ``bound``."""
    half = stats.norm.isf((1 - level) / 2) * error
    low, high = measured - half, measured + half
    return Finding(
        quantity,
        float(bound),
        float(measured),
        (float(low), float(high)),
        f"{100 * level:g} % interval below the prediction",
        bool(high <= bound),
    )


def slope(sizes: Sequence[float], samples: Sequence[np.ndarray]) -> tuple[float, float]:
    """Least-squares slope of log mean against log size, and its standard error.

    ``samples[i]`` holds one value per replicate at ``sizes[i]``; sizes are independent, so
    the error follows from the replicates' spread by the delta method.
    """
    x = np.log(np.asarray(sizes, dtype=float))
    weights = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    means = np.array([np.mean(sample) for sample in samples])
    errors = np.array([relative_error(sample) for sample in samples])
    return float(weights @ np.log(means)), float(np.sqrt(weights**2 @ errors**2))


def relative_error(sample: np.ndarray) -> float:
    """Standard error of the sample's mean, divided by that mean."""
    return float(np.std(sample, ddof=1) / math.sqrt(len(sample)) / np.mean(sample))


def band_false_alarm(band: float, bias: float, error: float, level: float) -> float:
    """Probability that ``within_band`` rejects when the truth is ``bias`` off its prediction."""
    room = band - stats.norm.isf((1 - level) / 2) * error
    return float(stats.norm.sf((room - bias) / error) + stats.norm.sf((room + bias) / error))


def equality_power(effect: float) -> float:
    """Power of a two-sided test at ``ALPHA`` against a shift of ``effect`` standard errors."""
    return float(stats.norm.sf(stats.norm.isf(ALPHA / 2) - effect))
