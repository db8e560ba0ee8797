"""Mistakes of the derivatives themselves: of another function, of another shape, or cut short.

Each is the problem of another, so that every algorithm makes it wherever it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, dot, namespace, norm, traceable
from accbo.algorithms.stocbio import batch_steps
from accbo.conformance.mistakes.changes import on_problem, part
from accbo.conformance.mistakes.mistake import (
    Change,
    Choices,
    Mistake,
    every,
    has,
    made_by,
    ways,
    without,
)
from accbo.conformance.mistakes.series import of_value
from accbo.problems.wrapped import Wrapped

# --- weight decay, sums for means -----------------------------------------------------------------


@traceable
@dataclass(frozen=True, eq=False)
class Decayed(Wrapped):
    """∇_y G + λ y, its second derivatives as they were: an optimiser's weight decay."""

    decay: float

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G + λ y, shape ``(..., d_y)``."""
        return super().grad_y_lower(x, y, sample) + self.decay * y


def decayed(decay: float) -> Change:
    """Weight decay λ on y."""
    return on_problem(lambda algorithm, problem: Decayed(problem, decay))


@dataclass(frozen=True, eq=False)
class Summed(Wrapped):
    """The sum over a batch of indices in the place of its mean, in some derivatives."""

    names: tuple[str, ...]

    def _summed(self, name: str, value: Array, sample: Any) -> Array:
        index = sample.get("index") if name in self.names and sample else None
        return value if index is None else value * index.shape[-1]

    def grad_x_upper(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_x F, shape ``(..., d_x)``."""
        return self._summed("grad_x_upper", super().grad_x_upper(x, y, sample), sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y F, shape ``(..., d_y)``."""
        return self._summed("grad_y_upper", super().grad_y_upper(x, y, sample), sample)

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G, shape ``(..., d_y)``."""
        return self._summed("grad_y_lower", super().grad_y_lower(x, y, sample), sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """∇²_yy G v, shape ``(..., d_y)``."""
        return self._summed("hvp_lower", super().hvp_lower(x, y, v, sample), sample)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """∇²_xy G v, shape ``(..., d_x)``."""
        return self._summed("cross_lower", super().cross_lower(x, y, v, sample), sample)


_TERM_BY_TERM = has("hvp_lower")  # a table's row is one term, and the sizes of x and y differ
_UPPER, _SECOND = ("grad_x_upper", "grad_y_upper"), ("hvp_lower", "cross_lower")
_SUMS = (("grad_y_lower",), _UPPER, ("grad_y_lower", *_SECOND), ("grad_y_lower", *_UPPER, *_SECOND))


def _many_times(name: str) -> Callable[[Any], Any]:
    """A loop whose steps are as many times as long as a batch is large."""

    def make(right: Any) -> Any:
        return lambda problem, x, y, batches, size: right(
            problem, x, y, batches, size * next(iter(batches.values())).shape[1]
        )

    return make


def _sums(algorithm: Any) -> Sequence[Choices]:
    found: list[Choices] = []
    if made_by("y", batch_steps)(type(algorithm)):
        found.append((part(y=_many_times("lower")),))
    for names in _SUMS:
        found.append((on_problem(lambda a, problem, names=names: Summed(problem, names)),))  # type: ignore[misc]
    return found


# --- another Hessian ----------------------------------------------------------------------------


@traceable
@dataclass(frozen=True, eq=False)
class GaussNewton(Wrapped):
    """g gᵀ with g = ∇_y G in the place of ∇²_yy G."""

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """g (g·v), shape ``(..., d_y)``."""
        gradient = self.grad_y_lower(x, y, sample)
        return gradient * dot(gradient, v)[..., None]


@traceable
@dataclass(frozen=True, eq=False)
class Multiple(Wrapped):
    """A multiple of the identity in the place of ∇²_yy G."""

    factor: float

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """c v, shape ``(..., d_y)``."""
        return self.factor * v


def _hessians(algorithm: Any) -> Sequence[Choices]:
    """H = I, or 0; or the series is its first term."""
    found: list[Choices] = []
    if hasattr(algorithm.parts, "series"):
        found += [
            (of_value(lambda value, v, terms, scale: v / scale),),
            (of_value(lambda value, v, terms, scale: v),),
        ]
    for factor in (1.0, 0.0):
        found.append((on_problem(lambda a, problem, c=factor: Multiple(problem, c)),))  # type: ignore[misc]
    return found


# --- another cross derivative --------------------------------------------------------------------


@traceable
@dataclass(frozen=True, eq=False)
class Transposed(Wrapped):
    """(∇²_xy G)ᵀ v where x and y are of one size, so that nothing complains."""

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """(∇²_xy G)ᵀ v, shape ``(..., d_x)``."""
        right, xp = super().cross_lower, namespace(v)
        if x.shape[-1] != v.shape[-1]:
            return right(x, y, v, sample)
        numbers = xp.arange(v.shape[-1])
        columns = [
            right(x, y, xp.where(numbers == j, xp.ones_like(v), xp.zeros_like(v)), sample)
            for j in range(v.shape[-1])
        ]
        return xp.stack([dot(column, v) for column in columns], axis=-1)


@traceable
@dataclass(frozen=True, eq=False)
class NoCross(Wrapped):
    """No ∇²_xy G: the direction is ∇_x F."""

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """0, shape ``(..., d_x)``."""
        return 0 * super().cross_lower(x, y, v, sample)


# --- clipped ------------------------------------------------------------------------------------

GUARD = 1e-6  # clip_grad_norm_ of PyTorch multiplies by c/(‖g‖ + 1e-6)
THRESHOLDS = (1.0, 10.0, 5.0)  # the others are read off the numbers


def shortened(g: Array, threshold: float, guard: float) -> Array:
    """g min(1, c/(‖g‖ + guard))."""
    xp = namespace(g)
    factor = threshold / (norm(g)[..., None] + guard)
    return xp.where(factor < 1, factor * g, g)


def clipped_h(threshold: float, guard: float = 0.0) -> Change:
    """A hypergradient that is clipped."""
    return part(h=lambda right: lambda *given: shortened(right(*given), threshold, guard))


@traceable
@dataclass(frozen=True, eq=False)
class ShortLower(Wrapped):
    """∇_y G no longer than a threshold."""

    threshold: float
    guard: float

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G min(1, c/‖∇_y G‖), shape ``(..., d_y)``."""
        return shortened(super().grad_y_lower(x, y, sample), self.threshold, self.guard)


def clipped_lower(threshold: float, guard: float) -> Change:
    """A lower gradient that is clipped."""
    return on_problem(lambda algorithm, problem: ShortLower(problem, threshold, guard))


_GUARDS = (0.0, GUARD)
DECAYS = (1e-4, 5e-4, 1e-2)  # the others are read off the numbers

MISTAKES = (
    Mistake(
        "weight decay on y",
        "y",
        "∇_y G + λ y, as by an optimiser's weight decay",
        "y tracks the minimiser of another function, and the implicit term belongs to the old one",
        lambda a: [(decayed(value),) for value in DECAYS],
        every,
        laws=False,
    ),
    Mistake(
        "sum for mean",
        "y",
        "a batch's derivatives are added up and not averaged",
        "steps are as many times too long as the batch is large",
        _sums,
        without(_TERM_BY_TERM),
        laws=False,
    ),
    Mistake(
        "lower gradient clipped",
        "y",
        "∇_y G min(1, c/‖∇_y G‖)",
        "far from y*(x) the lower level moves at a fixed speed and loses its rate",
        lambda a: [(clipped_lower(c, guard),) for c in THRESHOLDS for guard in _GUARDS],
        every,
        laws=False,
    ),
    Mistake(
        "hypergradient clipped",
        "h",
        "h min(1, c/‖h‖), as by clip_grad_norm_",
        "the mean of clipped samples is not ∇Φ: under skewed noise the limit is not stationary",
        lambda a: [(clipped_h(c, guard),) for c in THRESHOLDS for guard in _GUARDS],
        has("h"),
        laws=False,
    ),
    Mistake(
        "Gauss-Newton for the Hessian",
        "h",
        "g gᵀ with g = ∇_y G stands for ∇²_yy G",
        "near y*(x) the gradient is noise alone, and so is the implicit term",
        ways(on_problem(lambda a, problem: GaussNewton(problem))),
        every,
        laws=False,
    ),
    Mistake(
        "Hessian ignored",
        "h",
        "the identity, zero, or one over l stands for the Hessian or its inverse",
        "the implicit term has another direction wherever g is not a multiple of ‖y‖²",
        _hessians,
        every,
        laws=False,
    ),
    Mistake(
        "implicit term left out",
        "h",
        "∇_x F alone",
        "y*'s share of ∇Φ is missing: the limit is a point of no meaning",
        ways(on_problem(lambda a, problem: NoCross(problem))),
        every,
        laws=False,
    ),
    Mistake(
        "cross derivative transposed",
        "h",
        "(∇²_xy G)ᵀ z, where x and y are of one size",
        "the implicit term has another direction; where the sizes differ, an error of shapes",
        ways(on_problem(lambda a, problem: Transposed(problem))),
        without(_TERM_BY_TERM),
        edge=True,
        laws=False,
    ),
)
