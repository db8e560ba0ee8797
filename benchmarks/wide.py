"""A bilevel problem of any width, without a matrix, whose second derivatives move.

    f(x, y) = ½ w ‖x‖² + Σ log cosh(y − t)        t drawn from a seed
    g(x, y) = ½ Σ h_i y_i² − yᵀCx + k Σ log cosh(y − x/2)

C adds a multiple of each entry and of its neighbour, x and y have one dimension. What traces are
tried on: every mistake of the catalogues shows on it, from a dozen entries to millions.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from accbo._arrays import Array, asarray, namespace, traceable
from accbo.problem import NoiseFields, Sample
from accbo.problems import LowerNoise, UpperNoise
from accbo.problems._logcosh import log_cosh, sech2


@traceable
@dataclass(frozen=True)
class Wide:
    """The problem above in ``d`` entries; H is between 1 and 2, so that l = 3.2 is enough."""

    d: int
    coupling: float = 0.5
    strength: float = 0.5
    seed: int = 0
    noise_upper: UpperNoise = UpperNoise(additive_x=0.3, additive_y=0.3)
    noise_lower: LowerNoise = LowerNoise(additive=0.2, curvature=0.3, coupling=0.2)

    @property
    def d_x(self) -> int:
        """Dimension of x."""
        return self.d

    @property
    def d_y(self) -> int:
        """Dimension of y."""
        return self.d

    @property
    def upper_noise(self) -> NoiseFields:
        """The fields of ξ."""
        return self.noise_upper.fields(self.d, self.d)

    @property
    def lower_noise(self) -> NoiseFields:
        """The fields of ζ that ∇_y G depends on."""
        return self.noise_lower.fields(self.d)

    @property
    def hessian_noise(self) -> NoiseFields:
        """Those of them that ∇²_yy G depends on."""
        return self.noise_lower.hessian_fields(self.d)

    @property
    def cross_noise(self) -> NoiseFields:
        """Those of them that ∇²_xy G depends on."""
        return self.noise_lower.cross_fields(self.d)

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """f with its noise, shape ``(...)``."""
        xp = namespace(x)
        value = 0.5 * xp.sum(x * x, axis=-1) + xp.sum(log_cosh(y - self._target(y)), axis=-1)
        return self.noise_upper.value(value, x, y, sample)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """x with its noise, shape ``(..., d)``."""
        return self.noise_upper.grad_x(1.0 * x, x, sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """tanh(y − t) with its noise, shape ``(..., d)``."""
        return self.noise_upper.grad_y(namespace(y).tanh(y - self._target(y)), y, sample)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """g with its noise, shape ``(...)``."""
        xp, coupled = namespace(x), self._coupled(x)
        value = 0.5 * xp.sum(self._curvature(y) * y * y, axis=-1) - xp.sum(y * coupled, axis=-1)
        value = value + self.strength * xp.sum(log_cosh(y - 0.5 * x), axis=-1)
        return self.noise_lower.value(value, y, coupled, sample)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """h∘y − Cx + k tanh(y − x/2) with its noise, shape ``(..., d)``."""
        coupled = self._coupled(x)
        value = self._curvature(y) * y - coupled + self.strength * namespace(y).tanh(y - 0.5 * x)
        return self.noise_lower.grad_y(value, y, coupled, sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """(h + k sech²(y − x/2))∘v with its noise, shape ``(..., d)``."""
        value = (self._curvature(y) + self.strength * sech2(y - 0.5 * x)) * v
        return self.noise_lower.hvp(value, v, sample)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """−Cᵀv − k sech²(y − x/2)∘v/2 with its noise, shape ``(..., d)``."""
        noisy = self.noise_lower.coupled(v, sample)
        back = self.coupling * noisy + 0.5 * self.coupling * namespace(v).roll(noisy, -1, axis=-1)
        return -back - 0.5 * self.strength * sech2(y - 0.5 * x) * v

    def _coupled(self, x: Array) -> Array:
        return self.coupling * x + 0.5 * self.coupling * namespace(x).roll(x, 1, axis=-1)

    def _target(self, like: Array) -> Array:
        return asarray(_target(self.d, self.seed), like, like.dtype)

    def _curvature(self, like: Array) -> Array:
        return asarray(_curvature(self.d, self.seed), like, like.dtype)


@functools.cache
def _target(d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(d)


@functools.cache
def _curvature(d: int, seed: int) -> np.ndarray:
    return 1 + np.random.default_rng(seed + 1).random(d)


def start(d: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """x_0 and y_init of size about 1 an entry."""
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((2, d)) / math.sqrt(2)
    return x.astype(dtype), y.astype(dtype)
