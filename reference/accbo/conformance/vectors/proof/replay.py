"""A vector of a file, one replicate of it, taken through the algorithm of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from accbo.conformance.vectors.proof import accbo, others
from accbo.conformance.vectors.proof.problems import Problem, numbers

Replicate = tuple[int, ...]
WHOLE = ("index", "power")  # fields of integers


def replicates(vector: Mapping[str, Any]) -> Iterator[Replicate]:
    """The replicates of a vector, by all of their axes; one without a number where it has none."""
    yield from np.ndindex(*vector["replicates"])


def states(
    k: Any, problem: Problem, vector: Mapping[str, Any], replicate: Replicate
) -> list[dict[str, Any]]:
    """The states that must come out of ``vector`` for one replicate, over the numbers of ``k``."""
    settings = vector["algorithm"]
    name = settings.get("name")
    start, step = (
        (accbo.start, accbo.step) if name is None else (others.start_of(name), others.step_of(name))
    )
    samples = [_sample(k, sample, replicate) for sample in vector["samples"]]
    if vector["kind"] == "step":
        before = dict(vector["state"])
        t = before.pop("iteration")
        state = {field: numbers(k, of_state(value, replicate)) for field, value in before.items()}
        return [step(k, problem, settings, state, samples[0], t)]
    x, y = (numbers(k, of_state(vector[name], replicate)) for name in ("x", "y"))
    state = start(k, problem, settings, x, y, _sample(k, vector["start"], replicate))
    made = [state]
    for t, sample in enumerate(samples, start=1):
        made.append(step(k, problem, settings, made[-1], sample, t))
    return made


def of_state(value: Any, replicate: Replicate) -> Any:
    """What stands for a replicate in an array of a state: the replicates come first."""
    for index in replicate:
        value = value[index]
    return value


def _sample(k: Any, part: Any, replicate: Replicate, field: str = "") -> Any:
    """What stands for a replicate in a sample: there they come before the last axis."""
    if isinstance(part, Mapping):
        return {name: _sample(k, value, replicate, name) for name, value in part.items()}
    array = np.array(part, dtype=float)
    if array.ndim > len(replicate):  # in JSON nothing follows an axis of length 0
        array = array[(..., *replicate, slice(None))]  # type: ignore[arg-type]
    if field in WHOLE:
        return array.astype(int).tolist()
    return numbers(k, array.tolist())
