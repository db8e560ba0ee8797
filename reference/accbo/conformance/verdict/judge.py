"""From observations to a report: what passed, what departs, and what it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accbo._printable import clean
from accbo.conformance.methods import ACCBO, METHODS
from accbo.conformance.running.observation import Observation, departs, departures
from accbo.conformance.vectors.vector import SET
from accbo.conformance.verdict.diagnosis import Diagnosis, diagnose
from accbo.conformance.verdict.report import (
    CONVENTION,
    ERROR,
    EXPECTED,
    FAIL,
    PASS,
    SKIP,
    UNEXPECTED,
    Check,
    Report,
)

NOTHING = Diagnosis(None, None, (), "")


def judge(
    observations: Sequence[Observation],
    *,
    implementation: str,
    namespace: str = "numbers read from a file",
    cases: int = SET,
    tier: str = "full",
    expected_failures: Mapping[str, str] | None = None,
    contract: Sequence[Check] = (),
    reproduce: str = "",
    stopped: str = "",
) -> Report:
    """The report on ``observations``; ``stopped`` says why they are not all.

    ``contract`` are checks that are no comparison with a vector. ``expected_failures`` maps names
    of checks to reasons; one that passes fails. ``reproduce`` is a command with ``{id}`` in it.
    Raises ``ValueError`` for an expected failure whose name no check has.
    """
    checks = [*contract, *(check(one, reproduce) for one in observations)]
    broken = any(found.status == ERROR for found in checks)
    failing = [found for found in checks if found.status == FAIL]
    method = observations[0].vector.method if observations else ACCBO
    diagnosis = diagnose(METHODS[method], observations) if failing else NOTHING
    if diagnosis.convention and not broken and not any(found.trouble for found in failing):
        checks = [_renamed(found, FAIL, CONVENTION) for found in checks]
    return Report(
        implementation=clean(implementation),
        algorithm=method,
        namespace=clean(namespace),
        cases=cases,
        tier=tier,
        checks=tuple(_expect(checks, expected_failures or {}, bool(stopped))),
        diagnosis=diagnosis,
        not_shown=_not_shown(observations),
        stopped=stopped,
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
    return Check(name, FAIL, departure=found, trouble=trouble, reproduce=command)


def _renamed(found: Check, old: str, new: str) -> Check:
    if found.status != old:
        return found
    return Check(found.name, new, found.departure, found.trouble, found.reproduce)


def _expect(checks: Sequence[Check], expected: Mapping[str, str], stopped: bool) -> list[Check]:
    names = {found.name for found in checks}
    unknown = [name for name in expected if name not in names]
    if unknown and not stopped:
        raise ValueError(f"expected_failures names checks that do not exist: {unknown}")
    made = []
    for found in checks:
        if found.name not in expected:
            made.append(found)
        elif found.status == FAIL:
            made.append(Check(found.name, EXPECTED, trouble=expected[found.name]))
        elif found.status == PASS:
            why = f"was expected to fail ({expected[found.name]}), and passes: take it off the list"
            made.append(Check(found.name, UNEXPECTED, trouble=why))
        else:
            made.append(found)
    return made


def _not_shown(observations: Sequence[Observation]) -> tuple[str, ...]:
    shown = {name for one in observations for state in one.states for name in state}
    fields = observations[0].vector.fields if observations else ()
    return tuple(name for name in fields if name not in shown) if shown else ()
