"""What one of Nesterov's steps does to V, as an equality on any g (SPEC 4.12).

With s = √(μα), γ = (1 − s)/(1 + s), z = y + γ(y − y_previous), a gradient G at z, y⁺ = z − αG and
V = g(y) − g* + (μ/2)‖y − y* + (1/s − 1)(y − y_previous)‖²:

    (1 − s)V − V⁺ = [g(z) − g(y⁺) − (α/2)‖G‖²]                      descent: ≥ 0 where αl ≤ 1
                  + s[g* − g(z) − ⟨G, y* − z⟩ − (μ/2)‖y* − z‖²]      ≥ 0: strong convexity, z to y*
                  + (1 − s)[g(y) − g(z) − ⟨G, y − z⟩]                ≥ 0: convexity, z to y
                  + (μ(1 − s)/2s)‖y − z‖².

It is algebra: it holds for any G, the noisy ones too, and for αl > 1; the signs need G = ∇g(z).
So the four terms are the certificate of the rate 1 − s, rechecked in exact fractions by
``tests/test_certificate.py``.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from accbo import AccBO

from ..consistency import expect
from ..own_path import dense
from ..own_path.dense import U, norms
from ..own_path.path import Path, Samples
from ..own_path.recursion import Deviation


class Decrease(NamedTuple):
    """Of every lower step of a path in Option I and every replicate, ``(T, R)``."""

    before: np.ndarray  # V
    after: np.ndarray  # V⁺
    terms: np.ndarray  # the four, (4, T, R)
    rounding: np.ndarray  # what each of them may lose
    kept: float  # 1 − s

    @property
    def deviation(self) -> Deviation:
        """(1 − s)V − V⁺ less the four terms, beside what rounding allows."""
        left = self.kept * self.before - self.after
        return Deviation(np.abs(left - np.sum(self.terms, axis=0)), self.rounding)

    @property
    def least(self) -> np.ndarray:
        """The least of each term in units of its rounding, ``(4,)``; NaN where one is none."""
        return np.asarray(np.min(self.terms / self.rounding, axis=(1, 2)))


def matched(mu: float, step_size: float) -> tuple[float, float]:
    """s = √(μα) and γ = (1 − s)/(1 + s)."""
    s = math.sqrt(mu * step_size)
    return s, (1 - s) / (1 + s)


def decrease(problem: Any, algorithm: AccBO, path: Path, samples: Samples) -> Decrease:
    """Both sides on a path whose γ is matched to its α; ``samples`` are those of the path.

    Every term is a sum of values of g, of products of size l‖·‖² and of those over s, s²: rounding
    leaves 16(d_x + d_y + 4)u of their sizes.
    """
    constants, alpha = problem.constants, algorithm.lower_step_size
    mu, (s, gamma) = constants.mu, matched(constants.mu, alpha)
    expect(algorithm.period is None, "the path is one of Option I")
    matches = math.isclose(gamma, algorithm.lower_momentum, rel_tol=1e-12, abs_tol=1e-15)
    expect(matches, "the path's γ is matched to its α")
    x, y, after = path.x[:-1], path.y[:-1], path.y[1:]
    previous = np.concatenate((y[:1], y[:-1]))
    z = y + gamma * (y - previous)
    part = {name: leaf[:, 0] for name, leaf in samples.lower.items()}
    gradient = dense.grad_lower(problem, x, z, part)
    target = problem.solution(x)
    at = {
        name: dense.lower(problem, x, where)
        for name, where in zip("yzat", (y, z, after, target), strict=True)
    }

    def squares(v: np.ndarray) -> np.ndarray:
        return np.asarray(np.sum(v * v, axis=-1))

    def lyapunov(name: str, now: np.ndarray, last: np.ndarray) -> np.ndarray:
        ahead = now - target + (1 / s - 1) * (now - last)
        return np.asarray(at[name] - at["t"] + mu / 2 * squares(ahead))

    terms = np.array(
        [
            at["z"] - at["a"] - alpha / 2 * squares(gradient),
            s
            * (
                at["t"]
                - at["z"]
                - np.sum(gradient * (target - z), axis=-1)
                - mu / 2 * squares(target - z)
            ),
            (1 - s) * (at["y"] - at["z"] - np.sum(gradient * (y - z), axis=-1)),
            mu * (1 - s) / (2 * s) * squares(y - z),
        ]
    )
    long = np.array([norms(v) for v in (y, previous, z, after, target)])
    size = np.sum(np.abs(list(at.values())), axis=0)
    size += constants.l_g1 * np.sum(long**2, axis=0) / s**2
    size += (constants.l_g1 * norms(x) + norms(gradient)) * np.max(long, axis=0)
    size += alpha * squares(gradient)
    return Decrease(
        lyapunov("y", y, previous),
        lyapunov("a", after, y),
        terms,
        16 * (problem.d_x + problem.d_y + 4) * U * size,
        1 - s,
    )
