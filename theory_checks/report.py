"""What a run of the checks prints and writes."""

from __future__ import annotations

import errno
import json
import math
import os
import platform
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import accbo
from theory_checks.harness import Settings, Verdict
from theory_checks.statistics import Finding

SCHEMA = "accbo-theory/1"
WIDTH = 99
PACKAGES = ("numpy", "scipy", "array-api-compat", "jax", "torch", "cupy-cuda13x")


def table(verdicts: Sequence[Verdict], settings: Settings, seconds: float) -> str:
    """The verdicts as text, at most 99 columns wide."""
    lines = []
    for verdict in verdicts:
        check = verdict.check
        state = "pass" if verdict.passed else "FAIL"
        lines.append(f"{check.NAME}: {state}  ({check.SOURCE}; {verdict.seconds:.1f} core-seconds)")
        lines.extend(textwrap.wrap(check.CLAIM, WIDTH - 2, initial_indent="  "))
        head = f"{'':55}{'predicted':>10} {'measured':>10} {'interval':>22}"
        lines.append(head)
        lines.extend(map(_row, verdict.findings))
        lines.append(
            f"    false alarm {check.false_alarm(settings, verdict.findings):.1e}; power "
            f"{check.power(settings, verdict.findings):.4f} against {check.EFFECT}"
        )
        lines.append("")
    passed = sum(verdict.passed for verdict in verdicts)
    alarm = sum(verdict.check.false_alarm(settings, verdict.findings) for verdict in verdicts)
    lines.append(
        f"{passed} of {len(verdicts)} checks passed in {seconds:.1f} s; "
        f"probability of a false alarm {alarm:.1e}"
    )
    wrapped = [
        part
        for line in lines
        for part in (
            [line] if len(line) <= WIDTH else textwrap.wrap(line, WIDTH, subsequent_indent="      ")
        )
    ]
    return "\n".join(wrapped)


def document(
    verdicts: Sequence[Verdict], settings: Settings, jobs: int, seconds: float
) -> dict[str, Any]:
    """The JSON document of schema ``accbo-theory/1``."""
    return {
        "schema": SCHEMA,
        "environment": environment(settings, jobs),
        "seconds": round(seconds, 3),
        "checks": [
            {
                "name": verdict.check.NAME,
                "claim": verdict.check.CLAIM,
                "source": verdict.check.SOURCE,
                "passed": verdict.passed,
                "seconds": round(verdict.seconds, 3),
                "false_alarm": _number(verdict.check.false_alarm(settings, verdict.findings)),
                "power": _number(verdict.check.power(settings, verdict.findings)),
                "effect": verdict.check.EFFECT,
                "kills": list(verdict.check.KILLS),
                "findings": [_finding(finding) for finding in verdict.findings],
            }
            for verdict in verdicts
        ],
    }


def environment(settings: Settings, jobs: int) -> dict[str, Any]:
    """Where, with what and how the checks ran."""
    return {
        "accbo": accbo.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m theory_checks " + " ".join(sys.argv[1:]),
        "profile": settings.profile,
        "backend": settings.backend,
        "seed": settings.seed,
        "fault": settings.fault,
        "dimension": settings.dimension,
        "skew": settings.skew,
        "window": list(settings.window) if settings.window else None,
        "jobs": jobs,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write atomically: a reader sees the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, ensure_ascii=False, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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


def _row(finding: Finding) -> str:
    interval = "exact"
    if finding.interval is not None:
        low, high = finding.interval
        forms = (f"[{low:.{digits}g}, {high:.{digits}g}]" for digits in (4, 3, 2))
        interval = next((form for form in forms if len(form) <= 22), "in the JSON")
    mark = "ok" if finding.passed else "BAD"
    return (
        f"{mark:>3} {finding.quantity:51.51}{finding.predicted:>10.5g} "
        f"{finding.measured:>10.5g} {interval:>22}"
    )


def _finding(finding: Finding) -> dict[str, Any]:
    interval = finding.interval
    return {
        "quantity": finding.quantity,
        "predicted": _number(finding.predicted),
        "measured": _number(finding.measured),
        "interval": None if interval is None else [_number(end) for end in interval],
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
