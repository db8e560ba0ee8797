"""What a run of the checks writes."""

from __future__ import annotations

import errno
import json
import math
import os
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import accbo
from accbo._printable import cleaned

from .harness import Settings, Verdict
from .statistics import KINDS, Finding

SCHEMA = "accbo-theory/1"
CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy")  # by the CUDA that a wheel is for; from source
PACKAGES = ("numpy", "scipy", "array-api-compat", "jax", "torch", *CUPY)


def document(
    verdicts: Sequence[Verdict], settings: Settings, jobs: int, seconds: float
) -> dict[str, Any]:
    """The JSON document of schema ``accbo-theory/1``."""
    return {
        "schema": SCHEMA,
        "environment": environment(settings, jobs, [verdict.check.NAME for verdict in verdicts]),
        "seconds": round(seconds, 3),
        "checks": [
            {
                "name": verdict.check.NAME,
                "claim": verdict.check.CLAIM,
                "source": verdict.check.SOURCE,
                "not_shown": verdict.check.NOT_SHOWN,
                "passed": verdict.passed,
                "judged": {kind: verdict.count(kind) for kind in KINDS},
                "tightest": None if verdict.tightest is None else verdict.tightest.quantity,
                "seconds": round(verdict.seconds, 3),
                "false_alarm": _number(verdict.false_alarm),
                "power": _number(verdict.check.power(settings, verdict.findings)),
                "effect": verdict.check.EFFECT,
                "kills": list(verdict.check.KILLS),
                "findings": [_finding(finding) for finding in verdict.findings],
            }
            for verdict in verdicts
        ],
    }


def command(settings: Settings, checks: Sequence[str]) -> str:
    """The command line that yields the same numbers."""
    words = ["python -m theory_checks --check", *checks]
    for name, value in settings.numbers().items():
        if value != getattr(Settings(), name):
            values = value if isinstance(value, list) else [value]
            words += [f"--{name}", *(shlex.quote(str(each)) for each in values)]
    return " ".join(words)


def environment(settings: Settings, jobs: int, checks: Sequence[str]) -> dict[str, Any]:
    """Where, with what and how the checks ran."""
    return {
        "accbo": accbo.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(settings, checks),
        **settings.numbers(),
        "jobs": jobs,
    }


def junit(verdicts: Sequence[Verdict]) -> str:
    """The findings as JUnit XML: a suite a check, a case a finding."""
    root = ElementTree.Element("testsuites", name="theory_checks")
    for verdict in verdicts:
        name, findings = verdict.check.NAME, verdict.findings
        shown = verdict.count("shown")
        failures = sum(not finding.passed for finding in findings)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=name,
            time=f"{verdict.seconds:.3f}",
            tests=str(len(findings)),
            failures=str(failures),
            errors="0",
            skipped=str(shown),
        )
        for finding in findings:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name=finding.quantity)
            if not finding.judged:
                ElementTree.SubElement(case, "skipped", message=finding.rule)
            if not finding.passed:
                text = f"predicted {finding.predicted:g}, measured {finding.measured:g}"
                ElementTree.SubElement(case, "failure", message=f"{text}; {finding.rule}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def json_text(content: dict[str, Any]) -> str:
    """JSON values as text; raises ``ValueError`` for a number that JSON has not."""
    return json.dumps(cleaned(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def make_folder(path: Path) -> None:
    """Make the folder unless it is there; raises ``OSError`` unless files can be put in it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(path)) from None
    check_writable(path / "probe")


def check_writable(path: Path) -> None:
    """Raise ``OSError`` naming ``path`` unless a file can be written there."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _finding(finding: Finding) -> dict[str, Any]:
    interval = finding.interval
    return {
        "quantity": finding.quantity,
        "predicted": _number(finding.predicted),
        "measured": _number(finding.measured),
        "interval": None if interval is None else [_number(end) for end in interval],
        "kind": finding.kind,
        "allowance": finding.allowance,
        "used": _number(finding.used),
        "false_alarm": _number(finding.false_alarm),
        "rule": finding.rule,
        "passed": finding.passed,
    }


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity; their names stand for them."""
    return float(value) if math.isfinite(value) else str(value)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
