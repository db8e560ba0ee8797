"""Real numbers as balls that hold them, and whether a float is the nearest one to all of a ball."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from accbo._extras import install

try:
    from flint import arb, ctx
except ImportError as error:
    raise ImportError(f"proving takes python-flint; {install('prove')}") from error

Ball = Any  # flint.arb


class Balls:
    """The arithmetic of the page on balls: each result holds the exact one."""

    @staticmethod
    def precision(bits: int) -> None:
        """Compute to ``bits`` bits from now on."""
        ctx.prec = bits

    @staticmethod
    def number(value: float) -> Ball:
        """``value`` itself."""
        return arb(value)

    @staticmethod
    def total(terms: Sequence[Ball]) -> Ball:
        """The sum."""
        return sum(terms, arb(0))

    @staticmethod
    def settled(v: list[Ball], _: float = 0.0) -> list[Ball]:
        """``v``; a line of the page ends here."""
        return v

    @staticmethod
    def power(base: Ball, numerator: int, denominator: int) -> Ball:
        """base^(p/q)."""
        return base ** (arb(numerator) / denominator)

    @staticmethod
    def norm(v: Sequence[Ball]) -> Ball:
        """‖v‖."""
        return sum((entry * entry for entry in v), arb(0)).sqrt()

    @staticmethod
    def direction(v: Sequence[Ball]) -> list[Ball]:
        """v/‖v‖."""
        norm = Balls.norm(v)
        return [entry / norm for entry in v]

    @staticmethod
    def is_zero(v: Sequence[Ball]) -> bool:
        """Whether every entry is exactly 0."""
        return all(entry == 0 for entry in v)

    @staticmethod
    def tanh(t: Ball) -> Ball:
        """tanh t."""
        return t.tanh()

    @staticmethod
    def sech2(t: Ball) -> Ball:
        """1/cosh² t."""
        return 1 / t.cosh() ** 2

    @staticmethod
    def sinh(t: Ball) -> Ball:
        """sinh t."""
        return t.sinh()

    @staticmethod
    def sin(t: Ball) -> Ball:
        """sin t."""
        return t.sin()

    @staticmethod
    def sigmoid(t: Ball) -> Ball:
        """1/(1 + e⁻ᵗ)."""
        return 1 / (1 + (-t).exp())

    @staticmethod
    def sigmoid_slope(t: Ball) -> Ball:
        """e⁻ᵗ/(1 + e⁻ᵗ)² = 1/(4 cosh²(t/2)), which does not overflow."""
        return 1 / (4 * (t / 2).cosh() ** 2)


def nearest(value: float, ball: Ball) -> bool | None:
    """Whether ``value`` is the float64 nearest to every real of ``ball``, ties to even.

    None where the ball is too wide to tell.
    """
    if not (np.isfinite(value) and ball.is_finite()):
        return False if ball.is_finite() else None
    below, above = (float(np.nextafter(value, side)) for side in (-np.inf, np.inf))
    lower, upper = ((arb(value) + arb(side)) / 2 for side in (below, above))
    if lower < ball and ball < upper:
        return True
    if ball < lower or ball > upper:
        return False
    return _even(value) if ball.is_exact() else None


def _even(value: float) -> bool:
    """Whether the last bit is 0: the one to take where two floats are as near."""
    return int(np.float64(value).view(np.int64)) & 1 == 0


def ulps(value: float, ball: Ball) -> float:
    """How far ``value`` is from the middle of ``ball``, in spacings of floats around it."""
    if not np.isfinite(value):
        return float("inf")
    return float(abs(arb(value) - ball.mid()) / arb(float(np.spacing(abs(value)))))
