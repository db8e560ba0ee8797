"""AccBO's lower level on prescribed paths, with noise and without it.

The pieces of ``lower_tracking`` that run whole trajectories. The lower level's path is the
same in both orders: y_{t+1} is computed from x_t in both.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from accbo import AccBO, Tape, move, run
from accbo._arrays import asarray, to_host
from accbo.problems import LowerNoise, Quadratic, quadratic
from accbo.sampling import random_matrix

from . import lower_theory as theory
from .backends import like
from .consistency import expect
from .gaussian import predicted_covariance, predicted_mean, whiten
from .harness import Outcome, Settings
from .prescribed import OnPath
from .statistics import (
    Finding,
    equal_mean,
    equal_variance,
    exact,
)

ADDITIVE, LOWER_SCALE = 0.9, 0.7
SIGMA = ADDITIVE * LOWER_SCALE
SPECTRUM = (0.4, 1.0, 2.5)
COPIES = 4  # of every eigenvalue of the diagonal H: independent samples of one law
START, DRIFT = np.array([0.9, -0.5]), np.array([0.03, 0.02])
DIRECTION = np.array([1.0, 0.4])  # y* = u·x in every coordinate of the diagonal H
WARM_START = 3
TERMS, SCALE = 3, 1.2  # Q, and l over the largest curvature
# sums of dozens of terms of the size of y, every rounding damped by 0.93 a step or more
ROUNDING = 1e-13


class Path(NamedTuple):
    """A lower level, the declared conventions, and the states that are judged."""

    full: bool  # H and C full matrices, or H diagonal with ``COPIES`` of each eigenvalue
    moments: tuple[int, ...]  # values of t
    step_size: float = 0.17
    momentum: float = 0.62
    averaging: float = 0.23
    order: str = "simultaneous"
    period: int | None = None
    lower_steps: int = 1


PATHS = {
    "diagonal": Path(False, (2, 9, 90)),
    "SGD": Path(False, (140,), step_size=0.37, momentum=0.0, averaging=1.0),
    "simultaneous": Path(True, (2, 9, 60)),
    "sequential": Path(True, (2, 9, 60), order="sequential"),
    "II simultaneous": Path(True, (1, 6, 32), period=3, lower_steps=4),
    "II sequential": Path(True, (1, 6, 32), order="sequential", period=3, lower_steps=4),
}

RECORD = {
    "y": lambda state: state.y,
    "y_previous": lambda state: state.y_previous,
    "y_average": lambda state: state.y_average,
}


# --- instances ----------------------------------------------------------------------------


def problem_of(path: Path) -> Quadratic:
    """The quadratic of a path, on the host; its upper level is deterministic, ∇_y f is not 0."""
    noise = LowerNoise(additive=ADDITIVE)
    if path.full:
        coupling = random_matrix(3, 2, 7)
        return quadratic(SPECTRUM, 2, coupling=coupling, target=0.8, noise_lower=noise, seed=5)
    spectrum = [h for h in SPECTRUM for _ in range(COPIES)]
    coupling = np.outer(spectrum, DIRECTION)
    return quadratic(spectrum, 2, coupling=coupling, rotate=False, target=0.8, noise_lower=noise)


def algorithm_of(path: Path, problem: Any) -> AccBO:
    """AccBO with the lower level of a path."""
    return AccBO(
        lower_step_size=path.step_size,
        lower_momentum=path.momentum,
        averaging=path.averaging,
        momentum=0.7,
        upper_step_size=0.1,
        neumann_terms=TERMS,
        neumann_scale=SCALE * problem.constants.curvature,
        period=path.period,
        lower_steps=path.lower_steps,
        order=path.order,
    )


def lower_of(path: Path, hessian: np.ndarray) -> theory.Lower:
    """What the theory needs to know of a path."""
    return theory.Lower(
        hessian,
        path.step_size,
        path.momentum,
        path.averaging,
        SIGMA,
        path.period,
        path.lower_steps,
    )


def positions(steps: int) -> np.ndarray:
    """x_0 … x_steps, ``(steps + 1, 2)``."""
    return START + np.arange(steps + 1)[:, None] * DRIFT


@functools.lru_cache(maxsize=8)
def laws(name: str) -> tuple[tuple[theory.Law, ...], np.ndarray]:
    """The laws of v_0 … v_T of a path, and y*(x_0) … y*(x_T) ``(T + 1, d_y)``.

    The diagonal path is one of a single copy of each eigenvalue: its coordinates are alike.
    """
    path = PATHS[name]
    steps = path.moments[-1]
    problem = problem_of(path)
    hessian, response = problem.hessian, problem.response
    if not path.full:
        hessian, response = hessian[::COPIES, ::COPIES], response[::COPIES]
    targets = positions(steps) @ response.T
    found = theory.path_laws(
        lower_of(path, hessian), np.zeros(len(hessian)), targets[:-1], WARM_START
    )
    return tuple(found), targets


# --- measurements -------------------------------------------------------------------------


def measure_noise(settings: Settings, name: str, first: int, replicates: int) -> Outcome:
    """Samples of v at the moments, ``(moments, R, 3, d_y)``; per t, what the pictures need."""
    found = _run(settings, name, replicates, LOWER_SCALE, first)
    moments = np.array(PATHS[name].moments) - 1
    samples = np.stack([found[part][moments] for part in RECORD], axis=-2)
    if not PATHS[name].full:
        _, targets = laws(name)
        errors = [
            targets[1:, None, :, None] - _by_eigenvalue(found[part]) for part in ("y", "y_average")
        ]
        both = np.stack(errors, axis=1)  # (T, 2, R, eigenvalues, copies)
        return {
            "samples": samples,
            "lag": np.mean(both, axis=(2, 4)),
            "square": np.mean(both**2, axis=(2, 4)),
        }
    return {"samples": samples}


def measure_trajectory(settings: Settings, name: str) -> Outcome:
    """v_1 … v_T without noise, ``(T, 3, d_y)``."""
    found = _run(settings, name, 1, 0.0, 0)
    return {"v": np.stack([found[part][:, 0] for part in RECORD], axis=1)}


def _run(
    settings: Settings, name: str, replicates: int, scale: float, first: int
) -> dict[str, np.ndarray]:
    """The records of the states 1 … T on the host, ``(T, R, d)``."""
    path, here = PATHS[name], like(settings.backend)
    problem = problem_of(path)
    algorithm = settings.apply_fault(algorithm_of(path, problem))
    seed = settings.seed * len(PATHS) + list(PATHS).index(name)
    x = asarray(np.broadcast_to(START, (replicates, 2)).copy(), here)
    result = run(
        OnPath(algorithm, asarray(DRIFT, here)),
        move(problem, here),
        x,
        asarray(np.zeros((replicates, problem.d_y)), here),
        steps=path.moments[-1],
        noise=Tape(seed, lower_scale=scale, first_replicate=first),
        warm_start=WARM_START,
        record=RECORD,
    )
    return {part: to_host(values) for part, values in result.records.items()}


def _by_eigenvalue(values: np.ndarray) -> np.ndarray:
    """Coordinates ``(..., 3·COPIES)`` as ``(..., 3, COPIES)``."""
    return values.reshape(*values.shape[:-1], len(SPECTRUM), COPIES)


def gathered(
    found: dict[tuple[Any, ...], Outcome], name: str, key: tuple[Any, ...], axis: int = 0
) -> np.ndarray:
    """One array of all groups of replicates of a piece, in their order."""
    groups = sorted(each for each in found if each[: len(key)] == key)
    return np.concatenate([found[each][name] for each in groups], axis=axis)


# --- decisions ----------------------------------------------------------------------------


def judge_noise(name: str, samples: np.ndarray) -> list[Finding]:
    """Mean and covariance of v; ``samples`` has shape ``(moments, R, 3, d_y)``."""
    if name == "diagonal":
        return _judge_eigenvalues(samples)
    if name == "SGD":
        return _judge_gradient(samples)
    found, _ = laws(name)
    findings = []
    for moment, values in zip(PATHS[name].moments, samples, strict=True):
        law, kept = found[moment], values.reshape(len(values), -1)
        if PATHS[name].period is not None:  # y_{t−1} is a copy, judged as such
            law, kept = _without_previous(law, kept)
        white = whiten(kept, *law)
        label = f"{name}, t = {moment}"
        findings.append(predicted_mean(f"χ²/k of the mean of v, {label}", white))
        findings.append(predicted_covariance(f"χ²/k of Cov v, {label}", white))
    return findings


def _without_previous(law: theory.Law, samples: np.ndarray) -> tuple[theory.Law, np.ndarray]:
    size = len(law.mean) // 3
    kept = np.r_[:size, 2 * size : 3 * size]
    return theory.Law(law.mean[kept], law.covariance[np.ix_(kept, kept)]), samples[:, kept]


def _judge_eigenvalues(samples: np.ndarray) -> list[Finding]:
    """Lags, variances and the whole 3 × 3 covariance; at the last moment by closed forms."""
    path, (found, targets) = PATHS["diagonal"], laws("diagonal")
    findings = []
    for moment, values in zip(path.moments, samples, strict=True):
        for index, h in enumerate(SPECTRUM):
            law, target = _of_eigenvalue(found[moment], index), targets[moment, index]
            triples = np.moveaxis(_by_eigenvalue(values)[:, :, index], 1, -1).reshape(-1, 3)
            label = f"h = {h}, t = {moment}"
            lags, variances = target - law.mean, np.diag(law.covariance)
            if moment == path.moments[-1]:
                lags, variances = _closed(path, h, lags, variances)
            for part, symbol in ((0, "y"), (2, "ŷ")):
                errors = target - triples[:, part]
                predicted, spread = float(lags[part]), float(variances[part])
                deviation = math.sqrt(spread / len(errors))
                findings.append(
                    equal_mean(f"y* − {symbol}, {label}", predicted, np.mean(errors), deviation)
                )
                ratio = float(np.mean((errors - predicted) ** 2)) / spread
                findings.append(
                    equal_variance(f"Var {symbol}, {label}", spread, ratio, len(errors))
                )
            quantity = f"χ²/k of Cov v, {label}"
            findings.append(predicted_covariance(quantity, whiten(triples, *law)))
    return findings


def _closed(
    path: Path, h: float, lags: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lag of y and ŷ and variance of y in closed form, where the recursion has arrived."""
    lower, drift = lower_of(path, np.array([[h]])), float(DIRECTION @ DRIFT)
    behind = theory.lag(h, drift, path.step_size, path.momentum)
    limit = np.array([behind, np.nan, behind + theory.average_lag(drift, path.averaging)])
    _, covariance = theory.stationary(theory.step_of(h, lower), drift)
    spread = np.diag(covariance).copy()
    spread[0] = theory.variance(h, SIGMA, path.step_size, path.momentum)
    close = np.allclose(lags[[0, 2]], limit[[0, 2]], rtol=1e-7, atol=0)
    expect(close, "the recursion's lag has arrived at the closed form")
    close = np.allclose(variances, spread, rtol=1e-9, atol=0)
    expect(close, "the recursion's variance has arrived at the closed form")
    return limit, spread


def _judge_gradient(samples: np.ndarray) -> list[Finding]:
    """SGD's lag and variance in closed form."""
    path, (found, targets) = PATHS["SGD"], laws("SGD")
    findings = []
    for index, h in enumerate(SPECTRUM):
        drift = float(DIRECTION @ DRIFT)
        lag = theory.gradient_lag(h, drift, path.step_size)
        spread = theory.gradient_variance(h, SIGMA, path.step_size)
        law, target = _of_eigenvalue(found[-1], index), targets[-1, index]
        near = abs(target - law.mean[0] - lag) < 1e-9 * lag
        expect(near, "the recursion's lag of SGD is that of the closed form")
        near = abs(law.covariance[0, 0] - spread) < 1e-9 * spread
        expect(near, "the recursion's variance of SGD is that of the closed form")
        errors = target - _by_eigenvalue(samples[-1])[:, 2, index].ravel()
        deviation = math.sqrt(spread / len(errors))
        findings.append(equal_mean(f"y* − ŷ of SGD, h = {h}", lag, np.mean(errors), deviation))
        ratio = float(np.mean((errors - lag) ** 2)) / spread
        findings.append(equal_variance(f"Var ŷ of SGD, h = {h}", spread, ratio, len(errors)))
    return findings


def _of_eigenvalue(law: theory.Law, index: int) -> theory.Law:
    kept = np.arange(index, len(law.mean), len(law.mean) // 3)
    return theory.Law(law.mean[kept], law.covariance[np.ix_(kept, kept)])


def judge_trajectory(name: str, outcome: Outcome) -> list[Finding]:
    """Without noise v_t is its mean, at every t."""
    path, (found, targets) = PATHS[name], laws(name)
    copies = 1 if path.full else COPIES
    means = np.array([law.mean for law in found[1:]]).reshape(len(found) - 1, 3, -1)
    parts = [0, 2] if path.period is not None else [0, 1, 2]
    deviation = outcome["v"][:, parts] - np.repeat(means[:, parts], copies, axis=-1)
    size = float(np.max(np.abs(targets)))
    worst = float(np.max(np.abs(deviation)))
    return [exact(f"deviation of v without noise, {name}", 0.0, worst, ROUNDING * size)]
