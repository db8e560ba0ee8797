"""What a bilevel problem offers: values, derivatives, noise declarations, constants.

Minimise Φ(x) = f(x, y*(x)) over x, where y*(x) = argmin_y g(x, y), and f, g are the
expectations of F(x, y; ξ), G(x, y; ζ).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from accbo._arrays import Array
from accbo._law import Law

Sample = Mapping[str, Array] | None


class Noise(NamedTuple):
    """How one field of a sample is distributed.

    ``law`` is one of ``normal`` (standard), ``two_point`` (mean 0, variance 1, the positive
    value with probability ``parameter``, skewed unless that is ½), ``sign`` (±1, fair) and
    ``index`` (integers below ``parameter``, uniform); or a function of one's own, which maps
    uniform numbers from (0, 1) to noise of mean 0 and variance 1, entry by entry, as the inverse
    of a distribution function does. ``shape`` is the trailing shape.
    """

    law: Law
    shape: tuple[int, ...]
    parameter: float | None = None


NoiseFields = Mapping[str, Noise]


@runtime_checkable
class BilevelProblem(Protocol):
    """The oracle of a stochastic bilevel problem; every axis but the last is a replicate.

    ``x`` has shape ``(..., d_x)``, ``y`` and ``v`` have ``(..., d_y)``. ``sample`` is one
    draw of the declared fields, or ``None`` for the expectation. Values have shape
    ``(...)``, derivatives that of the variable. Methods are pure, allocate no
    ``(R, d, d)`` array, and broadcast over leading axes.
    """

    @property
    def d_x(self) -> int:
        """Dimension of x."""

    @property
    def d_y(self) -> int:
        """Dimension of y."""

    @property
    def upper_noise(self) -> NoiseFields:
        """The fields of ξ."""

    @property
    def lower_noise(self) -> NoiseFields:
        """The fields of ζ that ∇_y G depends on."""

    @property
    def hessian_noise(self) -> NoiseFields:
        """Those of them that ∇²_yy G depends on."""

    @property
    def cross_noise(self) -> NoiseFields:
        """Those of them that ∇²_xy G depends on."""

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F(x, y; ξ)."""

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F(x, y; ξ), shape ``(..., d_x)``."""

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F(x, y; ξ), shape ``(..., d_y)``."""

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """G(x, y; ζ)."""

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y G(x, y; ζ), shape ``(..., d_y)``."""

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_yy G(x, y; ζ) v, shape ``(..., d_y)``."""

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G(x, y; ζ) v, shape ``(..., d_x)``."""


@dataclass(frozen=True)
class Constants:
    """The constants of SPEC §1 for one problem.

    ``curvature`` is the largest eigenvalue of ∇²_yy G over all realisations. An infinite
    ``l_f0`` (a quadratic f) means that (L0, L1)-smoothness of Φ does not follow from §1;
    Φ is then smooth in the ordinary sense and ``smoothness`` is ‖∇²Φ‖.
    """

    mu: float
    l_g1: float
    l_g2: float
    curvature: float
    L_x0: float
    L_x1: float
    L_y0: float
    L_y1: float
    l_f0: float
    smoothness: float | None = None

    @property
    def K0(self) -> float:
        """K0 of Φ's relaxed smoothness."""
        if self.smoothness is not None:
            return self.smoothness
        ratio, l_f0 = self.l_g1 / self.mu, self.l_f0
        curvature = (self.l_g1 * self.l_g2 + self.l_g2 * self.mu) / self.mu**2
        inner = self.L_x0 + self.L_x1 * ratio * l_f0
        inner += ratio * (self.L_y0 + self.L_y1 * l_f0) + l_f0 * curvature
        return math.sqrt(1 + ratio**2) * inner

    @property
    def K1(self) -> float:
        """K1 of Φ's relaxed smoothness."""
        return math.sqrt(1 + (self.l_g1 / self.mu) ** 2) * self.L_x1

    @property
    def radius(self) -> float:
        """How far apart x and x' may be for Φ's property to be claimed; may be infinite."""
        both = self.L_x1**2 + self.L_y1**2
        ratio = 1 + (self.l_g1 / self.mu) ** 2
        return math.inf if both == 0 else 1 / math.sqrt(2 * ratio * both)


def constants_of(problem: Any) -> Constants | None:
    """The problem's constants where it knows them."""
    return getattr(problem, "constants", None)
