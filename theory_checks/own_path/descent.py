"""What one step does to Φ, bounded from both sides, and the theorem that follows (SPEC 4.10).

    |Φ(x_{t+1}) − Φ(x_t) + η⟨g, m⟩/‖m‖| ≤ ½η²(K0 + K1‖g‖),  g = ∇Φ(x_t), η within Φ's radius.

The step has no rounding worth the name there, so that its length and its direction show. With
−⟨g, m/‖m‖⟩ ≤ −‖g‖ + 2‖g − m‖ the sum over t is the theorem's skeleton:

    mean ‖g‖ (1 − ½K1η) ≤ (Φ(x_0) − Φ(x_T))/(ηT) + 2 mean ‖m_t − g‖ + ½K0η.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..consistency import expect
from ..own_path.dense import U, norms
from ..own_path.path import Path


class Descent(NamedTuple):
    """Of every step and replicate: how far Φ is off, and what smoothness and rounding allow."""

    error: np.ndarray  # (T, R)
    curvature: np.ndarray  # ½η²(K0 + K1‖g‖)
    rounding: np.ndarray

    @property
    def share(self) -> float:
        """The largest share of what is allowed; a NaN counts as infinite."""
        share = np.max(self.error / (self.curvature + self.rounding))
        return float(np.nan_to_num(share, nan=np.inf))


class Skeleton(NamedTuple):
    """The terms of the theorem's inequality as a path has them."""

    left: float  # mean ‖∇Φ‖ (1 − ½K1η)
    progress: float  # (Φ(x_0) − Φ(x_T))/(ηT)
    error: float  # 2 mean ‖m − ∇Φ‖
    curvature: float  # ½K0η

    @property
    def right(self) -> float:
        """What bounds ``left``."""
        return self.progress + self.error + self.curvature


def descent(problem: Any, step_size: float, path: Path) -> Descent:
    """The two-sided law at every step of a path on the host.

    Rounding: Φ's own, and that of the stored x, which Φ's Lipschitz constant carries over.
    """
    constants = problem.constants
    expect(step_size <= constants.radius, "a step stays where the relaxed constants hold")
    values = problem.value(path.x)
    gradient = problem.hypergradient(path.x[:-1])
    size, length = norms(gradient), norms(path.momentum)
    along = np.sum(gradient * path.momentum, axis=-1) / length
    error = np.abs(np.diff(values, axis=0) + step_size * along)
    curvature = step_size**2 / 2 * (constants.K0 + constants.K1 * size)
    large = np.abs(values[1:]) + np.abs(values[:-1]) + step_size * size + curvature
    large += (norms(path.x[1:]) + 1) * (size + 1) * constants.l_g1 / constants.mu
    return Descent(error, curvature, 64 * U * large)


def skeleton(problem: Any, step_size: float, path: Path) -> Skeleton:
    """The four terms, means over all iterations and replicates."""
    constants = problem.constants
    gradient = problem.hypergradient(path.x[:-1])
    values = problem.value(path.x[[0, -1]])
    return Skeleton(
        left=float(np.mean(norms(gradient))) * (1 - constants.K1 * step_size / 2),
        progress=float(np.mean(values[0] - values[1])) / (step_size * len(gradient)),
        error=2 * float(np.mean(norms(path.momentum - gradient))),
        curvature=constants.K0 * step_size / 2,
    )
