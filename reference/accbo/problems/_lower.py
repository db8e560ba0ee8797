"""The quadratic lower level g = ½ yᵀHy − yᵀCx that two of the problems share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accbo._arrays import Array, asarray, dot, matvec, rmatvec, to_host
from accbo.problem import NoiseFields, Sample
from accbo.problems._noise import LowerNoise, UpperNoise
from accbo.rounding import spectral_rounding
from accbo.sampling import random_matrix, random_rotation


class QuadraticLower:
    """g = ½ yᵀHy − yᵀCx: y*(x) = H⁻¹Cx. For dataclasses with the fields named below."""

    hessian: Array  # H, (d_y, d_y), symmetric positive definite: Hv = Hᵀv, which is faster
    coupling: Array  # C, (d_y, d_x)
    response: Array  # H⁻¹C, (d_y, d_x)
    noise_upper: UpperNoise
    noise_lower: LowerNoise
    form: str

    @property
    def d_x(self) -> int:
        """Dimension of x."""
        size: int = self.coupling.shape[1]
        return size

    @property
    def d_y(self) -> int:
        """Dimension of y."""
        size: int = self.coupling.shape[0]
        return size

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

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """½ yᵀHy − yᵀCx with its noise, shape ``(...)``."""
        coupled = matvec(self.coupling, x, self.form)
        value = 0.5 * dot(y, rmatvec(self.hessian, y, self.form)) - dot(y, coupled)
        return self.noise_lower.value(value, y, coupled, sample)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Hy − Cx with its noise, shape ``(..., d_y)``."""
        coupled = matvec(self.coupling, x, self.form)
        gradient = rmatvec(self.hessian, y, self.form) - coupled
        return self.noise_lower.grad_y(gradient, y, coupled, sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """Hv with its noise, shape ``(..., d_y)``."""
        return self.noise_lower.hvp(rmatvec(self.hessian, v, self.form), v, sample)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """−Cᵀv with its noise, shape ``(..., d_x)``."""
        return -rmatvec(self.coupling, self.noise_lower.coupled(v, sample), self.form)

    def solution(self, x: Array) -> Array:
        """y*(x) = H⁻¹Cx, shape ``(..., d_y)``."""
        return matvec(self.response, x, self.form)

    def hypergradient(self, x: Array) -> Array:
        """∇Φ(x) = ∇_x f + (H⁻¹C)ᵀ ∇_y f at (x, y*(x)), shape ``(..., d_x)``."""
        y = self.solution(x)
        implicit = rmatvec(self.response, self.grad_y_upper(x, y), self.form)
        return self.grad_x_upper(x, y) + implicit

    def value(self, x: Array) -> Array:
        """Φ(x) = f(x, y*(x)), shape ``(...)``."""
        return self.upper(x, self.solution(x))

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F(x, y; ξ); the problem's own."""
        raise NotImplementedError

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F(x, y; ξ); the problem's own."""
        raise NotImplementedError

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F(x, y; ξ); the problem's own."""
        raise NotImplementedError


def check_lower(
    hessian: Array, coupling: Array, noise: LowerNoise, form: str
) -> tuple[float, float, float]:
    """(μ, largest curvature of a realisation, ‖C‖ of a realisation); raises ``ValueError``.

    H must be symmetric positive definite, H and C must agree in d_y, and the curvature's
    noise must stay below μ, so that every realisation of G is strongly convex.
    """
    if form not in ("shared", "matmul"):
        raise ValueError(f"form must be shared or matmul, got {form!r}")
    h, c = to_host(hessian).astype(float), to_host(coupling).astype(float)
    for name, values in (("hessian", h), ("coupling", c)):
        check_finite(name, values)
    if h.ndim != 2 or h.shape[0] != h.shape[1] or not np.allclose(h, h.T):
        raise ValueError(f"hessian must be a symmetric matrix (d_y, d_y), got shape {h.shape}")
    if c.ndim != 2 or c.shape[0] != h.shape[0]:
        raise ValueError(f"coupling must be (d_y, d_x) with d_y = {len(h)}, got {c.shape}")
    eigenvalues = np.linalg.eigvalsh(h)
    rounding = spectral_rounding(len(h)) * float(eigenvalues[-1])
    if not eigenvalues[0] - noise.curvature > rounding:
        raise ValueError(
            f"the smallest eigenvalue of hessian, {eigenvalues[0]:.6g}, must exceed the noise in "
            f"its curvature, {noise.curvature:.6g}: every realisation must be strongly convex"
        )
    norm = float(np.linalg.norm(c, 2)) * (1 + noise.coupling)
    return float(eigenvalues[0]), float(eigenvalues[-1]) + noise.curvature, norm


def response_of(hessian: Array, coupling: Array) -> Array:
    """H⁻¹C, solved on the host in float64."""
    solved = np.linalg.solve(to_host(hessian).astype(float), to_host(coupling).astype(float))
    return asarray(solved, coupling)


def lower_matrices(
    spectrum: Sequence[float],
    d_x: int,
    coupling: float | np.ndarray,
    rotation: np.ndarray | None,
    rotate: bool,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """H = U diag(spectrum) Uᵀ and C, on the host.

    U is ``rotation``, or drawn from ``seed``, or the identity where ``rotate`` is false.
    ``coupling`` is C itself, or the spectral norm of a C drawn from ``seed``.
    """
    values = np.asarray(spectrum, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not np.all(values > 0):
        raise ValueError(f"spectrum must be positive eigenvalues in a list, got {spectrum!r}")
    d_y = len(values)
    if rotation is None:
        rotation = random_rotation(d_y, seed) if rotate else np.eye(d_y)
    if np.ndim(coupling) == 0:
        drawn = random_matrix(d_y, d_x, seed)
        coupling = coupling * drawn / np.linalg.norm(drawn, 2)
    hessian = (rotation * values) @ rotation.T
    return (hessian + hessian.T) / 2, np.asarray(coupling, dtype=float)


def as_vector(values: Sequence[float] | float, size: int) -> np.ndarray:
    """``values`` as a host vector of ``size``, a number standing for all entries."""
    return np.broadcast_to(np.asarray(values, dtype=float), (size,)).copy()


def check_vector(name: str, vector: Array, size: int) -> None:
    """Raise ``ValueError`` unless ``vector`` has shape ``(size,)``."""
    if tuple(vector.shape) != (size,):
        raise ValueError(f"{name} must have shape ({size},), got {tuple(vector.shape)}")
    check_finite(name, to_host(vector))


def check_finite(name: str, values: np.ndarray | float) -> None:
    """Raise ``ValueError`` where a problem's data hold a NaN or an infinity."""
    if not np.all(np.isfinite(np.asarray(values, dtype=float))):
        raise ValueError(f"{name} holds a NaN or an infinity")
