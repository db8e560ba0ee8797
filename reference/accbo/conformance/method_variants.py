"""How any algorithm is changed to make a mistake, its step taken as a whole.

What a mistake changes is the problem, the sample or the state that the right step is given, what
is kept of it, or one method of its class; the right step may be taken again where a quantity
belongs to another point. None of them names an algorithm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, map_arrays, namespace
from accbo.conformance.fault import Change
from accbo.conformance.variants import Beside, Leaky, Variant, resume
from accbo.conformance.wrappers import Wrapped
from accbo.sampling import Start

Step = Callable[[Array, Array, float], Array]  # (x, direction, step size) to the next x


def by(variant: Callable[..., Any], *options: Any) -> Change:
    """The change that puts ``variant``, with its options, around an algorithm."""
    return lambda algorithm: variant(algorithm, *options)


def overriding(**methods: Callable[..., Any]) -> Change:
    """The change to a subclass of the algorithm's class with other ``methods``."""

    def apply(algorithm: Any) -> Any:
        names = [field.name for field in dataclasses.fields(algorithm)]
        values = {name: getattr(algorithm, name) for name in names}
        cls = type(algorithm)
        return type(f"Faulty{cls.__name__}", (cls,), methods)(**values)

    return apply


# --- the problem and the sample ---------------------------------------------------------------


@dataclass(frozen=True)
class OnProblem(Variant):
    """The algorithm on another problem, ``wrap(problem)``."""

    wrap: Callable[[Any], Any]

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 on it."""
        return self.algorithm.init(self.wrap(problem), x, y, start)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t on it."""
        return self.algorithm.step(self.wrap(problem), state, sample)


@dataclass(frozen=True)
class OnSample(Variant):
    """The step on another sample, ``change(sample)``."""

    change: Callable[[Any], Any]

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t on it."""
        return self.algorithm.step(problem, state, self.change(sample))


@dataclass(frozen=True, eq=False)
class NegatedCross(Wrapped):
    """−∇²_xy G: the implicit term is added."""

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """−∇²_xy G v, shape ``(..., d_x)``."""
        return -super().cross_lower(x, y, v, sample)


@dataclass(frozen=True, eq=False)
class NegatedUpperY(Wrapped):
    """−∇_y F."""

    def grad_y_upper(self, x: Array, y: Array, sample: Any = None) -> Array:
        """−∇_y F, shape ``(..., d_y)``."""
        return -super().grad_y_upper(x, y, sample)


@dataclass(frozen=True, eq=False)
class CrossAtZero(Wrapped):
    """∇²_xy G at (x, 0)."""

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Any = None) -> Array:
        """∇²_xy G(x, 0) v, shape ``(..., d_x)``."""
        return super().cross_lower(x, namespace(y).zeros_like(y), v, sample)


@dataclass(frozen=True, eq=False)
class LeakyUpper(Wrapped):
    """∇_y G with ∇_y F of one sample added to it at the same point."""

    upper_sample: Any

    def grad_y_lower(self, x: Array, y: Array, sample: Any = None) -> Array:
        """∇_y G + ∇_y F, shape ``(..., d_y)``."""
        extra = super().grad_y_upper(x, y, self.upper_sample)
        return super().grad_y_lower(x, y, sample) + extra


@dataclass(frozen=True)
class Leak(Variant):
    """The lower steps of an iteration descend on F + G; ``upper`` names the sample of ∇_y F."""

    upper: str = "upper"

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t on the leaking lower level."""
        leaky = LeakyUpper(problem, getattr(sample, self.upper))
        return self.algorithm.step(leaky, state, sample)


@dataclass(frozen=True)
class LateLeak(Variant):
    """∇_y F of the iteration before is left in the lower gradient; of iteration 0 nothing is."""

    upper: str = "upper"
    remembers = True

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is right."""
        return self.resume(self.algorithm.init(problem, x, y, start))

    def resume(self, state: Any) -> Any:
        """Nothing has leaked yet."""
        return Beside(resume(self.algorithm, state), namespace(state.y).zeros_like(state.y))

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t on the leaking lower level."""
        inner = state.inner
        after = self.algorithm.step(Leaky(problem, state.memory), inner, sample)
        here = problem.grad_y_upper(inner.x, inner.y, getattr(sample, self.upper))
        return Beside(after, here)


# --- the state ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TwoOld(Variant):
    """Some fields enter an iteration as they were one iteration earlier.

    What comes of it is kept of the fields ``only``, of all of them without any.
    """

    names: tuple[str, ...]
    from_zero: bool = False
    only: tuple[str, ...] = ()
    remembers = True

    def _kept(self, state: Any) -> dict[str, Array]:
        return {name: getattr(state, name) for name in self.names}

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is right."""
        return self.resume(self.algorithm.init(problem, x, y, start))

    def resume(self, state: Any) -> Any:
        """What was to be remembered is not in ``state``: a stand-in."""
        kept = self._kept(state)
        if self.from_zero:
            kept = map_arrays(lambda array: namespace(array).zeros_like(array), kept)
        return Beside(resume(self.algorithm, state), kept)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t with the older fields."""
        old = state.inner._replace(**state.memory)
        after = self.algorithm.step(problem, old, sample)
        if self.only:
            right = self.algorithm.step(problem, state.inner, sample)
            after = right._replace(**{name: getattr(after, name) for name in self.only})
        return Beside(after, self._kept(state.inner))


@dataclass(frozen=True)
class Again(Variant):
    """The step is taken again from the old state with some fields as they have become.

    ``rounds`` are (the fields put in before a round, the fields kept from it). With y kept from
    the first, y put in and z kept from the second, z is updated after y.
    """

    rounds: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t, round after round."""
        after = self.algorithm.step(problem, state, sample)
        for put_in, kept in self.rounds:
            start = state._replace(**{name: getattr(after, name) for name in put_in})
            again = self.algorithm.step(problem, start, sample)
            after = after._replace(**{name: getattr(again, name) for name in kept})
        return after


@dataclass(frozen=True)
class Mirrored(Variant):
    """A field moves the other way; it starts from zero."""

    name: str

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0, the move turned round."""
        after = self.algorithm.init(problem, x, y, start)
        return after._replace(**{self.name: -getattr(after, self.name)})

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t, the move turned round."""
        after = self.algorithm.step(problem, state, sample)
        turned = 2 * getattr(state, self.name) - getattr(after, self.name)
        return after._replace(**{self.name: turned})


@dataclass(frozen=True)
class InFloat32(Variant):
    """The state after every iteration is rounded to single precision, or x alone is."""

    x_alone: bool = False

    def _rounded(self, state: Any) -> Any:
        def single(array: Array) -> Array:
            xp = namespace(array)
            return xp.astype(xp.astype(array, xp.float32), array.dtype)

        if self.x_alone:
            return state._replace(x=single(state.x))
        return map_arrays(single, state)

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0, rounded."""
        return self._rounded(self.algorithm.init(problem, x, y, start))

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t, rounded."""
        return self._rounded(self.algorithm.step(problem, state, sample))


# --- the upper level ----------------------------------------------------------------------------


@dataclass(frozen=True)
class UpperStep(Variant):
    """x moves by another rule along the right direction, in iteration 0 too."""

    rule: Step

    def _moved(self, x: Array, after: Any) -> Any:
        return after._replace(x=self.rule(x, after.momentum, self.algorithm.upper_step_size))

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0, x by the rule."""
        return self._moved(x, self.algorithm.init(problem, x, y, start))

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t, x by the rule."""
        return self._moved(state.x, self.algorithm.step(problem, state, sample))


@dataclass(frozen=True)
class AverageRule(Variant):
    """Another average, ``rule(m_{t−1}, h_t, β)``; ``move`` takes x along it, if x waits for it."""

    rule: Step
    move: Step | None

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t around the rule."""
        after = self.algorithm.step(problem, state, sample)
        plain = dataclasses.replace(self.algorithm, momentum=0.0)
        h = plain.step(problem, state, sample).momentum  # 0 m + 1 h
        after = after._replace(momentum=self.rule(state.momentum, h, self.algorithm.momentum))
        if self.move is None:
            return after
        size = self.algorithm.upper_step_size
        return after._replace(x=self.move(state.x, after.momentum, size))


@dataclass(frozen=True)
class OtherAverage(Variant):
    """x moves along the average of another iteration: the old one, or the new one."""

    move: Step
    new: bool

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t, x along that average."""
        after = self.algorithm.step(problem, state, sample)
        direction = after.momentum if self.new else state.momentum
        size = self.algorithm.upper_step_size
        return after._replace(x=self.move(state.x, direction, size))
