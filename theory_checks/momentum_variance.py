"""Variance and lag of the recursive momentum on a fixed path, as equalities (SPEC 4.2).

Claim       e_t = m_t − ∇F(x_t) has mean 0 and V_t = β²V_{t−1} + (1−β)²s0² + s1²(x_t − βx_{t−1})²
            per coordinate, V_0 = s0² + s1²x_0²; at rest with s1 = 0, V∞ = (1−β)/(1+β)·s0². A
            moving average has the SAME V∞ but lags a gradient that drifts by d a step by
            β/(1−β)·d, where the recursive momentum lags by 0.
Regime      AccBO itself on a prescribed path, so that the path does not depend on the noise;
            C = 0 and w = 1, so that ∇Φ = x.
            At rest, x and y held still, with every noise of h on, whatever its law:
            V_t = [β^2t + (1−β)²(1−β^2t)/(1−β²)] V_0, for every sampling of the series, in both
            orders and options, for an f that couples x and y and for a Φ that is not convex;
            a mean of S samples in m_0 has V_0 = (s0² + s1²x_0²)/S.
Statistic   R replicates × d coordinates of e_t: mean of e²/V, mean of e.
Rule        Gaussian noise makes e_t exactly Gaussian: two-sided χ² and z tests. With every noise on
            V_t/V_0 is judged by an error that comes from the replicates, as for symmetric values.
            Under --noise e_t is a sum of independent noises of that law, so that Chernoff's bound
            says what mean of e² or of e has a probability below 1e-9, for any law and any number of
            replicates: the heavier its tail, the more is allowed and the less is seen. Where e²
            does not vary (a sign, one sample) it is an equality up to rounding. V_t/V_0 is shown.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from accbo import AccBO, Tape, move, run
from accbo._arrays import asarray, to_host
from accbo.conformance.faults import FAULTS
from accbo.problems import (
    LowerNoise,
    Quadratic,
    UpperNoise,
    finite_sum,
    nonquadratic,
    quadratic,
    relaxed_smooth,
)

from .backends import like
from .consistency import expect
from .harness import Outcome, Piece, Settings, save_records
from .noise import law_fields
from .panels import Curve, Panel
from .prescribed import OnPath
from .statistics import (
    ALPHA,
    Finding,
    equal_mean,
    equal_variance,
    equal_within,
    estimated_mean,
    exact,
    power_of,
    shown,
)
from .tails import square_ends, sum_ends, values_of

NAME = "momentum_variance"
CLAIM = "Var e_t follows the recursion to (1−β)/(1+β)·s0², and m_t does not lag"
IN_WORDS = "the momentum's variance is known; no lag"
NOT_SHOWN = "other β than 0.9, nor a path moved by noise"
SOURCE = "SPEC 4.2"
EFFECT = "a variance off by 10 %, V_t/V_0, where judged, by 14 %, a lag of 5 % of an average's"
KILLS = (
    "stale sample",
    "different sample",
    "no correction",
    "correction without β",
    "β and 1−β swapped",
    "old point copied after the step",
    "two-iterations-old momentum",
    "samples normalised",
)
DESIGNATED = "no correction"
VARIATIONS = ("noise",)

BETA = 0.9
ADDITIVE, MULTIPLICATIVE = 0.8, 0.4
DIMENSION = 4
STEPS = 120
MOMENTS = (1, 2, 5, 20, STEPS)  # state.iteration = t + 1 for each t that is judged
DRIFT = (0.05, -0.02, 0.03, 0.01)
START = (1.0, -0.5, 0.3, 2.0)
REPLICATES = {"quick": 4_000, "full": 40_000}
GROUP = 1_000

# name: (s1, drift); the rival is the fault that has no correction
PATHS = {
    "drift": (MULTIPLICATIVE, DRIFT),
    "rest": (0.0, (0.0,) * DIMENSION),
    "lag": (0.0, DRIFT),
    "rival": (0.0, DRIFT),
}
FIRST = 5  # S of the path "mean"
# what is declared otherwise in a run at rest; the last two have an f that couples x and y, and a
# Φ that is not convex
AT_REST: dict[str, dict[str, Any]] = {
    "chained": {},
    "independent": {"neumann_sampling": "independent"},
    "randomised": {"neumann_sampling": "randomised"},
    "Option II": {"period": 3, "lower_steps": 2},
    "sequential": {"order": "sequential", "neumann_sampling": "randomised"},
    "coupled f": {"neumann_sampling": "independent"},
    "Φ not convex": {"order": "sequential", "period": 2, "lower_steps": 3},
}
REST_STEPS = 12
OFF, OFF_AT_REST, LAGGING = 0.1, 0.14, 0.05  # ``EFFECT``
ROUNDING = 64 * 2.0**-53  # of e²/V: m and x are about as large as s0
STILL = 1e-12  # α at rest: y must not move where its own gradient is not 0


def pieces(settings: Settings) -> list[Piece]:
    """Each path in groups of replicates."""
    groups = REPLICATES[settings.profile] // GROUP
    paths = (*PATHS, "mean", *AT_REST)
    keys = [(path, group) for path in paths for group in range(groups)]
    return [Piece(NAME, key, 0.3) for key in keys]


def measure(settings: Settings, piece: Piece) -> Outcome:
    """e_t for the moments judged, shape (moments, replicates, d)."""
    path, group = piece.key
    if path in AT_REST:
        return {"momenta": _at_rest(settings, path, group)}
    if path == "mean":
        return {"errors": _mean_of_first(settings, group)}
    multiplicative, drift = PATHS[path]
    here = like(settings.backend)
    problem = move(_problem(multiplicative, settings.noise), here)
    if path == "rival":
        algorithm = FAULTS["no correction"].apply(_algorithm())
    else:
        algorithm = settings.apply_fault(_algorithm())
    x = asarray(np.broadcast_to(np.array(START), (GROUP, DIMENSION)).copy(), here)
    seed = settings.seed * len(PATHS) + list(PATHS).index(path)
    result = run(
        OnPath(algorithm, asarray(np.array(drift), here)),
        problem,
        x,
        0 * x[..., : problem.d_y],
        steps=STEPS,
        noise=Tape(seed, first_replicate=group * GROUP),
        record={"error": lambda state: state.momentum - state.x_previous},
    )
    errors = to_host(result.records["error"])
    save_records(settings, piece, {"error": errors, "iteration": result.iterations})
    return {"errors": errors[[moment - 1 for moment in MOMENTS]]}


def judge(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """χ² for the variances, z for the means."""
    errors = {path: _gather(path, outcomes) for path in PATHS}
    findings: list[Finding] = []
    for path in ("drift", "rest"):
        variances = _variances(*PATHS[path])
        for index, moment in enumerate(MOMENTS):
            if path == "rest" and moment == STEPS:
                continue  # that is the limit below
            quantity, weights = f"Var e_t, {path}, t = {moment - 1}", _weights(*PATHS[path], moment)
            variance, values = variances[moment - 1], errors[path][index]
            findings.append(_variance(settings, quantity, variance, values, weights))
    stationary = (1 - BETA) / (1 + BETA) * ADDITIVE**2
    last, weights = errors["rest"][-1], _weights(*PATHS["rest"], STEPS)
    transient = _variances(*PATHS["rest"])[-1][0] / stationary - 1
    expect(transient < 1e-9, "119 steps in the limit of Var e is reached")
    findings.append(_variance(settings, "Var e at rest, t → ∞", stationary, last, weights))
    findings.append(_lag(settings, "lag of AccBO's momentum", 0.0, errors["lag"][-1], "lag"))
    rival = _lag(settings, "lag of a moving average", _gap(), errors["rival"][-1], "rival")
    findings.append(rival)
    first = np.concatenate(
        [outcomes[key]["errors"] for key in sorted(outcomes) if key[0] == "mean"]
    )
    variance = (ADDITIVE**2 + MULTIPLICATIVE**2 * np.array(START) ** 2) / FIRST
    each = np.tile(_weights(*PATHS["drift"], 1) / FIRST, FIRST)
    findings.append(_variance(settings, f"Var e_0, mean of {FIRST} samples", variance, first, each))
    for sampling in AT_REST:
        groups = [outcomes[key]["momenta"] for key in sorted(outcomes) if key[0] == sampling]
        momenta = np.concatenate(groups, axis=1)
        findings.append(_judge_at_rest(settings, sampling, momenta))
    values, quantity = errors["rival"][-1] - _mean_lag(), "Var e of a moving average, t → ∞"
    findings.append(_variance(settings, quantity, stationary, values, weights))
    return findings


def panels(
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    findings: Sequence[Finding],
) -> list[Panel]:
    """Variance against t beside its recursion, and the two lags."""
    errors = {path: _gather(path, outcomes) for path in PATHS}
    times = np.array(MOMENTS) - 1
    curves = []
    for path, label in (("drift", "s1 = 0.4, on a drifting path"), ("rest", "at rest, s1 = 0")):
        variances = np.mean(_variances(*PATHS[path]), axis=-1)
        curves.append(Curve("recursion", range(STEPS), variances, predicted=True, group=path))
        means = np.mean(errors[path] ** 2, axis=(1, 2))
        half = 2.58 * means * math.sqrt(2 / errors[path][0].size)
        curves.append(Curve(label, times, means, means - half, means + half, group=path))
    direction = np.array(DRIFT) / np.linalg.norm(DRIFT)
    lags = []
    for path, label in (("lag", "AccBO"), ("rival", "moving average")):
        along = -errors[path] @ direction
        half = 2.58 * np.std(along, axis=1) / math.sqrt(along.shape[1])
        mean = np.mean(along, axis=1)
        lags.append(Curve(label, times, mean, mean - half, mean + half, group=path))
    steps = np.arange(STEPS)
    gap = BETA * (1 - BETA**steps) / (1 - BETA) * float(np.linalg.norm(DRIFT))
    lags.append(Curve("0", steps, 0.0 * gap, predicted=True, group="lag"))
    label = "β(1 − β^t)/(1 − β)·d"
    lags.append(Curve(label, steps, gap, predicted=True, group="rival"))
    return [
        Panel(
            "Variance of the momentum",
            "Mean over coordinates and replicates of e_t², with 99 % intervals, on the recursion "
            "V_t = β²V_{t−1} + (1−β)²s0² + s1²(x_t − βx_{t−1})². Points on the line: the variance "
            "falls to a twentieth of one sample's at rest, and grows with s1 as the path moves.",
            "t",
            "Var e_t",
            curves,
            log_y=True,
        ),
        Panel(
            "Lag on a drifting gradient",
            "Both have the same variance at rest; only the lag tells them apart. AccBO's momentum "
            "does not lag, a moving average does, by exactly β/(1−β)·d in the end.",
            "t",
            "lag along the drift",
            lags,
        ),
    ]


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Against ``EFFECT``: of the row that would see its part of it the least."""
    sampled = [finding for finding in findings if finding.judged and finding.interval is not None]
    return min((power_of(finding, _effect(finding)) for finding in sampled), default=0.0)


def _effect(finding: Finding) -> float:
    """What ``EFFECT`` means for a row."""
    if finding.quantity.startswith("lag"):
        return LAGGING * _gap()
    return (OFF if finding.quantity.startswith("Var") else OFF_AT_REST) * finding.predicted


# --- measurements -------------------------------------------------------------------------


def _problem(multiplicative: float, noise: str | None) -> Quadratic:
    above = UpperNoise(additive_x=ADDITIVE, multiplicative_x=multiplicative, **law_fields(noise))
    return quadratic((1.0, 1.2), DIMENSION, coupling=0.0, noise_upper=above)


def _algorithm() -> AccBO:
    return AccBO(
        lower_step_size=0.1,
        lower_momentum=0.6,
        averaging=0.3,
        momentum=BETA,
        upper_step_size=1.0,
        neumann_terms=2,
        neumann_scale=1.3,
    )


def _at_rest(settings: Settings, sampling: str, group: int) -> np.ndarray:
    """m_0 and the last m at a point that does not move, every noise of h on; (2, R, d_x)."""
    here = like(settings.backend)
    host = _resting(sampling, settings.noise)
    problem = move(host, here)
    x = asarray(np.tile(START[: host.d_x], (GROUP, 1)), here)
    algorithm = dataclasses.replace(_algorithm(), neumann_terms=4, lower_step_size=STILL)
    scale = max(4.0, host.constants.curvature)
    algorithm = dataclasses.replace(algorithm, neumann_scale=scale, **AT_REST[sampling])
    y = asarray(np.full((GROUP, host.d_y), 0.3), here)
    result = run(
        OnPath(settings.apply_fault(algorithm), 0 * x[0, :]),
        problem,
        x,
        y,
        steps=REST_STEPS,
        noise=Tape(_rest_seed(settings, sampling), 0.0, first_replicate=group * GROUP),
        record={"momentum": lambda state: state.momentum},
    )
    return to_host(result.records["momentum"])[[0, -1]]


@functools.cache
def _resting(path: str, noise: str | None) -> Any:
    """The problem of a run at rest: f of ``finite_sum`` has ∇²_xy f ≠ 0, its noise is batches."""
    law = law_fields(noise)
    above, below = UpperNoise(0.5, 0.3, 0.4, 0.2, **law), LowerNoise(0.5, 0.4, 0.4, **law)
    if path == "coupled f":
        return finite_sum(7, 3, 2, upper_samples=5)
    if path == "Φ not convex":
        return relaxed_smooth((1.0, 1.5), 2, ripple=0.4, noise_upper=above, noise_lower=below)
    return nonquadratic((1.0, 1.6, 2.2), DIMENSION, noise_upper=above, noise_lower=below)


def _rest_seed(settings: Settings, path: str) -> int:
    return (settings.seed + 1) * 1000 + ("mean", *AT_REST).index(path)


def _mean_of_first(settings: Settings, group: int) -> np.ndarray:
    """e_0 where m_0 is the mean over ``FIRST`` samples."""
    here = like(settings.backend)
    x = asarray(np.tile(START, (GROUP, 1)), here)
    problem = move(_problem(MULTIPLICATIVE, settings.noise), here)
    result = run(
        OnPath(settings.apply_fault(_algorithm()), 0 * x[0, :]),
        problem,
        x,
        0 * x[..., : problem.d_y],
        steps=1,
        first=FIRST,
        noise=Tape(_rest_seed(settings, "mean"), first_replicate=group * GROUP),
    )
    return to_host(result.state.momentum - result.state.x_previous)


def _variance(
    settings: Settings,
    quantity: str,
    variance: np.ndarray | float,
    values: np.ndarray,
    weights: np.ndarray,
) -> Finding:
    """χ² where the noise is Gaussian; of another law by what Chernoff's bound allows it.

    ``weights`` are those of the noises in e, a row a coordinate.
    """
    predicted, ratio = float(np.mean(variance)), float(np.mean(values**2 / variance))
    if settings.noise is None:
        return equal_variance(quantity, predicted, ratio, values.size)
    law = values_of(settings.noise)
    if law.is_a_sign and np.all(np.count_nonzero(weights, axis=-1) == 1):
        return exact(quantity, predicted, predicted * ratio, predicted * ROUNDING)
    low, high = square_ends(law, weights, values.size, ALPHA)
    return equal_within(quantity, predicted, predicted * ratio, (predicted * low, predicted * high))


def _judge_at_rest(settings: Settings, sampling: str, momenta: np.ndarray) -> Finding:
    """The ratio of total variances, its error by the delta method from the replicates."""
    decay = BETA ** (2 * (REST_STEPS - 1))
    predicted = decay + (1 - BETA) ** 2 * (1 - decay) / (1 - BETA**2)
    squares = np.sum((momenta - np.mean(momenta, axis=1, keepdims=True)) ** 2, axis=-1)
    first, last = np.mean(squares, axis=1)
    size = squares.shape[1]
    error = float(np.std(squares[1] - predicted * squares[0], ddof=1) / math.sqrt(size))
    quantity, ratio = f"V_t/V_0 at rest, every noise, {sampling}", float(last / first)
    if settings.noise is not None:  # h multiplies noises of a law that may have heavy tails
        return shown(quantity, ratio, predicted=predicted)
    return estimated_mean(quantity, predicted, ratio, error / float(first), size)


def _gather(path: str, outcomes: dict[tuple[Any, ...], Outcome]) -> np.ndarray:
    keys = sorted(key for key in outcomes if key[0] == path)
    return np.concatenate([outcomes[key]["errors"] for key in keys], axis=1)


# --- the theory ---------------------------------------------------------------------------


def _variances(multiplicative: float, drift: Sequence[float]) -> np.ndarray:
    """V_t for t = 0 … STEPS − 1, shape (STEPS, d)."""
    x, step = np.array(START), np.array(drift)
    variance = ADDITIVE**2 + multiplicative**2 * x**2
    found = [variance]
    for _ in range(STEPS - 1):
        x, previous = x + step, x
        fresh = multiplicative**2 * (x - BETA * previous) ** 2
        variance = BETA**2 * variance + (1 - BETA) ** 2 * ADDITIVE**2 + fresh
        found.append(variance)
    return np.array(found)


def _weights(multiplicative: float, drift: Sequence[float], moment: int) -> np.ndarray:
    """Those of the noises in e_t, t = ``moment`` − 1: additive, then multiplicative; a row each."""
    x = np.array(START) + np.arange(moment)[:, None] * np.array(drift)
    kept = BETA ** np.arange(moment)[::-1]
    fresh = np.where(np.arange(moment) > 0, 1 - BETA, 1.0)
    moved = np.concatenate((x[:1], x[1:] - BETA * x[:-1]))
    additive = np.tile(ADDITIVE * kept * fresh, (DIMENSION, 1))
    return np.hstack((additive, multiplicative * (kept[:, None] * moved).T))


def _gap() -> float:
    """How far a moving average lags along the drift at the last moment."""
    return float(np.linalg.norm(_mean_lag()))


def _mean_lag() -> np.ndarray:
    """Mean of e_t of a moving average at the last moment: it lags, so −β/(1−β)·d."""
    return -BETA * (1 - BETA ** (STEPS - 1)) / (1 - BETA) * np.array(DRIFT)


def _lag(
    settings: Settings, quantity: str, predicted: float, errors: np.ndarray, path: str
) -> Finding:
    """−mean of e along the drift; its standard error from the exact variances."""
    direction = np.array(DRIFT) / np.linalg.norm(DRIFT)
    weights = (_weights(*PATHS[path], STEPS) * -direction[:, None]).ravel()
    measured = float(-np.mean(errors @ direction))
    if settings.noise is None:
        error = float(np.linalg.norm(weights)) / math.sqrt(len(errors))
        return equal_mean(quantity, predicted, measured, error)
    low, high = sum_ends(values_of(settings.noise), weights, len(errors), ALPHA)
    return equal_within(quantity, predicted, measured, (predicted + low, predicted + high))
