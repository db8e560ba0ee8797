"""What floating-point arithmetic may lose on the page, whoever orders it: a proven bound.

The model. fl(a∘b) = (a∘b)(1 + δ) + η with |δ| ≤ u and |η| at most the least positive number, for
+, −, ×, ÷ and √; cosh and its like within 4u of their scale. Every number carries its value, a
bound on the error of any program that computes it, and its *size*: the same expression with the
absolute value of every number and + for every −. An operation adds u times the size of its
result, a sum of n terms γ_{n−1} times the sum of their sizes. Because the size is rounded and
not the value, which may have cancelled, a line may take its sums in any order and distribute or
factor its products; and because ``MORE`` roundings are added to every line, also multiply
by 1/l, or by 1 + e s_j. A line is a derivative of section 4, a factor of the series, a step or an
average of sections 2 and 9: its result is rounded before the next one reads it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from accbo.conformance.vectors.proof.balls import Ball, Balls

MORE = 1.0  # roundings that a line may take beyond what is written
OF_A_FUNCTION = 4.0  # u, of cosh, sinh, tanh, sin, exp and pow
SLACK = 1 + 1e-9  # the bounds are themselves computed in float64, from positive numbers alone
BITS = 128  # of the values


class Rounded:
    """A number, what a program may be off it, and its size."""

    __slots__ = ("error", "model", "size", "value")

    def __init__(self, model: Roundings, value: Ball, error: float, size: float) -> None:
        self.model, self.value, self.error, self.size = model, value, error, size

    def __add__(self, other: Any) -> Rounded:
        return self.model.total([self, self.model.of(other)])

    __radd__ = __add__

    def __neg__(self) -> Rounded:
        return Rounded(self.model, -self.value, self.error, self.size)

    def __sub__(self, other: Any) -> Rounded:
        return self + -self.model.of(other)

    def __rsub__(self, other: Any) -> Rounded:
        return -self + other

    def __mul__(self, other: Any) -> Rounded:
        other = self.model.of(other)
        if (self.value == 0 and self.error == 0) or (other.value == 0 and other.error == 0):
            return self.model.number(0.0)
        size = self.size * other.size
        error = self.error * other.size + self.size * other.error + self.error * other.error
        return self.model.rounded(self.value * other.value, error, size)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Rounded:
        other = self.model.of(other)
        least = _least(other.value) - other.error
        if least <= 0:
            return Rounded(self.model, self.value / other.value, math.inf, math.inf)
        size = self.size / least
        return self.model.rounded(
            self.value / other.value, self.error / least + size * (other.error / least), size
        )

    def __rtruediv__(self, other: Any) -> Rounded:
        return self.model.of(other) / self


class Roundings:
    """The arithmetic of the page on :class:`Rounded`, in units of roundoff ``u``."""

    def __init__(self, u: float, tiny: float) -> None:
        self.u, self.tiny = u, tiny

    def of(self, value: Any) -> Rounded:
        """A number as one that may be off; what is written in a formula is exact."""
        return value if isinstance(value, Rounded) else self.number(value)

    def number(self, value: float) -> Rounded:
        """``value``, exact in the precision that is computed in."""
        return Rounded(self, Balls.number(value), 0.0, abs(value))

    def rounded(self, value: Ball, error: float, size: float, times: float = 1.0) -> Rounded:
        """A result of ``times`` operations whose operands cost ``error``."""
        gamma = times * self.u / (1 - times * self.u)
        lost = gamma * (size + error) + times * self.tiny
        return Rounded(self, value, (error + lost) * SLACK, size * SLACK)

    def total(self, terms: Sequence[Rounded]) -> Rounded:
        """The sum in any order; a 0 costs nothing."""
        kept = [term for term in terms if not (term.value == 0 and term.error == 0)]
        if len(kept) < 2:
            return kept[0] if kept else self.number(0.0)
        error, size = sum(term.error for term in kept), sum(term.size for term in kept)
        return self.rounded(Balls.total([t.value for t in kept]), error, size, len(kept) - 1)

    def settled(self, v: list[Rounded], more: float = MORE) -> list[Rounded]:
        """``v``, the result of a line: its size is that of its value from here on.

        The line may have rounded any of its terms ``more`` times beyond what is written.
        """
        ends = []
        for r in v:
            if r.error:
                r = self.rounded(r.value, r.error, r.size, more)
            ends.append(Rounded(self, r.value, r.error, _most(r.value) + r.error))
        return ends

    def power(self, base: Rounded, numerator: int, denominator: int) -> Rounded:
        """base^(p/q) of a base that is at least 1, whose rounding is felt |p/q| < 1 times."""
        value = Balls.power(base.value, numerator, denominator)
        size = _most(value)
        return self.rounded(value, size * base.error / _least(base.value), size, OF_A_FUNCTION)

    def direction(self, v: Sequence[Rounded]) -> list[Rounded]:
        """v/‖v‖, however it is scaled first: squares, their sum and a root do not cancel.

        An error e of v turns the direction by (I − d dᵀ) e/‖v‖ and a term of second order: the
        way from v to v + e stays beyond ‖v‖ − ‖e‖, and on it the projection turns by 2‖e‖/‖v‖.
        """
        values = [entry.value for entry in v]
        d = Balls.direction(values)
        least, lost = _least(Balls.norm(values)), math.hypot(*(entry.error for entry in v))
        if not lost < least / 16:
            return [Rounded(self, value, math.inf, math.inf) for value in d]
        second = 4 * (lost / least) ** 2
        sizes = [_most(value) for value in d]
        turned = []
        for i, value in enumerate(d):
            across = sum(
                v[j].error * (abs(1 - sizes[i] ** 2) + SLACK - 1 if i == j else sizes[i] * sizes[j])
                for j in range(len(v))
            )
            error = across / (least - lost) + second
            turned.append(self.rounded(value, error, sizes[i], len(v) + 4))
        return turned

    def is_zero(self, v: Sequence[Rounded]) -> bool:
        """Whether every entry is exactly 0."""
        return Balls.is_zero([entry.value for entry in v])

    def tanh(self, t: Rounded) -> Rounded:
        """tanh t, to within its scale 1."""
        return self._function(Balls.tanh(t.value), 1.0, t, 1.0)

    def sech2(self, t: Rounded) -> Rounded:
        """1/cosh² t, also as 1 − tanh² t: to within 1. Its slope is below 0.77."""
        return self._function(Balls.sech2(t.value), 0.77, t, 1.0)

    def sinh(self, t: Rounded) -> Rounded:
        """sinh t, also as (eᵗ − e⁻ᵗ)/2: to within cosh t, which is its slope."""
        if not math.isfinite(t.error) or t.error > 1:
            return Rounded(self, Balls.sinh(t.value), math.inf, math.inf)
        cosh = _most(t.value.cosh())
        return self._function(Balls.sinh(t.value), cosh * math.exp(t.error), t, cosh)

    def sin(self, t: Rounded) -> Rounded:
        """sin t, to within 1."""
        return self._function(Balls.sin(t.value), 1.0, t, 1.0)

    def sigmoid(self, t: Rounded) -> Rounded:
        """1/(1 + e⁻ᵗ), also as 1 − σ(−t): to within 1."""
        return self._function(Balls.sigmoid(t.value), 0.25, t, 1.0)

    def sigmoid_slope(self, t: Rounded) -> Rounded:
        """σ'(t), also as σ(t) σ(−t) and σ (1 − σ): to within 1/4. Its slope is below 0.1."""
        return self._function(Balls.sigmoid_slope(t.value), 0.1, t, 0.25)

    def _function(self, value: Ball, slope: float, t: Rounded, scale: float) -> Rounded:
        return self.rounded(value, slope * t.error, scale, OF_A_FUNCTION)


def _most(value: Ball) -> float:
    """|value| rounded up."""
    return math.nextafter(float(abs(value).upper()), math.inf)


def _least(value: Ball) -> float:
    """|value| rounded down."""
    return max(0.0, math.nextafter(float(abs(value).lower()), 0.0))
