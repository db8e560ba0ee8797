"""Mistakes of the derivatives themselves: of another function, of another shape, or cut short.

Each is the problem of another, so that every algorithm makes it wherever it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, dot, namespace, norm, rows, traceable
from accbo.algorithms.stocbio import batch_steps
from accbo.conformance.mistakes.changes import Iteration, given, on_problem, part, within
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
from accbo.problems.wrapped import Altered, Wrapped
from accbo.upper import gradient_step

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


def _decayed_step(decay: float) -> Change:
    """The same where y moves, beside the estimate of the gradient and not inside it."""
    return part(y=lambda right: lambda y, direction, size: right(y, direction + decay * y, size))


def decays(algorithm: Any, decay: float) -> list[Change]:
    """The ways to decay y by λ."""
    found = [decayed(decay)]
    return [*found, _decayed_step(decay)] if _ESTIMATED(type(algorithm)) else found


def _summed(problem: Any, names: tuple[str, ...], size: int = 0) -> Altered:
    """Some derivatives as sums over a batch where they are means.

    The batch is one of indices, or of ``size`` samples, each with a value of its own.
    """

    def total(value: Array, sample: Any) -> Array:
        index = (sample or {}).get("index")
        if size:
            return size * value
        return value if index is None else value * index.shape[-1]

    return Altered(problem, names, total)


_ESTIMATED = made_by("y", gradient_step)  # y moves along an estimate that is carried along
_BATCHES = made_by("y", batch_steps)
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


def _summed_above(*names: str) -> Change:
    """The sums over the batch of the upper level in the place of some means."""
    return given(problem=lambda problem, sample: _summed(problem, names, rows(sample.upper)))


def _summed_estimates(levels: Sequence[str]) -> Change:
    """u, v or both as sums over a batch where they are means."""

    def refreshed(right: Any, at: Iteration, gradient: Any, point: Any, size: int) -> Array:
        level = "estimate" if "refreshed" in at.seen else "lower_estimate"  # u comes first
        at.seen["refreshed"] = True
        return (size if level in levels else 1) * right(gradient, point, size)

    def difference(
        right: Any, at: Iteration, gradient: Any, new: Any, old: Any, estimate: Array, size: int
    ) -> Array:
        return estimate + size * (right(gradient, new, old, estimate, size) - estimate)

    return within(None, refreshed=refreshed, **dict.fromkeys(levels, difference))


def _sums(algorithm: Any) -> Sequence[Choices]:
    found: list[Choices] = []
    if _BATCHES(type(algorithm)):
        found.append((part(y=_many_times("lower")),))
        found += [
            (_summed_above(*names),)
            for names in (_UPPER, _SECOND, (*_UPPER, *_SECOND), *((n,) for n in _UPPER + _SECOND))
        ]
    if has("lower_estimate")(type(algorithm)):
        levels = ("lower_estimate", "estimate")
        found += [(_summed_estimates(names),) for names in (levels, levels[:1], levels[1:])]
    for names in _SUMS:
        found.append((on_problem(lambda a, problem, names=names: _summed(problem, names)),))  # type: ignore[misc]
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
    """∇_y G no longer than a threshold; of a batch, its mean."""

    threshold: float
    guard: float
    in_batches: bool = False

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G min(1, c/‖∇_y G‖), shape ``(..., d_y)``."""
        gradient = super().grad_y_lower(x, y, sample)
        if not self.in_batches:
            return shortened(gradient, self.threshold, self.guard)
        mean = namespace(gradient).mean(gradient, axis=0)
        return gradient + (shortened(mean, self.threshold, self.guard) - mean)


def _short_lower(threshold: float, guard: float, in_batches: bool = False) -> Change:
    return on_problem(lambda algorithm, problem: ShortLower(problem, threshold, guard, in_batches))


def _short_direction(threshold: float, guard: float) -> Change:
    """What y moves along, no longer than a threshold."""
    return part(y=lambda right: lambda y, u, size: right(y, shortened(u, threshold, guard), size))


def lower_clips(algorithm: Any, threshold: float) -> list[Change]:
    """The ways to clip the lower gradient at a threshold: each one, their mean, or its estimate."""
    cls, found = type(algorithm), [_short_lower(threshold, guard) for guard in _GUARDS]
    if _BATCHES(cls):
        found += [_short_lower(threshold, guard, in_batches=True) for guard in _GUARDS]
    if _ESTIMATED(cls):
        found += [_short_direction(threshold, guard) for guard in _GUARDS]
    return found


_GUARDS = (0.0, GUARD)
DECAYS = (1e-4, 5e-4, 1e-2)  # the others are read off the numbers

MISTAKES = (
    Mistake(
        "weight decay on y",
        "y",
        "∇_y G + λ y, as by an optimiser's weight decay",
        "y tracks the minimiser of another function, and the implicit term belongs to the old one",
        lambda a: [(change,) for value in DECAYS for change in decays(a, value)],
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
        lambda a: [(change,) for c in THRESHOLDS for change in lower_clips(a, c)],
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
