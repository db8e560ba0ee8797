"""The equality of SPEC 4.12 in exact fractions, for every s, μ and every g.

Both sides are a quadratic form in u = z − y*, w = y − y_previous and G, and linear in g(z), g(y),
g(y⁺), g*: as an identity in vectors it holds if the 3 × 3 matrices and the four coefficients
agree. Times μ s²(1 + s)² every entry is a polynomial of degree at most 2 in μ and below 10 in s,
so that 5 × 60 points where they agree prove it for all.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import NamedTuple

import pytest

F = Fraction
Vector = tuple[F, F, F]


class Form(NamedTuple):
    """A quadratic form in (u, w, G) and the coefficients of g(z), g(y), g(y⁺), g*."""

    matrix: tuple[tuple[F, ...], ...]
    values: tuple[F, ...]

    def plus(self, factor: F, other: Form) -> Form:
        rows = zip(self.matrix, other.matrix, strict=True)
        matrix = tuple(tuple(a + factor * b for a, b in zip(*row, strict=True)) for row in rows)
        values = zip(self.values, other.values, strict=True)
        return Form(matrix, tuple(a + factor * b for a, b in values))

    @property
    def nothing(self) -> bool:
        return not any(self.values) and not any(itertools.chain(*self.matrix))


NOTHING = Form(((F(0),) * 3,) * 3, (F(0),) * 4)


def vector(u: F | int, w: F | int, gradient: F | int) -> Vector:
    return F(u), F(w), F(gradient)


def combined(*terms: tuple[F | int, Vector]) -> Vector:
    one, two, three = (sum(F(c) * v[i] for c, v in terms) for i in range(3))
    return vector(one, two, three)


def product(a: Vector, b: Vector) -> Form:
    matrix = tuple(tuple((a[i] * b[j] + a[j] * b[i]) / 2 for j in range(3)) for i in range(3))
    return Form(matrix, (F(0),) * 4)


def value(index: int) -> Form:
    return Form(NOTHING.matrix, tuple(F(i == index) for i in range(4)))


def total(*terms: tuple[F | int, Form]) -> Form:
    found = NOTHING
    for factor, form in terms:
        found = found.plus(F(factor), form)
    return found


def difference(mu: F, s: F, *, gamma: F | None = None, alpha: F | None = None) -> Form:
    """Left side less right side, from the definitions of V, z and y⁺."""
    alpha = s * s / mu if alpha is None else alpha
    gamma = (1 - s) / (1 + s) if gamma is None else gamma
    z, w, gradient = vector(1, 0, 0), vector(0, 1, 0), vector(0, 0, 1)  # y* is the origin
    y = combined((1, z), (-gamma, w))
    after = combined((1, z), (-alpha, gradient))
    at_z, at_y, at_after, least = (value(index) for index in range(4))

    def lyapunov(at: Form, now: Vector, move: Vector) -> Form:
        ahead = combined((1, now), (1 / s - 1, move))
        return total((1, at), (-1, least), (mu / 2, product(ahead, ahead)))

    before = lyapunov(at_y, y, w)
    later = lyapunov(at_after, after, combined((1, after), (-1, y)))
    back = combined((1, y), (-1, z))
    descent = total((1, at_z), (-1, at_after), (-alpha / 2, product(gradient, gradient)))
    strong = total((1, least), (-1, at_z), (1, product(gradient, z)), (-mu / 2, product(z, z)))
    convex = total((1, at_y), (-1, at_z), (-1, product(gradient, back)))
    square = product(back, back)
    right = total((1, descent), (s, strong), (1 - s, convex), (mu * (1 - s) / (2 * s), square))
    return total((1 - s, before), (-1, later), (-1, right))


SIZES = (F(1, 100), F(1, 7), F(1), F(7, 3), F(19, 2))  # of μ
RATES = tuple(F(k, 60) for k in range(1, 61))  # of s; αl plays no part


def test_the_equality_holds_on_a_grid_that_proves_it() -> None:
    assert all(difference(mu, s).nothing for mu in SIZES for s in RATES)


@pytest.mark.parametrize("mu", SIZES[:2])
def test_degrees_are_below_the_points_of_the_grid(mu: F) -> None:
    """The tenth differences in s of every cleared entry vanish, and the third in μ."""

    def cleared(mu: F, s: F, **wrong: F) -> list[F]:
        form = difference(mu, s, **wrong)
        clear = mu * s**2 * (1 + s) ** 2
        return [clear * entry for entry in (*itertools.chain(*form.matrix), *form.values)]

    def differences(rows: list[list[F]], order: int) -> list[list[F]]:
        for _ in range(order):
            rows = [
                [b - a for a, b in zip(*pair, strict=True)] for pair in itertools.pairwise(rows)
            ]
        return rows

    # of a wrong step, whose difference is no zero: the degrees are those of its parts
    along_s = [cleared(mu, F(k, 20), alpha=2 * F(k, 20) ** 2 / mu) for k in range(1, 14)]
    along_mu = [cleared(mu + k, F(1, 3), alpha=2 * F(1, 9) / (mu + k)) for k in range(6)]
    assert any(itertools.chain(*along_s))
    assert not any(itertools.chain(*differences(along_s, 10)))
    assert not any(itertools.chain(*differences(along_mu, 3)))


@pytest.mark.parametrize("s", [F(1, 60), F(1, 3), F(59, 60)])
def test_another_step_breaks_it(s: F) -> None:
    mu = F(1, 7)
    assert not difference(mu, s, gamma=F(98, 100) * (1 - s) / (1 + s)).nothing
    assert not difference(mu, s, alpha=F(101, 100) * s * s / mu).nothing
