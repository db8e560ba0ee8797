"""Results that another language wrote, as observations."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accbo.conformance.methods import DEFAULT
from accbo.conformance.running.digits import hint
from accbo.conformance.running.observation import NO_RESULT, Observation
from accbo.conformance.vectors.reading import (
    Place,
    VectorError,
    Within,
    Wrong,
    brief,
    is_number,
    json_of,
)
from accbo.conformance.vectors.records import RESULTS_FORMAT, ResultsRecord
from accbo.conformance.vectors.vector import Vector, convention, load


@dataclass(frozen=True)
class Results:
    """What an implementation wrote: vector id → the fields it shows after each iteration."""

    path: str
    implementation: str
    set: int
    conventions: Mapping[str, Sequence[str]]
    results: Mapping[str, Sequence[Mapping[str, Any]]]
    algorithm: str = DEFAULT


def read_results(path: str | Path) -> Results:
    """The results in a file; raises ``VectorError``."""
    document = json_of(path, ResultsRecord, (RESULTS_FORMAT,))
    made = Results(
        path=str(path),
        implementation=document["implementation"],
        set=document["set"],
        conventions=document.get("conventions", {}),
        results=document["results"],
        algorithm=document.get("algorithm", DEFAULT),
    )
    known = {vector.id for vector in load(made.set, made.algorithm)}
    for name in made.results:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise VectorError(
                path,
                f"results[{name!r}]",
                f"set {made.set} has no vector of this id",
                f"did you mean {near[0]!r}?" if near else "`accbo vectors list` shows the ids",
            )
    return made


def observations(results: Results) -> list[Observation]:
    """One observation for each vector of the set; raises ``VectorError`` for shapes."""
    found = load(results.set, results.algorithm)
    return [_observation(results, vector) for vector in found]


def digits_hint(found: Sequence[Observation]) -> str:
    """What to say where all numbers of some results are written with too few digits."""
    states = (pair for one in found for pair in zip(one.states, _right(one), strict=False))
    pairs = [(got, right[name]) for state, right in states for name, got in state.items()]
    return hint(
        (value for got, _ in pairs for value in np.ravel(got).tolist()),
        (value for _, right in pairs for value in np.ravel(right).tolist()),
    )


def _right(one: Observation) -> Sequence[Mapping[str, np.ndarray]]:
    return one.vector.expected if one.mode != "free" else one.vector.expected[1:]


def _observation(results: Results, vector: Vector) -> Observation:
    mode = "step" if vector.kind == "step" else "start"
    entries = results.results.get(vector.id)
    if entries is None:
        missing = NO_RESULT if _covers(results, vector) else "convention not covered"
        return Observation(vector, mode, (), missing=missing)
    with Place(results.path, f"results[{vector.id!r}]"):
        whole = len(vector.expected)
        if len(entries) == whole - 1 and mode == "start":
            mode = "free"
        elif len(entries) != whole:
            raise Wrong(f"{len(entries)} states", f"give {_lengths(vector)}")
        states = tuple(_shown(entry, vector, index) for index, entry in enumerate(entries))
        return Observation(vector, mode, states)


def _lengths(vector: Vector) -> str:
    whole = len(vector.expected)
    if vector.kind == "step":
        return "the one after the step"
    return f"{whole}, one after each iteration from 0 on, or {whole - 1}, from 1 on"


def _covers(results: Results, vector: Vector) -> bool:
    return all(
        value in results.conventions.get(name, (value,))
        for name, value in convention(vector).items()
    )


def _shown(entry: Mapping[str, Any], vector: Vector, index: int) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    unknown = sorted(set(entry) - {*vector.fields, "iteration"})
    if unknown or "x" not in entry:
        raise Wrong(
            f"[{index}] holds {', '.join(sorted(entry)) or 'nothing'}",
            f"x must be there, and any of {', '.join(vector.fields)} may be",
        )
    for name in vector.fields:
        if name in entry:
            shape = vector.expected[0][name].shape
            with Within(f"[{index}].{name}"):
                made[name] = np.array(list(_flat(entry[name], shape)), dtype=float).reshape(shape)
    return made


def _flat(values: Any, shape: tuple[int, ...]) -> Iterator[float]:
    """The numbers of ``values``, which must be nested as ``shape`` says; null is NaN."""
    if not shape:
        if values is None:
            yield math.nan
        elif is_number(values):
            yield float(values)
        else:
            raise Wrong(f"{brief(values)} stands where a number belongs", "write numbers or null")
        return
    if not isinstance(values, list) or len(values) != shape[0]:
        got = f"{len(values)} elements" if isinstance(values, list) else brief(values)
        raise Wrong(f"{got} where {shape[0]} belong", "write it in the shape of the expected value")
    for value in values:
        yield from _flat(value, shape[1:])
