"""y*(x) and ∇Φ(x) of a lower level without closed form, by accelerated gradient descent."""

from __future__ import annotations

import math
from collections.abc import Callable

from accbo._arrays import Array, namespace, repeat, unit_roundoff
from accbo.problem import Sample


def minimise(
    gradient: Callable[[Array], Array], start: Array, mu: float, curvature: float, digits: float
) -> Array:
    """The minimiser of a μ-strongly convex function, shaped like ``start``.

    Nesterov's steps at 1/curvature: V_n ≤ (1 − s)ⁿ V_0 with s = √(μ/curvature), and the
    squared distance is at most 2V/μ (SPEC §4.3); as many as ``digits`` digits need.
    """
    s = math.sqrt(mu / curvature)
    gamma = (1 - s) / (1 + s)
    steps = math.ceil(2 * (digits + 1) * math.log(10) / -math.log1p(-min(s, 0.9)))

    def advance(pair: Array) -> Array:
        y, y_previous = pair[0, ...], pair[1, ...]
        z = y + gamma * (y - y_previous)
        return namespace(y).stack([z - gradient(z) / curvature, y])

    return repeat(advance, namespace(start).stack([start, start]), steps)[0, ...]


class ImplicitSolution:
    """``solution``, ``hypergradient`` and ``value`` for problems with the methods below."""

    ridge: float  # μ

    @property
    def d_y(self) -> int:
        """Dimension of y; the problem's own."""
        raise NotImplementedError

    def solver_curvature(self, x: Array) -> float:
        """At least the largest eigenvalue of ∇²_yy g at x; the problem's own."""
        raise NotImplementedError

    def solution(self, x: Array, digits: float | None = None) -> Array:
        """y*(x), shape ``(..., d_y)``, to ``digits`` digits, or to the working precision."""
        xp = namespace(x)
        origin = xp.broadcast_to(0 * x[..., :1], (*x.shape[:-1], self.d_y))
        return self._minimise(lambda y: self.grad_y_lower(x, y), origin, x, digits)

    def hypergradient(self, x: Array, digits: float | None = None) -> Array:
        """∇Φ(x), shape ``(..., d_x)``; the linear system as a minimum, ½ vᵀHv − vᵀ∇_y f."""
        y = self.solution(x, digits)
        b = self.grad_y_upper(x, y)
        v = self._minimise(lambda v: self.hvp_lower(x, y, v) - b, 0 * b, x, digits)
        return self.grad_x_upper(x, y) - self.cross_lower(x, y, v)

    def value(self, x: Array) -> Array:
        """Φ(x) = f(x, y*(x)), shape ``(...)``."""
        return self.upper(x, self.solution(x))

    def _minimise(
        self, gradient: Callable[[Array], Array], start: Array, x: Array, digits: float | None
    ) -> Array:
        digits = -math.log10(unit_roundoff(x)) if digits is None else digits
        return minimise(gradient, start, self.ridge, self.solver_curvature(x), digits)

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F(x, y; ξ); the problem's own."""
        raise NotImplementedError

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F(x, y; ξ); the problem's own."""
        raise NotImplementedError

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F(x, y; ξ); the problem's own."""
        raise NotImplementedError

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y G(x, y; ζ); the problem's own."""
        raise NotImplementedError

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_yy G(x, y; ζ) v; the problem's own."""
        raise NotImplementedError

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G(x, y; ζ) v; the problem's own."""
        raise NotImplementedError
