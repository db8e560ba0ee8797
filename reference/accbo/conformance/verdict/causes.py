"""Departures by what is off first, and what could be declared or shown instead of mended."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from accbo.conformance.adapter import CONVENTIONS
from accbo.conformance.running.observation import (
    Observation,
    departs,
    departures,
    fails,
    growth,
    ratio,
)
from accbo.conformance.vectors.replay import expected, tolerances
from accbo.conformance.vectors.vector import as_fields, convention
from accbo.conformance.verdict.report import EDGE, FAIL, Cause, Check

# of the cases of a convention, so many depart where it is not known; fewer where it may do nothing:
# between refreshes, and once m_0 is there
SHARE, LESS = 3 / 4, 1 / 4
MAY_DO_NOTHING = {("option", "II"), ("first", "mean")}
FEWEST = 3  # vectors of a kind before something is made of what they have in common
Judged = Sequence[tuple[Observation, Check]]


# --- by cause ---------------------------------------------------------------------------------


def causes(judged: Judged, contract: Sequence[Check] = ()) -> tuple[Cause, ...]:
    """The failed checks by what is off first; in the order in which they were seen."""
    whole = [one for one, found in judged if not one.missing]
    groups: dict[str, list[tuple[Observation, Check]]] = {}
    for one, found in judged:
        if found.status == FAIL:
            groups.setdefault(_what(one, found), []).append((one, found))
    made = [
        Cause(
            group[0][1].trouble or what,
            EDGE
            if all(found.edge for _, found in group)
            else in_common([o for o, _ in group], whole),
            tuple(found.name for _, found in group),
        )
        for what, group in groups.items()
    ]
    broken = [Cause("contract", "", (found.name,)) for found in contract if found.status == FAIL]
    return (*broken, *made)


def _what(one: Observation, found: Check) -> str:
    """What is off first, or the trouble without its numbers: those alike are one cause."""
    if found.trouble or found.departure is None:
        return re.sub(r"\d+", "#", found.trouble)
    first = found.departure.iteration
    wrong = [d.quantity for d in departures(one) if d.iteration == first and departs(d)]
    quantity = min(wrong, key=lambda name: (name == "x", name == "momentum"))  # x comes last
    start = one.mode == "start" and first == 0
    return f"{quantity} is off first" + (" in the start" if start else "")


def in_common(part: Sequence[Observation], whole: Iterable[Observation]) -> str:
    """What all of ``part`` are, not all of ``whole``, and few others.

    Of a few cases nothing: they have something in common by chance.
    """
    if len({one.vector.id for one in part}) < FEWEST:
        return ""
    kinds, every = [_kinds(one) for one in part], [_kinds(one) for one in whole]
    shared = {
        key: said
        for key, said in kinds[0].items()
        if said
        and all(each.get(key) == said for each in kinds)
        and any(each.get(key) != said for each in every)
    }
    for count in range(1, len(shared) + 1):  # as little as tells them from the others
        for chosen in itertools.combinations(shared.items(), count):
            if 2 * len(part) > sum(set(chosen) <= each.items() for each in every):
                return ", ".join(said for _, said in chosen)
    return ""


def _kinds(one: Observation) -> dict[str, str]:
    vector = one.vector
    return {
        **{key: f"{key} = {chosen}" for key, chosen in convention(vector).items()},
        "dtype": vector.dtype,
        "replicates": "replicates" if vector.replicates else "",
        "problem": vector.problem_name.split("/")[0],
    }


# --- what could be declared -------------------------------------------------------------------


def false_claim(claimed: Mapping[str, Sequence[str]], does: str, *, from_file: bool) -> str:
    """What is declared and not done, where a program ``does`` another, and the line that is true.

    ``does`` is a convention as a diagnosis has it. Nothing where what it does is declared, and
    where nothing is declared about it.
    """
    done = dict(re.findall(r"(\w+) = (\w+)", does))
    false = [key for key, choice in done.items() if set(claimed.get(key, [choice])) != {choice}]
    if not false:
        return ""
    said = ", ".join(f"{key} = {' and '.join(claimed[key])}" for key in false)
    instead = ", ".join(f"{key} = {done[key]}" for key in false)
    true = {key: [done[key]] if key in false else list(claimed[key]) for key in claimed}
    return (
        f"You declare {said}, and the program does {instead} in every case. "
        f"Where that is meant, the line to change is\n{_line(true, from_file)}"
    )


def _line(conventions: Mapping[str, Sequence[str]], from_file: bool) -> str:
    begins = '"conventions": ' if from_file else "conventions = "
    return f"    {begins}{json.dumps(conventions)}"


def undeclared(judged: Judged, *, from_file: bool) -> str:
    """A convention in which all departures lie, and the line that says so; else nothing.

    All that depart are of it, and so many of it depart: where a program knows one order, one
    sampling or one option alone, it is right with the others only where they do nothing.
    """
    seen = [(one, _wrong(one)) for one, _ in judged if not one.missing]
    left_out = [one for one, _ in judged if one.missing]
    wrong = [one for one, is_wrong in seen if is_wrong]
    if len({one.vector.id for one in wrong}) < FEWEST:
        return ""
    said, left = [], {}
    for key, known in CONVENTIONS.items():
        tried = {_choice(one, key) for one, _ in seen} - {""}
        kept, bad = tried, {_choice(one, key) for one in wrong}
        if tried - bad and bad <= tried:
            of_it = [is_wrong for one, is_wrong in seen if _choice(one, key) in bad]
            least = LESS if {(key, each) for each in bad} <= MAY_DO_NOTHING else SHARE
            if sum(of_it) >= least * len(of_it):
                which = " or ".join(sorted(bad))
                said.append(f"{key} = {which} ({sum(of_it)} of the {len(of_it)} with it)")
                kept = tried - bad
        if kept < tried | {_choice(one, key) for one in left_out} - {""}:
            left[key] = [choice for choice in known if choice in kept]
    if not said:
        return ""
    return (
        f"All that departs has {', and '.join(said)}. Where yours does not do that, say so:\n"
        f"{_line(left, from_file)}"
    )


def _wrong(one: Observation) -> bool:
    return bool(one.trouble) or fails(one)


def _choice(one: Observation, key: str) -> str:
    return str(convention(one.vector).get(key, ""))


# --- what is shown ----------------------------------------------------------------------------


def shown_instead(observations: Sequence[Observation]) -> str:
    """Of the one field that is off, which right quantity it is: shown wrongly, made rightly.

    Runs must be among what was seen, in which a wrong quantity would have spoilt the others.
    """
    seen = [one for one in observations if one.states and not one.missing]
    wrong = {d.quantity for one in seen for d in departures(one) if departs(d)}
    runs = [one for one in seen if one.mode in ("start", "free") and len(one.states) > 1]
    if len(wrong) != 1 or not runs or any(one.trouble for one in seen):
        return ""
    (name,) = wrong
    for other in seen[0].vector.fields:
        for before in (False, True):
            if (before or other != name) and all(_is(one, name, other, before) for one in seen):
                when = " before the step" if before else ""
                return (
                    f"All else is right: what state() shows as {name} is {other}{when}. "
                    f"Show {name} as it is after the step, or leave it out."
                )
    return ""


@np.errstate(all="ignore")
def _is(one: Observation, name: str, other: str, before: bool) -> bool:
    """Whether what is shown as ``name`` is the right ``other`` wherever both are known."""
    right, allowed = expected(one.vector, one.mode), tolerances(one.vector, one.mode)
    skipped = len(one.vector.expected) - len(right)  # iteration 0, in a run that begins after it
    for index, (state, each) in enumerate(zip(one.states, allowed, strict=False)):
        if before:
            past = index + skipped - (one.vector.kind == "trajectory")
            if past < 0:
                continue  # nothing is before the start
            values: Mapping[str, Any] = as_fields(one.vector.before(past))
        else:
            values = right[index]
        got, wanted = state[name], np.asarray(values[other], dtype=float)
        if got.shape != wanted.shape:
            return False
        tolerance = np.maximum(each[name], each[other]) * growth(wanted, right[index][name])
        if not ratio(got, wanted, tolerance) <= 1:
            return False
    return True
