"""The lower level on a prescribed path: exact laws and closed forms (SPEC 4.3). Formulas only.

On g = ½(y − y*)ᵀH(y − y*) the vector v_t = (y_t, y_{t−1}, ŷ_t) is a linear function of v_{t−1},
y*(x_t) and normal noise of covariance σ²I, so it is Gaussian: mean and covariance by recursion.
d is the dimension of y, A = I − αH.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, solve_discrete_lyapunov


class Lower(NamedTuple):
    """A lower level and the steps that follow its minimiser."""

    hessian: np.ndarray  # H, (d, d)
    step_size: float  # α
    momentum: float  # γ
    averaging: float  # τ
    sigma: float = 0.0  # σ, of the gradient's noise
    period: int | None = None  # I; None is Option I
    lower_steps: int = 1  # N


class Law(NamedTuple):
    """Mean ``(3d,)`` and covariance ``(3d, 3d)`` of v = (y, y_previous, ŷ)."""

    mean: np.ndarray
    covariance: np.ndarray

    def mapped(
        self,
        matrix: np.ndarray,
        shift: np.ndarray | float = 0.0,
        noise: np.ndarray | float = 0.0,
    ) -> Law:
        """The law of ``matrix`` v + ``shift`` + normal noise of covariance ``noise``."""
        return Law(matrix @ self.mean + shift, matrix @ self.covariance @ matrix.T + noise)


# --- the recursion ------------------------------------------------------------------------


def path_laws(
    lower: Lower, start: np.ndarray, targets: np.ndarray, warm_start: int
) -> Iterator[Law]:
    """The laws of v_0, v_1, … v_T, ``targets`` ``(T, d)`` being y*(x_0) … y*(x_{T−1}).

    From y_init = ``start`` by ``warm_start`` steps at x_0, whose momentum is discarded. In
    Option II the middle block is the inner pair's, not y_{t−1}.
    """
    size = 3 * len(start)
    law = Law(np.tile(start, 3), np.zeros((size, size)))
    for _ in range(warm_start):
        law = _stepped(law, lower, targets[0])
    law = law.mapped(_blocks(((1, 0, 0), (1, 0, 0), (1, 0, 0)), len(start)))
    yield law
    for t, target in enumerate(targets):
        law = _iterated(law, lower, t, target)
        yield law


def _iterated(law: Law, lower: Lower, t: int, target: np.ndarray) -> Law:
    """Iteration t: the lower steps it takes, then the average."""
    tau, size = lower.averaging, len(target)
    if lower.period is None:
        law = _stepped(law, lower, target)
    elif t % lower.period == 0:
        law = law.mapped(_blocks(((1, 0, 0), (1, 0, 0), (0, 0, 1)), size))
        for _ in range(lower.lower_steps):
            law = _stepped(law, lower, target)
    return law.mapped(_blocks(((1, 0, 0), (0, 1, 0), (tau, 0, 1 - tau)), size))


def _stepped(law: Law, lower: Lower, target: np.ndarray) -> Law:
    """One lower step of the pair (y, y_previous); ŷ stays."""
    identity, zero = np.eye(len(target)), np.zeros((len(target), len(target)))
    a, gamma = identity - lower.step_size * lower.hessian, lower.momentum
    matrix = np.block(
        [[(1 + gamma) * a, -gamma * a, zero], [identity, zero, zero], [zero, zero, identity]]
    )
    shift = np.zeros(3 * len(target))
    shift[: len(target)] = lower.step_size * (lower.hessian @ target)
    variance = np.zeros(3 * len(target))
    variance[: len(target)] = (lower.step_size * lower.sigma) ** 2
    return law.mapped(matrix, shift, np.diag(variance))


def _blocks(weights: Sequence[Sequence[float]], size: int) -> np.ndarray:
    return np.kron(np.array(weights, dtype=float), np.eye(size))


# --- one eigenvalue: the step of SPEC 4.3 and what is stationary -----------------------------


class Step(NamedTuple):
    """v_{t+1} = ``matrix`` v_t + ``target`` y*(x_t) + ``noise`` n, for one eigenvalue h."""

    matrix: np.ndarray  # (3, 3)
    target: np.ndarray  # (3,)
    noise: np.ndarray  # (3,), σ included


def step_of(h: float, lower: Lower) -> Step:
    """The matrix and the noise of SPEC 4.3."""
    alpha, gamma, tau = lower.step_size, lower.momentum, lower.averaging
    a = 1 - alpha * h
    matrix = [
        [a * (1 + gamma), -a * gamma, 0],
        [1, 0, 0],
        [tau * a * (1 + gamma), -tau * a * gamma, 1 - tau],
    ]
    target = np.array([alpha * h, 0, tau * alpha * h])
    return Step(np.array(matrix), target, np.array([-alpha, 0, -tau * alpha]) * lower.sigma)


def stationary(step: Step, drift: float) -> tuple[np.ndarray, np.ndarray]:
    """Lag y* − v ``(3,)`` under a constant ``drift`` of y*, and covariance ``(3, 3)``.

    The lag e solves e = M e + drift, because M 1 + b = 1 takes (y*, y*, y*) to itself. NaN
    where the step does not contract: nothing is stationary then.
    """
    radius = np.max(np.abs(np.linalg.eigvals(step.matrix)))
    if not radius < 1:
        return np.full(3, np.nan), np.full((3, 3), np.nan)
    lag = np.linalg.solve(np.eye(3) - step.matrix, np.full(3, drift))
    noise = np.outer(step.noise, step.noise)
    return lag, solve_discrete_lyapunov(step.matrix, noise, method="direct")


# --- closed forms ------------------------------------------------------------------------


def rate(mu: float, step_size: float) -> float:
    """s = √(μα)."""
    return math.sqrt(mu * step_size)


def matched_momentum(s: float) -> float:
    """γ = (1 − s)/(1 + s)."""
    return (1 - s) / (1 + s)


def lag(h: float, drift: float, step_size: float, momentum: float) -> float:
    """Stationary y* − y; y_{t+1} is computed from x_t."""
    return drift * (1 - (1 - step_size * h) * momentum) / (step_size * h)


def average_lag(drift: float, averaging: float) -> float:
    """Stationary y − ŷ."""
    return drift * (1 - averaging) / averaging


def variance(h: float, sigma: float, step_size: float, momentum: float) -> float:
    """Stationary variance of y."""
    p1 = (1 - step_size * h) * (1 + momentum)
    p2 = -(1 - step_size * h) * momentum
    return step_size**2 * sigma**2 * (1 - p2) / ((1 + p2) * ((1 - p2) ** 2 - p1**2))


def gradient_lag(h: float, drift: float, step_size: float) -> float:
    """Stationary y* − y of SGD."""
    return drift / (step_size * h)


def gradient_variance(h: float, sigma: float, step_size: float) -> float:
    """Stationary variance of y of SGD."""
    return step_size * sigma**2 / (h * (2 - step_size * h))


def error_without_noise(n: int | np.ndarray, s: float) -> np.ndarray:
    """e_n/e_0 = (1 + ns)(1 − s)^n on the μ-eigenvector from y_{−1} = y_0."""
    return (1 + np.asarray(n) * s) * (1 - s) ** np.asarray(n)


# --- the Lyapunov function V = f(y) − f* + (μ/2)‖y − y* + (1/s − 1)(y − y_previous)‖² --------


def lyapunov(
    gap: np.ndarray, away: np.ndarray, move: np.ndarray, mu: float, s: float
) -> np.ndarray:
    """V from f(y) − f* ``(...)``, y − y* and y − y_previous ``(..., d)``."""
    return gap + mu / 2 * np.sum((away + (1 / s - 1) * move) ** 2, axis=-1)


def contraction(h: float, matrix: np.ndarray, mu: float, s: float) -> tuple[float, np.ndarray]:
    """The largest V(Mp)/V(p) over pairs p = (y, y_previous) of one eigenvalue, and such a pair.

    ``matrix`` is the step of the pair, ``(2, 2)``. V is a quadratic form there: the largest
    eigenvalue of a pencil.
    """
    weights = np.array([1 / s, 1 - 1 / s])
    form = np.diag([h / 2, 0.0]) + mu / 2 * np.outer(weights, weights)
    values, vectors = eigh(matrix.T @ form @ matrix, form)
    return float(values[-1]), vectors[:, -1]
