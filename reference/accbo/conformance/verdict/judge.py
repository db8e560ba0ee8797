"""From observations to a report: what passed, what departs, and what it looks like."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from accbo._printable import clean
from accbo.conformance.methods import DEFAULT, METHODS
from accbo.conformance.running.observation import Observation, departs, departures
from accbo.conformance.vectors.vector import SET
from accbo.conformance.verdict.candidate import at_the_edge
from accbo.conformance.verdict.causes import causes, false_claim, shown_instead, undeclared
from accbo.conformance.verdict.diagnosis import INSIDE, Diagnosis, diagnose
from accbo.conformance.verdict.expected import Expected
from accbo.conformance.verdict.report import (
    CONVENTION,
    EDGE,
    ERROR,
    FAIL,
    PASS,
    SKIP,
    Check,
    Report,
)

FROM_FILE = "numbers read from a file"
NOTHING = Diagnosis(None, None, (), "")


def judge(
    observations: Sequence[Observation],
    *,
    implementation: str,
    namespace: str = FROM_FILE,
    cases: int = SET,
    tier: str = "full",
    conventions: Mapping[str, Sequence[str]] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    contract: Sequence[Check] = (),
    reproduce: str = "",
    stopped: str = "",
    first: str = "",
    strict: bool = False,
) -> Report:
    """The report on ``observations``; ``stopped`` says why they are not all.

    ``first`` is what has to be mended before a mistake can be looked for, such as numbers that
    were written with too few digits.

    What fails where squares over- or underflow alone is no failure unless ``strict``; the report
    says it in its verdict.

    ``conventions`` is what the implementation declares of them. What it declares nothing about it
    may do as it likes, and the report says so; a declaration that is not true is a departure.

    ``contract`` are checks that are no comparison with a vector. ``expected_failures`` maps names
    of checks, globs of them and names of mistakes to reasons (``Expected``); what is not there
    fails. ``reproduce`` is a command with ``{id}`` in it. Raises ``ValueError`` for an expected
    failure that is neither.
    """
    judged = [(one, check(one, reproduce)) for one in observations]
    checks = [*contract, *(found for _, found in judged)]
    method = observations[0].vector.method if observations else DEFAULT
    names = [found.name for found in checks]
    expected = Expected(expected_failures or {}, names, METHODS[method].faults, bool(stopped))
    claimed = conventions or {}
    broken = any(found.status == ERROR for found in checks)
    failing = [found for found in checks if found.status == FAIL]
    diagnosis = NOTHING._replace(first=first)
    if failing and not first:
        diagnosis = diagnose(METHODS[method], observations, claimed)
    false = false_claim(claimed, _other(diagnosis), from_file=namespace == FROM_FILE)
    legitimate = diagnosis.convention and not false
    if legitimate and not broken and not any(found.trouble for found in failing):
        checks = [_renamed(found, FAIL, CONVENTION) for found in checks]
    settled = _settled(checks, expected, diagnosis)
    if not strict and _only_at_the_edge(settled, judged):
        settled = tuple(_renamed(found, FAIL, EDGE) for found in settled)
    return Report(
        implementation=clean(implementation),
        algorithm=method,
        namespace=clean(namespace),
        cases=cases,
        tier=tier,
        checks=settled,
        diagnosis=diagnosis,
        not_shown=_not_shown(observations),
        stopped=stopped,
        causes=causes(judged, contract),
        suggestion=false or _suggestion(judged, diagnosis, namespace == FROM_FILE),
        strict=strict,
    )


def check(observation: Observation, reproduce: str = "") -> Check:
    """The check that one observation is: a departure counts, whatever came after it."""
    name, command = observation.name, reproduce.format(id=observation.name)
    if observation.missing:
        return Check(name, SKIP, trouble=observation.missing)
    found = next(filter(departs, departures(observation)), None)
    if found is None and not observation.trouble and not observation.notes:
        return Check(name, PASS)
    if observation.crashed and found is None:
        return Check(name, ERROR, trouble=observation.trouble, reproduce=command)
    trouble = "; ".join(filter(None, (observation.trouble, *observation.notes)))
    edge = found is not None and not trouble and at_the_edge(observation)
    return Check(name, FAIL, departure=found, trouble=trouble, reproduce=command, edge=edge)


def no_start(observations: Sequence[Observation]) -> list[Check]:
    """That the start is not judged, where every run that is shown begins after iteration 0."""
    modes = {one.mode for one in observations if not one.missing}
    why = "start: not covered (no run is shown from iteration 0 on)"
    return [Check("start", SKIP, trouble=why)] if modes & {"start", "free"} == {"free"} else []


def _renamed(found: Check, old: str, new: str) -> Check:
    return dataclasses.replace(found, status=new) if found.status == old else found


def _only_at_the_edge(checks: Sequence[Check], judged: Sequence[tuple[Observation, Check]]) -> bool:
    """Whether all that is left to fail is at the edge of the range, and something passes inside."""
    failing = [found for found in checks if found.status == FAIL]
    if any(found.status == ERROR or (found in failing and not found.edge) for found in checks):
        return False
    return any(found.status == PASS and not at_the_edge(one) for one, found in judged)


def _other(diagnosis: Diagnosis) -> str:
    """The convention that a program follows where another was asked for."""
    return diagnosis.convention or (diagnosis.named.convention if diagnosis.named else "")


def _suggestion(
    judged: Sequence[tuple[Observation, Check]], diagnosis: Diagnosis, from_file: bool
) -> str:
    """What to declare or to show instead of mending anything, where no mistake is known."""
    if diagnosis.named or diagnosis.first:
        return ""
    return undeclared(judged, from_file=from_file) or shown_instead([one for one, _ in judged])


def _settled(
    checks: Sequence[Check], expected: Expected, diagnosis: Diagnosis
) -> tuple[Check, ...]:
    named = diagnosis.named
    if named is None:
        return tuple(expected.settle(checks, (), False))
    return tuple(expected.settle(checks, named.names, named.where != INSIDE))


def _not_shown(observations: Sequence[Observation]) -> tuple[str, ...]:
    shown = {name for one in observations for state in one.states for name in state}
    fields = observations[0].vector.fields if observations else ()
    return tuple(name for name in fields if name not in shown) if shown else ()
