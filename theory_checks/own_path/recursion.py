"""m_t = h_t(z_t) + β(m_{t−1} − h_t(z_{t−1})) on AccBO's own path, to rounding (SPEC 4.7).

Both values of h are made again from dense matrices of the tape's own sample. The sampler behind
it is judged by three sums over the noise ν = h − E h that these values leave.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from accbo import AccBO

from ..own_path import dense
from ..own_path.dense import norms
from ..own_path.path import Path, Samples


class Deviation(NamedTuple):
    """Of every iteration and replicate: what is left over, and what rounding allows; ``(T, R)``."""

    error: np.ndarray
    allowed: np.ndarray

    @property
    def ratio(self) -> float:
        """The largest share of what is allowed; a NaN counts as infinite."""
        return worst_of(self.error, self.allowed)[0]


def worst_of(error: np.ndarray, allowed: np.ndarray) -> tuple[float, float, float]:
    """The largest error/allowed, and the error and the allowance there; a NaN is infinite."""
    ratio = np.asarray(np.where(error == 0, 0.0, error / allowed))
    ratio = np.where(np.isnan(ratio), np.inf, ratio).ravel()
    at = int(np.argmax(ratio))
    return (
        float(ratio[at]),
        float(error.ravel()[at]),
        float(np.broadcast_to(allowed, error.shape).ravel()[at]),
    )


class Values(NamedTuple):
    """h of the first samples ``(S, R, d_x)``, and h_t for t ≥ 1 at the new and the old point."""

    first: dense.Estimate
    new: dense.Estimate
    old: dense.Estimate


def values_on(problem: Any, algorithm: AccBO, path: Path, samples: Samples) -> Values:
    """h by dense matrices at the points of the path."""
    x, y = path.points(algorithm)
    return Values(
        dense.estimate(problem, algorithm, x[:1], y[:1], samples.first),
        dense.estimate(problem, algorithm, x[1:], y[1:], samples.later),
        dense.estimate(problem, algorithm, x[:-1], y[:-1], samples.later),
    )


def recursion(problem: Any, algorithm: AccBO, path: Path, values: Values) -> Deviation:
    """‖m_t − its recursion‖ beside 4(Q + 1)(d_x + d_y + 4)u [s_new + β s_old + β‖m_{t−1}‖]."""
    first, new, old = values
    beta, m = algorithm.momentum, path.momentum
    start = norms(m[:1] - np.mean(first.value, axis=0, keepdims=True))
    later = norms(m[1:] - new.value - beta * (m[:-1] - old.value))
    size = new.size + beta * (old.size + norms(m[:-1]))
    allowed = np.concatenate((np.mean(first.size, axis=0, keepdims=True), size))
    return Deviation(np.concatenate((start, later)), dense.rounding(problem, algorithm) * allowed)


class Sums(NamedTuple):
    """Three sums over ζ_t = ν_t(z_t) − βν_t(z_{t−1}), each over the root of its squares' sum.

    e_t = βe_{t−1} + ζ_t is the momentum's error. Each sum is of martingale differences where
    the samples are fresh, and so asymptotically standard normal: over 80 seeds and the three
    samplings the check's had standard deviations of 0.90 … 1.18 and never exceeded 3.3.
    """

    along: float  # ⟨e_{t−1}, ζ_t⟩
    mean: np.ndarray  # ζ_t itself, per coordinate
    lag: float  # ⟨ζ_{t−1}, ζ_t⟩


def sampler_sums(problem: Any, algorithm: AccBO, path: Path, values: Values) -> Sums:
    """The three statistics of the sampler."""
    x, y = path.points(algorithm)
    expected = dense.mean_estimate(problem, algorithm, x, y)
    fresh = values.new.value - expected[1:]
    zeta = fresh - algorithm.momentum * (values.old.value - expected[:-1])
    error = path.momentum - expected
    return Sums(
        float(_standard(np.sum(error[:-1] * zeta, axis=-1)[..., None])[0]),
        _standard(zeta),
        float(_standard(np.sum(zeta[:-1] * zeta[1:], axis=-1)[..., None])[0]),
    )


def _standard(terms: np.ndarray) -> np.ndarray:
    """Σ/√Σ² over all axes but the last."""
    flat = terms.reshape(-1, terms.shape[-1])
    return np.asarray(np.sum(flat, axis=0) / np.sqrt(np.sum(flat**2, axis=0)))
