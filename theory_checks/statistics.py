"""Decisions with known error rates: what every check reports, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

ALPHA = 1e-9  # false alarm of one sampled finding that is an equality
LEVEL = 0.99  # of the interval that a bound holds, unless a check says otherwise
LEAST_ALARM = 1e-12  # that a sampled bound promises
ROUNDING_ONLY = 1e-9  # relative; what allows more is no equality
KINDS = ("equality", "band", "bound", "shown")


def _score(tail: float) -> float:
    """The z beyond which a standard normal number lies with probability ``tail``."""
    return -float(special.ndtri(tail))


def _tail(score: float) -> float:
    return float(special.ndtr(-score))


_Z = _score(ALPHA / 2)
_W = math.sqrt(2 * math.log(2 / ALPHA))  # where 2 exp(−W²/2) is ``ALPHA``


@dataclass(frozen=True)
class Finding:
    """One comparison of theory and measurement; the functions below make them.

    ``kind`` is one of ``KINDS``: an equality up to rounding or up to chance, a band around the
    prediction of what has no chance in it, an inequality, or what is shown and not judged.
    ``allowance`` says in a word how much is allowed, ``used`` is the share of it that was used:
    above 1 the finding fails.
    ``interval`` is that of the measurement, None where no chance is in it. ``false_alarm`` is the
    probability that right code fails, 0 where there is no chance; of a sampled bound that a fresh
    seed of the same code does.
    ``p_value``, where there is one, is uniform on (0, 1) if the theory holds: that of an exact test
    of what is continuous.
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


def unjudged(finding: Finding) -> Finding:
    """The same number, shown beside what it was compared with."""
    return shown(finding.quantity, finding.measured, finding.interval, finding.predicted)


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


def estimated_mean(
    quantity: str, predicted: float, measured: float, error: float, size: int
) -> Finding:
    """A mean of ``size`` values whose standard error is estimated from the same values.

    (mean − predicted)/error is W√((n − 1)/(n − W²)) with the W of ``self_normalised``.
    """
    most = _W * math.sqrt((size - 1) / (size - _W**2))
    with np.errstate(all="ignore"):  # a fault may leave no spread, or an infinite one
        score = float(np.divide(abs(measured - predicted), error))
    return Finding(
        quantity,
        float(predicted),
        float(measured),
        (float(measured - most * error), float(measured + most * error)),
        "equality",
        f"t ≤ {most:.1f}",
        f"self-normalised sum of {size} symmetric values, two-sided, level {ALPHA:g}",
        bool(score <= most),
        _share(score, most),
        ALPHA,
    )


def self_normalised(quantity: str, value: float, share: float = 1.0) -> Finding:
    """W = Σx/√Σx², which is 0 in the mean.

    |W| > w has a probability of 2 exp(−w²/2) at most if the x are symmetric, whatever their law
    (Efron 1969): their signs are as good as drawn when their sizes are known. So it has if they are
    differences of a martingale, each symmetric given the past. Where they are not quite, the
    exponent is ``share`` of that.
    """
    most = _W / math.sqrt(share)
    return Finding(
        quantity,
        0.0,
        float(value),
        (float(value - most), float(value + most)),
        "equality",
        f"W ≤ {most:.1f}",
        f"self-normalised sum, two-sided, level {ALPHA:g}",
        bool(abs(value) <= most),
        _share(abs(float(value)), most),
        ALPHA,
    )


def equal_within(
    quantity: str, predicted: float, measured: float, ends: tuple[float, float]
) -> Finding:
    """A quantity that lies between ``ends`` but for a probability of ``ALPHA`` at most."""
    low, high = ends
    room = high - predicted if measured > predicted else predicted - low
    return Finding(
        quantity,
        float(predicted),
        float(measured),
        (float(measured - (high - predicted)), float(measured + (predicted - low))),
        "equality",
        _range(low, high),
        f"Chernoff's bound for the law of the noise, two-sided, level {ALPHA:g}",
        bool(low <= measured <= high),
        _share(abs(measured - predicted), room),
        ALPHA,
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
    quantity: str,
    bound: float,
    measured: float,
    error: float = 0.0,
    level: float = LEVEL,
    freedom: float | None = None,
) -> Finding:
    """An inequality: the lower end of the interval must reach ``bound``.

    ``error`` is an estimate of ``freedom`` degrees of freedom.
    """
    low, high = _interval(measured, error, level)
    of = f"lower end of the {100 * level:g} % interval" if error else "at least"
    passed = bool(low >= bound)
    return Finding(
        quantity,
        float(bound),
        float(measured),
        (low, high) if error else None,
        "bound",
        _compared(low, "≥", bound) if error else f"≥ {short(bound)}",
        f"{of} {bound:g}",
        passed,
        _used(-measured, -bound, measured - low, passed),
        _fresh_alarm(error, low - bound, freedom),
    )


def at_most(
    quantity: str,
    bound: float,
    measured: float,
    error: float = 0.0,
    level: float = LEVEL,
    freedom: float | None = None,
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
        _compared(high, "≤", bound) if error else f"≤ {short(bound)}",
        f"{of} {bound:g}",
        passed,
        _used(measured, bound, high - measured, passed),
        _fresh_alarm(error, bound - high, freedom),
    )


def equal_share(quantity: str, count: int, runs: int, rank: int, simulated: int) -> Finding:
    """``count`` of ``runs`` values exceed the ``rank``-th largest of ``simulated`` others.

    If all have one continuous law, whatever it is, the count is beta-binomial: the exceeded
    probability is Beta(rank, simulated + 1 − rank). Two-sided, level ``ALPHA``, exact.
    """
    p_value = share_p_value(count, runs, rank, simulated)
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
    )


def share_p_value(count: int, runs: int, rank: int, simulated: int) -> float:
    """The p-value of ``equal_share``; a count takes few values, so that it is not uniform."""
    law = stats.betabinom(runs, rank, simulated + 1 - rank)
    return min(1.0, 2 * float(min(law.cdf(count), law.sf(count - 1))))


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
    """Power of a two-sided z test at ``ALPHA`` against a shift of ``effect`` standard errors."""
    return _tail(_Z - effect)


def power_of(finding: Finding, effect: float) -> float:
    """Power of the test of an equality against a quantity off by ``effect``, either way.

    About: by the wider side of its interval, taken for ``_Z`` standard errors.
    """
    low, high = finding.interval or (math.nan, math.nan)
    half = max(finding.measured - low, high - finding.measured)
    return 1.0 if half == 0 else equality_power(effect * _Z / half)


def short(value: float) -> str:
    """A number in as few characters as it can be read from: 1e-14, 0.03, 8."""
    text = f"{value:.2g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def _range(least: float, most: float) -> str:
    """Both ends, with as many digits as tell them apart."""
    return " … ".join(_apart(least, most, 2))


def _compared(end: float, sign: str, bound: float) -> str:
    """The end of an interval that is compared with a bound, and the bound."""
    ends = _apart(end, bound, 3)
    return f"{ends[0]} {sign} {short(bound)}"


def _apart(one: float, other: float, digits: int) -> list[str]:
    """Two numbers with as many digits as tell them apart, and ``digits`` at least."""
    for count in range(digits, 18):
        ends = [f"{value:.{count}g}" for value in (one, other)]
        if ends[0] != ends[1]:
            break
    return ends


def _fresh_alarm(error: float, room: float, freedom: float | None) -> float:
    """Chance that a fresh seed of the same code fails, when this one had ``room`` to spare.

    Both runs scatter by ``error``, so that their difference does by √2 times that. Room that is
    negative, of a run that failed, makes it large. What is below ``LEAST_ALARM`` is said to be
    that: so far out nobody has seen whether the law of a mean is Student's.
    """
    if error == 0:
        return 0.0 if room >= 0 else 1.0
    score = room / (math.sqrt(2) * error)
    chance = _tail(score) if freedom is None else float(stats.t.sf(score, freedom))
    return 1.0 if math.isnan(chance) else max(chance, LEAST_ALARM)


def half_width(level: float = LEVEL) -> float:
    """Half of an interval of that level, in standard errors."""
    return _score((1 - level) / 2)


def _interval(measured: float, error: float, level: float) -> tuple[float, float]:
    half = half_width(level) * error if error else 0.0
    return float(measured - half), float(measured + half)


def _used(measured: float, bound: float, half: float, passed: bool) -> float:
    """What part of the way from ``measured`` to the ``bound`` above it half an interval takes.

    Where nothing is sampled, ``measured`` itself of a bound that is an allowance, above 0; 0 of
    any other that is kept.
    """
    if half != 0:
        return _share(half, bound - measured)
    if bound > 0:
        return _share(max(measured, 0.0), bound)
    return 0.0 if passed else math.inf


def _share(part: float, whole: float) -> float:
    """part/whole, 0 for 0/0, infinite where that says nothing: NaN, or no room at all."""
    if part == 0:
        return 0.0
    return part / whole if whole > 0 and math.isfinite(part) else math.inf
