"""Unbounded smoothness above: cosh with ripples in x, log cosh in y, quadratic below.

    f(x, y) = Σ_i [(cosh(a x_i) − 1)/a² + r (1 − cos(ω x_i))] + Σ_j log cosh(y_j − t_j)
    g(x, y) = ½ yᵀHy − yᵀCx

∇²f grows like e^{a|x|}, as fast as ∇f; with r ω² > 1 the upper level is not convex.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import Array, namespace, traceable
from accbo.problem import Constants, Sample
from accbo.problems._logcosh import FINITE_RADIUS, log_cosh
from accbo.problems._lower import (
    QuadraticLower,
    as_vector,
    check_finite,
    check_lower,
    check_vector,
    lower_matrices,
    response_of,
)
from accbo.problems._noise import LowerNoise, UpperNoise


@traceable
@dataclass(frozen=True, eq=False)
class RelaxedSmooth(QuadraticLower):
    """The cosh problem; built most easily by :func:`relaxed_smooth`.

    ``target`` t ``(d_y,)``, ``hessian`` H ``(d_y, d_y)``, ``coupling`` C ``(d_y, d_x)``,
    ``rate`` a > 0, ``ripple`` r ≥ 0, ``frequency`` ω > 0; ``response`` H⁻¹C is computed when
    left out. Raises ``ValueError`` unless every realisation of G is strongly convex.
    """

    target: Array
    hessian: Array
    coupling: Array
    rate: float = 1.0
    ripple: float = 0.0
    frequency: float = 1.0
    noise_upper: UpperNoise = UpperNoise()
    noise_lower: LowerNoise = LowerNoise()
    form: str = "shared"
    response: Any = None

    def __post_init__(self) -> None:
        check_lower(self.hessian, self.coupling, self.noise_lower, self.form)
        check_vector("target", self.target, self.d_y)
        for name in ("rate", "ripple", "frequency"):
            check_finite(name, getattr(self, name))
        if not (self.rate > 0 and self.ripple >= 0 and self.frequency > 0):
            raise ValueError(
                "rate and frequency must be > 0 and ripple >= 0, got "
                f"{self.rate!r}, {self.frequency!r}, {self.ripple!r}"
            )
        if self.response is None:
            object.__setattr__(self, "response", response_of(self.hessian, self.coupling))

    @property
    def constants(self) -> Constants:
        """The constants of SPEC §1, in the finite-radius form."""
        mu, curvature, coupling = check_lower(
            self.hessian, self.coupling, self.noise_lower, self.form
        )
        # |f''| ≤ cosh + r ω² ≤ 1 + a |f'| + a r ω + r ω² holds coordinate by coordinate
        wave = self.ripple * self.frequency
        hessian_form = 1 + self.rate * wave + wave * self.frequency
        return Constants(
            mu=mu,
            l_g1=math.hypot(curvature, coupling),
            l_g2=0.0,
            curvature=curvature,
            L_x0=FINITE_RADIUS * hessian_form,
            L_x1=FINITE_RADIUS * self.rate,
            L_y0=1.0,
            L_y1=0.0,
            l_f0=math.sqrt(self.d_y),
        )

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """f with its noise, shape ``(...)``."""
        xp = namespace(x)
        # cosh u − 1 = 2 sinh²(u/2) and 1 − cos u = 2 sin²(u/2) keep their digits near 0
        wall = 2 * xp.sinh(0.5 * self.rate * x) ** 2 / self.rate**2
        waves = 2 * self.ripple * xp.sin(0.5 * self.frequency * x) ** 2
        value = xp.sum(wall + waves, axis=-1) + xp.sum(log_cosh(y - self.target), axis=-1)
        return self.noise_upper.value(value, x, y, sample)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """sinh(a x)/a + r ω sin(ω x) with its noise, shape ``(..., d_x)``."""
        xp = namespace(x)
        waves = self.ripple * self.frequency * xp.sin(self.frequency * x)
        gradient = xp.sinh(self.rate * x) / self.rate + waves
        return self.noise_upper.grad_x(gradient, x, sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """tanh(y − t) with its noise, shape ``(..., d_y)``."""
        gradient = namespace(y).tanh(y - self.target)
        return self.noise_upper.grad_y(gradient, y, sample)


def relaxed_smooth(
    spectrum: Sequence[float] = (1.0, 1.5),
    d_x: int = 2,
    *,
    rate: float = 1.0,
    ripple: float = 0.15,
    frequency: float = 3.0,
    coupling: float | np.ndarray = 1.0,
    rotation: np.ndarray | None = None,
    rotate: bool = True,
    target: Sequence[float] | float = 1.0,
    noise_upper: UpperNoise = UpperNoise(),
    noise_lower: LowerNoise = LowerNoise(),
    form: str = "shared",
    seed: int = 0,
) -> RelaxedSmooth:
    """A :class:`RelaxedSmooth` on the host; the lower level as in ``quadratic``."""
    hessian, matrix = lower_matrices(spectrum, d_x, coupling, rotation, rotate, seed)
    return RelaxedSmooth(
        target=as_vector(target, len(hessian)),
        hessian=hessian,
        coupling=matrix,
        rate=float(rate),
        ripple=float(ripple),
        frequency=float(frequency),
        noise_upper=noise_upper,
        noise_lower=noise_lower,
        form=form,
    )
