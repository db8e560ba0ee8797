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

from accbo.conformance.cases import norms
from accbo.conformance.observation import Observation, departs, departures
from accbo.conformance.replay import Shown, shown, tolerances
from accbo.conformance.wrappers import Wrapped
from accbo.upper import normalized_step

CLOSE = 10.0  # tolerances: what follows from other numbers may round differently
IN_START = "only in the start: warm start, or iteration 0"
IN_TRAJECTORIES = (
    "only in trajectories: something is carried from step to step that is not in the state"
)


def offending(observations: Sequence[Observation]) -> tuple[tuple[str, ...], str]:
    """The quantities that are wrong, in the order of causes, and where that is seen."""
    single = [one for one in observations if one.mode in ("step", "forced")]
    found = _ordered(local(one, index) for one in single for index in range(len(one.states)))
    if found:
        return found, ""
    firsts = [first for one in observations if (first := _first(one)) is not None]
    if not firsts:
        return (), ""
    where = _ordered(names for _, names in firsts)
    if all(iteration == 0 for iteration, _ in firsts):
        return where[:1], IN_START
    return where, IN_TRAJECTORIES


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


@np.errstate(all="ignore")
def local(observation: Observation, index: int) -> list[str]:
    """The quantities of iteration ``index`` that do not follow from the shown ones."""
    begin = observation.vector.first_iteration if observation.mode in ("step", "start") else 1
    wrong = [
        found.quantity
        for found in filter(departs, departures(observation))
        if found.iteration == begin + index
    ]
    if not wrong:
        return []
    got, allowed = observation.states[index], tolerances(observation.vector, observation.mode)
    take = _iteration(observation, index)
    calls: list[str] = []
    right = take(lambda name, made: _noting(name, made, calls), lambda problem: problem)
    hidden = _hidden(observation, index, got)
    found = []
    for name in wrong:
        values = {other: (right[other], value) for other, value in got.items() if other != name}
        given = take(
            lambda _, made, values=values: lambda *a: made(*_replaced(a, values)),  # type: ignore[misc]
            lambda problem, values=values: Substituting(problem, values),  # type: ignore[misc]
        )
        gap = norms(got[name] - given[name])
        if not bool(np.all(gap <= CLOSE * allowed[index][name])):
            found.append(hidden if name == "x" and hidden else name)
    if begin + index == 0:
        found = [name.removesuffix("_previous") for name in found]
    order = list(dict.fromkeys(calls))
    return sorted(
        dict.fromkeys(found), key=lambda name: order.index(name) if name in order else len(order)
    )


Take = Callable[[Callable[[str, Any], Any], Callable[[Any], Any]], Shown]


def _iteration(observation: Observation, index: int) -> Take:
    """The reference's iteration with its parts and its problem changed."""
    vector, from_start = observation.vector, observation.mode == "start"

    def take(part: Callable[[str, Any], Any], problem: Callable[[Any], Any]) -> Shown:
        parts = vector.algorithm.parts
        changed = parts._replace(
            **{name: part(name, made) for name, made in parts._asdict().items()}
        )
        algorithm, on = (
            dataclasses.replace(vector.algorithm, parts=changed),
            problem(vector.problem),
        )
        if from_start and index == 0:
            return shown(algorithm.init(on, vector.x, vector.y, vector.start))
        at = index - 1 if from_start else index
        return shown(algorithm.step(on, vector.before(at), vector.samples[at]))

    return take


def _noting(name: str, made: Any, calls: list[str]) -> Any:
    def noted(*arguments: Any) -> Any:
        calls.append(name)
        return made(*arguments)

    return noted


Values = Mapping[str, tuple[np.ndarray, np.ndarray]]  # the reference's value, and hers


def _replaced(value: Any, values: Values) -> Any:
    """``value`` with hers wherever it is the reference's value of a shown quantity."""
    if isinstance(value, tuple):
        parts = [_replaced(part, values) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if not isinstance(value, np.ndarray):
        return value
    for right, hers in values.values():
        if value.shape == right.shape and np.array_equal(value, right):
            return hers
        if value.shape[1:] == right.shape and value.size and np.all(value == right):
            return np.broadcast_to(hers, value.shape)
    return value


@dataclass(frozen=True, eq=False)
class Substituting(Wrapped):
    """The problem at her points wherever it is asked at the reference's."""

    values: Values

    def _at(self, x: Any, y: Any) -> tuple[Any, Any]:
        return _replaced(x, self.values), _replaced(y, self.values)

    def grad_x_upper(self, x: Any, y: Any, sample: Any = None) -> Any:
        """∇_x F, shape ``(..., d_x)``."""
        return super().grad_x_upper(*self._at(x, y), sample)

    def grad_y_upper(self, x: Any, y: Any, sample: Any = None) -> Any:
        """∇_y F, shape ``(..., d_y)``."""
        return super().grad_y_upper(*self._at(x, y), sample)

    def grad_y_lower(self, x: Any, y: Any, sample: Any = None) -> Any:
        """∇_y G, shape ``(..., d_y)``."""
        return super().grad_y_lower(*self._at(x, y), sample)

    def hvp_lower(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        """∇²_yy G v, shape ``(..., d_y)``."""
        return super().hvp_lower(*self._at(x, y), v, sample)

    def cross_lower(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        """∇²_xy G v, shape ``(..., d_x)``."""
        return super().cross_lower(*self._at(x, y), v, sample)


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
