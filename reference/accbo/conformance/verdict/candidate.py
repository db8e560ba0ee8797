"""Mistakes under a convention as a candidate for what was shown, and how it is replayed."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from accbo.conformance.mistakes.changes import innermost, scoped
from accbo.conformance.mistakes.mistake import EVERYWHERE, Fault, Scope
from accbo.conformance.running.observation import Observation, departs, departures
from accbo.conformance.vectors.replay import HELD, replaying
from accbo.conformance.vectors.vector import Vector, as_fields

LONGEST = 8  # iterations of a trajectory that are replayed

Convention = Callable[[Any], Any]  # of an algorithm to the same under another convention


def same(algorithm: Any) -> Any:
    """The algorithm as it is declared."""
    return algorithm


class Move(NamedTuple):
    """One way to make a mistake, in some phases."""

    fault: Fault
    way: int
    scope: Scope = EVERYWHERE


class Candidate(NamedTuple):
    """Mistakes, one on top of the other, under a convention."""

    moves: tuple[Move, ...]
    convention: str = ""
    change: Convention = same
    sometimes: bool = False  # or not, as the program likes

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(move.fault.name for move in self.moves)

    def algorithms(self, algorithm: Any) -> list[Any]:
        """What is replayed; of several, a hidden draw chooses one at every iteration."""
        made = [self.change(algorithm)]
        right = made if self.sometimes else []
        for fault, way, scope in self.moves:
            ways = fault.variants(innermost(made[0]))
            if way >= len(ways):
                raise IndexError(f"{fault.name} has no way number {way} here")
            made = [scoped(choice, scope)(one) for one in made for choice in ways[way]]
        return [*made, *right]

    def without(self, index: int) -> Candidate:
        """The others of its mistakes."""
        return self._replace(moves=(*self.moves[:index], *self.moves[index + 1 :]))


def replayed(
    candidate: Candidate,
    observation: Observation,
    moved: float = 0.0,
    chosen: list[int] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """The states that ``candidate`` makes of the samples of ``observation``, as ``replaying``."""
    vector = _cut(observation.vector, observation.mode, len(observation.states))
    algorithms = candidate.algorithms(vector.algorithm)
    return replaying(algorithms, vector, observation.mode, observation.states, moved, chosen)


def short(observation: Observation) -> Observation:
    """As much of an observation as is replayed: the first iterations, or up to the first wrong."""
    first = next(filter(departs, departures(observation)), None)
    count = LONGEST
    if first is not None:
        begin = observation.vector.first_iteration if observation.mode in ("step", "start") else 1
        count = max(LONGEST, first.iteration - begin + 3)
    if count >= len(observation.states):
        return observation
    return dataclasses.replace(observation, states=observation.states[:count])


@functools.lru_cache(maxsize=HELD)
def _cut(vector: Vector, mode: str, count: int) -> Vector:
    """``vector`` without the samples after ``count`` iterations."""
    keep = count - 1 if mode == "start" else count
    if keep >= len(vector.samples):
        return vector
    return dataclasses.replace(vector, samples=vector.samples[:keep])


def informative(observation: Observation) -> tuple[int, int, int, str]:
    """Single steps first, which cost least; noisy ones, and a whole batch before its rows."""
    order = {"step": 0, "start": 1, "forced": 2, "free": 3}
    noisy = 0 if observation.vector.problem.upper_noise else 1
    return order[observation.mode], noisy, len(observation.states), observation.vector.id


def at_the_edge(observation: Observation) -> bool:
    """Whether squares of some state over- or underflow, so that a norm may be 0 or infinite."""
    vector = observation.vector
    limits = np.finfo(vector.dtype)
    before = as_fields(vector.before(0)) if vector.start is None else {}
    sizes = (
        float(np.max(np.abs(array), initial=0.0))
        for state in (before, *vector.expected)
        for array in state.values()
        if np.issubdtype(np.asarray(array).dtype, np.floating)
    )
    largest, least = math.sqrt(float(limits.max)) / 2, math.sqrt(float(limits.tiny))
    return any(size > largest or 0 < size < least for size in sizes)
