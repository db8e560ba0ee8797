"""A bilevel problem without a matrix: what a step costs and reaches at any dimension.

    f(x, y) = ½ w ‖x‖² + ½ ‖y − t‖²        g(x, y) = ½ yᵀHy − yᵀCx

H = μI + κDᵀD is a chain of springs, D the differences of neighbours with free ends, applied
by shifts. C = s·P is an isometry up to s: x stands for the means of runs of entries of y
where d_x ≤ d_y, and y for the means of runs of x otherwise. t = θ·(1, …, 1)/√d_y.

The constant vector is an eigenvector of everything, so that μ, ‖C‖, ‖∇²Φ‖ and the minimiser
have closed forms that hold for every d; the largest eigenvalue is μ + 2κ(1 + cos(π/d_y)).
Near its minimiser every coordinate of a problem of many dimensions is small: a cosh in place
of the square would be the same problem, so that the square is enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

from accbo._arrays import Array, asarray, dot, namespace, to_host, traceable
from accbo.problem import Constants, NoiseFields, Sample
from accbo.problems import LowerNoise, Quadratic, UpperNoise
from accbo.validation import check_count


@traceable
@dataclass(frozen=True)
class Chain:
    """The problem above, in numbers alone; products cost O(d_x + d_y) and hold no matrix.

    One of ``d_x`` and ``d_y`` must divide the other. Raises ``TypeError`` or ``ValueError``
    for a dimension that does not fit, a scale out of range, or a noise of the curvature that
    reaches μ: every realisation of G must be strongly convex.
    """

    d_x: int
    d_y: int
    mu: float = 1.0  # μ > 0, the smallest eigenvalue of H
    stiffness: float = 0.25  # κ ≥ 0
    strength: float = 0.5  # s = ‖C‖ ≥ 0
    weight: float = 1.0  # w > 0
    target: float = 1.0  # θ, up to its sign ‖t‖
    noise_upper: UpperNoise = UpperNoise()
    noise_lower: LowerNoise = LowerNoise()

    def __post_init__(self) -> None:
        check_count("d_x", self.d_x, 1)
        check_count("d_y", self.d_y, 1)
        if max(self.d_x, self.d_y) % min(self.d_x, self.d_y):
            raise ValueError(
                f"one of d_x and d_y must divide the other, got {self.d_x} and {self.d_y}"
            )
        for name in ("mu", "stiffness", "strength", "weight", "target"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)!r}")
        if not (self.mu > 0 and self.weight > 0 and self.stiffness >= 0 and self.strength >= 0):
            raise ValueError("mu and weight must be > 0, stiffness and strength >= 0")
        if not self.mu > self.noise_lower.curvature:
            raise ValueError(
                f"mu = {self.mu:g} must exceed the noise in the curvature, "
                f"{self.noise_lower.curvature:g}: every realisation must be strongly convex"
            )

    @property
    def upper_noise(self) -> NoiseFields:
        """The fields of ξ."""
        return self.noise_upper.fields(self.d_x, self.d_y)

    @property
    def lower_noise(self) -> NoiseFields:
        """The fields of ζ that ∇_y G depends on."""
        return self.noise_lower.fields(self.d_y)

    @property
    def hessian_noise(self) -> NoiseFields:
        """The fields of ζ that ∇²_yy G depends on."""
        return self.noise_lower.hessian_fields(self.d_y)

    @property
    def cross_noise(self) -> NoiseFields:
        """The fields of ζ that ∇²_xy G depends on."""
        return self.noise_lower.cross_fields(self.d_y)

    @property
    def constants(self) -> Constants:
        """The constants of SPEC §1, in closed form; l_f0 is infinite, Φ smooth."""
        stiffest = 2 * self.stiffness * (1 + math.cos(math.pi / self.d_y))
        curvature = self.mu + stiffest + self.noise_lower.curvature
        coupling = self.strength * (1 + self.noise_lower.coupling)
        return Constants(
            mu=self.mu,
            l_g1=math.hypot(curvature, coupling),
            l_g2=0.0,
            curvature=curvature,
            L_x0=self.weight,
            L_x1=0.0,
            L_y0=1.0,
            L_y1=0.0,
            l_f0=math.inf,
            smoothness=self.weight + (self.strength / self.mu) ** 2,
        )

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """½ w ‖x‖² + ½ ‖y − t‖² with its noise, shape ``(...)``."""
        away = y - self._target_entry
        value = 0.5 * self.weight * dot(x, x) + 0.5 * dot(away, away)
        return self.noise_upper.value(value, x, y, sample)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """w x with its noise, shape ``(..., d_x)``."""
        return self.noise_upper.grad_x(self.weight * x, x, sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """y − t with its noise, shape ``(..., d_y)``."""
        return self.noise_upper.grad_y(y - self._target_entry, y, sample)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """½ yᵀHy − yᵀCx with its noise, shape ``(...)``."""
        coupled = self._coupled(x)
        value = 0.5 * dot(y, self._hessian(y)) - dot(y, coupled)
        return self.noise_lower.value(value, y, coupled, sample)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Hy − Cx with its noise, shape ``(..., d_y)``."""
        coupled = self._coupled(x)
        return self.noise_lower.grad_y(self._hessian(y) - coupled, y, coupled, sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """Hv with its noise, shape ``(..., d_y)``."""
        return self.noise_lower.hvp(self._hessian(v), v, sample)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """−Cᵀv with its noise, shape ``(..., d_x)``."""
        return -self.strength * spread(self.noise_lower.coupled(v, sample), self.d_x)

    def solution(self, x: Array) -> Array:
        """y*(x) = H⁻¹Cx by a banded solve on the host, shape ``(..., d_y)``; not traceable."""
        return self._solved(self._coupled(x))

    def hypergradient(self, x: Array) -> Array:
        """∇Φ(x) = w x + CᵀH⁻¹(y*(x) − t), shape ``(..., d_x)``; not traceable."""
        inverse = self._solved(self.solution(x) - self._target_entry)
        return self.weight * x + self.strength * spread(inverse, self.d_x)

    def minimiser(self) -> np.ndarray:
        """The minimiser of Φ, a constant vector, on the host, shape ``(d_x,)``."""
        response = self.strength / self.mu
        size = response * self.target / (self.weight + response**2)
        return np.full(self.d_x, size / math.sqrt(self.d_x))

    @property
    def _target_entry(self) -> float:
        return self.target / math.sqrt(self.d_y)

    def _hessian(self, v: Array) -> Array:
        return self.mu * v + self.stiffness * second_difference(v)

    def _coupled(self, x: Array) -> Array:
        return self.strength * spread(x, self.d_y)

    def _solved(self, right: Array) -> Array:
        """H⁻¹ of every row of ``right``, by the Cholesky factors of the tridiagonal H."""
        if self.d_y == 1:  # which SciPy refuses
            return right / self.mu
        rows = to_host(right).astype(float).reshape(-1, self.d_y)
        bands = np.zeros((2, self.d_y))  # the superdiagonal behind one empty entry, the diagonal
        bands[0, 1:] = -self.stiffness
        bands[1] = self.mu
        bands[1, 1:] += self.stiffness
        bands[1, :-1] += self.stiffness
        solved = solveh_banded(bands, rows.T).T
        return asarray(np.ascontiguousarray(solved).reshape(right.shape), right)


def second_difference(v: Array) -> Array:
    """DᵀDv, (Dv)_i = v_{i+1} − v_i, shape ``(..., d)``: −1, 2, −1 with 1 at both ends.

    The differences are a product with (−1, 1), which XLA carries out before it goes on. Of
    differences of slices it makes one loop that works the whole series out again for every
    entry that reads it: 7 times the time at d = 100, 23 times at d_x = 10,000, d_y = 100.
    """
    xp, size = namespace(v), v.shape[-1]
    ends = xp.concat((v[..., :1], v, v, v[..., -1:]), axis=-1)
    pairs = xp.reshape(ends, (*v.shape[:-1], 2, size + 1))  # v_i above v_{i+1}; 0 at the ends
    flux = xp.matmul(asarray([[-1.0, 1.0]], v), pairs)[..., 0, :]
    return flux[..., :-1] - flux[..., 1:]


def spread(v: Array, size: int) -> Array:
    """Pv, ``(..., n)`` to ``(..., size)``: entries repeated, or runs of them added, over √run.

    ‖P‖ = 1, and P from n to m is the transpose of P from m to n.
    """
    xp, given = namespace(v), v.shape[-1]
    if size == given:
        return v
    if size > given:
        run = size // given
        copies = xp.broadcast_to((v / math.sqrt(run))[..., None], (*v.shape, run))
        return xp.reshape(copies, (*v.shape[:-1], size))
    run = given // size
    return xp.sum(xp.reshape(v, (*v.shape[:-1], size, run)), axis=-1) / math.sqrt(run)


def dense(problem: Chain) -> Quadratic:
    """The same problem with its matrices written out, on the host: O(d²) to hold."""
    d_x, d_y = problem.d_x, problem.d_y
    difference = np.diff(np.eye(d_y), axis=0)
    run = max(d_x, d_y) // min(d_x, d_y)
    isometry = np.repeat(np.eye(min(d_x, d_y)), run, axis=0) / math.sqrt(run)
    return Quadratic(
        weights=np.full(d_x, float(problem.weight)),
        target=np.full(d_y, problem.target / math.sqrt(d_y)),
        hessian=problem.mu * np.eye(d_y) + problem.stiffness * difference.T @ difference,
        coupling=problem.strength * (isometry if d_x <= d_y else isometry.T),
        noise_upper=problem.noise_upper,
        noise_lower=problem.noise_lower,
    )
