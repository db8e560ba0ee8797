"""Which quantity is wrong although what it is computed from is right.

The reference takes the same iteration with the implementation's own value wherever one of its
shown quantities is read; what still differs is where the mistake is made. Nothing here knows an
algorithm: what is read is seen in the arguments of its parts and of the problem's derivatives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import map_arrays
from accbo.conformance.running.observation import (
    Observation,
    departs,
    departures,
    fails,
    growth,
    ratio,
)
from accbo.conformance.vectors.replay import Shown, shown, tolerances
from accbo.problems.wrapped import Wrapped
from accbo.rounding import norms
from accbo.upper import normalized_step

CLOSE = 10.0  # tolerances: what follows from other numbers may round differently
LOOKED_AT = 24  # observations, and
ITERATIONS = 2  # of each
LATE = 6  # iterations at least before counting shows in no trajectory of the set
BY_HAND = "known-answer/"
X_OR_ESTIMATE = "x, or the estimate before it"  # which of them, other iterations tell
IN_START = "only in the start: warm start, or iteration 0"
IN_TRAJECTORIES = (
    "only in trajectories: something is carried from step to step that is not in the state"
)

IN_LONG_RUNS = (
    "only in long runs, from iteration {} on: something counts the steps that were taken, such as "
    "a schedule, a period or a buffer that fills"
)


def offending(observations: Sequence[Observation]) -> tuple[tuple[str, ...], str]:
    """The quantities that are wrong, in the order of causes, and where that is seen."""
    failing = list(filter(fails, observations))
    single = _generic([one for one in failing if one.mode in ("step", "forced")])
    found = _ordered(_local(one, index) for one in _some(single) for index in _first_wrong(one))
    if found:
        return _told_apart(found), ""
    firsts = [first for one in _some(failing) if (first := _first(one)) is not None]
    if not firsts:
        return (), ""
    where = _ordered(names for _, names in firsts)
    if all(iteration == 0 for iteration, _ in firsts):
        # what is wrong there alone is wrong in the warm start, if that may be
        return ("y",) if "y" in where else where[:1], IN_START
    begins = min(iteration for iteration, _ in firsts)
    if begins >= LATE and all(one.vector.long for one in failing):
        return where, IN_LONG_RUNS.format(begins)
    return where, IN_TRAJECTORIES


def _generic(observations: Sequence[Observation]) -> Sequence[Observation]:
    """Those not done by hand, if there are some: in small numbers one quantity equals another."""
    return [one for one in observations if not one.vector.id.startswith(BY_HAND)] or observations


def _some(observations: Sequence[Observation]) -> list[Observation]:
    """Some of them, of all kinds: as many as are looked at."""
    return list(observations[:: -(-len(observations) // LOOKED_AT) or 1])


def _first_wrong(observation: Observation) -> list[int]:
    """The indices of the first iterations that depart, each of its own."""
    begin = observation.vector.first_iteration if observation.mode == "step" else 1
    wrong = (found.iteration - begin for found in filter(departs, departures(observation)))
    return list(dict.fromkeys(wrong))[:ITERATIONS]


def _ordered(found: Any) -> tuple[str, ...]:
    """The names in all of these, an earlier cause first."""
    names: dict[str, int] = {}
    for part in found:
        for rank, name in enumerate(part):
            names[name] = max(rank, names.get(name, 0))
    return tuple(sorted(names, key=lambda name: names[name]))


def _first(observation: Observation) -> tuple[int, list[str]] | None:
    """The first iteration after which something departs, and what is wrong there."""
    off = next(filter(departs, departures(observation)), None)
    if off is None:
        return None
    begin = observation.vector.first_iteration if observation.mode in ("step", "start") else 1
    return off.iteration, local(observation, off.iteration - begin)


def local(observation: Observation, index: int) -> list[str]:
    """The quantities of iteration ``index`` that do not follow from the shown ones."""
    return ["x" if name == X_OR_ESTIMATE else name for name in _local(observation, index)]


def _told_apart(found: Sequence[str]) -> tuple[str, ...]:
    """Of x and of the estimate that it moved by before that one was made anew, the wrong one.

    Where x follows from the estimate that is shown, in other iterations, its step is right.
    """
    other = "x" if "x" in found else "estimate"
    return tuple(dict.fromkeys(other if name == X_OR_ESTIMATE else name for name in found))


@np.errstate(all="ignore")
def _local(observation: Observation, index: int) -> list[str]:
    """As ``local``, x being marked where what it moved by is not shown."""
    begin = observation.vector.first_iteration if observation.mode in ("step", "start") else 1
    wrong = [
        found.quantity
        for found in filter(departs, departures(observation))
        if found.iteration == begin + index
    ]
    if not wrong:
        return []
    got, allowed = observation.states[index], tolerances(observation.vector, observation.mode)
    calls: list[Call] = []

    def noted(name: str, arguments: tuple[Any, ...]) -> Any:
        calls.append((name, arguments))
        return arguments

    right = _iteration(observation, index, noted)
    plans = [_read(args, right) for _, args in calls]
    hidden = _hidden(observation, index, got)
    if "estimate" in got and any(
        name == "x" and not _given(observation, index, of[1]) for name, of in calls
    ):
        hidden = X_OR_ESTIMATE
    off = {}
    for name in wrong:
        given = _iteration(observation, index, _Giving(plans, {**got, name: None}))[name]
        if ratio(got[name], given, allowed[index][name] * growth(given, right[name])) > CLOSE:
            off[name] = given

    def unseen(name: str, of: str) -> bool:
        """Whether ``name`` is made of something that the part of ``of`` made and nothing shows."""
        giving = _Giving(plans, {**got, name: None})
        moved = _iteration(observation, index, giving, disturbed=_part(of))[name]
        return not np.array_equal(moved, off[name], equal_nan=True)

    if hidden == X_OR_ESTIMATE and "estimate" not in off:
        hidden = ""  # what x should have moved by has become the estimate that is shown
    found = [hidden if name == "x" and hidden else name for name in _accused(list(off), unseen)]
    if begin + index == 0:
        found = [name.removesuffix("_previous") for name in found]
    order = list(dict.fromkeys(name for name, _ in calls))
    return sorted(dict.fromkeys(found), key=lambda name: _rank(name, order))


def _accused(off: Sequence[str], unseen: Callable[[str, str], bool]) -> list[str]:
    """``off`` without what is made of unseen values of another one of them, and not the reverse.

    These may be wrong, so that nothing can be said of it.
    """
    others = {name: [of for of in off if _part(of) != _part(name)] for name in off}
    return [
        name
        for name in off
        if not any(unseen(name, of) and not unseen(of, name) for of in others[name])
    ]


def _part(name: str) -> str:
    """The part that makes a quantity: of a field of a table, the table's."""
    return name.split(".")[-2] if "." in name else name


def _rank(name: str, order: Sequence[str]) -> int:
    """The place of a quantity in the order of causes, given that of the parts that make them.

    Of a table that no part makes, as in a start, everything else is made.
    """
    if _part(name) in order:
        return order.index(_part(name))
    return -1 if "." in name else len(order)


# --- an iteration that is told some of its own numbers ------------------------------------------

Call = tuple[str, tuple[Any, ...]]  # what is called, with what
See = Callable[[str, tuple[Any, ...]], Any]  # of a call to the arguments that it gets


def _iteration(observation: Observation, index: int, see: See, *, disturbed: str = "") -> Shown:
    """The reference's iteration, its parts and its problem called with what ``see`` returns.

    What the part ``disturbed`` makes is 1 too large.
    """
    vector = observation.vector

    def seen(name: str, made: Any) -> Any:
        if name != disturbed:
            return lambda *arguments: made(*see(name, arguments))
        return lambda *arguments: map_arrays(lambda a: a + 1.0, made(*see(name, arguments)))

    parts = vector.algorithm.parts
    changed = parts._replace(**{name: seen(name, made) for name, made in parts._asdict().items()})
    algorithm = dataclasses.replace(vector.algorithm, parts=changed)
    on = Seen(vector.problem, see)
    if observation.mode == "start":
        if index == 0:
            return shown(algorithm.init(on, vector.x, vector.y, vector.start))
        index -= 1
    return shown(algorithm.step(on, vector.before(index), vector.samples[index]))


def _read(value: Any, right: Shown) -> Any:
    """Which shown quantity ``value`` is; of a tuple, of each part; None for anything else.

    A quantity with one more axis in front is that of both points of a pair, or of a batch.
    """
    if isinstance(value, tuple):
        return tuple(_read(part, right) for part in value)
    if not isinstance(value, np.ndarray) or not value.size:
        return None
    for name, of in right.items():
        if value.shape == of.shape and np.array_equal(value, of):
            return name
        if value.shape[1:] == of.shape and np.all(value == of):
            return name
    return None


class _Giving:
    """``hers`` in every place where ``plans``, one a call, say that one of them is read."""

    def __init__(self, plans: Sequence[Any], hers: Mapping[str, Any]) -> None:
        self.plans, self.hers = iter(plans), hers

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> Any:
        return self._given(arguments, next(self.plans))

    def _given(self, value: Any, plan: Any) -> Any:
        if isinstance(plan, tuple):
            parts = [self._given(part, of) for part, of in zip(value, plan, strict=True)]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        hers = self.hers.get(plan)
        return value if hers is None else np.broadcast_to(hers, value.shape)


@dataclass(frozen=True, eq=False)
class Seen(Wrapped):
    """The problem, asked at the points that ``see`` returns."""

    see: See

    def _at(self, *point: Any) -> Any:
        return self.see("", point)

    def grad_x_upper(self, x: Any, y: Any, sample: Any = None) -> Any:
        """∇_x F, shape ``(..., d_x)``."""
        x, y = self._at(x, y)
        return super().grad_x_upper(x, y, sample)

    def grad_y_upper(self, x: Any, y: Any, sample: Any = None) -> Any:
        """∇_y F, shape ``(..., d_y)``."""
        x, y = self._at(x, y)
        return super().grad_y_upper(x, y, sample)

    def grad_y_lower(self, x: Any, y: Any, sample: Any = None) -> Any:
        """∇_y G, shape ``(..., d_y)``."""
        x, y = self._at(x, y)
        return super().grad_y_lower(x, y, sample)

    def hvp_lower(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        """∇²_yy G v, shape ``(..., d_y)``."""
        x, y, v = self._at(x, y, v)
        return super().hvp_lower(x, y, v, sample)

    def cross_lower(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        """∇²_xy G v, shape ``(..., d_x)``."""
        x, y, v = self._at(x, y, v)
        return super().cross_lower(x, y, v, sample)


def _given(observation: Observation, index: int, estimate: np.ndarray) -> bool:
    """Whether an iteration begins with this estimate, and has not made it anew."""
    index -= observation.mode == "start"
    return index >= 0 and np.array_equal(estimate, observation.vector.before(index).estimate)


def _hidden(observation: Observation, index: int, got: Shown) -> str:
    """Where m is not shown, a wrong x whose step has the right length comes from m."""
    parts = observation.vector.algorithm.parts
    momentum = hasattr(parts, "momentum") and "momentum" not in got
    if not momentum or parts.x is not normalized_step:
        return ""
    if observation.mode == "start" and index == 0:
        before = observation.vector.x
    else:
        before = observation.vector.before(index - (observation.mode == "start")).x
    allowed = tolerances(observation.vector, observation.mode)[index]["x"]
    eta = observation.vector.algorithm.upper_step_size
    lengths = norms(got["x"] - before)
    return "momentum" if bool(np.all(np.abs(lengths - eta) <= CLOSE * allowed)) else ""
