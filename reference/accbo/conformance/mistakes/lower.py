"""Mistakes of the lower level: its steps, its pair, its clock, its average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, map_arrays, namespace, row, rows, traceable
from accbo.algorithms.stocbio import batch_steps, mean
from accbo.conformance.mistakes.changes import (
    ColdStart,
    Iteration,
    Variant,
    clock,
    given,
    innermost,
    pack,
    part,
    resume,
    rows_kept,
    unpack,
    within,
)
from accbo.conformance.mistakes.mistake import (
    AS_IT_IS,
    Change,
    Choices,
    Mistake,
    both,
    every,
    has,
    made_by,
    ways,
    without,
)
from accbo.conformance.mistakes.momentum import copied
from accbo.conformance.mistakes.places import CLEANING
from accbo.lower import gradient_steps, nesterov_step
from accbo.problems.wrapped import Wrapped
from accbo.sampling import Start

NESTEROV = made_by("y", nesterov_step)
LOOPS = made_by("y", gradient_steps, batch_steps)  # (problem, x, y, samples, size)
_MANY = has("lower_steps")  # more than one step an iteration

# --- one accelerated step: (gradient, y, y_previous, α, γ) --------------------------------------


def _heavy_ball(g: Any, y: Array, y_previous: Array, size: float, momentum: float) -> Array:
    return y + momentum * (y - y_previous) - size * g(y)


def _velocity_of_pytorch(right: Any) -> Any:
    """Nesterov as PyTorch's SGD has it: at y itself, with a buffer that the pair stands for."""

    def step(g: Any, y: Array, y_previous: Array, size: float, momentum: float) -> Array:
        gradient = g(y)
        buffer = momentum * ((y_previous - y) / size) + gradient
        return y - size * (gradient + momentum * buffer)

    return step


def _buffer_of_pytorch(
    right: Any, at: Iteration, g: Any, y: Array, y_previous: Array, size: float, momentum: float
) -> Array:
    """The same, the buffer kept from one lower step to the next."""
    last, buffer, gradient = at.seen.get("last"), (y_previous - y) / size, g(y)
    if last is not None and last[0] is y and last[1] is y_previous:
        buffer = last[2]
    buffer = momentum * buffer + gradient
    after = y - size * (gradient + momentum * buffer)
    at.seen["last"] = (after, y, buffer)
    return after


def _weighted(ahead: bool) -> Change:
    """v ← γ v − (1 − γ) α ∇_y G; y + v, the gradient at y or at z."""

    def step(g: Any, y: Array, y_previous: Array, size: float, momentum: float) -> Array:
        velocity = momentum * (y - y_previous)
        return y + velocity - (1 - momentum) * size * g(y + velocity if ahead else y)

    return part(y=lambda right: step)


def _with_momentum(change: Callable[[float], float]) -> Change:
    return part(y=lambda right: lambda g, y, p, a, m: right(g, y, p, a, change(m)))


@traceable
@dataclass(frozen=True)
class KeptPair(Variant):
    """Option II whose inner pair goes on where it stopped instead of a restart."""

    @property
    def remembers(self) -> bool:
        """The pair's older half."""
        return True

    def _inner_steps(
        self, problem: Any, x: Array, y: Array, y_previous: Array, samples: Any
    ) -> tuple[Array, Array]:
        inner = innermost(self.algorithm)
        pair: tuple[Array, Array] = inner._lower_steps(problem, x, (y, y_previous), samples)
        return pair

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 starts from a restart; its last inner pair is kept."""
        state = self.algorithm.init(problem, x, y, start)
        y_0 = state.y_previous
        return pack(state, self._inner_steps(problem, x, y_0, y_0, start.first.lower)[1])

    def resume(self, state: Any) -> Any:
        """The inner pair is not in ``state``: y_{t−1} stands in."""
        return pack(resume(self.algorithm, state), state.y_previous)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """AccBO's iteration around lower steps from the kept pair."""
        inner, previous = unpack(state)
        if innermost(self.algorithm).period is None:
            return pack(self.algorithm.step(problem, inner, sample), previous)
        y, kept = self._inner_steps(problem, inner.x, inner.y, previous, sample.lower)
        still = sample._replace(lower=rows_kept(sample.lower, 0))
        after = self.algorithm.step(problem, inner._replace(y=y), still)
        return pack(after._replace(y_previous=inner.y), kept)


# --- loops: (problem, x, y, samples, size) --------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Adding(Wrapped):
    """∇_y G with all that was asked for before added to it."""

    total: list[Array]

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """The sum of ∇_y G so far, shape ``(..., d_y)``."""
        here = super().grad_y_lower(x, y, sample)
        self.total.append(self.total[-1] + here if self.total else here)
        return self.total[-1]


def _adding_up(right: Any) -> Any:
    return lambda problem, x, y, samples, size: right(Adding(problem, []), x, y, samples, size)


def _directions_add_up(right: Any, at: Iteration, y: Array, u: Array, size: float) -> Array:
    at.seen["total"] = at.seen.get("total", 0 * u) + u
    return right(y, at.seen["total"], size)


def _without_zeroing(algorithm: Any) -> Sequence[Choices]:
    return [(part(y=_adding_up) if LOOPS(type(algorithm)) else within(y=_directions_add_up),)]


def _on_samples(change: Callable[[Any], Any]) -> Callable[[Any], Sequence[Choices]]:
    """The lower steps of every iteration on ``change(samples)``."""

    def loop(right: Any) -> Any:
        return lambda problem, x, y, samples, size: right(problem, x, y, change(samples), size)

    def sample(sample: Any) -> Any:
        name = "inner" if hasattr(sample, "inner") else "lower"
        return sample._replace(**{name: change(getattr(sample, name))})

    return lambda a: [(part(y=loop) if LOOPS(type(a)) else given(sample=sample),)]


def _fewer(samples: Any) -> Any:
    count = rows(samples.upper if hasattr(samples, "upper") else samples)
    return rows_kept(samples, count - 1) if count > 1 else samples


def _first_repeated(samples: Any) -> Any:
    return map_arrays(lambda leaf: namespace(leaf).broadcast_to(leaf[:1, ...], leaf.shape), samples)


# --- what leaks from above --------------------------------------------------------------------


@traceable
@dataclass(frozen=True, eq=False)
class LeakyAtPoint(Wrapped):
    """∇_y G with ∇_y F of one sample added to it at the same point."""

    upper_sample: Any

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G + ∇_y F, shape ``(..., d_y)``."""
        extra = super().grad_y_upper(x, y, self.upper_sample)
        return super().grad_y_lower(x, y, sample) + extra


@dataclass(frozen=True, eq=False)
class LeakyMean(Wrapped):
    """∇_y G, value by value of a batch, with the mean of ∇_y F over another batch added."""

    upper_sample: Any

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G + ∇_y F, shape ``(batch, ..., d_y)``."""
        extra = mean(self.problem.grad_y_upper, x[0, ...], y[0, ...], self.upper_sample)
        return super().grad_y_lower(x, y, sample) + extra


@traceable
@dataclass(frozen=True, eq=False)
class Leaky(Wrapped):
    """∇_y G with something added to it, as by a gradient that was not set to zero."""

    extra: Array

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G + extra, shape ``(..., d_y)``."""
        return super().grad_y_lower(x, y, sample) + self.extra


def _upper_part(sample: Any) -> Any:
    return getattr(sample, "upper_y", sample.upper)


def _on_both(problem: Any, sample: Any) -> Any:
    return LeakyAtPoint(problem, _upper_part(sample))


def _on_both_means(problem: Any, sample: Any) -> Any:
    return LeakyMean(problem, _upper_part(sample))


def _leaky_batch(at: Iteration, gradient: Any, upper: Any) -> Any:
    return lambda x, y: gradient(x, y) + at.problem.grad_y_upper(x, y, upper)


def _leaky_refresh(right: Any, at: Iteration, gradient: Any, *rest: Any) -> Array:
    at.seen["refreshed"] = at.seen.get("refreshed", 0) + 1
    if at.seen["refreshed"] == 1:  # u comes first
        gradient = _leaky_batch(at, gradient, at.sample.large.upper)
    return right(gradient, *rest)


def _leaky_difference(right: Any, at: Iteration, gradient: Any, *rest: Any) -> Array:
    index = at.seen["inner"] = at.seen.get("inner", -1) + 1
    upper = row(at.sample.inner.upper, index)
    return right(_leaky_batch(at, gradient, upper), *rest)


@traceable
@dataclass(frozen=True)
class Leaking(Variant):
    """∇_y F of this iteration, or of the one before, at the point where the upper level took it,
    is added to the lower gradient.
    """

    late: bool = False

    @property
    def remembers(self) -> bool:
        """What the iteration before left."""
        return self.late

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is the algorithm's own; what ∇_y F leaves behind is kept."""
        state = self.algorithm.init(problem, x, y, start)
        if not self.late:
            return state
        if not hasattr(state, "y_average"):
            return pack(state, namespace(state.y).zeros_like(state.y))
        last = map_arrays(lambda leaf: leaf[-1, ...], start.first.upper)
        y_average = state.y_average_previous
        if innermost(self.algorithm).order == "sequential":
            y_average = state.y_average
        return pack(state, problem.grad_y_upper(x, y_average, last))

    def resume(self, state: Any) -> Any:
        """Nothing has leaked yet."""
        inner = resume(self.algorithm, state)
        return pack(inner, namespace(state.y).zeros_like(state.y)) if self.late else inner

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t on the leaking lower level."""
        inner, memory = unpack(state) if self.late else (state, None)
        upper, y = _upper_part(sample), getattr(inner, "y_average", inner.y)
        here = problem.grad_y_upper(inner.x, y, upper)
        after = self.algorithm.step(Leaky(problem, memory if self.late else here), inner, sample)
        if not self.late:
            return after
        if getattr(innermost(self.algorithm), "order", "") == "sequential":
            here = problem.grad_y_upper(inner.x, after.y_average, upper)
        return pack(after, here)


def _leaks(algorithm: Any) -> Sequence[Choices]:
    cls = type(algorithm)
    if made_by("y", batch_steps)(cls):
        return [(given(problem=_on_both_means),)]
    if has("lower_estimate")(cls):
        return [(within(refreshed=_leaky_refresh, lower_estimate=_leaky_difference),)]
    changes: list[Choices] = [(given(problem=_on_both),), (lambda a: Leaking(a, late=True),)]
    return [(Leaking,), *changes] if NESTEROV(cls) else changes


MISTAKES = (
    Mistake(
        "gradient at y",
        "y",
        "∇_y G at y_t instead of z_t: heavy ball",
        "no accelerated rate for a general strongly convex g, and a narrower range of stable steps",
        ways(part(y=lambda right: _heavy_ball)),
        NESTEROV,
    ),
    Mistake(
        "y_{t−1} overwritten",
        "y",
        "y_{t−1} is overwritten before use: no momentum below",
        "the lower level is SGD and lags by c/(αh) where Nesterov's lags by 2c√μ/(h√α)",
        ways(_with_momentum(lambda momentum: 0.0), copied(("y_previous", "y"))),
        NESTEROV,
        {"AccBO": f"{CLEANING}, accbo.py:37-39"},
    ),
    Mistake(
        "γ as 1−γ",
        "y",
        "1 − γ stands where γ belongs",
        "next to no momentum below: the lag of SGD",
        ways(_with_momentum(lambda momentum: 1 - momentum)),
        NESTEROV,
    ),
    Mistake(
        "PyTorch's form of Nesterov",
        "y",
        "∇_y G at y_t, and a step along ∇_y G + γ v with v ← γ v + ∇_y G",
        "γ² and 1 + γ stand where γ and 1 belong: another damping, and fewer stable step sizes",
        ways(part(y=_velocity_of_pytorch), within(y=_buffer_of_pytorch)),
        NESTEROV,
        laws=False,
    ),
    Mistake(
        "velocity with 1 − γ",
        "y",
        "v ← γ v − (1 − γ) α ∇_y G: the gradient is weighted as in a moving average",
        "the lower step is 1/(1 − γ) times too short",
        ways(_weighted(ahead=False), _weighted(ahead=True)),
        NESTEROV,
        laws=False,
    ),
    Mistake(
        "inner pair kept",
        "refresh",
        "Option II goes on from the last inner pair instead of restarting it",
        "an old velocity, aimed at the minimiser of an old x, enters every refresh",
        ways(KeptPair),
        NESTEROV,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "period off by one",
        "refresh",
        "refreshes at the wrong iterations",
        "y is older than the theory allows, from the first iteration on",
        ways(clock(shift=1), clock(shift=-1), clock(longer=1), clock(longer=-1)),
        both(has("period"), without(has("estimate"))),
    ),
    Mistake(
        "never refreshes",
        "refresh",
        "after iteration 0 no iteration is a refresh",
        "y stays where iteration 0 left it, and the hypergradient belongs to an old x",
        ways(clock(never=True)),
        both(has("period"), without(has("estimate"))),  # whose refresh is of another kind
        laws=False,
    ),
    Mistake(
        "no zeroing between inner steps",
        "y",
        "the lower gradients of earlier inner steps add up",
        "steps grow with the inner loop: 1, 2, 3 times the step size",
        _without_zeroing,
        both(_MANY, without(NESTEROV)),
        dict.fromkeys(
            ("BOREP", "StocBiO", "VRBO"),
            f"{CLEANING}, stocbio.py:52-58, bo_rep.py:78-86; deep AUC, bo_rep.py:86-93",
        ),
    ),
    Mistake(
        "one batch for all inner steps",
        "y",
        "the inner steps are on the first batch",
        "y moves towards the minimiser of that batch",
        _on_samples(_first_repeated),
        both(_MANY, without(NESTEROV)),
        {"StocBiO": f"{CLEANING}, stocbio.py:52-58"},
    ),
    Mistake(
        "one inner step too few",
        "y",
        "the inner loop leaves its last step out",
        "y is behind by a step an iteration",
        _on_samples(_fewer),
        both(_MANY, without(NESTEROV)),
    ),
    Mistake(
        "no warm start",
        "start",
        "y_0 = y_init: the T0 steps are left out",
        "the first hypergradients are taken far from y*(x)",
        ways(ColdStart),
        every,
        {"AccBO": f"{CLEANING}, accbo.py:51-74"},
        AS_IT_IS,
    ),
    Mistake(
        "upper gradient leaks",
        "y",
        "∇_y F is added to ∇_y G, as by a gradient that is not set to zero",
        "y converges to the minimiser of another function; in published code the leak was as "
        "large as the gradient",
        _leaks,
        every,
        dict.fromkeys(
            ("AccBO", "SLIP", "MASOBA", "BOREP", "SABA", "SUSTAIN", "TTSA", "StocBiO", "VRBO"),
            f"{CLEANING}, ma_soba.py:64,119",
        ),
    ),
)
