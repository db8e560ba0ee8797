"""A chain whose next link a sample shows with probability p, and its lift to two levels.

F_T(x) = −Ψ(1)Φ(x_1) + Σ_{i≥2} [Ψ(−x_{i−1})Φ(−x_i) − Ψ(x_{i−1})Φ(x_i)], Ψ(t) = exp(1 − 1/(2t−1)²)
for t > ½, else 0, Φ(t) = √e ∫_{−∞}^t exp(−s²/2) ds. ‖∇F_T‖ > 1 until |x_T| ≥ 1. A sample z is 1
with probability p and gives ∇_iF (1 + Θ_i (z/p − 1)), where Θ_i is 1 as long as no |x_k|, k ≥ i,
exceeds ¼: with z = 0 it shows no coordinate that was 0 before, with z = 1 at most one. Source:
Arjevani, Carmon, Duchi, Foster, Srebro, Woodworth, Math. Program. 199 (2023).

NumPy only: SciPy's erf has no counterpart in the array standard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from accbo.problem import Constants, Noise, NoiseFields, Sample

_ROOT = math.sqrt(math.e)
_GRID = np.linspace(0.25, 0.5, 20001)


def _smooth_step() -> np.ndarray:
    """Γ on ``_GRID``: ∫_¼ exp(−1/(100 (s−¼)(½−s))) ds, 1 at its end."""
    inside = (_GRID - 0.25) * (0.5 - _GRID)
    values = np.exp(-1 / (100 * np.maximum(inside, 1e-300)))
    total = np.concatenate(([0.0], np.cumsum((values[1:] + values[:-1]) / 2)))
    return total / total[-1]


_STEP = _smooth_step()


@dataclass(frozen=True)
class Chain:
    """A chain of ``length`` T links, each shown by a sample with ``probability`` p."""

    length: int
    probability: float

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """∇F_T, shape ``(..., T)``; Ψ of both signs is Ψ of the absolute value."""
        psi, slope = _psi(np.abs(x))
        before = np.concatenate((np.ones_like(x[..., :1]), psi[..., :-1]), axis=-1)
        found = -_ROOT * before * np.exp(-x * x / 2)
        sign = np.sign(x[..., :-1])
        found[..., :-1] -= slope[..., :-1] * _phi(sign * x[..., 1:])
        return found

    def hidden(self, x: np.ndarray) -> np.ndarray:
        """Θ: which coordinates a sample with z = 0 does not show, shape ``(..., T)``."""
        squares = _smooth(np.abs(x)) ** 2
        tails = np.cumsum(squares[..., ::-1], axis=-1)[..., ::-1]
        return _smooth(1 - np.sqrt(tails))

    def sampled(self, x: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The gradient on a sample; ``seen`` is z/p, or its mean over a batch, ``(..., 1)``."""
        gradient = self.gradient(x)
        # 1 − Θ + Θ·seen, so that what is hidden is 0 to the last bit
        hidden = self.hidden(x)
        return gradient * (1 - hidden) + gradient * hidden * seen


def _smooth(t: np.ndarray) -> np.ndarray:
    """Γ(t), read from the table: 0 up to ¼ and 1 from ½ on."""
    place = (len(_STEP) - 1) * np.clip(4 * t - 1, 0.0, 1.0)
    index = np.minimum(place.astype(np.intp), len(_STEP) - 2)
    return _STEP[index] + (place - index) * (_STEP[index + 1] - _STEP[index])


def _psi(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ψ(t) and Ψ'(t); both are below 1e-400000 where 2t − 1 < 0.001."""
    u = np.maximum(2 * t - 1, 1e-3)
    value = np.exp(1 - 1 / u**2)
    return value, value * 4 / u**3


def _phi(t: np.ndarray) -> np.ndarray:
    return _ROOT * math.sqrt(math.pi / 2) * (1 + erf(t / math.sqrt(2)))


@dataclass(frozen=True)
class LiftedChain:
    """f(x, y) = F_T(y), g = ½ yᵀHy − yᵀHx with H diagonal from 1 to ``largest``: y* = x, Φ = F_T.

    H is diagonal, so that neither level shows the other a coordinate that it has not seen.
    """

    chain: Chain
    largest: float = 2.0

    @property
    def d_x(self) -> int:
        """T."""
        return self.chain.length

    @property
    def d_y(self) -> int:
        """T."""
        return self.chain.length

    @property
    def diagonal(self) -> np.ndarray:
        """That of H, ``(T,)``."""
        return np.linspace(1.0, self.largest, self.chain.length)

    @property
    def upper_noise(self) -> NoiseFields:
        """z, standardised: its positive value has probability p."""
        return {"z": Noise("two_point", (1,), self.chain.probability)}

    @property
    def lower_noise(self) -> NoiseFields:
        """None."""
        return {}

    @property
    def hessian_noise(self) -> NoiseFields:
        """None."""
        return {}

    @property
    def cross_noise(self) -> NoiseFields:
        """None."""
        return {}

    @property
    def constants(self) -> Constants:
        """Those of g; of f only that it is smooth (152) with gradients below 23 a coordinate."""
        bound = 23 * math.sqrt(self.chain.length)
        return Constants(
            mu=1.0,
            l_g1=math.sqrt(2) * self.largest,
            l_g2=0.0,
            curvature=self.largest,
            L_x0=0.0,
            L_x1=0.0,
            L_y0=152.0,
            L_y1=0.0,
            l_f0=bound,
            smoothness=152.0,
        )

    def upper(self, x: np.ndarray, y: np.ndarray, sample: Sample = None) -> np.ndarray:
        """F_T(y), shape ``(...)``; its noise is that of the gradient alone."""
        before = np.concatenate((np.ones_like(y[..., :1]), y[..., :-1]), axis=-1)
        # Ψ(−b)Φ(−y) − Ψ(b)Φ(y): only one of the two is there
        links = -np.sign(before) * _psi(np.abs(before))[0] * _phi(np.sign(before) * y)
        return np.sum(links, axis=-1)

    def grad_x_upper(self, x: np.ndarray, y: np.ndarray, sample: Sample = None) -> np.ndarray:
        """0, shape ``(..., T)``."""
        return np.zeros_like(x)

    def grad_y_upper(self, x: np.ndarray, y: np.ndarray, sample: Sample = None) -> np.ndarray:
        """The chain's gradient on a sample, shape ``(..., T)``."""
        if not sample:
            return self.chain.gradient(y)
        return self.chain.sampled(y, np.where(sample["z"] > 0, 1 / self.chain.probability, 0.0))

    def lower(self, x: np.ndarray, y: np.ndarray, sample: Sample = None) -> np.ndarray:
        """½ yᵀHy − yᵀHx, shape ``(...)``."""
        return np.sum(self.diagonal * y * (0.5 * y - x), axis=-1)

    def grad_y_lower(self, x: np.ndarray, y: np.ndarray, sample: Sample = None) -> np.ndarray:
        """H(y − x), shape ``(..., T)``."""
        return self.diagonal * (y - x)

    def hvp_lower(
        self, x: np.ndarray, y: np.ndarray, v: np.ndarray, sample: Sample = None
    ) -> np.ndarray:
        """Hv, shape ``(..., T)``."""
        return self.diagonal * v

    def cross_lower(
        self, x: np.ndarray, y: np.ndarray, v: np.ndarray, sample: Sample = None
    ) -> np.ndarray:
        """−Hv, shape ``(..., T)``."""
        return -self.diagonal * v

    def solution(self, x: np.ndarray) -> np.ndarray:
        """y*(x) = x."""
        return x

    def hypergradient(self, x: np.ndarray) -> np.ndarray:
        """∇F_T(x), shape ``(..., T)``."""
        return self.chain.gradient(x)


def samples_alone(
    chain: Chain, method: str, replicates: int, seed: int, longest: int
) -> np.ndarray:
    """Samples until ‖∇F_T‖ ≤ 1 of a method on the upper level alone, ``(replicates,)``.

    A program of its own, which shares nothing with the package: ``recursive`` and ``average`` are
    normalised steps along a recursive momentum or a moving average, ``plain`` is SGD. Infinite
    where ``longest`` samples were not enough.
    """
    p = chain.probability
    step = {"recursive": 3 * p, "average": p**1.5, "plain": p}[method]
    first = 1 if method == "plain" else round(1 / p)
    generator = np.random.default_rng((seed, chain.length, len(method)))
    x = np.zeros((replicates, chain.length))
    hit, count = np.full(replicates, math.inf), first
    seen = generator.binomial(first, p, (replicates, 1)) / first / p
    m = chain.sampled(x, seen)
    while count <= longest:
        direction = m
        if method != "plain":
            length = np.sqrt(np.sum(m * m, axis=-1, keepdims=True))
            direction = m / np.where(length > 0, length, 1.0)
        previous, x = x, x - step * direction
        there = np.sqrt(np.sum(chain.gradient(x) ** 2, axis=-1)) <= 1
        hit = np.where(there & np.isinf(hit), count, hit)
        if not np.isinf(hit).any():
            break
        count += 1
        seen = (generator.random((replicates, 1)) < p) / p
        h = chain.sampled(x, seen)
        if method == "recursive":
            m = h + (1 - p) * (m - chain.sampled(previous, seen))
        else:
            m = h if method == "plain" else (1 - p) * m + p * h
    return hit
