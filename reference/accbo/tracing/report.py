"""A verdict on a trace as text, JSON and JUnit XML."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from accbo._exit import COULD_NOT_RUN, DEPARTS, OK
from accbo._printable import clean, cleaned
from accbo.tracing.names import known_as
from accbo.tracing.verify import Judged, Verdict

FORMAT = 1
SHOWN = 6  # quantities of a group that are named


def exit_code(verdict: Verdict) -> int:
    """0: what was judged conforms, 1: something departs, 2: nothing could be judged."""
    if verdict.departures:
        return DEPARTS
    return OK if verdict.judged else COULD_NOT_RUN


def said(verdict: Verdict) -> str:
    """The verdict in a word."""
    return {OK: "conforms", DEPARTS: "departs", COULD_NOT_RUN: "no verdict"}[exit_code(verdict)]


def text(verdict: Verdict, name: str) -> str:
    """The verdict for a reader, the cause first."""
    header = verdict.header
    lines = [
        f"{name}: {verdict.algorithm}, {verdict.iterations} iterations in {header.dtype}: "
        f"{said(verdict)}"
    ]
    for index, group in enumerate(verdict.departures):
        lines += ["", *_departure(verdict, group, first=index == 0)]
    if verdict.constants:
        lines += ["", *(f"constant: {one.text}" for one in verdict.constants)]
    lines += ["", f"judged: {_covered(verdict)}"]
    if missing := not_judged(verdict):
        lines.append(f"not judged, for it was not logged: {', '.join(missing)}")
    if not verdict.judged:
        lines.append("nothing could be judged: log x and the momentum at least, and declare η")
    return "\n".join(lines + [f"note: {note}" for note in verdict.notes])


def _departure(verdict: Verdict, group: Judged, first: bool) -> list[str]:
    failing = [key for key, kept in group.keys.items() if kept.failed]
    count = max(kept.failed for kept in group.keys.values())
    more = f" and {len(failing) - SHOWN} more" if len(failing) > SHOWN else ""
    since = "at the start" if group.first < 0 else f"at t = {group.first}"
    lines = [
        f"{'' if first else 'then '}{group.group.line}",
        f"  fails first {since}, in {count} of {group.judged} iterations: "
        f"{', '.join(failing[:SHOWN])}{more}",
    ]
    for name in group.names:
        entry = known_as(verdict.algorithm, name)
        lines.append(f"  matches “{name}”" + (f": {entry.wrong}" if entry else ""))
        if entry:
            lines.append(f"    in the long run: {entry.later}")
            if entry.where:
                lines.append(f"    also found in: {entry.where}")
    fitted = {key: values.summary() for key, values in group.fitted.items()}
    constants = {key: one.text for key, one in fitted.items() if one.explains}
    if not group.names and set(failing) - {"move"} <= set(constants):  # a move is what x says
        lines += [f"  another constant explains it: {text}" for text in constants.values()]
    elif not group.names:
        lines.append("  no mistake that is known explains it: wrong although its inputs are right")
    return lines


def _covered(verdict: Verdict) -> str:
    return (
        ", ".join(
            f"{group.group.name} ({group.judged})" for group in verdict.groups if group.judged
        )
        or "nothing"
    )


def not_judged(verdict: Verdict) -> list[str]:
    """The groups of which nothing could be said."""
    return [group.group.name for group in verdict.groups if not group.judged]


def as_dict(verdict: Verdict, name: str) -> dict[str, Any]:
    """The verdict as JSON values."""
    header = verdict.header
    return {
        "format": FORMAT,
        "trace": name,
        "algorithm": verdict.algorithm,
        "dtype": header.dtype,
        "iterations": verdict.iterations,
        "verdict": said(verdict),
        "exit_code": exit_code(verdict),
        "names": verdict.names,
        "departures": [_group(group) for group in verdict.departures],
        "constants": [one._asdict() for one in verdict.constants],
        "judged": {group.group.name: group.judged for group in verdict.groups if group.judged},
        "not_judged": not_judged(verdict),
        "notes": verdict.notes,
    }


def _group(group: Judged) -> dict[str, Any]:
    return {
        "name": group.group.name,
        "line": group.group.line,
        "first": group.first,
        "names": group.names,
        "failed": {key: kept.failed for key, kept in group.keys.items() if kept.failed},
    }


def as_json(verdict: Verdict, name: str) -> str:
    """The verdict as JSON."""
    values = cleaned(as_dict(verdict, name))
    return json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def as_junit(verdict: Verdict, name: str) -> str:
    """The verdict as JUnit XML, a test case for each group of lines."""
    suite = ElementTree.Element(
        "testsuite",
        name="accbo trace",
        tests=str(len(verdict.groups)),
        failures=str(len(verdict.departures)),
        errors="0" if verdict.judged else "1",
        skipped=str(len(not_judged(verdict))),
    )
    for group in verdict.groups:
        case = ElementTree.SubElement(
            suite, "testcase", classname=clean(name), name=clean(group.group.name)
        )
        if group.departs:
            message = clean("; ".join(_departure(verdict, group, first=True)))
            ElementTree.SubElement(case, "failure", message=message)
        elif not group.judged:
            ElementTree.SubElement(case, "skipped", message="it was not logged")
    if not verdict.judged:
        case = ElementTree.SubElement(suite, "testcase", classname=clean(name), name="anything")
        ElementTree.SubElement(case, "error", message="nothing could be judged")
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
