"""How AccBO is changed to make a mistake: a part replaced, or a step that keeps or skips something.

Every variant takes AccBO's own samples and has its interface, so that it can be run on the
numbers of a right implementation; every change can be applied on top of another.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, map_arrays, namespace, traceable
from accbo.algorithms import AccBO, AccBOSample, AccBOState
from accbo.conformance.fault import Change
from accbo.conformance.wrappers import Wrapped
from accbo.momentum import Gradient, Point
from accbo.sampling import Start
from accbo.upper import normalized_step


class VariantState(NamedTuple):
    """AccBO's state and what the variant keeps beside it."""

    x: Array
    x_previous: Array
    y: Array
    y_previous: Array
    y_average: Array
    y_average_previous: Array
    momentum: Array
    iteration: int
    memory: Any


class Beside(NamedTuple):
    """Any algorithm's state and what a variant keeps beside it."""

    inner: Any
    memory: Any

    @property
    def iteration(self) -> int:
        """t of the state inside."""
        return int(self.inner.iteration)


def declared(algorithm: Any) -> AccBO:
    """The AccBO inside any number of variants."""
    while not isinstance(algorithm, AccBO):
        algorithm = algorithm.algorithm
    return algorithm


def with_parts(algorithm: Any, **parts: Any) -> Any:
    """``algorithm`` with some of the innermost AccBO's parts replaced."""
    if isinstance(algorithm, AccBO):
        return dataclasses.replace(algorithm, parts=algorithm.parts._replace(**parts))
    return dataclasses.replace(algorithm, algorithm=with_parts(algorithm.algorithm, **parts))


def part(**parts: Any) -> Change:
    """The change that replaces parts."""
    return lambda algorithm: with_parts(algorithm, **parts)


def series(change: Callable[[Any, AccBO], Any]) -> Change:
    """The change of the series: ``change(series, algorithm)`` is the new one."""

    def apply(algorithm: Any) -> Any:
        inner = declared(algorithm).parts.hypergradient

        def hypergradient(problem: Any, x: Array, y: Array, sample: Any, right: Any) -> Array:
            return inner(problem, x, y, sample, change(right, declared(algorithm)))

        return with_parts(algorithm, hypergradient=hypergradient)

    return apply


def resume(algorithm: Any, state: Any) -> Any:
    """The state of ``algorithm`` had it been made from the right algorithm's ``state``."""
    return algorithm.resume(state) if isinstance(algorithm, Variant) else state


def rows_kept(sample: Any, count: int) -> Any:
    """The first ``count`` rows of every array of a part of a sample."""
    return map_arrays(lambda leaf: leaf[:count, ...], sample)


@dataclass(frozen=True)
class Variant:
    """The algorithm inside, unchanged; a variant overrides what it changes."""

    algorithm: Any

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes lower steps."""
        return self.algorithm.refreshes(t)

    def draw(self, problem: Any, refresh: bool = True) -> AccBOSample:
        """The layout of one iteration's sample."""
        return self.algorithm.draw(problem, refresh)

    def draw_start(self, problem: Any, warm_start: int, first: int) -> Start:
        """The layout of iteration 0."""
        return self.algorithm.draw_start(problem, warm_start, first)

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0."""
        return self.algorithm.init(problem, x, y, start)

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """Iteration t ≥ 1."""
        return self.algorithm.step(problem, state, sample)

    def resume(self, state: AccBOState) -> Any:
        """The state of this variant had it been made from AccBO's ``state``."""
        return resume(self.algorithm, state)


def _pack(inner: Any, memory: Any) -> VariantState:
    return VariantState._make((*inner[:8], (inner[8:], memory)))


def _unpack(state: VariantState) -> tuple[Any, Any]:
    rest, memory = state.memory
    inner = VariantState(*state[:8], *rest) if rest else AccBOState(*state[:8])
    return inner, memory


# --- the momentum ---------------------------------------------------------------------------

# (gradient, new, old, momentum, decay, memory) to (m_t, the next memory)
Rule = Callable[[Gradient, Point, Point, Array, float, Array], tuple[Array, Array]]


@traceable
@dataclass(frozen=True)
class Remembering(Variant):
    """A momentum rule that keeps one array from step to step.

    It is m_0 after iteration 0; made from a state, the state's momentum or zero.
    """

    rule: Rule
    from_zero: bool = False

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is AccBO's."""
        state = self.algorithm.init(problem, x, y, start)
        return _pack(state, state.momentum)

    def resume(self, state: AccBOState) -> Any:
        """What was to be remembered is not in ``state``: a stand-in."""
        zero = namespace(state.momentum).zeros_like(state.momentum)
        memory = zero if self.from_zero else state.momentum
        return _pack(resume(self.algorithm, state), memory)

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration with the rule in place of the recursive momentum."""
        inner, memory = _unpack(state)
        kept: list[Array] = []

        def momentum(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
            value, following = self.rule(g, new, old, m, decay, memory)
            kept.append(following)
            return value

        after = with_parts(self.algorithm, momentum=momentum).step(problem, inner, sample)
        return _pack(after, kept[0])


@traceable
@dataclass(frozen=True)
class OtherSample(Variant):
    """The old point meets another sample, ``other(sample)``."""

    other: Callable[[AccBOSample], AccBOSample]

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration, each point on its own sample."""
        at_old = declared(self.algorithm)._gradient(problem, self.other(sample))

        def momentum(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
            return g(*new) + decay * (m - at_old(*old))

        return with_parts(self.algorithm, momentum=momentum).step(problem, state, sample)


@traceable
@dataclass(frozen=True)
class Copied(Variant):
    """After every step some fields of the state are overwritten by others."""

    copies: tuple[tuple[str, str], ...]  # (to, from)

    def _copy(self, state: Any) -> Any:
        return state._replace(**{to: getattr(state, name) for to, name in self.copies})

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0, then the copies."""
        return self._copy(self.algorithm.init(problem, x, y, start))

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration, then the copies."""
        return self._copy(self.algorithm.step(problem, state, sample))


# --- the lower level ------------------------------------------------------------------------


@traceable
@dataclass(frozen=True)
class KeptPair(Variant):
    """Option II whose inner pair goes on where it stopped instead of a restart."""

    def _inner_steps(
        self, problem: Any, x: Array, y: Array, y_previous: Array, samples: Any
    ) -> tuple[Array, Array]:
        return declared(self.algorithm)._lower_steps(problem, x, (y, y_previous), samples)

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 starts from a restart; its last inner pair is kept."""
        state = self.algorithm.init(problem, x, y, start)
        y_0 = state.y_previous
        return _pack(state, self._inner_steps(problem, x, y_0, y_0, start.first.lower)[1])

    def resume(self, state: AccBOState) -> Any:
        """The inner pair is not in ``state``: y_{t−1} stands in."""
        return _pack(resume(self.algorithm, state), state.y_previous)

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration around lower steps from the kept pair."""
        inner, previous = _unpack(state)
        if declared(self.algorithm).period is None:
            return _pack(self.algorithm.step(problem, inner, sample), previous)
        y, kept = self._inner_steps(problem, inner.x, inner.y, previous, sample.lower)
        still = sample._replace(lower=rows_kept(sample.lower, 0))
        after = self.algorithm.step(problem, inner._replace(y=y), still)
        return _pack(after._replace(y_previous=inner.y), kept)


@traceable
@dataclass(frozen=True)
class Clock(Variant):
    """Option II that refreshes at iterations t with (t + shift) mod (I + longer) = 0."""

    shift: int = 0
    longer: int = 0

    def refreshes(self, t: int) -> bool:
        """By the wrong clock."""
        period = declared(self.algorithm).period
        return period is None or (t + self.shift) % max(1, period + self.longer) == 0


@traceable
@dataclass(frozen=True)
class ColdStart(Variant):
    """No warm start: y_0 = y_init."""

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 without the warm start's samples."""
        cold = start._replace(warm_start=rows_kept(start.warm_start, 0))
        return self.algorithm.init(problem, x, y, cold)


@traceable
@dataclass(frozen=True, eq=False)
class Leaky(Wrapped):
    """∇_y G with something added to it, as by a gradient that was not set to zero."""

    extra: Array

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G + extra, shape ``(..., d_y)``."""
        return super().grad_y_lower(x, y, sample) + self.extra


@traceable
@dataclass(frozen=True, eq=False)
class LeakyAtPoint(Wrapped):
    """∇_y G with ∇_y F of one sample added to it at the same point."""

    upper_sample: Any

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G + ∇_y F, shape ``(..., d_y)``."""
        extra = super().grad_y_upper(x, y, self.upper_sample)
        return super().grad_y_lower(x, y, sample) + extra


@traceable
@dataclass(frozen=True)
class LeakingAtPoint(Variant):
    """The lower steps descend on F + G."""

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration on the leaking lower level."""
        return self.algorithm.step(LeakyAtPoint(problem, sample.upper), state, sample)


@traceable
@dataclass(frozen=True)
class Leaking(Variant):
    """∇_y F of this iteration, or of the one before, is added to the lower gradient."""

    late: bool = False

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is AccBO's; what ∇_y F leaves behind is kept."""
        state = self.algorithm.init(problem, x, y, start)
        last = map_arrays(lambda leaf: leaf[-1, ...], start.first.upper)
        y_average = state.y_average_previous
        if declared(self.algorithm).order == "sequential":
            y_average = state.y_average
        return _pack(state, problem.grad_y_upper(x, y_average, last))

    def resume(self, state: AccBOState) -> Any:
        """Nothing has leaked yet."""
        inner = resume(self.algorithm, state)
        return _pack(inner, namespace(state.y).zeros_like(state.y))

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration on the leaking lower level."""
        inner, memory = _unpack(state)
        here = problem.grad_y_upper(inner.x, inner.y_average, sample.upper)
        after = self.algorithm.step(Leaky(problem, memory if self.late else here), inner, sample)
        if declared(self.algorithm).order == "sequential":
            here = problem.grad_y_upper(inner.x, after.y_average, sample.upper)
        return _pack(after, here)


@traceable
@dataclass(frozen=True)
class SharedBatch(Variant):
    """The lower steps use the indices of the upper batch, where both are index batches."""

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration with ξ's batch in place of π."""
        return self.algorithm.step(problem, state, _shared(sample))


def _shared(sample: AccBOSample) -> AccBOSample:
    upper, lower = sample.upper.get("index"), sample.lower.get("index")
    if upper is None or lower is None or tuple(upper.shape) != tuple(lower.shape[1:]):
        return sample
    batch = namespace(upper).broadcast_to(upper[None, ...], lower.shape)
    return sample._replace(lower={**sample.lower, "index": batch})


# --- the point of the hypergradient ---------------------------------------------------------


@traceable
@dataclass(frozen=True)
class AtInner(Variant):
    """The hypergradient at y instead of ŷ."""

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 with m_0 at y_0, or y_1 in the sequential order."""
        algorithm, seen = self._watched()
        if declared(self.algorithm).order == "sequential":
            inner = declared(self.algorithm).parts.hypergradient

            def hypergradient(problem: Any, x: Array, _: Array, sample: Any, s: Any) -> Array:
                return inner(problem, x, seen[-1], sample, s)

            algorithm = with_parts(algorithm, hypergradient=hypergradient)
        return algorithm.init(problem, x, y, start)

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration with y_t for ŷ_t at both points."""
        algorithm, seen = self._watched()
        inner = declared(self.algorithm).parts.momentum
        sequential = declared(self.algorithm).order == "sequential"

        def momentum(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
            y, y_old = (seen[-1], state.y) if sequential else (state.y, state.y_previous)
            return inner(g, (new[0], y), (old[0], y_old), m, decay)

        return with_parts(algorithm, momentum=momentum).step(problem, state, sample)

    def _watched(self) -> tuple[Any, list[Array]]:
        """The algorithm, and the y_{t+1} that its average gets to see."""
        seen: list[Array] = []
        inner = declared(self.algorithm).parts.average

        def average(y_average: Array, y: Array, weight: float) -> Array:
            seen.append(y)
            return inner(y_average, y, weight)

        return with_parts(self.algorithm, average=average), seen


@traceable
@dataclass(frozen=True, eq=False)
class CrossAt(Wrapped):
    """∇²_xy G at a point of its own."""

    point: tuple[Array, Array]

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """∇²_xy G v at ``point``, shape ``(..., d_x)``."""
        return super().cross_lower(*self.point, v, sample)


@traceable
@dataclass(frozen=True)
class CrossElsewhere(Variant):
    """∇²_xy G at y instead of ŷ, or at the new point for both."""

    at_new: bool = False

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration, h taken once at each point."""
        accbo = declared(self.algorithm)
        seen: list[Array] = []
        inner = accbo.parts.average

        def average(y_average: Array, y: Array, weight: float) -> Array:
            seen.append(y)
            return inner(y_average, y, weight)

        def momentum(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
            sequential = accbo.order == "sequential"
            y, y_old = (seen[-1], state.y) if sequential else (state.y, state.y_previous)
            points = (new, new) if self.at_new else ((new[0], y), (old[0], y_old))
            h_new, h_old = (
                accbo._gradient(CrossAt(problem, at), sample)(*point)
                for at, point in zip(points, (new, old), strict=True)
            )
            return h_new + decay * (m - h_old)

        changed = with_parts(self.algorithm, average=average, momentum=momentum)
        return changed.step(problem, state, sample)


# --- blocks of x ----------------------------------------------------------------------------


def block_step(cut: Callable[[int], list[int]]) -> Callable[[Array, Array, float], Array]:
    """Blocks of x that begin at 0 and at ``cut(d_x)``, each with a norm of its own."""

    def step(x: Array, direction: Array, step_size: float) -> Array:
        size = x.shape[-1]
        edges = [0, *(edge for edge in cut(size) if 0 < edge < size), size]
        blocks = [
            normalized_step(x[..., first:last], direction[..., first:last], step_size)
            for first, last in itertools.pairwise(edges)
        ]
        return namespace(x).concat(blocks, axis=-1)

    return step


CUTS: tuple[Callable[[int], list[int]], ...] = (
    lambda d: [(d + 1) // 2],
    lambda d: [d // 2],
    lambda d: [1],
    lambda d: [2],
    lambda d: [d - 1],
    lambda d: list(range(d)),
)


# --- rows of the series ----------------------------------------------------------------------


def stage_rows(terms: int, term: int) -> list[int]:
    """The rows of factors j = 1..q of the term q = ``term`` in the independent layout."""
    found, first = [], 0
    for j in range(1, term + 1):
        found.append(first + term - j)
        first += terms - j
    return found


def term_rows(sampling: str, terms: int, term: int) -> list[int]:
    """The rows of ``sample.hessian`` that the term q = ``term`` uses, first factor first."""
    return stage_rows(terms, term) if sampling == "independent" else list(range(term))
