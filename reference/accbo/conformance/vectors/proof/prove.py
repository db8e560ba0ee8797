"""Whether every expected number of a set is the exact one, correctly rounded.

The tolerances that call themselves proven are checked as well: none may be below what any order of
evaluation can lose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accbo.conformance.vectors.proof.balls import Ball, Balls, nearest, ulps
from accbo.conformance.vectors.proof.problems import problem_of
from accbo.conformance.vectors.proof.replay import Replicate, of_state, replicates, states
from accbo.conformance.vectors.proof.roundings import BITS, Roundings

PRECISIONS = (256, 512, 1024, 2048)  # bits, the next where the one before cannot tell
UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
TINY = {"float64": 2.0**-1074, "float32": 2.0**-149}
PROVEN = "proven"  # the kind of a tolerance that is a bound
ROUNDED_UP = 1.101  # of such a tolerance over its bound: it is written with two digits

Bound = dict[str, np.ndarray]  # field → the largest ‖error‖, shaped as the tolerance is


@dataclass(frozen=True)
class Wrong:
    """A number that is not what the page says, or of which it could not be told."""

    vector: str
    place: str  # which field of which state, and the index in it
    what: str

    def __str__(self) -> str:
        return f"{self.vector}: {self.place}: {self.what}"


@dataclass
class Proof:
    """What was proven of a set of vectors."""

    vectors: int = 0
    whole: int = 0  # vectors of which every number was proven
    numbers: int = 0
    bounds: int = 0  # tolerances that were checked
    refuted: list[Wrong] = field(default_factory=list)
    undecided: list[Wrong] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything was proven, and there was something."""
        return self.numbers > 0 and not self.refuted and not self.undecided

    def text(self) -> str:
        """The verdict, and every number that is in the way of it."""
        lines = [f"refuted    {wrong}" for wrong in self.refuted]
        lines += [f"undecided  {wrong}" for wrong in self.undecided]
        proven = self.numbers - sum("tolerance" not in wrong.place for wrong in self.refuted)
        proven -= len(self.undecided)
        lines.append(
            f"{self.whole} of {self.vectors} vectors proven: {proven} of {self.numbers} numbers "
            f"are the exact ones correctly rounded; {self.bounds} tolerances checked"
        )
        return "\n".join(lines)


def prove(documents: Sequence[Mapping[str, Any]]) -> Proof:
    """The proof of all vectors of ``documents``, as JSON gave them and ``files`` checked them."""
    proof = Proof()
    for document in documents:
        for vector in document["vectors"]:
            wrong = list(_of_vector(document["problems"][vector["problem"]], vector, proof))
            proof.vectors += 1
            proof.whole += not wrong
            for decided, one in wrong:
                (proof.refuted if decided else proof.undecided).append(one)
    return proof


def _of_vector(
    problem: Mapping[str, Any], vector: Mapping[str, Any], proof: Proof
) -> Iterator[tuple[bool, Wrong]]:
    """What is wrong with a vector; first of each whether that is certain."""
    for replicate in replicates(vector):
        yield from _of_replicate(problem, vector, replicate, proof)
    if vector.get("tolerance_kind") == PROVEN:
        for place, what in tolerance_faults(problem, vector):
            yield True, Wrong(vector["id"], place, what)
        proof.bounds += sum(np.size(value) for value in vector["tolerance"][0].values())


def _of_replicate(
    problem: Mapping[str, Any], vector: Mapping[str, Any], replicate: Replicate, proof: Proof
) -> Iterator[tuple[bool, Wrong]]:
    open_places: dict[str, Any] = {}
    for attempt, bits in enumerate(PRECISIONS):
        verdicts = dict(_verdicts(problem, vector, replicate, bits))
        if attempt == 0:
            proof.numbers += len(verdicts)
        open_places = {place: one for place, one in verdicts.items() if one[0] is not True}
        if all(verdict is not None for verdict, _, _ in open_places.values()):
            break
    for place, (verdict, value, ball) in open_places.items():
        if verdict is False:
            what = f"{value!r} is {ulps(value, ball):.3g} ulp from the exact value"
        else:
            what = f"{value!r} could not be told at {PRECISIONS[-1]} bits"
        yield verdict is False, Wrong(vector["id"], place, what)


def _verdicts(
    problem: Mapping[str, Any], vector: Mapping[str, Any], replicate: Replicate, bits: int
) -> Iterator[tuple[str, tuple[bool | None, float, Ball]]]:
    """Place → verdict, printed value and ball, of every expected number of a replicate."""
    Balls.precision(bits)
    made = states(Balls, problem_of(Balls, problem), vector, replicate)
    if len(made) != len(vector["expected"]):
        raise ValueError(f"{vector['id']}: {len(vector['expected'])} states, not {len(made)}")
    for number, (state, expected) in enumerate(zip(made, vector["expected"], strict=True)):
        if set(state) != set(expected):
            raise ValueError(
                f"{vector['id']}: a state has {sorted(state)}, the file {sorted(expected)}"
            )
        for name, balls in state.items():
            values = of_state(expected[name], replicate)
            for index, value, ball in _pairs(values, balls, f"{vector['id']}: {name}"):
                where = "".join(f"[{i}]" for i in (*replicate, *index))
                yield f"expected[{number}].{name}{where}", (nearest(value, ball), value, ball)


def _pairs(values: Any, balls: Any, place: str) -> Iterator[tuple[tuple[int, ...], float, Ball]]:
    """Index, printed value and ball of all entries of nested lists of the same lengths."""
    if not isinstance(balls, list):
        yield (), float(values), balls
        return
    if not isinstance(values, list) or len(values) != len(balls):
        raise ValueError(f"{place} does not have the shape of a state")
    for index, pair in enumerate(zip(values, balls, strict=True)):
        for inner, value, ball in _pairs(*pair, place):
            yield (index, *inner), value, ball


# --- tolerances -----------------------------------------------------------------------------


def bounds(problem: Mapping[str, Any], vector: Mapping[str, Any]) -> list[Bound]:
    """What any order of evaluation may lose in each field of each state, in the vector's dtype.

    Shaped as the tolerances are: a norm over the last axis, for each replicate and each row of a
    table. Infinite where the arithmetic may lose everything.
    """
    Balls.precision(BITS)
    k = Roundings(UNIT[vector["dtype"]], TINY[vector["dtype"]])
    ends: list[list[dict[str, Any]]] = []  # replicate → state → field
    for replicate in replicates(vector):
        made = states(k, problem_of(k, problem), vector, replicate)
        ends.append([{name: _lost(value) for name, value in state.items()} for state in made])
    shape = tuple(vector["replicates"])
    return [
        {
            name: np.reshape([one[number][name] for one in ends], (*shape, *np.shape(value)))
            for name, value in state.items()
        }
        for number, state in enumerate(ends[0])
    ]


def _lost(value: Any) -> Any:
    """‖error‖ of a vector, or of each row of a table; what is only a copy has none."""
    if isinstance(value[0], list):
        return [_lost(entry) for entry in value]
    if all(entry.error == 0 for entry in value):
        return 0.0
    # the expected value is itself rounded once, to float64
    lost = (
        entry.error + UNIT["float64"] * (abs(entry.value).upper() + TINY["float64"])
        for entry in value
    )
    return math.hypot(*map(float, lost)) * (1 + 1e-9)


def tolerance_faults(
    problem: Mapping[str, Any], vector: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Where the tolerances of a vector that calls them proven are not: place, and what is wrong."""
    for number, (bound, given) in enumerate(
        zip(bounds(problem, vector), vector["tolerance"], strict=True)
    ):
        for name, least in bound.items():
            tolerance = np.asarray(given[name], dtype=float)
            place = f"tolerance[{number}].{name}"
            if not np.all(tolerance >= least):  # nor is a bound that overflowed
                yield place, f"is below the proven bound {np.max(least):.3g}"
            elif not np.all(tolerance <= ROUNDED_UP * least):
                yield place, f"is above the proven bound {np.max(least):.3g}, which it calls itself"
