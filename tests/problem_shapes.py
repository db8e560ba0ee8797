"""Shapes of problems from public threads and code, each with the verdict that is right.

Objectives are sums of terms with derivatives written out, in NumPy, so that an audit takes a tenth
of a second. What only a library can do (a loader, detach, a module's own parameters) is in
``test_problem_shapes.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accbo.problem import Noise
from accbo.problems import hyper_cleaning, quadratic

D = 4
_rng = np.random.default_rng(7)
TALL, TALL_B = _rng.standard_normal((12, D)), _rng.standard_normal(12)
WIDE, WIDE_B = _rng.standard_normal((2, D)), _rng.standard_normal(2)
UP, UP_B = _rng.standard_normal((10, D)), _rng.standard_normal(10)


class Term:
    """A function of (x, y, rows) with its derivatives; the last axis is the variable."""

    def value(self, x: Any, y: Any, rows: Any) -> Any: ...

    def x(self, x: Any, y: Any, rows: Any) -> Any:
        return 0 * x

    def y(self, x: Any, y: Any, rows: Any) -> Any:
        return 0 * y

    def yy(self, x: Any, y: Any, v: Any, rows: Any) -> Any:
        return 0 * y

    def xy(self, x: Any, y: Any, v: Any, rows: Any) -> Any:
        return 0 * x


@dataclass
class Squares(Term):
    """mean_i w_i(x) (a_i · u(y) − b_i)², over ``rows`` of a batch; u is y, or y clipped to [0, 1].

    ``weighted``: w_i = 1/(1 + exp(−x_i)), as in hyper-cleaning, and x has an entry a row.
    """

    a: np.ndarray
    b: np.ndarray
    weighted: bool = False
    clipped: bool = False

    def _parts(self, x: Any, y: Any, rows: Any) -> Any:
        rows = np.arange(len(self.b)) if rows is None else rows
        a, b = self.a[rows], self.b[rows]
        slope = (y > 0) & (y < 1) if self.clipped else np.ones_like(y)
        u = np.clip(y, 0, 1) if self.clipped else y
        weight = np.ones_like(b)
        if self.weighted:
            weight = np.take_along_axis(
                _sigmoid(x), np.broadcast_to(rows, (*x.shape[:-1], b.shape[-1])), -1
            )
        return a, np.einsum("...ij,...j->...i", a, u) - b, slope, weight / b.shape[-1]

    def value(self, x: Any, y: Any, rows: Any) -> Any:
        _, off, _, w = self._parts(x, y, rows)
        return np.sum(w * off**2, axis=-1)

    def x(self, x: Any, y: Any, rows: Any) -> Any:
        if not self.weighted:
            return 0 * x
        _, off, _, _ = self._parts(x, y, None)
        return _sigmoid(x) * (1 - _sigmoid(x)) * off**2 / len(self.b)

    def y(self, x: Any, y: Any, rows: Any) -> Any:
        a, off, slope, w = self._parts(x, y, rows)
        return slope * np.einsum("...ij,...i->...j", a, 2 * w * off)

    def yy(self, x: Any, y: Any, v: Any, rows: Any) -> Any:
        a, _, slope, w = self._parts(x, y, rows)
        bent = 2 * w * np.einsum("...ij,...j->...i", a, slope * v)
        return slope * np.einsum("...ij,...i->...j", a, bent)

    def xy(self, x: Any, y: Any, v: Any, rows: Any) -> Any:
        if not self.weighted:
            return 0 * x
        a, off, slope, _ = self._parts(x, y, None)
        along = np.einsum("...ij,...j->...i", a, slope * v)
        return _sigmoid(x) * (1 - _sigmoid(x)) * 2 * off * along / len(self.b)


@dataclass
class Each(Term):
    """Σ_i φ(x_i, y_i): φ and its derivatives in x, y, yy and xy."""

    phi: Callable[..., Any]
    of_x: Callable[..., Any]
    of_y: Callable[..., Any]
    of_yy: Callable[..., Any]
    of_xy: Callable[..., Any]

    def value(self, x: Any, y: Any, rows: Any) -> Any:
        return np.sum(self.phi(x, y), axis=-1)

    def x(self, x: Any, y: Any, rows: Any) -> Any:
        return self.of_x(x, y)

    def y(self, x: Any, y: Any, rows: Any) -> Any:
        return self.of_y(x, y)

    def yy(self, x: Any, y: Any, v: Any, rows: Any) -> Any:
        return self.of_yy(x, y) * v

    def xy(self, x: Any, y: Any, v: Any, rows: Any) -> Any:
        return self.of_xy(x, y) * v


@dataclass
class InX(Term):
    """Σ_i φ(x_i)."""

    phi: Callable[..., Any]
    slope: Callable[..., Any]

    def value(self, x: Any, y: Any, rows: Any) -> Any:
        return np.sum(self.phi(x), axis=-1)

    def x(self, x: Any, y: Any, rows: Any) -> Any:
        return self.slope(x)


@dataclass
class InY(Term):
    """Σ_i φ(y_i)."""

    phi: Callable[..., Any]
    slope: Callable[..., Any]
    bend: Callable[..., Any]

    def value(self, x: Any, y: Any, rows: Any) -> Any:
        return np.sum(self.phi(y), axis=-1)

    def y(self, x: Any, y: Any, rows: Any) -> Any:
        return self.slope(y)

    def yy(self, x: Any, y: Any, v: Any, rows: Any) -> Any:
        return self.bend(y) * v


@dataclass
class Root(Term):
    """c‖y‖: the root, not its square."""

    c: float

    def value(self, x: Any, y: Any, rows: Any) -> Any:
        return self.c * np.linalg.norm(y, axis=-1)

    def y(self, x: Any, y: Any, rows: Any) -> Any:
        return self.c * y / np.linalg.norm(y, axis=-1, keepdims=True)

    def yy(self, x: Any, y: Any, v: Any, rows: Any) -> Any:
        size = np.linalg.norm(y, axis=-1, keepdims=True)
        unit = y / size
        return self.c * (v - unit * np.sum(unit * v, axis=-1, keepdims=True)) / size


def _sigmoid(x: Any) -> Any:
    return 0.5 * (1 + np.tanh(x / 2))


def near_x(k: float = 1.0) -> Each:
    """½k(y − x)²."""
    return Each(
        lambda x, y: k * (y - x) ** 2 / 2,
        lambda x, y: -k * (y - x),
        lambda x, y: k * (y - x),
        lambda x, y: k + 0 * y,
        lambda x, y: -k + 0 * y,
    )


def ridge(k: float) -> InY:
    """½k y²."""
    return InY(lambda y: k * y * y / 2, lambda y: k * y, lambda y: k + 0 * y)


def penalty(phi: Any, slope: Any) -> Each:
    """½φ(x_i) y_i²."""
    return Each(
        lambda x, y: phi(x) * y * y / 2,
        lambda x, y: slope(x) * y * y / 2,
        lambda x, y: phi(x) * y,
        lambda x, y: phi(x) + 0 * y,
        lambda x, y: slope(x) * y,
    )


EXP = penalty(np.exp, np.exp)
FIT = Squares(UP, UP_B)
SMALL_X = InX(lambda x: 0.05 * x * x, lambda x: 0.1 * x)


@dataclass
class Shaped:
    """A problem of terms; a batch of ``upper_batch`` rows above, of ``lower_batch`` below, or all.

    ``sign`` turns the upper level.
    """

    above: tuple[Term, ...]
    below: tuple[Term, ...]
    upper_batch: int = 0
    lower_batch: int = 0
    d_x: int = D
    d_y: int = D
    sign: float = 1.0

    @property
    def upper_noise(self) -> dict[str, Noise]:
        return {"i": Noise("index", (self.upper_batch,), 10)} if self.upper_batch else {}

    @property
    def lower_noise(self) -> dict[str, Noise]:
        return {"j": Noise("index", (self.lower_batch,), 12)} if self.lower_batch else {}

    @property
    def hessian_noise(self) -> dict[str, Noise]:
        return self.lower_noise

    @property
    def cross_noise(self) -> dict[str, Noise]:
        return self.lower_noise

    def _above(self, kind: str, x: Any, y: Any, sample: Any) -> Any:
        rows = sample["i"] if sample and self.upper_batch else None
        return self.sign * sum(getattr(term, kind)(x, y, rows) for term in self.above)

    def _below(self, kind: str, *point: Any) -> Any:
        *given, sample = point
        rows = sample["j"] if sample and self.lower_batch else None
        return sum(getattr(term, kind)(*given, rows) for term in self.below)

    def upper(self, x: Any, y: Any, sample: Any = None) -> Any:
        return self._above("value", x, y, sample)

    def grad_x_upper(self, x: Any, y: Any, sample: Any = None) -> Any:
        return self._above("x", x, y, sample)

    def grad_y_upper(self, x: Any, y: Any, sample: Any = None) -> Any:
        return self._above("y", x, y, sample)

    def lower(self, x: Any, y: Any, sample: Any = None) -> Any:
        return self._below("value", x, y, sample)

    def grad_y_lower(self, x: Any, y: Any, sample: Any = None) -> Any:
        return self._below("y", x, y, sample)

    def hvp_lower(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        return self._below("yy", x, y, v, sample)

    def cross_lower(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        return self._below("xy", x, y, v, sample)


def problem(above: Any, below: Any, **options: Any) -> Shaped:
    return Shaped(tuple(above), tuple(below), **options)


def soft(y: Any) -> Any:
    return np.logaddexp(y, -y)


MINMAX = (
    Squares(TALL, TALL_B),
    ridge(1.0),
    Each(
        lambda x, y: -x * y,
        lambda x, y: -y,
        lambda x, y: -x,
        lambda x, y: 0 * y,
        lambda x, y: -1 + 0 * y,
    ),
)
COSH = InX(np.cosh, np.sinh)
CONVEX, LIPSCHITZ, BENT = "strong convexity", "Lipschitz lower gradient", "Lipschitz Hessian"


class Shape(NamedTuple):
    """How to build it, the findings that fail, and where it comes from."""

    build: Callable[[], Any]
    fails: tuple[str, ...]


SHAPES: dict[str, Shape] = {
    # right ones
    "targets are x": Shape(lambda: problem([FIT, SMALL_X], [near_x(), Squares(TALL, TALL_B)]), ()),
    "batches on both levels": Shape(
        lambda: problem(
            [FIT, SMALL_X], [near_x(), Squares(TALL, TALL_B)], upper_batch=3, lower_batch=5
        ),
        (),
    ),
    "upper level clipped to a box": Shape(
        lambda: problem([Squares(UP, UP_B, clipped=True), SMALL_X], [near_x()], upper_batch=3), ()
    ),
    "min-max": Shape(lambda: problem(MINMAX, MINMAX, sign=-1.0), ()),
    "exponential losses above": Shape(lambda: problem([COSH, FIT], [near_x(), ridge(0.5)]), ()),
    "log cosh below, with a ridge": Shape(
        lambda: problem([FIT], [near_x(), InY(soft, np.tanh, lambda y: 1 - np.tanh(y) ** 2)]), ()
    ),
    "ill-conditioned": Shape(lambda: quadratic((1e-3, 1.0, 10.0), rotate=True), ()),
    "large units": Shape(lambda: problem([FIT], [near_x(1e6), ridge(1e5)]), ()),
    "hyper-cleaning, logistic with a ridge": Shape(
        lambda: hyper_cleaning(
            TALL, np.arange(12) % 3, UP, np.arange(10) % 3, upper_batch=4, lower_batch=4
        ),
        (),
    ),
    # what the theory does not cover
    "a penalty exp(x) for each weight": Shape(
        lambda: problem([FIT], [Squares(TALL, TALL_B), EXP]), (LIPSCHITZ, BENT)
    ),
    "the same with fewer rows than weights": Shape(
        lambda: problem([FIT], [Squares(WIDE, WIDE_B), EXP]), (CONVEX, LIPSCHITZ, BENT)
    ),
    "no penalty and fewer rows than weights": Shape(
        lambda: problem([FIT], [Squares(WIDE, WIDE_B), in_y_of_x()]), (CONVEX,)
    ),
    "weights on squares, with a ridge": Shape(
        lambda: problem([FIT], [Squares(TALL, TALL_B, weighted=True), ridge(0.1)], d_x=12),
        (LIPSCHITZ, BENT),
    ),
    "weights on squares, without one": Shape(
        lambda: problem([FIT], [Squares(TALL, TALL_B, weighted=True)], d_x=12),
        (CONVEX, LIPSCHITZ, BENT),
    ),
    "a box by clipping inside the lower level": Shape(
        lambda: problem([FIT], [Squares(TALL, TALL_B, clipped=True), clipped_near_x()]),
        (CONVEX, LIPSCHITZ, BENT),
    ),
    "L1": Shape(
        lambda: problem(
            [FIT],
            [near_x(), InY(lambda y: 0.3 * np.abs(y), lambda y: 0.3 * np.sign(y), np.zeros_like)],
        ),
        (LIPSCHITZ, BENT),
    ),
    "elastic net with its weights": Shape(
        lambda: problem([FIT], [Squares(TALL, TALL_B), EXP, weighted_l1()]), (LIPSCHITZ, BENT)
    ),
    "the root of the ridge": Shape(
        lambda: problem([FIT], [near_x(), Root(0.01)]), (LIPSCHITZ, BENT)
    ),
    "Huber": Shape(
        lambda: problem(
            [FIT],
            [near_x(), InY(huber, lambda y: np.clip(y, -1, 1), lambda y: (np.abs(y) < 1) * 1.0)],
        ),
        (BENT,),
    ),
    "a quartic below": Shape(
        lambda: problem(
            [FIT], [near_x(), InY(lambda y: y**4, lambda y: 4 * y**3, lambda y: 12 * y * y)]
        ),
        (LIPSCHITZ, BENT),
    ),
    "two wells": Shape(
        lambda: problem(
            [FIT],
            [
                near_x(0.1),
                InY(
                    lambda y: (y * y - 1) ** 2,
                    lambda y: 4 * y * (y * y - 1),
                    lambda y: 12 * y * y - 4,
                ),
            ],
        ),
        (CONVEX, "realisations convex", LIPSCHITZ, BENT),
    ),
    "log cosh below, alone": Shape(
        lambda: problem([FIT], [in_y_of_x(), InY(soft, np.tanh, lambda y: 1 - np.tanh(y) ** 2)]),
        (CONVEX,),
    ),
    "faster than exponential above": Shape(
        lambda: problem(
            [FIT, InX(lambda x: np.exp(x * x), lambda x: 2 * x * np.exp(x * x))], [near_x()]
        ),
        ("relaxed smoothness in x",),
    ),
    "x is the start of the solver alone": Shape(
        lambda: problem([FIT], [Squares(TALL, TALL_B), ridge(1.0)]), ("coupling", "Φ changes")
    ),
    "x by a penalty above alone": Shape(
        lambda: problem([FIT, SMALL_X], [Squares(TALL, TALL_B), ridge(1.0)]), ("coupling",)
    ),
    "the upper level is the lower one": Shape(
        lambda: problem([near_x()], [near_x()]), ("Φ changes",)
    ),
}


def in_y_of_x() -> Each:
    """−x y: the solution moves with x."""
    return Each(
        lambda x, y: -np.tanh(x) * y / 2,
        lambda x, y: -(1 - np.tanh(x) ** 2) * y / 2,
        lambda x, y: -np.tanh(x) / 2 + 0 * y,
        lambda x, y: 0 * y,
        lambda x, y: -(1 - np.tanh(x) ** 2) / 2 + 0 * y,
    )


def clipped_near_x() -> Each:
    """½(clip(y) − x)²."""

    def inside(y: Any) -> Any:
        return ((y > 0) & (y < 1)) * 1.0

    return Each(
        lambda x, y: (np.clip(y, 0, 1) - x) ** 2 / 2,
        lambda x, y: x - np.clip(y, 0, 1),
        lambda x, y: inside(y) * (np.clip(y, 0, 1) - x),
        lambda x, y: inside(y),
        lambda x, y: -inside(y),
    )


def weighted_l1() -> Each:
    """exp(x)|y|."""
    return Each(
        lambda x, y: np.exp(x) * np.abs(y),
        lambda x, y: np.exp(x) * np.abs(y),
        lambda x, y: np.exp(x) * np.sign(y),
        lambda x, y: 0 * y,
        lambda x, y: np.exp(x) * np.sign(y),
    )


def huber(y: Any) -> Any:
    return np.where(np.abs(y) < 1, y * y / 2, np.abs(y) - 0.5)
