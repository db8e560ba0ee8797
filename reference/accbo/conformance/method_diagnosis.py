"""Which known mistake of an algorithm beside AccBO reproduces an implementation's own numbers.

The search is that of ``diagnosis``, without what is AccBO's alone: its conventions, two mistakes
at once, and a sample of one's own at the old point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from accbo.conformance.diagnosis import (
    Candidate,
    Diagnosis,
    fails,
    fitting,
    informative,
    short,
    single_precision,
    surviving,
)
from accbo.conformance.fault import Choices, Fault
from accbo.conformance.methods import METHODS, catalogue
from accbo.conformance.observation import Observation, departs, departures


@np.errstate(all="ignore")
def diagnose_method(observations: Sequence[Observation]) -> Diagnosis:
    """What the departures of ``observations``, all of one algorithm, look like."""
    usable = [short(one) for one in observations if one.states and not one.missing]
    failing = sorted(filter(fails, usable), key=informative)
    offending, remark = _offending(usable)
    if not failing:
        return Diagnosis(None, None, offending, remark)
    found = fitting(surviving(_candidates(failing[0].vector), failing), usable)
    found = found or single_precision(usable, failing)
    return Diagnosis(None, found, offending, remark)


def _candidates(vector: Any) -> Iterator[Candidate]:
    for fault in catalogue(vector.method).values():
        for index in range(len(fault.variants(vector.algorithm))):
            yield _candidate(fault, index, vector.algorithm)


def _candidate(fault: Fault, index: int, typical: Any) -> Candidate:
    """Variant number ``index`` of a fault."""

    def algorithms(algorithm: Any) -> list[Any]:
        choices: Choices = fault.variants(algorithm)[index]
        return [choice(algorithm) for choice in choices]

    remembers = getattr(algorithms(typical)[0], "remembers", False)
    return Candidate((fault.name,), "", algorithms, remembers)


def _offending(usable: Sequence[Observation]) -> tuple[tuple[str, ...], str]:
    """The quantities that are wrong in single steps, or in trajectories alone."""
    failing = list(filter(fails, usable))
    if not failing:
        return (), ""
    vector = failing[0].vector
    single = [one for one in failing if one.mode in ("step", "forced")]
    found = {name for one in single for _, names in _wrong(one) for name in names}
    if found:
        return tuple(name for name in vector.fields if name in found), ""
    first = [_wrong(one)[0] for one in failing]
    names = tuple(name for name in vector.fields if any(name in each for _, each in first))
    if all(iteration == 0 for iteration, _ in first):
        return names, "only in the start: warm start, or iteration 0"
    return names, "only in trajectories: something is carried that is not in the state"


def _wrong(observation: Observation) -> list[tuple[int, set[str]]]:
    """The iterations after which something is wrong, and what; but not what follows from it."""
    follows = METHODS[observation.vector.method].follows
    wrong: dict[int, set[str]] = {}
    for found in filter(departs, departures(observation)):
        wrong.setdefault(found.iteration, set()).add(found.quantity)
    return [
        (t, {name for name in names if not names.intersection(follows.get(name, ()))})
        for t, names in wrong.items()
    ]
