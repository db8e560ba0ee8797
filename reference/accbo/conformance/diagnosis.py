"""Which known mistake reproduces an implementation's own numbers.

A name is given only where the mistake, replayed on the same samples, yields what the
implementation showed in every case it was run on, those it passed included; or in every case
of some conventions, and all the others are right. Where nothing does, nothing is named, and what
is left is which quantity is wrong although its inputs are right.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from accbo.algorithms import AccBO
from accbo.conformance.cases import norms
from accbo.conformance.fault import Choices, Fault
from accbo.conformance.faults import FAULTS, clipped
from accbo.conformance.observation import Observation, departs, departures, fits
from accbo.conformance.replay import replaying, tolerances
from accbo.conformance.variants import KeptPair, Leaking, Remembering, with_parts
from accbo.conformance.vector import Vector, convention

CLOSE = 10.0  # tolerances: a mistake may amplify roundings more than the right step does
EXPLAINED = 1e-3  # of the departure may be left unexplained
LONGEST = 8  # iterations of a trajectory that are replayed
PAIRS_PER_FAULT = 3  # variants of a fault that are tried together with another
FEWEST = 3  # vectors that depart, for a mistake to be blamed on some conventions

Algorithms = Callable[[AccBO], list[Any]]  # one, or several among which a hidden draw chooses


class Candidate(NamedTuple):
    """A mistake, or two, under a convention."""

    names: tuple[str, ...]
    convention: str
    algorithms: Algorithms
    remembers: bool  # what it remembers is not in a state


class Named(NamedTuple):
    """Mistakes that fit: every tuple of ``names`` is one explanation."""

    names: tuple[tuple[str, ...], ...]
    convention: str
    error: float  # the largest, in the shown quantities
    iterations: int  # compared
    where: str = ""  # the conventions outside which all is right; empty: there are none


Search = Callable[
    [str, Callable[[AccBO], AccBO], Sequence[Observation]], Iterator[Candidate]
]  # of a convention, its change, and what departs


class Diagnosis(NamedTuple):
    """What is known about an implementation that departs."""

    convention: str | None  # under which all of it is right, if there is one
    named: Named | None
    offending: tuple[str, ...]  # quantities that are wrong although their inputs are right
    remark: str


# --- conventions ----------------------------------------------------------------------------


def _same(algorithm: AccBO) -> AccBO:
    return algorithm


def _order(order: str) -> Callable[[AccBO], AccBO]:
    return lambda algorithm: dataclasses.replace(algorithm, order=order)


# a convention other than the declared one, on the same samples
OTHER_CONVENTIONS: dict[str, Callable[[AccBO], AccBO]] = {
    "order = sequential": _order("sequential"),
    "order = simultaneous": _order("simultaneous"),
}


def _first_only(vector: Vector) -> Vector:
    """m_0 from one sample: the first."""
    if vector.start is None:
        return vector
    upper = {
        name: {key: leaf[:1, ...] for key, leaf in part.items()}
        for name, part in vector.start.first._asdict().items()
        if name != "lower"
    }
    start = vector.start._replace(first=vector.start.first._replace(**upper))
    return dataclasses.replace(vector, start=start)


VECTOR_CONVENTIONS: dict[str, Callable[[Vector], Vector]] = {
    "first = one (m_0 from the first sample)": _first_only
}


# --- the search -----------------------------------------------------------------------------


@np.errstate(all="ignore")
def diagnose(observations: Sequence[Observation]) -> Diagnosis:
    """What the departures of ``observations`` look like."""
    usable = [short(one) for one in observations if one.states and not one.missing]
    failing = sorted(filter(fails, usable), key=informative)
    offending, remark = _offending(usable)
    if not failing:
        return Diagnosis(None, None, offending, remark)
    other = _other_convention(usable, failing)
    if other:
        return Diagnosis(other, None, (), "")
    wrong = [one for one in observations if one.trouble or one.notes or fails(one)]
    blamed = list(_blamed(usable, wrong))
    for search in (_singles, _pairs):
        for where, part, candidates in _attempts(search, usable, failing, blamed):
            found = fitting(candidates, part)
            if found is None and search is _singles:
                found = _by_elimination(part, failing) or single_precision(part, failing)
            if found:
                return Diagnosis(None, found._replace(where=where), offending, remark)
    return Diagnosis(None, None, offending, remark)


Part = tuple[str, Sequence[Observation]]  # the cases of some conventions, and which


def _attempts(
    search: Search,
    usable: Sequence[Observation],
    failing: Sequence[Observation],
    blamed: Sequence[Part],
) -> Iterator[tuple[str, Sequence[Observation], list[Candidate]]]:
    """What is to be explained, and by what: all cases, under each convention; then parts."""
    declared = surviving(search("", _same, failing), failing)
    yield "", usable, declared
    for name, change in OTHER_CONVENTIONS.items():
        yield "", usable, surviving(search(name, change, failing), failing)
    for where, part in blamed:
        yield where, part, declared


def short(observation: Observation) -> Observation:
    """As much of an observation as is replayed."""
    if len(observation.states) <= LONGEST:
        return observation  # with its departures, which are known
    return dataclasses.replace(observation, states=observation.states[:LONGEST])


def _cut(vector: Vector, mode: str, count: int) -> Vector:
    """``vector`` without the samples after ``count`` iterations."""
    keep = count - 1 if mode == "start" else count
    return dataclasses.replace(vector, samples=vector.samples[:keep])


def fails(observation: Observation) -> bool:
    """Whether something of it departs."""
    return any(map(departs, departures(observation)))


def informative(observation: Observation) -> tuple[int, int, str]:
    """Trajectories from the start first: there nothing that is remembered is unknown."""
    order = {"start": 0, "step": 1, "forced": 2, "free": 3}
    noisy = 0 if observation.vector.problem.upper_noise else 1
    return noisy, order[observation.mode], observation.vector.id


def _replayed(candidate: Candidate, observation: Observation) -> Iterator[dict[str, np.ndarray]]:
    vector = _cut(observation.vector, observation.mode, len(observation.states))
    algorithms = candidate.algorithms(vector.algorithm)
    return replaying(algorithms, vector, observation.mode, observation.states)


def _explains(candidate: Candidate, observation: Observation) -> bool:
    """Whether ``candidate`` yields what was shown, and what was wrong with it."""
    if candidate.remembers and observation.mode != "start":
        return True  # what it would remember is not known: no evidence
    gap = fits(_replayed(candidate, observation), observation, CLOSE)
    if gap > CLOSE:
        return False
    departure = max((found.ratio for found in departures(observation)), default=0.0)
    return departure <= 1 or gap <= max(1.0, EXPLAINED * departure)


def surviving(candidates: Iterator[Candidate], failing: Sequence[Observation]) -> list[Candidate]:
    """The candidates that explain all departures."""
    if not any(one.mode == "start" for one in failing):  # a stand-in is all there is
        candidates = (candidate._replace(remembers=False) for candidate in candidates)
    return [candidate for candidate in candidates if _explains_all(candidate, failing)]


def _explains_all(candidate: Candidate, observations: Iterable[Observation]) -> bool:
    try:
        return all(_explains(candidate, one) for one in observations)
    except (ValueError, IndexError, ArithmeticError):  # does not apply to these samples
        return False


def fitting(candidates: Sequence[Candidate], usable: Sequence[Observation]) -> Named | None:
    """Those of the candidates that explain what is right too, told apart as far as they can be."""
    right = [one for one in usable if not fails(one)]
    found: dict[tuple[str, ...], Candidate] = {}
    for candidate in candidates:
        if candidate.names not in found and _explains_all(candidate, right):
            found[candidate.names] = candidate
    if not found:
        return None
    best = min(found.values(), key=lambda candidate: len(candidate.names))
    evidence = [one for one in usable if not best.remembers or one.mode == "start"]
    return Named(
        tuple(found),
        best.convention,
        max((_error(best, one) for one in evidence), default=0.0),
        sum(len(one.states) for one in evidence),
    )


def _error(candidate: Candidate, observation: Observation) -> float:
    replayed = _replayed(candidate, observation)
    gaps = [
        float(np.max(np.abs(got[name] - right[name]), initial=0.0))
        for got, right in zip(observation.states, replayed, strict=False)
        for name in got
    ]
    return max((gap for gap in gaps if not math.isnan(gap)), default=0.0)


def _candidate(
    faults: Sequence[tuple[Fault, int]], convention: str, change: Callable[[AccBO], AccBO]
) -> Candidate:
    """Variant number i of each fault, one on top of the other."""

    def algorithms(algorithm: AccBO) -> list[Any]:
        made: list[Any] = [change(algorithm)]
        for fault, index in faults:
            ways = fault.variants(made[0] if isinstance(made[0], AccBO) else change(algorithm))
            choices: Choices = ways[min(index, len(ways) - 1)]
            made = [choice(one) for one in made for choice in choices]
        return made

    catalogue = list(FAULTS)
    names = tuple(sorted({fault.name for fault, _ in faults}, key=catalogue.index))
    return Candidate(names, convention, algorithms, any(_remembers(*one) for one in faults))


def _remembers(fault: Fault, index: int) -> bool:
    made = fault.variants(_TYPICAL)[index][0](_TYPICAL)
    return isinstance(made, Remembering | KeptPair) or (isinstance(made, Leaking) and made.late)


_TYPICAL = AccBO(
    lower_step_size=0.25,
    lower_momentum=0.375,
    averaging=0.25,
    momentum=0.875,
    upper_step_size=0.01,
    neumann_terms=4,
    neumann_scale=3.0,
    period=3,
    lower_steps=2,
)


def _singles(
    convention: str, change: Callable[[AccBO], AccBO], failing: Sequence[Observation]
) -> Iterator[Candidate]:
    for fault in FAULTS.values():
        for index in range(len(fault.variants(_TYPICAL))):
            yield _candidate([(fault, index)], convention, change)
    clip = _clipping(failing)
    if clip:
        yield Candidate(("clipping",), convention, lambda a: [clip(change(a))], False)


def _pairs(
    convention: str, change: Callable[[AccBO], AccBO], failing: Sequence[Observation]
) -> Iterator[Candidate]:
    """Two faults, in either order: one may wrap what the other replaces."""
    if convention:
        return
    for first, second in itertools.permutations(FAULTS.values(), 2):
        counts = (
            range(min(PAIRS_PER_FAULT, len(fault.variants(_TYPICAL)))) for fault in (first, second)
        )
        for one, other in itertools.product(*counts):
            yield _candidate([(first, one), (second, other)], convention, change)


def _clipping(failing: Sequence[Observation]) -> Any:
    """Clipping at the threshold that a step shorter than η shows."""
    for observation in failing:
        if observation.mode != "step" or observation.vector.replicates:
            continue
        before, eta = observation.vector.before(0), observation.vector.algorithm.upper_step_size
        length = float(norms(observation.states[0]["x"] - before.x)) / eta
        if math.isfinite(length) and length > 0:
            return clipped(float(f"{length:.10g}"))
    return None


# --- conventions in which alone something is wrong --------------------------------------------

_WHERE = {
    "order": "in {} order",
    "option": "with Option {}",
    "neumann_sampling": "with {} sampling",
}


def _blamed(usable: Sequence[Observation], wrong: Sequence[Observation]) -> Iterator[Part]:
    """The cases of the conventions that all wrong ones share, and some right ones do not.

    The fewest conditions first: where a mistake cannot be seen, it must not be denied. Conditions
    that what was run cannot tell apart are told together.
    """
    if len({one.vector.id for one in wrong}) < FEWEST:
        return  # so many have something in common by chance
    shared = {
        key: _choices(wrong, key) for key in _WHERE if _choices(wrong, key) < _choices(usable, key)
    }
    found: dict[tuple[str, ...], tuple[list[str], list[Observation]]] = {}
    for count in range(1, len(shared) + 1):
        wider = set(found)
        for keys in itertools.combinations(shared, count):
            part = [one for one in usable if all(_choice(one, key) in shared[key] for key in keys)]
            names = tuple(one.name for one in part)
            if names not in wider:
                found.setdefault(names, ([], part))[0].append(_label(keys, shared))
    for labels, part in found.values():
        yield ", or ".join(f"{label} only" for label in labels), part


def _label(keys: Sequence[str], shared: Mapping[str, frozenset[str]]) -> str:
    return " and ".join(_WHERE[key].format(" or ".join(sorted(shared[key]))) for key in keys)


def _choice(observation: Observation, key: str) -> str:
    return str(convention(observation.vector)[key])


def _choices(observations: Sequence[Observation], key: str) -> frozenset[str]:
    return frozenset(_choice(one, key) for one in observations)


# --- rules where no replay can decide ---------------------------------------------------------


def _other_convention(usable: Sequence[Observation], failing: Sequence[Observation]) -> str | None:
    """The legitimate convention under which everything is right."""
    vectors: dict[str, Callable[[Vector], Vector]] = {"": lambda v: v, **VECTOR_CONVENTIONS}
    orders = {"": _same, **OTHER_CONVENTIONS}
    for (order, change), (first, cut) in itertools.product(orders.items(), vectors.items()):
        if not order and not first:
            continue
        candidate = Candidate((), order, lambda a, change=change: [change(a)], False)  # type: ignore[misc]
        if all(
            fits(_replayed(candidate, dataclasses.replace(one, vector=cut(one.vector))), one, 1)
            <= 1
            for one in (*failing, *itertools.filterfalse(fails, usable))
        ):
            return ", ".join(part for part in (order, first) if part)
    return None


def _by_elimination(usable: Sequence[Observation], failing: Sequence[Observation]) -> Named | None:
    """A fresh sample at the old point: its numbers are not known, where it shows is.

    Right without noise, so the function is right; right with noise at β = 0, so the new point
    meets the given sample; wrong in m with noise and β > 0 alone.
    """
    beta = [one for one in usable if one.vector.algorithm.momentum == 0]
    quiet = [one for one in usable if not one.vector.problem.upper_noise]
    noisy = [
        one
        for one in usable
        if one.vector.algorithm.momentum > 0 and one.vector.problem.upper_noise
        if one.mode == "step"
    ]
    wrong = [one for one in noisy if fails(one)]
    local = {name for one in failing for name in _local(one)}
    if (
        beta
        and quiet
        and len(wrong) > 0.9 * len(noisy) > 0
        and not any(map(fails, (*beta, *quiet)))
        and local <= {"momentum"}
        and all(_unit_step(one) for one in wrong)
    ):
        count = sum(len(one.states) for one in usable)
        return Named((("different sample",),), "", 0.0, count)
    return None


def _unit_step(observation: Observation) -> bool:
    before, eta = observation.vector.before(0), observation.vector.algorithm.upper_step_size
    lengths = norms(observation.states[0]["x"] - before.x)
    return bool(np.all(np.abs(lengths - eta) <= 1e-6 * eta))


def single_precision(usable: Sequence[Observation], failing: Sequence[Observation]) -> Named | None:
    """Numbers that are all exact in float32, off by float32's roundings, in float64 cases alone."""
    doubles = [one for one in usable if one.vector.dtype == "float64"]
    wrong = [one for one in failing if one.vector.dtype == "float64"]
    if len(wrong) < len(failing) or len(wrong) < 0.9 * len(doubles):
        return None
    if not all(map(_as_in_float32, wrong)):
        return None
    error = max(found.error for one in wrong for found in departures(one))
    return Named((("silent float32",),), "", error, sum(len(one.states) for one in doubles))


_LEAST, _MOST = (float(getattr(np.finfo(np.float32), name)) for name in ("tiny", "max"))


def _as_in_float32(observation: Observation) -> bool:
    """Whether what departs is a float32, and departs no further than its roundings do."""
    off = list(filter(departs, departures(observation)))
    if any(not _LEAST <= abs(found.expected) <= _MOST for found in off if found.expected):
        return True  # beyond what a float32 holds: no evidence
    names = {found.quantity for found in off}
    values = [state[name] for state in observation.states for name in names if name in state]
    exact = all(np.array_equal(value, value.astype(np.float32)) for value in values)
    return exact and all(found.ratio * 2.0**-29 <= CLOSE for found in off)


# --- which quantity is wrong although its inputs are right --------------------------------------


def _offending(usable: Sequence[Observation]) -> tuple[tuple[str, ...], str]:
    """The quantities that are wrong in single steps, or in trajectories alone."""
    single = [one for one in usable if one.mode in ("step", "forced")]
    found = {name for one in single for name in _local(one)}
    ordered = tuple(name for name in _ORDER if name in found)
    if ordered:
        return ordered, ""
    starts = [one for one in usable if one.mode == "start" and fails(one)]
    if starts:
        first = [next(filter(departs, departures(one))) for one in starts]
        names = tuple(name for name in _ORDER if name in {found.quantity for found in first})
        if all(found.iteration == 0 for found in first):
            return names, "only in the start: warm start, or iteration 0"
        return (
            names,
            "only in trajectories: something is carried from step to step that is not in the state",
        )
    return (), ""


_ORDER = (
    "y",
    "y_previous",
    "y_average",
    "y_average_previous",
    "momentum",
    "x",
    "x_previous",
)


def _local(observation: Observation) -> list[str]:
    """Quantities of a single step that do not follow from the shown ones before them."""
    found = []
    for index, got in enumerate(observation.states):
        wrong = {d.quantity for d in _of(observation, index) if departs(d)}
        if not wrong:
            continue
        given = _given_hers(observation, index, got)
        allowed = tolerances(observation.vector, observation.mode)[index]
        for name in wrong:
            gap = norms(got[name] - given[name])
            if not bool(np.all(gap <= CLOSE * allowed[name])):
                found.append(_hidden_cause(name, observation, index, got))
    return found


def _hidden_cause(
    name: str, observation: Observation, index: int, got: dict[str, np.ndarray] | Any
) -> str:
    """A wrong x of the right step length, where m is not shown, comes from m."""
    if name != "x" or "momentum" in got:
        return name
    before, eta = observation.vector.before(index), observation.vector.algorithm.upper_step_size
    allowed = tolerances(observation.vector, observation.mode)[index]["x"]
    lengths = norms(got["x"] - before.x)
    return "momentum" if bool(np.all(np.abs(lengths - eta) <= CLOSE * allowed)) else name


def _of(observation: Observation, index: int) -> Iterator[Any]:
    start = observation.vector.first_iteration if observation.mode == "step" else 1
    return (found for found in departures(observation) if found.iteration == start + index)


def _given_hers(
    observation: Observation, index: int, got: dict[str, np.ndarray] | Any
) -> dict[str, np.ndarray]:
    """The reference's step with her own y, ŷ and m in place of what it made of them."""
    parts: dict[str, Any] = {}
    algorithm, vector = observation.vector.algorithm, observation.vector
    right = algorithm.parts
    if "y" in got:
        parts["average"] = lambda y_average, y, weight: right.average(y_average, got["y"], weight)
    if "y_average" in got:
        shown_average = got["y_average"]
        parts["average"] = lambda y_average, y, weight: shown_average
    if "momentum" in got:
        parts["upper_step"] = lambda x, m, eta: right.upper_step(x, got["momentum"], eta)
    with np.errstate(all="ignore"):
        state = vector.before(index)
        hers = with_parts(algorithm, **parts).step(vector.problem, state, vector.samples[index])
        step = {name: getattr(hers, name) for name in hers._fields}
        y = got.get("y", step["y"])
        step["y_average"] = right.average(state.y_average, y, algorithm.averaging)
    return step
