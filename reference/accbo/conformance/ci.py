"""A report for a CI server: annotations of GitHub Actions, and a badge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accbo.conformance.verdict.report import EDGE_ALONE, EXCEPT

MOST = 10  # annotations that GitHub shows of one step
COLOURS = {
    "conforms": "brightgreen",
    EXCEPT: "yellow",
    EDGE_ALONE: "orange",
    "departs": "red",
}


def annotated(report: Mapping[str, Any]) -> str:
    """The lines that GitHub Actions shows at the top of a run: the verdict, what failed first.

    ``report`` is the document that ``accbo conform --json`` writes.
    """
    name, verdict = report["implementation"], report["verdict"]
    good = "warning" if report.get("severity") else "notice"  # older reports have none
    level = good if report["conforms"] else "error"
    lines = [_line(level, f"{name} {verdict}", _why(report), name)]
    for check in report["checks"]:
        if not report["conforms"] and check["status"] in FAILED and len(lines) < MOST:
            lines.append(_line("error", check["name"], check["message"], name))
    return "\n".join(lines)


def badge(report: Mapping[str, Any]) -> str:
    """The verdict as JSON of the form that shields.io calls an endpoint."""
    document = {
        "schemaVersion": 1,
        "label": "accbo",
        "message": f"{report['verdict']} (set {report['cases']}, {report['tier']})",
        "color": COLOURS.get(report["verdict"], "lightgrey"),
    }
    return json.dumps(document, indent=1) + "\n"


FAILED = ("fail", "could not run", "unexpected pass")


def _why(report: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{number} {status}" for status, number in report["counts"].items())
    named = " or ".join(" and ".join(f"“{each}”" for each in names) for names in report["names"])
    if named:
        return f"matches {named} ({counts})"
    if report["convention"] and report["suggestion"]:
        return f"{report['suggestion'].partition(chr(10))[0]} ({counts})"
    if report["offending"]:
        return f"wrong although its inputs are right: {', '.join(report['offending'])} ({counts})"
    return counts


def _line(level: str, title: str, message: str, implementation: str) -> str:
    file = implementation.rpartition(":")[0]
    where = f"file={_property(file)}," if Path(file).suffix == ".py" else ""
    return f"::{level} {where}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
