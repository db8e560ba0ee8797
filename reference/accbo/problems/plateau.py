"""A plateau as high as the accuracy asked for: on it, no method is fast for a cheap reason.

    f_ε(x, y) = ε² (√(1 + ‖y‖²/ε²) − 1)        g(x, y) = ½ yᵀHy − yᵀHx,  H diagonal

y*(x) = x, so Φ_ε = f_ε(x, x): its gradient is at most ε, and at least ε/√2 exactly where
‖x‖ ≥ ε; its curvature is at most 1, and 1 where a method ends. A start with
Φ_ε(x) = Δ lies about Δ/ε away, whatever ε.

The noise of ∇_y F is a∘cos(ωy) + b∘sin(ωy), times s: its variance is s² wherever y is, and its
mean-square Lipschitz constant is sω. Noise proportional to y would grow on the plateau.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accbo._arrays import Array, dot, namespace, norm, to_host, traceable
from accbo._law import Law, expect_law
from accbo.problem import Constants, Noise, NoiseFields, Sample
from accbo.problems._lower import check_finite
from accbo.problems._noise import LowerNoise


@traceable
@dataclass(frozen=True)
class WaveNoise:
    """∇_y F = ∇_y f + s (a∘cos(ωy) + b∘sin(ωy)), coordinate by coordinate.

    ``scale`` s ≥ 0 (0: no noise), ``frequency`` ω > 0; a and b have the ``law`` of ``Noise``
    and, if it is two_point, its ``probability``. Raises ``ValueError`` for anything else.
    """

    scale: float = 1.0
    frequency: float = 0.25
    law: Law = "two_point"
    probability: float = 0.1

    def __post_init__(self) -> None:
        check_finite("scale", self.scale)
        check_finite("frequency", self.frequency)
        if not (self.scale >= 0 and self.frequency > 0):
            raise ValueError(
                "WaveNoise needs scale >= 0 and frequency > 0, got "
                f"{self.scale!r}, {self.frequency!r}"
            )
        expect_law(self.law, "WaveNoise.law", ("normal", "two_point", "sign"))
        if not 0 < self.probability < 1:
            raise ValueError(f"WaveNoise.probability must lie in (0, 1), got {self.probability!r}")

    def fields(self, d_y: int) -> NoiseFields:
        """a and b, or nothing where the scale is 0."""
        if self.scale == 0:
            return {}
        each = Noise(self.law, (d_y,), self.probability if self.law == "two_point" else None)
        return {"cosine": each, "sine": each}

    def value(self, value: Array, y: Array, sample: Sample) -> Array:
        """f with its noise, (s/ω) (a·sin(ωy) − b·cos(ωy)); shape ``(...)``."""
        if not (sample and "cosine" in sample):
            return value
        xp, phase = namespace(y), self.frequency * y
        wave = dot(sample["cosine"] + 0 * y, xp.sin(phase)) - dot(
            sample["sine"] + 0 * y, xp.cos(phase)
        )
        return value + self.scale / self.frequency * wave

    def grad_y(self, gradient: Array, y: Array, sample: Sample) -> Array:
        """∇_y f with its noise, shape ``(..., d_y)``."""
        if not (sample and "cosine" in sample):
            return gradient
        xp, phase = namespace(y), self.frequency * y
        wave = sample["cosine"] * xp.cos(phase) + sample["sine"] * xp.sin(phase)
        return gradient + self.scale * wave


@traceable
@dataclass(frozen=True, eq=False)
class Plateau:
    """The plateau; built most easily by :func:`plateau`.

    ``epsilon`` ε > 0, ``spectrum`` the diagonal of H ``(d,)``; d_x = d_y = d. Raises
    ``ValueError`` unless every realisation of G is strongly convex.
    """

    epsilon: float
    spectrum: Array
    noise_upper: WaveNoise = WaveNoise()
    noise_lower: LowerNoise = LowerNoise()

    def __post_init__(self) -> None:
        check_finite("epsilon", self.epsilon)
        if not self.epsilon > 0:
            raise ValueError(f"epsilon must be > 0, got {self.epsilon!r}")
        values = to_host(self.spectrum)
        check_finite("spectrum", values)
        if values.ndim != 1 or len(values) == 0 or not np.all(values > self.noise_lower.curvature):
            raise ValueError(
                "spectrum must be eigenvalues in a list, each above the noise in the curvature, "
                f"{self.noise_lower.curvature:.6g}, got {values!r}"
            )

    @property
    def d_x(self) -> int:
        """Dimension of x."""
        size: int = self.spectrum.shape[0]
        return size

    @property
    def d_y(self) -> int:
        """Dimension of y."""
        size: int = self.spectrum.shape[0]
        return size

    @property
    def upper_noise(self) -> NoiseFields:
        """The fields of ξ."""
        return self.noise_upper.fields(self.d_y)

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
        """The constants of SPEC §1; Φ is smooth in the ordinary sense as well, with 1."""
        values = to_host(self.spectrum)
        mu, largest = float(np.min(values)), float(np.max(values))
        curvature, coupling = (
            largest + self.noise_lower.curvature,
            largest * (1 + self.noise_lower.coupling),
        )
        return Constants(
            mu=mu,
            l_g1=math.hypot(curvature, coupling),
            l_g2=0.0,
            curvature=curvature,
            L_x0=0.0,
            L_x1=0.0,
            L_y0=1.0,
            L_y1=0.0,
            l_f0=float(self.epsilon),
            smoothness=1.0,
        )

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F(x, y; ξ), shape ``(...)``."""
        length = norm(y)
        # ε² (√(1 + r²/ε²) − 1) without cancellation where r is small
        root = namespace(y).sqrt(1 + (length / self.epsilon) ** 2)
        return self.noise_upper.value(length**2 / (1 + root), y, sample)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """0, shape ``(..., d)``."""
        return namespace(x).zeros_like(x)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """y/√(1 + ‖y‖²/ε²) with its noise, shape ``(..., d)``."""
        return self.noise_upper.grad_y(self.hypergradient(y), y, sample)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """½ yᵀHy − yᵀHx with its noise, shape ``(...)``."""
        coupled = self.spectrum * x
        value = 0.5 * dot(y, self.spectrum * y) - dot(y, coupled)
        return self.noise_lower.value(value, y, coupled, sample)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """H(y − x) with its noise, shape ``(..., d)``."""
        gradient = self.spectrum * (y - x)
        return self.noise_lower.grad_y(gradient, y, self.spectrum * x, sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """Hv with its noise, shape ``(..., d)``."""
        return self.noise_lower.hvp(self.spectrum * v, v, sample)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """−Hv with its noise, shape ``(..., d)``."""
        return -self.spectrum * self.noise_lower.coupled(v, sample)

    def solution(self, x: Array) -> Array:
        """y*(x) = x."""
        return x

    def hypergradient(self, x: Array) -> Array:
        """∇Φ(x) = x/√(1 + ‖x‖²/ε²), shape ``(..., d)``."""
        return x / namespace(x).sqrt(1 + dot(x, x) / self.epsilon**2)[..., None]

    def value(self, x: Array) -> Array:
        """Φ(x), shape ``(...)``."""
        return self.upper(x, x)


def plateau(
    epsilon: float,
    spectrum: Sequence[float] = (1.0, 2.0),
    *,
    noise_upper: WaveNoise = WaveNoise(),
    noise_lower: LowerNoise = LowerNoise(),
) -> Plateau:
    """A :class:`Plateau` on the host; d = len(spectrum)."""
    return Plateau(float(epsilon), np.array(spectrum, dtype=float), noise_upper, noise_lower)
