"""AccBO's laws on a prescribed path (SPEC 4.1, 4.2) as functions of an algorithm.

Each returns an ``Outcome`` whose error is in units of its own bound, so that the same function
is run on random problems, where it must hold, and on faults, where it must not. Those on the
algorithm's own path are the functions of ``theory_checks.own_path``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from accbo import AccBO, AccBOParts, Tape, run
from accbo.problems import LowerNoise, Quadratic, UpperNoise, quadratic
from accbo.relations.case import Outcome, as_declared
from accbo.sampling import Start

U = 2.0**-53
Build = Callable[[AccBO], Any]

# --- SPEC 4.1: the bias of the Neumann series --------------------------------------------------


class Series(NamedTuple):
    """S_Q v on H = ``hessian`` with scale ``scale``: ``terms`` terms, in one of the samplings.

    ``signs`` is the size of the diagonal sign noise of every realisation of H.
    """

    hessian: np.ndarray
    scale: float
    terms: int
    sampling: str = "chained"
    signs: float = 0.0


def series_problem(series: Series) -> Quadratic:
    """F = ½‖y‖² over G = ½⟨y, Hy⟩ − ⟨y, x⟩: the hypergradient estimate at y is S y."""
    d = len(series.hessian)
    return Quadratic(
        weights=np.zeros(d),
        target=np.zeros(d),
        hessian=series.hessian,
        coupling=np.eye(d),
        noise_lower=LowerNoise(curvature=series.signs),
        form="matmul",
    )


def series_algorithm(series: Series) -> AccBO:
    """AccBO whose m_0 is the series at the point it starts from."""
    return AccBO(
        lower_step_size=0.1,
        lower_momentum=0.5,
        averaging=0.5,
        momentum=0.5,
        upper_step_size=0.1,
        neumann_terms=series.terms,
        neumann_scale=series.scale,
        neumann_sampling=series.sampling,
    )


def estimate(series: Series, v: np.ndarray, build: Build = as_declared) -> np.ndarray:
    """What the algorithm computes for S v without noise, shape of ``v`` ``(R, d)``."""
    algorithm, problem = build(series_algorithm(series)), series_problem(series)
    start = Tape(0).open(v).start(algorithm.draw_start(problem, 0, 1))
    return algorithm.init(problem, 0 * v, v, start).momentum


def bias(series: Series, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """H⁻¹v, (I − H/l)^Q H⁻¹v, and what float64 may lose, for rows v; from eigenvalues.

    Error bound. A product with I − H/l, a contraction, loses at most (d + 3) u √d ‖p‖ ; its
    error stays in the later powers and so in at most Q sums of Q of them: Q² (d + 3) √d u ‖v‖/l.
    The eigendecomposition is backward stable: 8 d u ‖H‖ (LAPACK's p(n) u with p = 8 d), which
    changes S_Q by at most Q²/l² of it (the derivative of a sum of Q powers), and H⁻¹ by 1/μ².
    """
    values, vectors = np.linalg.eigh(series.hessian)
    inverse = (v @ vectors) / values
    left = (inverse * (1 - values / series.scale) ** series.terms) @ vectors.T
    d, size = len(values), np.linalg.norm(v, axis=-1)
    squares = series.terms**2
    loss = squares * (d + 3) * math.sqrt(d) / series.scale
    loss += 8 * d * values[-1] * (squares / series.scale**2 + 2 / values[0] ** 2)
    return inverse @ vectors.T, left, U * loss * size


def neumann_equality(series: Series, v: np.ndarray, build: Build = as_declared) -> Outcome:
    """H⁻¹v − S_Q v = (I − H/l)^Q H⁻¹v, two-sided, to rounding."""
    exact, left, loss = bias(series, v)
    error = np.linalg.norm(exact - estimate(series, v, build) - left, axis=-1)
    return Outcome("Neumann equality", float(np.max(error / loss)), 1.0)


def neumann_bound(series: Series, v: np.ndarray, build: Build = as_declared) -> Outcome:
    """‖H⁻¹v − S_Q v‖ ≤ (1 − μ/l)^Q ‖v‖/μ, with equality on the μ-eigenvector.

    The error is the larger of the excess over the bound on rows v and the distance from it on
    the eigenvector.
    """
    values, vectors = np.linalg.eigh(series.hessian)
    rows = np.concatenate((v, vectors[:, :1].T))
    exact, _, loss = bias(series, rows)
    size = np.linalg.norm(exact - estimate(series, rows, build), axis=-1)
    bound = (1 - values[0] / series.scale) ** series.terms / values[0]
    over = (size - bound * np.linalg.norm(rows, axis=-1)) / loss
    return Outcome("Neumann bound", float(max(np.max(over), abs(over[-1]))), 1.0)


def enumerated_mean(series: Series, v: np.ndarray, build: Build = as_declared) -> Outcome:
    """The mean of S v over ALL outcomes of the signs (and of q) is S_Q v, two-sided.

    Every outcome is a replicate; no chance is involved. The mean of N numbers of size at most
    Q‖v‖/l, each with the loss of ``bias``, adds N-fold summation in pairs: (2 + log2 N) u of it.
    """
    algorithm, problem = build(series_algorithm(series)), series_problem(series)
    layout = algorithm.draw_start(problem, 0, 1).first
    d, factors = v.shape[-1], layout.hessian["curvature"].leading[-1]
    powers = range(series.terms) if layout.power else (0,)
    outcomes = list(itertools.product(powers, *[(-1.0, 1.0)] * (factors * d)))
    table = np.asarray(outcomes)
    count = len(table)
    start: Start = Tape(0).open(np.zeros((count, d))).start(algorithm.draw_start(problem, 0, 1))
    signs = np.moveaxis(table[:, 1:].reshape(count, factors, d), 0, 1)
    first = start.first._replace(
        hessian={"curvature": signs[None]},
        power={"power": table[None, :, :1].astype(np.int64)} if layout.power else {},
    )
    y = np.broadcast_to(v, (count, d))
    mean = algorithm.init(problem, 0 * y, y, start._replace(first=first)).momentum.mean(axis=0)
    exact, left, loss = bias(series, v[None])
    size = float(np.linalg.norm(v))
    loss = loss[0] + (2 + math.log2(count)) * U * series.terms * size / series.scale
    error = np.linalg.norm(mean - (exact - left)[0])
    return Outcome("enumerated mean", float(error / loss), 1.0)


# --- SPEC 4.2: variance and lag of the momentum ------------------------------------------------


class Path(NamedTuple):
    """x_t = ``start`` + t ``drift``, whatever m is; noise s0 n0 + s1 n1∘x in ∇_x F = w∘x."""

    start: np.ndarray  # (d,)
    drift: np.ndarray  # (d,)
    weights: np.ndarray  # (d,)
    additive: float
    multiplicative: float
    decay: float
    steps: int


def momentum_errors(
    path: Path, replicates: int, seed: int, build: Build = as_declared
) -> np.ndarray:
    """e = m − ∇F(x) after the last iteration, ``(R, d)``; R = ``replicates``."""
    d = len(path.start)
    problem = quadratic(
        [1.0],
        d,
        coupling=np.zeros((1, d)),
        weights=path.weights,
        noise_upper=UpperNoise(path.additive, path.multiplicative),
    )
    algorithm = AccBO(
        lower_step_size=0.1,
        lower_momentum=0.5,
        averaging=0.5,
        momentum=path.decay,
        upper_step_size=1.0,
        neumann_terms=1,
        neumann_scale=1.0,
        parts=AccBOParts(x=lambda x, direction, step_size: x + path.drift),
    )
    x = np.broadcast_to(path.start, (replicates, d)).copy()
    y = np.zeros((replicates, 1))
    state = run(build(algorithm), problem, x, y, steps=path.steps, noise=Tape(seed)).state
    return state.momentum - path.weights * state.x_previous


def momentum_moments(path: Path, recursive: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of e after the last iteration, each ``(d,)``, exact (SPEC 4.2).

    Recursive momentum: mean 0, V_t = β² V_{t−1} + (1−β)² s0² + s1² (x_t − β x_{t−1})². Moving
    average: mean −β (w∘drift) (1 − β^t)/(1 − β), V_t = β² V_{t−1} + (1−β)² (s0² + s1² x_t²).
    """
    decay, s0, s1 = path.decay, path.additive, path.multiplicative
    x = path.start
    variance = s0**2 + s1**2 * x**2
    for _ in range(1, path.steps):
        old, x = x, x + path.drift
        fresh = s1 * (x - decay * old) if recursive else (1 - decay) * s1 * x
        variance = decay**2 * variance + (1 - decay) ** 2 * s0**2 + fresh**2
    mean = 0 * x
    if not recursive:
        powers = sum(decay**k for k in range(1, path.steps))
        mean = -powers * path.weights * path.drift
    return mean, variance


FALSE_ALARM = 1e-10  # of each of the two tests of an example


def momentum_law(
    path: Path, replicates: int, seed: int, build: Build = as_declared, recursive: bool = True
) -> Outcome:
    """Mean by a z test, variance by χ², both exact: e is Gaussian, known, independent.

    e is linear in Gaussian noise on a prescribed path, independent over replicates and
    coordinates. The error is ``FALSE_ALARM`` over the smaller two-sided p-value.
    """
    errors = momentum_errors(path, replicates, seed, build)
    mean, variance = momentum_moments(path, recursive)
    centred = (errors - mean) / np.sqrt(variance)
    # coordinate by coordinate with the drift's sign: all lags then add up
    signed = centred * np.where(path.weights * path.drift < 0, -1.0, 1.0)
    z = signed.sum() / math.sqrt(centred.size)
    total = float(np.sum(centred**2))
    chi2 = stats.chi2(centred.size)
    p = min(2 * stats.norm.sf(abs(z)), 2 * min(chi2.cdf(total), chi2.sf(total)))
    return Outcome("momentum law", float(FALSE_ALARM / p) if p > 0 else math.inf, 1.0)


def lag(path: Path, build: Build = as_declared, recursive: bool = True) -> Outcome:
    """Without noise: e = 0 for recursive momentum, −β/(1−β) (1 − β^t) w∘drift for the average.

    Rounding: each of t iterations adds at most 8 u of the gradients it reads, whose largest is
    max ‖w∘x‖ on the path, and earlier ones decay: at most 8 t u max ‖w∘x‖ in all.
    """
    path = path._replace(additive=0.0, multiplicative=0.0)
    error = momentum_errors(path, 1, 0, build)[0] - momentum_moments(path, recursive)[0]
    ends = (path.start, path.start + path.steps * path.drift)
    size = max(float(np.linalg.norm(path.weights * x)) for x in ends)
    bound = 8 * path.steps * U * size
    return Outcome("lag", float(np.linalg.norm(error)) / bound, 1.0)
