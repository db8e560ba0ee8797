"""Which known mistakes reproduce an implementation's own numbers: one search for every algorithm.

A name is given only where the mistake, replayed on the same samples, yields what the
implementation showed in every case it was run on, those it passed included, to the end of its
longest run; or in every case of some conventions, and all the others are right; or in every case
whose squares neither overflow nor vanish, where mistakes of range do nothing; or in some cases or
iterations, and the others are right. Of two mistakes each must be needed: without it something is
not explained. Where nothing fits, nothing is named, and what is left is which quantity is wrong
although its inputs are right (``locate``).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from accbo.conformance.methods import Method
from accbo.conformance.mistakes.momentum import RECURSIVE
from accbo.conformance.running.observation import Observation, departures, fails, fits
from accbo.conformance.vectors.vector import Vector, convention
from accbo.conformance.verdict.candidate import (
    LONGEST,
    Candidate,
    Convention,
    at_the_edge,
    informative,
    replayed,
    same,
    short,
)
from accbo.conformance.verdict.locate import offending
from accbo.conformance.verdict.rules import by_elimination, single_precision
from accbo.conformance.verdict.search import FEWEST, Named, Search, Tried
from accbo.conformance.verdict.when import SOMETIMES

INSIDE = "where no square over- or underflows"
AT_FIRST = "in the first {} iterations of every run it looks like “{}”, and later it does not"


class Diagnosis(NamedTuple):
    """What is known about an implementation that departs."""

    convention: str | None  # under which all of it is right, if there is one
    named: Named | None
    offending: tuple[str, ...]  # quantities that are wrong although their inputs are right
    remark: str
    first: str = ""  # what has to be mended before anything is searched for


# --- what is tried --------------------------------------------------------------------------


@np.errstate(all="ignore")
def diagnose(
    method: Method, observations: Sequence[Observation], claimed: Collection[str] = ()
) -> Diagnosis:
    """What the departures of ``observations``, all of one algorithm, look like.

    ``claimed`` are the conventions of which the implementation declares something.
    """
    whole = [one for one in observations if one.states and not one.missing]
    usable = [short(one) for one in whole]
    failing = sorted(filter(fails, usable), key=informative)
    where, remark = offending(whole)
    if not failing:
        return Diagnosis(None, None, where, remark)
    other = _other_convention(method, sorted(whole, key=_failing_first), claimed)
    if other:
        return Diagnosis(other, None, (), "")
    if all(len(one.states) > LONGEST for one in failing):
        return Diagnosis(None, None, where, remark)  # what is known acts from the beginning on
    wrong = [one for one in observations if one.trouble or one.notes or fails(one)]
    tried = Tried({cut: one for cut, one in zip(usable, whole, strict=True) if cut is not one})
    for size, label, cases, conventions in _attempts(method, usable, wrong):
        search = Search(method, cases, tried)
        at_times = label == SOMETIMES
        found = search.sometimes() if at_times else search.named(size, conventions)
        if found is None and size == 1 and not at_times:
            found = _by_rule(method, cases, [tried.uncut.get(one, one) for one in search.failing])
        if found:
            return Diagnosis(None, found._replace(where=found.where or label), where, remark)
        if tried.at_first:
            names = " and ".join(tried.at_first[0])
            return Diagnosis(None, None, where, AT_FIRST.format(LONGEST, names))
    return Diagnosis(None, None, where, remark)


def _by_rule(
    method: Method, part: Sequence[Observation], failing: Sequence[Observation]
) -> Named | None:
    count = sum(len(one.states) for one in part)
    if RECURSIVE(method.algorithm) and by_elimination(part, failing):
        return Named((("different sample",),), "", 0.0, count)
    if single_precision(part, failing):
        error = max(found.error for one in failing for found in departures(one))
        return Named((("silent float32",),), "", error, count)
    return None


def _attempts(
    method: Method, usable: Sequence[Observation], wrong: Sequence[Observation]
) -> Iterator[tuple[int, str, Sequence[Observation], Mapping[str, Convention]]]:
    """How many mistakes are to explain what, and under which conventions: all, then parts of it."""
    for size in (1, 2):
        yield size, "", usable, {"": same, **method.others}
        for label, cases in _blamed(usable, wrong):
            yield size, label, cases, {"": same}
        if size == 1 and not any(one.trouble for one in wrong):
            yield size, SOMETIMES, usable, {"": same}
    inside = list(itertools.filterfalse(at_the_edge, usable))
    if len(inside) < len(usable) and any(map(fails, inside)):
        for size in (1, 2):
            yield size, INSIDE, inside, {"": same}


def _failing_first(observation: Observation) -> tuple[bool, Any]:
    return not fails(observation), informative(observation)


# --- conventions in which alone something is wrong --------------------------------------------

_WHERE = {
    "order": "in {} order",
    "option": "with Option {}",
    "neumann_sampling": "with {} sampling",
}
Part = tuple[str, Sequence[Observation]]  # the cases of some conventions, and which


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
    return str(convention(observation.vector).get(key, ""))


def _choices(observations: Sequence[Observation], key: str) -> frozenset[str]:
    return frozenset(_choice(one, key) for one in observations)


def _other_convention(
    method: Method, observations: Sequence[Observation], claimed: Collection[str]
) -> str | None:
    """The legitimate convention under which everything is right, to the end of every run."""
    orders = {"": same, **method.others}
    cuts: dict[str, Callable[[Vector], Vector]] = {"": lambda v: v, **method.starts}
    for name, change in method.instead.items():
        if name.partition(" = ")[0] in claimed:
            cuts[name] = change
    for (order, change), (first, cut) in itertools.product(orders.items(), cuts.items()):
        if not order and not first:
            continue
        candidate = Candidate((), order, change)
        if all(
            fits(replayed(candidate, dataclasses.replace(one, vector=cut(one.vector))), one, 1) <= 1
            for one in observations
        ):
            return ", ".join(part for part in (order, first) if part)
    return None
