"""The rate: ‖∇Φ‖ falls as T^{−1/3}, and the rivals' do not (SPEC 4.4).

Claim       with ε = T^{−1/3} and lower variance O(ε), AccBO's mean gradient is Θ(ε): exponent
            −1/3, under Gaussian and skewed noise. The normalised moving average has −1/4 on its
            own schedule and about −1/6 on AccBO's. With a constant lower variance tracking
            falls as T^{−1/6} only. On a stale sample, under skewed noise, nothing falls.
Regime      quadratic and cosh problems; schedules of ``accbo.schedules`` with its constants;
            start 0.3 from a stationary point; additive noise 0.5 (1.0 for the stale sample and
            the AccBO it is compared with), multiplicative 0.1, curvature and coupling 0.1.
Statistic   mean of ‖∇Φ(x_t)‖ (of ‖y*(x_t) − ŷ_t‖ for tracking) over t ≥ T/2 per replicate,
            for T = 2^8 … 2^13 (full: also 2^11 … 2^16); slope of log mean against log T, its
            error from the replicates.
Rule        the whole 99 % interval of the slope within a band of the prediction. The band
            covers the bias of a finite window, at most ``BIAS`` on this family in the full
            profile; it is 0.03, 0.05 for a user's own instance.
Variations  ``--problem`` names a factory of a problem with ``constants``, ``hypergradient`` and
            ``solution``; ``--schedule`` a function of (constants, steps) that returns a
            ``Schedule``; ``--noise`` a law. They replace AccBO's, not its rivals'.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from accbo import Tape, move, run, schedules
from accbo._arrays import asarray, norm, to_host
from accbo._blame import described
from accbo._foreign import ForeignError, foreign
from accbo.conformance.faults import FAULTS
from accbo.conformance.target import TargetError, load_target, space_of
from accbo.problems import LowerNoise, UpperNoise, quadratic, relaxed_smooth
from accbo.sampling import random_matrix
from accbo.schedules import Schedule
from theory_checks.backends import like
from theory_checks.harness import Outcome, Piece, Settings, run_checkpoint, save_records
from theory_checks.panels import Curve, Panel
from theory_checks.statistics import (
    Finding,
    at_least,
    band_false_alarm,
    relative_error,
    slope,
    within_band,
)

NAME = "rate"
CLAIM = "‖∇Φ‖ falls as T^(−1/3) for AccBO; as T^(−1/4), T^(−1/6), not at all for the rivals"
IN_WORDS = "‖∇Φ‖ falls as T^(−1/3)"
NOT_SHOWN = "how many iterations it takes to get there"
SOURCE = "SPEC 4.4"
EFFECT = "an exponent off by 0.06"
KILLS = (
    "stale sample",
    "no correction",
    "different sample",
    "correction without β",
    "β and 1−β swapped",
    "old point copied after the step",
    "two-iterations-old momentum",
    "samples normalised",
    "y_{t−1} overwritten",
    "γ as 1−γ",
    "upper gradient leaks",
    "series from q = 1",
    "1/l missing",
    "random term without Q",
    "sign of the implicit term",
)
DESIGNATED = "no correction"
VARIATIONS = ("schedule", "noise", "problem")

WINDOWS = {"quick": ((8, 13),), "full": ((8, 13), (11, 16))}  # moving it shows the bias
DIMENSION = 4
SKEW = 0.1
REPLICATES = {"quick": 512, "full": 1024}
GROUP = 512
RECORDS = 1024  # states looked at in a run
LEVEL = 0.99
BAND = 0.03
OWN_BAND = 0.05  # for a user's own dimension, skew or window
BIAS = 0.012
DECAY_BAND = 0.1


class Variant(NamedTuple):
    """One curve: which problem, noise, schedule and rival, and what it is judged by."""

    problem: str
    law: str
    noise: float
    fault: str | None  # the rival, as the fault that turns AccBO into it
    schedule: str
    constant_variance: bool
    quantity: str
    predicted: float | None  # None: judged apart
    band: float = BAND
    user: bool = True  # whether ``Settings.fault`` applies
    last_only: bool = False


VARIANTS = {
    "AccBO, Gaussian": Variant(
        "quadratic", "normal", 0.5, None, "accbo", False, "gradient", -1 / 3
    ),
    "AccBO, skewed": Variant(
        "quadratic", "two_point", 0.5, None, "accbo", False, "gradient", -1 / 3
    ),
    "AccBO, cosh, skewed": Variant(
        "cosh", "two_point", 0.5, None, "accbo", False, "gradient", -1 / 3
    ),
    "tracking, constant variance": Variant(
        "quadratic", "normal", 0.5, None, "accbo", True, "tracking", -1 / 6
    ),
    "moving average, own schedule": Variant(
        "quadratic",
        "normal",
        0.5,
        "no correction",
        "moving_average",
        False,
        "gradient",
        -1 / 4,
        user=False,
    ),
    "moving average, AccBO schedule": Variant(
        "quadratic",
        "normal",
        0.5,
        "no correction",
        "accbo",
        False,
        "gradient",
        -1 / 6,
        user=False,
    ),
    "stale sample, skewed": Variant(
        "quadratic",
        "two_point",
        1.0,
        "stale sample",
        "accbo",
        False,
        "gradient",
        0.0,
        band=DECAY_BAND,
        user=False,
    ),
    "AccBO, skewed, noise 1": Variant(
        "quadratic", "two_point", 1.0, None, "accbo", False, "gradient", None, last_only=True
    ),
}
STALE, BESIDE = "stale sample, skewed", "AccBO, skewed, noise 1"


OWN_PROBLEM = {
    "AccBO, own problem": Variant("own", "", 0.0, None, "accbo", False, "gradient", -1 / 3),
    "moving average, own schedule": VARIANTS["moving average, own schedule"]._replace(
        problem="own", law=""
    ),
}


def variants(settings: Settings) -> dict[str, Variant]:
    """The curves to measure: under a fault or a variation only those that it concerns."""
    if settings.problem is not None:
        chosen = OWN_PROBLEM
    elif settings.noise is not None:
        law, *_ = settings.noise.split(":")
        chosen = {
            name: variant._replace(law=law)
            for name, variant in VARIANTS.items()
            if name not in (STALE, BESIDE, "AccBO, skewed")
        }
        chosen[f"AccBO, {law}"] = chosen.pop("AccBO, Gaussian")
    else:
        chosen = VARIANTS
    if settings.fault is None and settings.schedule is None:
        return chosen
    return {name: each for name, each in chosen.items() if each.user and not each.last_only}


def pieces(settings: Settings) -> list[Piece]:
    """Every variant at every T, in groups of replicates; cost in thousands of steps."""
    keys = [
        (name, power, group)
        for name, variant in variants(settings).items()
        for power in (_powers(settings)[-1:] if variant.last_only else _powers(settings))
        for group in range(REPLICATES[settings.profile] // GROUP)
    ]
    return [Piece(NAME, key, 2.0 ** key[1] / 4096) for key in keys]


def measure(settings: Settings, piece: Piece) -> Outcome:
    """The statistic of every replicate of one group."""
    name, power, group = piece.key
    variant, steps = variants(settings)[name], 2**power
    host = problem_of(variant, settings)
    schedule = _schedule(variant, settings, host, steps)
    algorithm: Any = schedule.algorithm
    if variant.fault is not None:
        algorithm = FAULTS[variant.fault].apply(algorithm)
    elif variant.user:
        algorithm = settings.apply_fault(algorithm)
    here = like(settings.backend)
    problem = move(host, here)
    x = asarray(_starts(host, settings, group), here)
    number = list(variants(dataclasses.replace(settings, fault=None, schedule=None))).index(name)
    seed = (settings.seed * len(VARIANTS) + number) * 64 + power
    result = run(
        algorithm,
        problem,
        x,
        problem.solution(x),
        steps=steps,
        noise=Tape(
            seed,
            lower_scale=1.0 if variant.constant_variance else schedule.lower_scale,
            first_replicate=group * GROUP,
        ),
        warm_start=schedule.warm_start,
        first=schedule.first,
        record=_record(variant.quantity, problem),
        every=max(1, steps // RECORDS),
        checkpoint=run_checkpoint(settings, piece),
    )
    curve = to_host(result.records["value"])
    save_records(settings, piece, {variant.quantity: curve, "iteration": result.iterations})
    return {"mean": np.mean(curve[result.iterations >= steps // 2], axis=0)}


def judge(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """Exponents within their bands, and the level of the stale sample."""
    findings = []
    for name, variant in variants(settings).items():
        if variant.predicted is None:
            continue
        for low, high in _windows(settings):
            powers = range(low, high + 1)
            samples = [_gather(outcomes, name, power) for power in powers]
            measured, error = slope([2.0**power for power in powers], samples)
            findings.append(
                within_band(
                    f"exponent, {name}, 2^{low}…2^{high}",
                    variant.predicted,
                    _band(settings, variant.band),
                    measured,
                    error,
                    LEVEL,
                )
            )
    if STALE not in variants(settings):
        return findings
    last = _powers(settings)[-1]
    stale, beside = _gather(outcomes, STALE, last), _gather(outcomes, BESIDE, last)
    ratio = float(np.mean(stale) / np.mean(beside))
    error = ratio * float(np.hypot(relative_error(stale), relative_error(beside)))
    findings.append(
        at_least(f"level of a stale sample / AccBO's, T = 2^{last}", 2.0, ratio, error, LEVEL)
    )
    return findings


def panels(
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    findings: Sequence[Finding],
) -> list[Panel]:
    """log ‖∇Φ‖ against log T of every curve, with the line that the theory predicts."""
    found = []
    for quantity, label in (("gradient", "mean ‖∇Φ(x_t)‖, t ≥ T/2"), ("tracking", "mean ‖y* − ŷ‖")):
        names = [
            name
            for name, variant in variants(settings).items()
            if variant.quantity == quantity and not variant.last_only
        ]
        curves = [curve for name in names for curve in _curves(settings, outcomes, name)]
        if curves:
            title = "The rate" if quantity == "gradient" else "Tracking below"
            found.append(Panel(title, CAPTIONS[quantity], "T", label, curves, True, True))
    return found


def _curves(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome], name: str) -> list[Curve]:
    """Measured means with 99 % intervals, and the predicted slope through their middle."""
    powers = np.array(_powers(settings))
    samples = [_gather(outcomes, name, power) for power in powers]
    means = np.array([np.mean(sample) for sample in samples])
    half = means * 2.58 * np.array([relative_error(sample) for sample in samples])
    sizes, predicted = 2.0**powers, variants(settings)[name].predicted
    assert predicted is not None  # such curves are left out above
    line = np.exp(np.mean(np.log(means)) + predicted * (np.log(sizes) - np.log(sizes).mean()))
    return [
        Curve(name, sizes, means, means - half, means + half),
        Curve(f"T^{predicted:.2f}", sizes, line, predicted=True),
    ]


CAPTIONS = {
    "gradient": (
        "Points: means over the replicates with 99 % intervals. Lines: the predicted slope "
        "through the middle of each set of points. The lower level's variance scales as O(ε). "
        "AccBO's points follow T^(−1/3); a moving average falls more slowly, on its own schedule "
        "and on AccBO's; on a stale sample nothing falls."
    ),
    "tracking": (
        "The same with a constant lower variance: the lower level then tracks as T^(−1/6) only, "
        "which is why the theory asks for a variance of O(ε)."
    ),
}


def false_alarm(settings: Settings, findings: Sequence[Finding]) -> float:
    """From the spread just measured and ``BIAS``: the probability that a band is missed.

    The stale sample's level is hundreds of standard errors from its bound.
    """
    exponents = [finding for finding in findings if finding.quantity.startswith("exponent")]
    band = _band(settings, BAND)
    return float(sum(band_false_alarm(band, BIAS, _error(f), LEVEL) for f in exponents))


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Against ``EFFECT`` on top of the least helpful bias, the worst of the exponents."""
    exponents = [finding for finding in findings if finding.quantity.startswith("exponent")]
    judged = [finding for finding in exponents if finding.predicted]  # the stale one's band is wide
    band = _band(settings, BAND)
    return min(band_false_alarm(band, 0.06 - BIAS, _error(f), LEVEL) for f in judged)


# --- instances ----------------------------------------------------------------------------


@functools.lru_cache(maxsize=32)
def _problem(kind: str, dimension: int, law: str, skew: float, noise: float) -> Any:
    make: Any = quadratic if kind == "quadratic" else relaxed_smooth
    return make(
        np.linspace(1.0, 1.5, dimension),
        dimension,
        coupling=0.5,
        noise_upper=UpperNoise(noise, 0.1, noise, 0.1, law=law, probability=skew),
        noise_lower=LowerNoise(0.5, 0.1, 0.1, law=law, probability=skew),
    )


def problem_of(variant: Variant, settings: Settings) -> Any:
    """The instance of a variant, on the host."""
    if variant.problem == "own":
        return _own_problem(str(settings.problem))
    dimension = DIMENSION if settings.dimension is None else settings.dimension
    skew = SKEW if settings.skew is None else settings.skew
    if settings.noise is not None and ":" in settings.noise:
        skew = float(settings.noise.split(":")[1])
    return _problem(variant.problem, dimension, variant.law, skew, variant.noise)


@functools.lru_cache(maxsize=4)
def _own_problem(target: str) -> Any:
    """The user's problem; raises ``TargetError`` unless it has what the check needs."""
    problem = _call(target)
    missing = [
        name
        for name in ("constants", "hypergradient", "solution")
        if getattr(problem, name, None) is None
    ]
    if missing:
        raise TargetError(f"{target} returns a {type(problem).__name__} without {missing}")
    return problem


def _call(target: str, *arguments: Any) -> Any:
    """What the user's function returns; raises ``TargetError`` where it raises."""
    function = load_target(target)
    try:
        with space_of(function)(), foreign(target):
            return function(*arguments)
    except (ForeignError, NotImplementedError) as error:
        raise TargetError(f"{target} raised {described(error.__cause__ or error)}") from error


def _schedule(variant: Variant, settings: Settings, problem: Any, steps: int) -> Schedule:
    if settings.schedule is not None and variant.user:
        schedule = _call(settings.schedule, problem.constants, steps)
        if not isinstance(schedule, Schedule):
            raise TargetError(
                f"{settings.schedule} returned a {type(schedule).__name__}; expected an "
                "accbo.schedules.Schedule"
            )
        return schedule
    make = schedules.accbo if variant.schedule == "accbo" else schedules.moving_average
    return make(problem.constants, steps=steps)


def _starts(problem: Any, settings: Settings, group: int) -> np.ndarray:
    """Points 0.3 from a stationary point of Φ, one a replicate."""
    directions = random_matrix(GROUP, problem.d_x, settings.seed * 1024 + group)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return stationary_point(problem) + 0.3 * directions


def stationary_point(problem: Any) -> np.ndarray:
    """A stationary point of Φ near 0, by SciPy on the closed form of ∇Φ."""
    from scipy.optimize import root

    found = root(problem.hypergradient, np.zeros(problem.d_x), tol=1e-12)
    residual = float(np.linalg.norm(problem.hypergradient(found.x)))
    if not residual < 1e-8:
        raise TargetError(f"no stationary point of Φ found from x = 0: ‖∇Φ‖ = {residual:.1e}")
    return np.asarray(found.x)


def _record(quantity: str, problem: Any) -> dict[str, Any]:
    if quantity == "tracking":
        return {"value": lambda state: norm(problem.solution(state.x) - state.y_average)}
    return {"value": lambda state: norm(problem.hypergradient(state.x))}


def _windows(settings: Settings) -> tuple[tuple[int, int], ...]:
    return (settings.window,) if settings.window else WINDOWS[settings.profile]


def _powers(settings: Settings) -> tuple[int, ...]:
    """Every log2 T that some window takes, ascending."""
    windows = _windows(settings)
    return tuple(range(windows[0][0], windows[-1][1] + 1))


def _gather(outcomes: dict[tuple[Any, ...], Outcome], name: str, power: int) -> np.ndarray:
    keys = sorted(key for key in outcomes if key[:2] == (name, power))
    return np.concatenate([outcomes[key]["mean"] for key in keys])


def _band(settings: Settings, band: float) -> float:
    own = ("dimension", "skew", "window", "schedule", "noise", "problem")
    varied = any(getattr(settings, name) is not None for name in own)
    return max(band, OWN_BAND) if varied else band


def _error(finding: Finding) -> float:
    from scipy.stats import norm as normal

    assert finding.interval is not None  # exponents always have one
    low, high = finding.interval
    return float((high - low) / 2 / normal.isf((1 - LEVEL) / 2))
