"""The right algorithm, or a wrong one, on the samples of a vector: what somebody else is held to.

Everything here is NumPy, whatever namespace is being judged.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from accbo._arrays import leaves, map_arrays
from accbo.conformance.mistakes.changes import resume, timed, without_memory
from accbo.conformance.vectors.vector import Vector, as_fields
from accbo.namespaces import move_to

Shown = Mapping[str, np.ndarray]  # field → what an implementation shows of it

# "step": one step from a state. Of a trajectory, "start": all of it from iteration 0; "free":
# from the state after iteration 0; "forced": every step from the reference's state before it
MODES = ("step", "start", "free", "forced")
HELD = 256  # vectors that are kept as they are replayed


def iterations(vector: Vector, mode: str) -> range:
    """The iterations whose outcome is compared."""
    first = vector.first_iteration if mode in ("step", "start") else 1
    return range(first, vector.first_iteration + len(vector.expected))


def expected(vector: Vector, mode: str) -> tuple[Shown, ...]:
    """What must come out of them."""
    return vector.expected if mode in ("step", "start") else vector.expected[1:]


def tolerances(vector: Vector, mode: str) -> tuple[Shown, ...]:
    """How closely."""
    return vector.tolerance if mode in ("step", "start") else vector.tolerance[1:]


def replay(
    algorithms: Sequence[Any],
    vector: Vector,
    mode: str,
    target: Sequence[Shown] | None = None,
) -> list[dict[str, np.ndarray]]:
    """The states of ``algorithms`` after each iteration of ``vector``.

    Where there are several algorithms, a hidden draw decides which of them makes a step: the
    one that comes closest to ``target``, in every replicate, or each in turn without one.
    """
    with np.errstate(all="ignore"):  # a mistake may diverge
        return list(replaying(algorithms, vector, mode, target))


def replaying(
    algorithms: Sequence[Any],
    vector: Vector,
    mode: str,
    target: Sequence[Shown] | None = None,
    moved: float = 0.0,
    chosen: list[int] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """As ``replay``, one state at a time: who has seen enough can stop.

    What stands in for a memory is ``moved`` by so much. ``chosen`` is told which of several
    algorithms made a step, where they differ.
    """
    native = vector if vector.dtype == "float64" else _native(vector)
    return _states(algorithms, native, mode, target, moved, [] if chosen is None else chosen)


@functools.lru_cache(maxsize=HELD)
def _native(vector: Vector) -> Vector:
    """``vector`` in its own dtype: squares underflow in float32 that do not in float64."""
    like = np.zeros(1, dtype=vector.dtype)
    parts = ("problem", "samples", "state", "x", "y", "start", "expected")
    return dataclasses.replace(
        vector, **{name: move_to(getattr(vector, name), like) for name in parts}
    )


def _states(
    algorithms: Sequence[Any],
    vector: Vector,
    mode: str,
    target: Sequence[Shown] | None,
    moved: float,
    chosen: list[int],
) -> Iterator[dict[str, np.ndarray]]:
    first = algorithms[0]
    made = 0

    def resumed(index: int) -> Any:
        state = resume(first, vector.before(index))
        if moved and hasattr(state, "memory"):
            state = state._replace(memory=map_arrays(lambda a: a + moved, state.memory))
        return state

    if mode == "start":
        assert vector.start is not None  # only trajectories have this mode
        start = vector.start._replace(first=timed(first, 0, vector.start.first))
        states = [a.init(vector.problem, vector.x, vector.y, start) for a in algorithms]
        state = _closest(states, target, made, vector.replicates, chosen)
        yield shown(state)
        made += 1
    else:
        state = resumed(0)
    for index, sample in enumerate(vector.samples):
        if mode == "forced":
            state = resumed(index)
        at = vector.first_iteration + index + (0 if mode == "step" else 1)
        given = timed(first, at, sample)
        states = [a.step(vector.problem, state, given) for a in algorithms]
        state = _closest(states, target, made, vector.replicates, chosen)
        yield shown(state)
        made += 1


def shown(state: Any) -> dict[str, np.ndarray]:
    """The arrays of a state by name, without what a variant keeps beside it."""
    return as_fields(without_memory(state))


def _closest(
    states: Sequence[Any],
    target: Sequence[Shown] | None,
    index: int,
    replicates: tuple[int, ...],
    chosen: list[int],
) -> Any:
    if len(states) == 1:
        return states[0]
    if target is None:
        return states[index % len(states)]
    if replicates:
        return _closest_each(states, target[index], replicates, chosen)

    def distance(state: Any) -> float:
        arrays = shown(state)
        gaps = [
            float(np.max(_relative(arrays[name], value), initial=0.0))
            for name, value in target[index].items()
        ]
        return max(gaps) if np.all(np.isfinite(gaps)) else np.inf

    gaps = list(map(distance, states))
    which = int(np.argmin(gaps))
    if any(gap > gaps[which] for gap in gaps):
        chosen.append(which)
    return states[which]


def _relative(array: np.ndarray, target: np.ndarray) -> np.ndarray:
    """|array − target| in units of the largest entry: a field may be as small as 1e-200."""
    largest = float(np.max(np.abs(target), initial=0.0))
    gap: np.ndarray = np.abs(array - target)
    return gap / largest if 0 < largest < np.inf else gap


def _closest_each(
    states: Sequence[Any], target: Shown, replicates: tuple[int, ...], chosen: list[int]
) -> Any:
    """Of every replicate the state that comes closest."""

    def distance(state: Any) -> np.ndarray:
        arrays = shown(state)
        gaps = [
            _relative(arrays[name], value).reshape(*replicates, -1)
            for name, value in target.items()
        ]
        worst: np.ndarray = np.nan_to_num(
            np.max(np.concatenate(gaps, axis=-1), axis=-1), nan=np.inf
        )
        return worst

    gaps = np.array([distance(state) for state in states])
    which = np.argmin(gaps, axis=0)
    chosen += which[np.max(gaps, axis=0) > np.min(gaps, axis=0)].tolist()
    others = [leaves(state) for state in states[1:]]

    def pick(leaf: np.ndarray) -> np.ndarray:
        for number, other in enumerate(others, start=1):
            chosen = (which == number).reshape(*replicates, *(1,) * (leaf.ndim - len(replicates)))
            leaf = np.where(chosen, next(other), leaf)
        return leaf

    return map_arrays(pick, states[0])
