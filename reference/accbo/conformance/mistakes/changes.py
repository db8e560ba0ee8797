"""How an algorithm is changed: a part of its step, what it is given, what is made of its state.

Every change takes the algorithm's own samples and keeps its interface, so that it can be run on
the numbers of a right implementation; any change can be applied on top of any other, and each in
the warm start, in iteration 0 and in the iterations after it, or in some of these alone.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, leaves, map_arrays, namespace, row, rows, traceable
from accbo.conformance.mistakes.mistake import EVERYWHERE, Change, Scope
from accbo.sampling import Draw, Start

# --- algorithms inside others -------------------------------------------------------------------


def innermost(algorithm: Any) -> Any:
    """The algorithm inside any number of variants."""
    while isinstance(algorithm, Variant):
        algorithm = algorithm.algorithm
    return algorithm


def transformed(algorithm: Any, function: Callable[[Any], Any]) -> Any:
    """``algorithm`` with ``function`` applied to every innermost algorithm in it."""
    if not isinstance(algorithm, Variant):
        return function(algorithm)
    names = ("algorithm", "wrong") if isinstance(algorithm, Scoped) else ("algorithm",)
    changes = {name: transformed(getattr(algorithm, name), function) for name in names}
    return dataclasses.replace(algorithm, **changes)


def part(**make: Callable[[Any], Any]) -> Change:
    """The change of parts: ``make[name](right)`` is the new part."""

    def change(inner: Any) -> Any:
        parts = {name: of(getattr(inner.parts, name)) for name, of in make.items()}
        return _with(inner, {"parts": inner.parts._replace(**parts)})

    return lambda algorithm: transformed(algorithm, change)


def constants(of: Callable[[Any], Mapping[str, Any]]) -> Change:
    """The change of hyper-parameters to those of ``of(algorithm)``, past its own checks."""

    return lambda algorithm: transformed(algorithm, lambda inner: _with(inner, of(inner)))


def _with(inner: Any, fields: Mapping[str, Any]) -> Any:
    """``inner`` with other fields, not checked again: that costs more than many a step."""
    changed = copy.copy(inner)
    for name, value in fields.items():
        object.__setattr__(changed, name, value)
    return changed


def rows_kept(sample: Any, count: int) -> Any:
    """The first ``count`` rows of every array of a part of a sample."""
    return map_arrays(lambda leaf: leaf[:count, ...], sample)


@traceable
@dataclass(frozen=True)
class Variant:
    """The algorithm inside, unchanged; a variant overrides what it changes."""

    algorithm: Any

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes lower steps."""
        return bool(self.algorithm.refreshes(t))

    def draw(self, problem: Any, refresh: bool = True) -> Any:
        """The layout of one iteration's sample."""
        return self.algorithm.draw(problem, refresh)

    def draw_start(self, problem: Any, warm_start: int, first: int) -> Start:
        """The layout of iteration 0."""
        start: Start = self.algorithm.draw_start(problem, warm_start, first)
        return start

    def warm_start(self, problem: Any, x: Array, y: Array, samples: Any) -> Array:
        """y after the T0 steps."""
        return self.algorithm.warm_start(problem, x, y, samples)

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0."""
        return self.algorithm.init(problem, x, y, start)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t ≥ 1."""
        return self.algorithm.step(problem, state, sample)

    def resume(self, state: Any) -> Any:
        """The state of this variant had it been made from the right algorithm's ``state``."""
        return resume(self.algorithm, state)

    @property
    def remembers(self) -> bool:
        """Whether something is kept that is not in a state."""
        return bool(getattr(self.algorithm, "remembers", False))


def resume(algorithm: Any, state: Any) -> Any:
    """The state of ``algorithm`` had it been made from the right algorithm's ``state``."""
    return algorithm.resume(state) if isinstance(algorithm, Variant) else state


# --- where a change is made -----------------------------------------------------------------------


@traceable
@dataclass(frozen=True)
class Scoped(Variant):
    """``wrong`` in some phases, the algorithm itself in the others."""

    wrong: Any
    scope: Scope

    def _of(self, phase: int) -> Any:
        return self.wrong if self.scope[phase] else self.algorithm

    def refreshes(self, t: int) -> bool:
        """By the clock of the phase."""
        return bool(self._of(2 if t else 1).refreshes(t))

    def warm_start(self, problem: Any, x: Array, y: Array, samples: Any) -> Array:
        """y after the T0 steps of its phase."""
        return self._of(0).warm_start(problem, x, y, samples)

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """The warm start and iteration 0, each of its phase."""
        y = self.warm_start(problem, x, y, start.warm_start)
        cold = start._replace(warm_start=rows_kept(start.warm_start, 0))
        return self._of(1).init(problem, x, y, cold)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t ≥ 1 of its phase."""
        return self._of(2).step(problem, state, sample)


def scoped(change: Change, scope: Scope) -> Change:
    """``change`` in the phases of ``scope`` alone."""
    if scope == EVERYWHERE:
        return change
    return lambda algorithm: Scoped(algorithm, change(algorithm), scope)


# --- what is kept beside a state ------------------------------------------------------------------


@functools.cache
def _beside(core: type) -> Any:
    """The NamedTuple of ``core``'s fields and a memory."""
    fields = [*core._fields, "memory"]  # type: ignore[attr-defined]
    made: Any = NamedTuple(f"{core.__name__}Beside", [(name, Any) for name in fields])  # type: ignore[misc]
    setattr(made, "core", core)  # noqa: B010  a NamedTuple has no such attribute of its own
    return made


def pack(inner: Any, memory: Any) -> Any:
    """``inner``, itself a state with memories or not, and one more memory."""
    core: Any = getattr(type(inner), "core", type(inner))
    fields = {name: getattr(inner, name) for name in core._fields}
    return _beside(core)(**fields, memory=(*getattr(inner, "memory", ()), memory))


def unpack(state: Any) -> tuple[Any, Any]:
    """The state without its last memory, and that memory."""
    *rest, memory = state.memory
    if rest:
        return state._replace(memory=tuple(rest)), memory
    return without_memory(state), memory


def without_memory(state: Any) -> Any:
    """The state of the innermost algorithm."""
    core = getattr(type(state), "core", None)
    return state if core is None else core(*(getattr(state, name) for name in core._fields))


# --- parts that see the whole iteration -----------------------------------------------------------


@dataclass
class Iteration:
    """What a rule may read beside its arguments; ``state`` is None in iteration 0.

    ``algorithm`` is the innermost with every change but this one; ``seen`` is for what a rule
    wants to know later in the same iteration.
    """

    algorithm: Any
    problem: Any
    state: Any
    sample: Any
    seen: dict[Any, Any]


Rule = Callable[..., Any]  # (right, iteration, *arguments) to what the part makes


@traceable
@dataclass(frozen=True)
class Within(Variant):
    """Parts by rules that see the iteration; ``finish(iteration, after)`` is the state after it."""

    rules: tuple[tuple[str, Rule], ...]
    finish: Callable[[Iteration, Any], Any] | None = None

    def _around(self, problem: Any, state: Any, sample: Any) -> tuple[Iteration, Any]:
        inner = innermost(self.algorithm)
        iteration = Iteration(inner, problem, state, sample, {})

        def bound(rule: Rule) -> Callable[[Any], Any]:
            return lambda right: lambda *arguments: rule(right, iteration, *arguments)

        make = {name: bound(rule) for name, rule in self.rules}
        return iteration, part(**make)(self.algorithm)

    def _finished(self, iteration: Iteration, after: Any) -> Any:
        return after if self.finish is None else self.finish(iteration, after)

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 by the rules."""
        iteration, changed = self._around(problem, None, start.first)
        return self._finished(iteration, changed.init(problem, x, y, start))

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t by the rules."""
        iteration, changed = self._around(problem, state, sample)
        return self._finished(iteration, changed.step(problem, state, sample))


def within(finish: Callable[[Iteration, Any], Any] | None = None, **rules: Rule) -> Change:
    """The change of parts to rules that see the iteration."""
    return lambda algorithm: Within(algorithm, tuple(rules.items()), finish)


@traceable
@dataclass(frozen=True)
class Remembering(Variant):
    """Parts by rules with a memory, in t ≥ 1: (right, memory, *arguments) to (value, memory).

    ``first(state, name)`` is a memory after iteration 0, and the stand-in where all that is
    known is a state.
    """

    rules: tuple[tuple[str, Rule], ...]
    first: Callable[[Any, str], Any]

    @property
    def remembers(self) -> bool:
        """It does."""
        return True

    def _kept(self, state: Any) -> dict[str, Any]:
        return {name: self.first(state, name) for name, _ in self.rules}

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is the algorithm's own."""
        state = self.algorithm.init(problem, x, y, start)
        return pack(state, self._kept(state))

    def resume(self, state: Any) -> Any:
        """What was to be remembered is not in ``state``: a stand-in."""
        return pack(resume(self.algorithm, state), self._kept(state))

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t by the rules."""
        inner, memory = unpack(state)
        following = dict(memory)

        def bound(name: str, rule: Rule) -> Callable[[Any], Any]:
            def make(right: Any) -> Any:
                def made(*arguments: Any) -> Any:
                    value, following[name] = rule(right, memory[name], *arguments)
                    return value

                return made

            return make

        make = {name: bound(name, rule) for name, rule in self.rules}
        after = part(**make)(self.algorithm).step(problem, inner, sample)
        return pack(after, following)


def remembering(first: Callable[[Any, str], Any], **rules: Rule) -> Change:
    """The change of parts to rules with a memory."""
    return lambda algorithm: Remembering(algorithm, tuple(rules.items()), first)


@traceable
@dataclass(frozen=True)
class OlderState(Variant):
    """Some fields enter an iteration as they were one iteration earlier."""

    names: tuple[str, ...]
    from_zero: bool = False

    @property
    def remembers(self) -> bool:
        """It does."""
        return True

    def _kept(self, state: Any) -> dict[str, Array]:
        return {name: getattr(state, name) for name in self.names}

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is the algorithm's own."""
        return self._stand_in(self.algorithm.init(problem, x, y, start))

    def resume(self, state: Any) -> Any:
        """What was to be remembered is not in ``state``: a stand-in."""
        return self._stand_in(resume(self.algorithm, state))

    def _stand_in(self, state: Any) -> Any:
        kept = self._kept(state)
        if self.from_zero:
            kept = map_arrays(lambda array: namespace(array).zeros_like(array), kept)
        return pack(state, kept)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t with the older fields."""
        inner, memory = unpack(state)
        after = self.algorithm.step(problem, inner._replace(**memory), sample)
        return pack(after, self._kept(inner))


def older_state(*names: str, from_zero: bool = False) -> Change:
    """The change by which fields enter an iteration as they were one earlier."""
    return lambda algorithm: OlderState(algorithm, names, from_zero)


# --- what an iteration is given, and what is made of it -------------------------------------------


@traceable
@dataclass(frozen=True)
class Given(Variant):
    """The algorithm on another problem, ``problem(right, sample)``, and another sample."""

    problem: Callable[[Any, Any], Any] | None = None
    sample: Callable[[Any], Any] | None = None

    def _on(self, problem: Any, sample: Any) -> Any:
        return problem if self.problem is None else self.problem(problem, sample)

    def warm_start(self, problem: Any, x: Array, y: Array, samples: Any) -> Array:
        """The T0 steps, on the right problem: no upper sample has been drawn yet."""
        return self.algorithm.warm_start(problem, x, y, samples)

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 on it; the warm start is the algorithm's own."""
        y = self.warm_start(problem, x, y, start.warm_start)
        apart = stacked_parts(innermost(self.algorithm), problem)
        first = start.first
        if self.sample is not None:
            first = _on_each(self.sample, first, apart)
        cold = Start(rows_kept(start.warm_start, 0), first)
        return self.algorithm.init(self._on(problem, _one(first, apart)), x, y, cold)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t on it."""
        if self.sample is not None:
            sample = self.sample(sample)
        return self.algorithm.step(self._on(problem, sample), state, sample)


def given(
    *,
    problem: Callable[[Any, Any], Any] | None = None,
    sample: Callable[[Any], Any] | None = None,
) -> Change:
    """The change of what an iteration is given, in iteration 0 as well."""
    return lambda algorithm: Given(algorithm, problem, sample)


@traceable
@dataclass(frozen=True)
class OnProblem(Variant):
    """The algorithm on another problem, ``other(algorithm, right)``, from the warm start on."""

    other: Callable[[Any, Any], Any]

    def _of(self, problem: Any) -> Any:
        return self.other(innermost(self.algorithm), problem)

    def warm_start(self, problem: Any, x: Array, y: Array, samples: Any) -> Array:
        """The T0 steps on it."""
        return self.algorithm.warm_start(self._of(problem), x, y, samples)

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 on it."""
        return self.algorithm.init(self._of(problem), x, y, start)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t on it."""
        return self.algorithm.step(self._of(problem), state, sample)


def on_problem(other: Callable[[Any, Any], Any]) -> Change:
    """The change to another problem, ``other(algorithm, right)``, wherever it is asked."""
    return lambda algorithm: OnProblem(algorithm, other)


def stacked_parts(algorithm: Any, problem: Any) -> frozenset[str]:
    """The parts of ``start.first`` that have an axis over the S first samples."""
    first = algorithm.draw_start(problem, 0, 2).first
    step = algorithm.draw(problem, algorithm.refreshes(0))
    found = set()
    for name, mine, plain in zip(first._fields, first, step, strict=True):
        pairs = zip(_draws(mine), _draws(plain), strict=False)
        if any(len(a.leading) > len(b.leading) for a, b in pairs):
            found.add(name)
    return frozenset(found)


def _draws(layout: Any) -> list[Draw]:
    if isinstance(layout, Draw):
        return [layout]
    parts = layout.values() if isinstance(layout, Mapping) else layout
    return [draw for each in parts for draw in _draws(each)]


def _one(first: Any, apart: frozenset[str], index: int = 0) -> Any:
    """``start.first`` with one of its S samples."""
    return first._replace(
        **{name: row(getattr(first, name), index) for name in apart if getattr(first, name)}
    )


def _on_each(change: Callable[[Any], Any], first: Any, apart: frozenset[str]) -> Any:
    """``change`` of each of the S samples; of what has no axis over them, that of the first."""
    if not apart:
        return change(first)
    count = rows(getattr(first, next(iter(sorted(apart)))))
    changed = [change(_one(first, apart, index)) for index in range(count)]

    def stacked(name: str) -> Any:
        found = [list(leaves(getattr(one, name))) for one in changed]
        columns = iter([namespace(column[0]).stack(column) for column in zip(*found, strict=True)])
        return map_arrays(lambda _: next(columns), getattr(changed[0], name))

    return changed[0]._replace(**{name: stacked(name) for name in apart})


@traceable
@dataclass(frozen=True)
class Then(Variant):
    """``after(algorithm, before, state)`` of the state after every iteration.

    ``before`` is the state before it; in iteration 0 it holds x and y as they were given.
    """

    after: Callable[[Any, Any, Any], Any]

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0, and what is made of it."""
        state = self.algorithm.init(problem, x, y, start)
        return self.after(innermost(self.algorithm), Before(x, y), state)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t, and what is made of it."""
        after = self.algorithm.step(problem, state, sample)
        return self.after(innermost(self.algorithm), state, after)


class Before(NamedTuple):
    """What is known before iteration 0."""

    x: Array
    y: Array


def then(after: Callable[[Any, Any, Any], Any]) -> Change:
    """The change of what is made of the state after every iteration."""
    return lambda algorithm: Then(algorithm, after)


@traceable
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


def again(*rounds: tuple[tuple[str, ...], tuple[str, ...]]) -> Change:
    """The change by which an iteration is taken again with some fields as they have become."""
    return lambda algorithm: Again(algorithm, rounds)


# --- clocks and starts --------------------------------------------------------------------------


@traceable
@dataclass(frozen=True)
class Clock(Variant):
    """Refreshes at iterations t with (t + shift) mod (I + longer) = 0, or never after 0."""

    shift: int = 0
    longer: int = 0
    never: bool = False

    def refreshes(self, t: int) -> bool:
        """By the wrong clock."""
        period = innermost(self.algorithm).period
        if period is None:
            return True
        if self.never:
            return t == 0
        return bool((t + self.shift) % max(1, period + self.longer) == 0)


def clock(shift: int = 0, longer: int = 0, never: bool = False) -> Change:
    """The change of the iterations that refresh."""
    return lambda algorithm: Clock(algorithm, shift, longer, never)


@traceable
@dataclass(frozen=True)
class ColdStart(Variant):
    """No warm start: y_0 = y_init."""

    def warm_start(self, problem: Any, x: Array, y: Array, samples: Any) -> Array:
        """y itself."""
        return y

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 without the warm start's samples."""
        cold = start._replace(warm_start=rows_kept(start.warm_start, 0))
        return self.algorithm.init(problem, x, y, cold)


@traceable
@dataclass(frozen=True)
class WarmStarted(Variant):
    """y after the warm start is ``of`` what it was."""

    of: Callable[[Array], Array]

    def warm_start(self, problem: Any, x: Array, y: Array, samples: Any) -> Array:
        """What is made of y after the T0 steps."""
        return self.of(self.algorithm.warm_start(problem, x, y, samples))

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 from there."""
        y = self.warm_start(problem, x, y, start.warm_start)
        cold = start._replace(warm_start=rows_kept(start.warm_start, 0))
        return self.algorithm.init(problem, x, y, cold)


def warm_started(of: Callable[[Array], Array]) -> Change:
    """The change of y after the warm start."""
    return lambda algorithm: WarmStarted(algorithm, of)


def timed(algorithm: Any, t: int, sample: Any) -> Any:
    """``sample`` without what a refresh takes, where the algorithm's own clock has none."""
    if algorithm.refreshes(t):
        return sample
    name = "large" if hasattr(sample, "large") else "lower"
    return sample._replace(**{name: rows_kept(getattr(sample, name), 0)})
