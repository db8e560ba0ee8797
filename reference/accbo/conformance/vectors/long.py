"""Runs longer than the vectors': what counts its own steps departs late.

A schedule of step sizes, a counter, a buffer that fills: in a run of eight iterations none of
them shows. A long run begins as a trajectory of the set does, and meets its samples again and
again. No file holds it. The reference's own float64 run is what must come out, within 10 K u of a
K that is measured on it (``conditions``).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from accbo.conformance.vectors.conditions import LARGEST_ERROR, measured, run
from accbo.conformance.vectors.vector import Vector, as_fields, convention

ITERATIONS, OF_FAST = 120, 40  # of a long run, and of one beside the fast tier
LONG_RUN = "long-run/"  # begins its name
LEAST = 4  # samples that come again


def long_runs(vectors: Sequence[Vector]) -> tuple[Vector, ...]:
    """One of every convention in which ``vectors`` have trajectories, and none so long.

    Where some of these have replicates, one with replicates too.
    """
    count = OF_FAST if all(vector.fast for vector in vectors) else ITERATIONS
    made: dict[tuple[Any, ...], Vector | None] = {}
    for vector in sorted(vectors, key=lambda each: (not each.fast, -len(each.samples))):
        if vector.kind == "step" or vector.dtype != "float64":
            continue
        if len(vector.expected) >= count:
            made[_choices(vector)] = None  # it is long enough itself
        elif len(vector.samples) >= LEAST and _repeatable(vector, count):
            made.setdefault(_choices(vector), vector)
    return tuple(long_run(vector, count) for vector in made.values() if vector is not None)


def _choices(vector: Vector) -> tuple[Any, ...]:
    return (*convention(vector).values(), vector.replicates)


@functools.cache
def long_run(vector: Vector, count: int) -> Vector:
    """As many iterations from the start of ``vector``, fewer where roundings grow too large."""
    ahead = _again(vector, count)
    bare = dataclasses.replace(
        vector,
        id=f"{LONG_RUN}{vector.id.replace('/', '-')}",
        samples=ahead,
        note=f"begins as {vector.id}, whose samples come again and again",
        flags=(),
        long=True,
    )
    expected = tuple(
        {name: np.asarray(as_fields(state)[name]) for name in vector.fields}
        for state in run(bare, np.zeros(1))
    )
    tolerance = measured(dataclasses.replace(bare, expected=expected))
    length = _well_conditioned(expected, tolerance)
    return dataclasses.replace(
        bare,
        samples=ahead[: length - 1],
        expected=expected[:length],
        tolerance=tolerance[:length],
        condition=0.0,
    )


def _repeatable(vector: Vector, count: int) -> bool:
    """Whether it has a sample of iterations that refresh the lower level and of the others."""
    return set(_refreshes(vector, count)) == set(_refreshes(vector, len(vector.samples)))


def _refreshes(vector: Vector, count: int) -> list[bool]:
    return [bool(vector.algorithm.refreshes(t)) for t in range(1, count + 1)]


def _again(vector: Vector, count: int) -> tuple[Any, ...]:
    """Samples of the iterations 1 to ``count``: each kind of iteration meets its own in turn."""
    kinds = zip(vector.samples, _refreshes(vector, len(vector.samples)), strict=True)
    turns: dict[bool, Iterator[Any]] = {}
    for kind, group in itertools.groupby(sorted(kinds, key=lambda each: each[1]), lambda e: e[1]):
        turns[kind] = itertools.cycle([sample for sample, _ in group])
    return tuple(next(turns[kind]) for kind in _refreshes(vector, count))


def _well_conditioned(expected: Sequence[Any], tolerance: Sequence[Any]) -> int:
    """How many states there are before the first whose tolerance is too large to see much."""
    size = 1.0
    for index, (state, allowed) in enumerate(zip(expected, tolerance, strict=True)):
        size = max(size, *(float(np.max(np.abs(value))) for value in state.values()))
        worst = max(float(np.max(value)) for value in allowed.values())
        if not worst <= LARGEST_ERROR["float64"] * size:  # a NaN is not
            return index
    return len(expected)
