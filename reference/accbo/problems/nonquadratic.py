"""A lower level that is not quadratic: its Hessian and cross derivative move with (x, y).

    f(x, y) = ½ Σ w_i x_i² + Σ_j log cosh(y_j − t_j)
    g(x, y) = ½ yᵀHy − yᵀCx + k Σ_j log cosh((y − Wx)_j)

On constant second derivatives "cross derivative at the wrong point" cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import (
    Array,
    asarray,
    dot,
    matvec,
    namespace,
    repeat,
    rmatvec,
    to_host,
    traceable,
    unit_roundoff,
)
from accbo.problem import Constants, Sample
from accbo.problems._logcosh import SECH2_LIPSCHITZ, log_cosh, sech2
from accbo.problems._lower import (
    QuadraticLower,
    as_vector,
    check_finite,
    check_lower,
    check_vector,
    lower_matrices,
)
from accbo.problems._noise import LowerNoise, UpperNoise
from accbo.rounding import ceiling
from accbo.sampling import random_matrix


@traceable
@dataclass(frozen=True, eq=False)
class NonQuadratic(QuadraticLower):
    """The problem with a log-cosh term below; built most easily by :func:`nonquadratic`.

    ``weights`` w ``(d_x,)``, ``target`` t ``(d_y,)``, ``hessian`` H ``(d_y, d_y)``,
    ``coupling`` C and ``shift`` W ``(d_y, d_x)``, ``strength`` k > 0. ``inverse``
    (H + kI)⁻¹ and ``steps_per_digit`` of the solver are computed when left out. Raises
    ``ValueError`` unless every realisation of G is strongly convex.
    """

    weights: Array
    target: Array
    hessian: Array
    coupling: Array
    shift: Array
    strength: float = 1.0
    noise_upper: UpperNoise = UpperNoise()
    noise_lower: LowerNoise = LowerNoise()
    form: str = "shared"
    inverse: Any = None
    steps_per_digit: int | None = None

    def __post_init__(self) -> None:
        mu, _, _ = check_lower(self.hessian, self.coupling, self.noise_lower, self.form)
        check_vector("weights", self.weights, self.d_x)
        check_vector("target", self.target, self.d_y)
        if tuple(self.shift.shape) != tuple(self.coupling.shape):
            raise ValueError(
                f"shift must have the shape of coupling, {tuple(self.coupling.shape)}, "
                f"got {tuple(self.shift.shape)}"
            )
        check_finite("shift", to_host(self.shift))
        check_finite("strength", self.strength)
        if not self.strength > 0:
            raise ValueError(f"strength must be > 0, got {self.strength!r}")
        if self.inverse is None:
            matrix = to_host(self.hessian).astype(float) + self.strength * np.eye(self.d_y)
            object.__setattr__(self, "inverse", asarray(np.linalg.inv(matrix), self.hessian))
        if self.steps_per_digit is None:
            contraction = self.strength / (mu + self.strength)
            steps = ceiling(-math.log(10) / math.log(contraction))
            object.__setattr__(self, "steps_per_digit", steps)

    @property
    def constants(self) -> Constants:
        """The constants of SPEC §1."""
        mu, curvature, coupling = check_lower(
            self.hessian, self.coupling, self.noise_lower, self.form
        )
        shift = to_host(self.shift)
        norm = float(np.linalg.norm(shift, 2))
        joint = float(np.linalg.norm(np.hstack((shift, np.eye(self.d_y))), 2))
        curvature = curvature + self.strength
        return Constants(
            mu=mu,
            l_g1=math.hypot(curvature, coupling + self.strength * norm),
            l_g2=self.strength * SECH2_LIPSCHITZ * joint * max(1.0, norm),
            curvature=curvature,
            L_x0=float(np.max(np.abs(to_host(self.weights)))),
            L_x1=0.0,
            L_y0=1.0,
            L_y1=0.0,
            l_f0=math.sqrt(self.d_y),
        )

    # f

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """f with its noise, shape ``(...)``."""
        value = 0.5 * dot(self.weights * x, x)
        value = value + namespace(y).sum(log_cosh(y - self.target), axis=-1)
        return self.noise_upper.value(value, x, y, sample)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """w∘x with its noise, shape ``(..., d_x)``."""
        return self.noise_upper.grad_x(self.weights * x, x, sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """tanh(y − t) with its noise, shape ``(..., d_y)``."""
        gradient = namespace(y).tanh(y - self.target)
        return self.noise_upper.grad_y(gradient, y, sample)

    # g: the quadratic part is QuadraticLower's

    def _argument(self, x: Array, y: Array) -> Array:
        return y - matvec(self.shift, x, self.form)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """g with its noise, shape ``(...)``."""
        extra = namespace(y).sum(log_cosh(self._argument(x, y)), axis=-1)
        return super().lower(x, y, sample) + self.strength * extra

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Hy − Cx + k tanh(y − Wx) with its noise, shape ``(..., d_y)``."""
        extra = namespace(y).tanh(self._argument(x, y))
        return super().grad_y_lower(x, y, sample) + self.strength * extra

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """(H + k diag sech²(y − Wx)) v with its noise, shape ``(..., d_y)``."""
        extra = self.strength * sech2(self._argument(x, y)) * v
        return super().hvp_lower(x, y, v, sample) + extra

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """−(Cᵀ + k Wᵀ diag sech²(y − Wx)) v with its noise, shape ``(..., d_x)``."""
        weighted = self.strength * sech2(self._argument(x, y)) * v
        return super().cross_lower(x, y, v, sample) - rmatvec(self.shift, weighted, self.form)

    # y* and ∇Φ

    def _precondition(self, residual: Array) -> Array:
        return rmatvec(self.inverse, residual, self.form)

    def _solver_steps(self, like: Array) -> int:
        digits = -math.log10(unit_roundoff(like))
        assert self.steps_per_digit is not None  # set by __post_init__
        return math.ceil((digits + 2) * self.steps_per_digit)

    def solution(self, x: Array) -> Array:
        """y*(x), shape ``(..., d_y)``, to the working precision.

        y ← y − (H + kI)⁻¹ ∇_y g(x, y) contracts by k/(μ + k), because
        H ≤ ∇²_yy g ≤ H + kI; as many steps as the digits of the dtype need.
        """
        y = self._precondition(matvec(self.coupling, x, self.form))
        return repeat(
            lambda y: y - self._precondition(self.grad_y_lower(x, y)), y, self._solver_steps(x)
        )

    def hypergradient(self, x: Array) -> Array:
        """∇Φ(x), shape ``(..., d_x)``; the linear system by the iteration of ``solution``."""
        y = self.solution(x)
        b = self.grad_y_upper(x, y)
        v = repeat(
            lambda v: v + self._precondition(b - self.hvp_lower(x, y, v)),
            self._precondition(b),
            self._solver_steps(x),
        )
        return self.grad_x_upper(x, y) - self.cross_lower(x, y, v)


def nonquadratic(
    spectrum: Sequence[float] = (1.0, 1.5),
    d_x: int = 2,
    *,
    strength: float = 0.5,
    shift: float | np.ndarray = 1.0,
    coupling: float | np.ndarray = 1.0,
    rotation: np.ndarray | None = None,
    rotate: bool = True,
    weights: Sequence[float] | float = 1.0,
    target: Sequence[float] | float = 1.0,
    noise_upper: UpperNoise = UpperNoise(),
    noise_lower: LowerNoise = LowerNoise(),
    form: str = "shared",
    seed: int = 0,
) -> NonQuadratic:
    """A :class:`NonQuadratic` on the host; H and C as in ``quadratic``.

    ``shift`` is W, or the spectral norm of a W drawn from ``seed + 1``.
    """
    hessian, matrix = lower_matrices(spectrum, d_x, coupling, rotation, rotate, seed)
    if np.ndim(shift) == 0:
        drawn = random_matrix(matrix.shape[0], matrix.shape[1], seed + 1)
        shift = shift * drawn / np.linalg.norm(drawn, 2)
    return NonQuadratic(
        weights=as_vector(weights, matrix.shape[1]),
        target=as_vector(target, len(hessian)),
        hessian=hessian,
        coupling=matrix,
        shift=np.asarray(shift, dtype=float),
        strength=float(strength),
        noise_upper=noise_upper,
        noise_lower=noise_lower,
        form=form,
    )
