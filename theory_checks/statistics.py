"""Decisions with known error rates: what every check reports, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

ALPHA = 1e-9  # false alarm of one sampled finding that is an equality
LEVEL = 0.99  # of the interval that a bound holds, unless a check says otherwise
ROUNDING_ONLY = 1e-9  # relative; what allows more is no equality
KINDS = ("equality", "band", "bound", "shown")


def _score(tail: float) -> float:
    """The z beyond which a standard normal number lies with probability ``tail``."""
    return -float(special.ndtri(tail))


def _tail(score: float) -> float:
    return float(special.ndtr(-score))


_Z = _score(ALPHA / 2)


@dataclass(frozen=True)
class Finding:
    """One comparison of theory and measurement; the functions below make them.

    ``kind`` is one of ``KINDS``: an equality up to rounding or up to chance, a band around the
    prediction of what has no chance in it, an inequality, or what is shown and not judged.
    ``allowance`` says in a word how much is allowed, ``used`` is the share of it that was used:
    above 1 the finding fails.
    ``interval`` is that of the measurement, None where no chance is in it. ``false_alarm`` is the
    probability that right code fails: 0 where there is no chance, NaN where nothing bounds it.
    ``p_value``, where there is one, is uniform on (0, 1) if the theory holds.
    """

    quantity: str
    predicted: float  # NaN where a shown quantity has no prediction
    measured: float
    interval: tuple[float, float] | None
    kind: str
    allowance: str
    rule: str
    passed: bool
    used: float = 0.0
    false_alarm: float = 0.0
    p_value: float | None = None

    @property
    def judged(self) -> bool:
        """Whether it counts: what is only shown does not."""
        return self.kind != "shown"


# --- without chance --------------------------------------------------------------------------


def exact(quantity: str, predicted: float, measured: float, tolerance: float) -> Finding:
    """An equality up to rounding; ``tolerance`` is absolute and derived by the caller.

    One of more than ``ROUNDING_ONLY``, relative to the prediction or to 1, is a band.
    """
    rounding = tolerance <= ROUNDING_ONLY * max(1.0, abs(predicted))
    allowance = "equal" if tolerance == 0 else f"±{short(tolerance)}"
    return _without_chance(
        quantity, predicted, measured, tolerance, "equality" if rounding else "band", allowance
    )


def near(quantity: str, predicted: float, measured: float, room: float, unit: str = "") -> Finding:
    """A deterministic quantity known up to ``room``; ``unit`` is a word, as in "±1 step"."""
    allowance = f"±{short(room)} {unit}" if unit else f"within {short(room)}"
    return _without_chance(quantity, predicted, measured, room, "band", allowance)


def _without_chance(
    quantity: str, predicted: float, measured: float, room: float, kind: str, allowance: str
) -> Finding:
    off = abs(measured - predicted)
    return Finding(
        quantity,
        float(predicted),
        float(measured),
        None,
        kind,
        allowance,
        f"|difference| <= {room:.1e}",
        # an infinite measurement may come with an infinite tolerance of its own
        bool(off <= room and math.isfinite(room)),
        _share(off, room),
    )


def between(
    quantity: str, least: float, most: float, measured: float, predicted: float | None = None
) -> Finding:
    """A number without chance that may lie anywhere from ``least`` to ``most``.

    ``predicted`` is what is printed beside it, ``most`` if it is not given.
    """
    middle, half = (most + least) / 2, (most - least) / 2
    return Finding(
        quantity,
        float(most if predicted is None else predicted),
        float(measured),
        None,
        "bound",
        _range(least, most),
        f"from {least:.6g} to {most:.6g}",
        bool(least <= measured <= most),
        _share(abs(measured - middle), half),
    )


def diverged(quantity: str, iteration: float) -> Finding:
    """A NaN or an infinity appeared in this iteration: always a failure."""
    rule = "no NaN or infinity appears"
    return Finding(
        quantity, math.inf, float(iteration), None, "equality", "none", rule, False, math.inf
    )


def shown(
    quantity: str,
    measured: float,
    interval: tuple[float, float] | None = None,
    predicted: float = math.nan,
) -> Finding:
    """What no theory judges; ``predicted`` is a number to hold beside it, where there is one."""
    ends = None if interval is None else (float(interval[0]), float(interval[1]))
    return Finding(
        quantity,
        float(predicted),
        float(measured),
        ends,
        "shown",
        "not judged",
        "shown, not judged",
        True,
    )


# --- equalities up to chance -----------------------------------------------------------------


def equal_mean(quantity: str, predicted: float, measured: float, error: float) -> Finding:
    """A mean whose standard error is known: a two-sided z test at ``ALPHA``."""
    low, high = measured - _Z * error, measured + _Z * error
    with np.errstate(all="ignore"):  # a fault may leave no spread, or an infinite one
        score = float(np.divide(abs(measured - predicted), error))
    return Finding(
        quantity,
        float(predicted),
        float(measured),
        (float(low), float(high)),
        "equality",
        f"z ≤ {_Z:.1f}",
        f"z test, two-sided, level {ALPHA:g}",
        bool(low <= predicted <= high),
        _share(score, _Z),
        ALPHA,
        2 * _tail(score),
    )


def equal_variance(quantity: str, predicted: float, ratio: float, freedom: int) -> Finding:
    """A variance of Gaussian noise: ``ratio`` × freedom is χ² if the prediction is right.

    ``ratio`` is the mean of e²/V over ``freedom`` independent values; two-sided, level ``ALPHA``.
    """
    value = ratio * freedom
    low = value / stats.chi2.isf(ALPHA / 2, freedom)
    high = value / stats.chi2.ppf(ALPHA / 2, freedom)
    p_value = float(2 * min(stats.chi2.cdf(value, freedom), stats.chi2.sf(value, freedom)))
    return Finding(
        quantity,
        float(predicted),
        float(predicted * ratio),
        (float(predicted * low), float(predicted * high)),
        "equality",
        f"p ≥ {short(ALPHA)}",
        f"chi2 test, two-sided, level {ALPHA:g}",
        bool(low <= 1 <= high),
        _share(_score(min(p_value, 1.0) / 2), _Z),
        ALPHA,
        p_value,
    )


# --- bounds of what is sampled --------------------------------------------------------------


def at_least(
    quantity: str, bound: float, measured: float, error: float = 0.0, level: float = LEVEL
) -> Finding:
    """An inequality: the lower end of the interval must reach ``bound``."""
    low, high = _interval(measured, error, level)
    of = f"lower end of the {100 * level:g} % interval" if error else "at least"
    passed = bool(low >= bound)
    return Finding(
        quantity,
        float(bound),
        float(measured),
        (low, high) if error else None,
        "bound",
        f"≥ {short(bound)}",
        f"{of} {bound:g}",
        passed,
        _share(bound, low) if bound > 0 else (0.0 if passed else math.inf),
        _fresh_alarm(passed, error, low - bound),
    )


def at_most(
    quantity: str, bound: float, measured: float, error: float = 0.0, level: float = LEVEL
) -> Finding:
    """An inequality: the upper end of the interval must not exceed ``bound``."""
    low, high = _interval(measured, error, level)
    of = f"upper end of the {100 * level:g} % interval at most" if error else "at most"
    passed = bool(high <= bound)
    return Finding(
        quantity,
        float(bound),
        float(measured),
        (low, high) if error else None,
        "bound",
        f"≤ {short(bound)}",
        f"{of} {bound:g}",
        passed,
        _share(high, bound) if bound > 0 else (0.0 if passed else math.inf),
        _fresh_alarm(passed, error, bound - high),
    )


def equal_share(quantity: str, count: int, runs: int, rank: int, simulated: int) -> Finding:
    """``count`` of ``runs`` values exceed the ``rank``-th largest of ``simulated`` others.

    If all have one continuous law, whatever it is, the count is beta-binomial: the exceeded
    probability is Beta(rank, simulated + 1 − rank). Two-sided, level ``ALPHA``, exact.
    """
    law = stats.betabinom(runs, rank, simulated + 1 - rank)
    p_value = min(1.0, 2 * float(min(law.cdf(count), law.sf(count - 1))))
    return Finding(
        quantity,
        rank / simulated,
        count / runs,
        (_lower_end(count, runs), 1 - _lower_end(runs - count, runs)),
        "equality",
        f"p ≥ {short(ALPHA)}",
        f"beta-binomial test, two-sided, level {ALPHA:g}",
        p_value >= ALPHA,
        _share(max(0.0, _score(p_value / 2)), _score(ALPHA / 2)),
        ALPHA,
        p_value,
    )


def _lower_end(count: int, runs: int) -> float:
    """The smallest share at which ``count`` or more of ``runs`` has probability ``ALPHA``."""
    return float(stats.beta.ppf(ALPHA, count, runs - count + 1)) if count else 0.0


# --- slopes, and what the above is made of ----------------------------------------------------


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


def equality_power(effect: float) -> float:
    """Power of a two-sided test at ``ALPHA`` against a shift of ``effect`` standard errors."""
    return _tail(_Z - effect)


def power_of(finding: Finding, effect: float) -> float:
    """Power of the test of ``finding``, an ``equal_mean``, against a mean off by ``effect``."""
    low, high = finding.interval or (math.nan, math.nan)
    return equality_power(effect * 2 * _Z / (high - low))


def short(value: float) -> str:
    """A number in as few characters as it can be read from: 1e-14, 0.03, 8."""
    text = f"{value:.2g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def _range(least: float, most: float) -> str:
    """Both ends, with as many digits as tell them apart."""
    for digits in range(2, 18):
        ends = [f"{value:.{digits}g}" for value in (least, most)]
        if ends[0] != ends[1]:
            break
    return " … ".join(ends)


def _fresh_alarm(passed: bool, error: float, *rooms: float) -> float:
    """Chance that a fresh seed of the same code fails, when this one had ``rooms`` to spare.

    Both runs scatter by ``error``, so that their difference does by √2 times that. NaN where
    this one failed: what right code does is not known from it.
    """
    if not passed:
        return math.nan
    if error == 0:
        return 0.0
    return float(sum(_tail(room / (math.sqrt(2) * error)) for room in rooms))


def half_width(level: float = LEVEL) -> float:
    """Half of an interval of that level, in standard errors."""
    return _score((1 - level) / 2)


def _interval(measured: float, error: float, level: float) -> tuple[float, float]:
    half = half_width(level) * error if error else 0.0
    return float(measured - half), float(measured + half)


def _share(part: float, whole: float) -> float:
    """part/whole, 0 for 0/0, infinite where that says nothing: NaN, or no room at all."""
    if part == 0:
        return 0.0
    return part / whole if whole > 0 and math.isfinite(part) else math.inf
