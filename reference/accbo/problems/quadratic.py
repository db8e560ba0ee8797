"""Everything quadratic: the problem on which most laws are exact.

f(x, y) = ½ Σ w_i x_i² + ½ ‖y − t‖²        g(x, y) = ½ yᵀHy − yᵀCx
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import Array, dot, to_host, traceable
from accbo.problem import Constants, Sample
from accbo.problems._lower import (
    QuadraticLower,
    as_vector,
    check_lower,
    check_vector,
    lower_matrices,
    response_of,
)
from accbo.problems._noise import LowerNoise, UpperNoise


@traceable
@dataclass(frozen=True, eq=False)
class Quadratic(QuadraticLower):
    """The quadratic problem; built most easily by :func:`quadratic`.

    ``weights`` w ``(d_x,)``, ``target`` t ``(d_y,)``, ``hessian`` H ``(d_y, d_y)``,
    ``coupling`` C ``(d_y, d_x)``; ``response`` H⁻¹C is computed when left out. ``form`` is
    that of the matrix products (``accbo._arrays.matvec``). Raises ``ValueError`` unless
    every realisation of G is strongly convex.
    """

    weights: Array
    target: Array
    hessian: Array
    coupling: Array
    noise_upper: UpperNoise = UpperNoise()
    noise_lower: LowerNoise = LowerNoise()
    form: str = "shared"
    response: Any = None

    def __post_init__(self) -> None:
        check_lower(self.hessian, self.coupling, self.noise_lower, self.form)
        check_vector("weights", self.weights, self.d_x)
        check_vector("target", self.target, self.d_y)
        if self.response is None:
            object.__setattr__(self, "response", response_of(self.hessian, self.coupling))

    @property
    def constants(self) -> Constants:
        """The constants of SPEC §1; l_f0 is infinite, Φ smooth in the ordinary sense."""
        mu, curvature, coupling = check_lower(
            self.hessian, self.coupling, self.noise_lower, self.form
        )
        weights, response = to_host(self.weights), to_host(self.response)
        return Constants(
            mu=mu,
            l_g1=math.hypot(curvature, coupling),
            l_g2=0.0,
            curvature=curvature,
            L_x0=float(np.max(np.abs(weights))),
            L_x1=0.0,
            L_y0=1.0,
            L_y1=0.0,
            l_f0=math.inf,
            smoothness=float(np.linalg.norm(np.diag(weights) + response.T @ response, 2)),
        )

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """½ Σ w x² + ½ ‖y − t‖² with its noise, shape ``(...)``."""
        away = y - self.target
        value = 0.5 * dot(self.weights * x, x) + 0.5 * dot(away, away)
        return self.noise_upper.value(value, x, y, sample)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """w∘x with its noise, shape ``(..., d_x)``."""
        return self.noise_upper.grad_x(self.weights * x, x, sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """y − t with its noise, shape ``(..., d_y)``."""
        return self.noise_upper.grad_y(y - self.target, y, sample)

    def minimiser(self) -> np.ndarray:
        """The minimiser of Φ, on the host, shape ``(d_x,)``."""
        response = to_host(self.response)
        phi = np.diag(to_host(self.weights)) + response.T @ response
        return np.linalg.solve(phi, response.T @ to_host(self.target))


def quadratic(
    spectrum: Sequence[float] = (1.0, 1.5),
    d_x: int = 2,
    *,
    coupling: float | np.ndarray = 1.0,
    rotation: np.ndarray | None = None,
    rotate: bool = True,
    weights: Sequence[float] | float = 1.0,
    target: Sequence[float] | float = 1.0,
    noise_upper: UpperNoise = UpperNoise(),
    noise_lower: LowerNoise = LowerNoise(),
    form: str = "shared",
    seed: int = 0,
) -> Quadratic:
    """A :class:`Quadratic` on the host; d_y = len(spectrum).

    H = U diag(spectrum) Uᵀ with U = ``rotation``, or drawn from ``seed``, or the identity
    where ``rotate`` is false. ``coupling`` is C, or the spectral norm of a drawn C.
    """
    hessian, matrix = lower_matrices(spectrum, d_x, coupling, rotation, rotate, seed)
    return Quadratic(
        weights=as_vector(weights, matrix.shape[1]),
        target=as_vector(target, len(hessian)),
        hessian=hessian,
        coupling=matrix,
        noise_upper=noise_upper,
        noise_lower=noise_lower,
        form=form,
    )
