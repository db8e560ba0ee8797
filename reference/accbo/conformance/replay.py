"""The right algorithm, or a wrong one, on the samples of a vector: what somebody else is held to.

Everything here is NumPy, whatever namespace is being judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from accbo._arrays import leaves, map_arrays
from accbo.conformance.namespaces import move_to
from accbo.conformance.variants import Beside, resume, rows_kept
from accbo.conformance.vector import ACCBO, Vector, as_fields

Shown = Mapping[str, np.ndarray]  # field → what an implementation shows of it

# "step": one step from a state. Of a trajectory, "start": all of it from iteration 0; "free":
# from the state after iteration 0; "forced": every step from the reference's state before it
MODES = ("step", "start", "free", "forced")


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
    one that comes closest to ``target``, or each in turn without one. Beside AccBO every
    replicate has a draw of its own.
    """
    with np.errstate(all="ignore"):  # a mistake may diverge
        return list(replaying(algorithms, vector, mode, target))


def replaying(
    algorithms: Sequence[Any],
    vector: Vector,
    mode: str,
    target: Sequence[Shown] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """As ``replay``, one state at a time: who has seen enough can stop."""
    native = vector if vector.dtype == "float64" else _native(vector)
    return _states(algorithms, native, mode, target)


def _native(vector: Vector) -> Vector:
    """``vector`` in its own dtype: squares underflow in float32 that do not in float64."""
    like = np.zeros(1, dtype=vector.dtype)
    parts = ("problem", "samples", "state", "x", "y", "start", "expected")
    return dataclasses.replace(
        vector, **{name: move_to(getattr(vector, name), like) for name in parts}
    )


def _states(
    algorithms: Sequence[Any], vector: Vector, mode: str, target: Sequence[Shown] | None
) -> Iterator[dict[str, np.ndarray]]:
    first = algorithms[0]
    made = 0
    if mode == "start":
        assert vector.start is not None  # only trajectories have this mode
        start = vector.start
        if vector.method == ACCBO:
            start = start._replace(first=timed(first, 0, start.first))
        states = [a.init(vector.problem, vector.x, vector.y, start) for a in algorithms]
        state = _closest(states, target, made)
        yield shown(state)
        made += 1
    else:
        state = resume(first, vector.before(0))
    for index, sample in enumerate(vector.samples):
        if mode == "forced":
            state = resume(first, vector.before(index))
        at = vector.first_iteration + index + (0 if mode == "step" else 1)
        given = timed(first, at, sample) if vector.method == ACCBO else sample
        states = [a.step(vector.problem, state, given) for a in algorithms]
        if len(states) > 1 and target is not None and vector.replicates and vector.method != ACCBO:
            state = _closest_each(states, target[made], vector.replicates)
        else:
            state = _closest(states, target, made)
        yield shown(state)
        made += 1


def timed(algorithm: Any, t: int, sample: Any) -> Any:
    """AccBO's ``sample`` without lower steps where the algorithm's own clock takes none."""
    if algorithm.refreshes(t):
        return sample
    return sample._replace(lower=rows_kept(sample.lower, 0))


def shown(state: Any) -> dict[str, np.ndarray]:
    """The arrays of a state by name, without what a variant keeps beside it."""
    while isinstance(state, Beside):
        state = state.inner
    fields = as_fields(state._replace(memory=None) if hasattr(state, "memory") else state)
    return {name: value for name, value in fields.items() if name != "memory"}


def _closest(states: Sequence[Any], target: Sequence[Shown] | None, index: int) -> Any:
    if len(states) == 1:
        return states[0]
    if target is None:
        return states[index % len(states)]

    def distance(state: Any) -> float:
        arrays = shown(state)
        gaps = [
            float(np.max(_relative(arrays[name], value), initial=0.0))
            for name, value in target[index].items()
        ]
        return max(gaps) if np.all(np.isfinite(gaps)) else np.inf

    return min(states, key=distance)


def _relative(array: np.ndarray, target: np.ndarray) -> np.ndarray:
    """|array − target| in units of the largest entry: a field may be as small as 1e-200."""
    largest = float(np.max(np.abs(target), initial=0.0))
    gap: np.ndarray = np.abs(array - target)
    return gap / largest if 0 < largest < np.inf else gap


def _closest_each(states: Sequence[Any], target: Shown, replicates: tuple[int, ...]) -> Any:
    """Of every replicate the state that comes closest."""

    def distance(state: Any) -> np.ndarray:
        arrays = shown(state)
        gaps = [
            _relative(arrays[name], value).reshape(*replicates, -1)
            for name, value in target.items()
        ]
        return np.nan_to_num(np.max(np.concatenate(gaps, axis=-1), axis=-1), nan=np.inf)

    which = np.argmin([distance(state) for state in states], axis=0)
    others = [leaves(state) for state in states[1:]]

    def pick(leaf: np.ndarray) -> np.ndarray:
        for number, other in enumerate(others, start=1):
            chosen = (which == number).reshape(*replicates, *(1,) * (leaf.ndim - len(replicates)))
            leaf = np.where(chosen, next(other), leaf)
        return leaf

    return map_arrays(pick, states[0])
