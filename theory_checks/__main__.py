"""``python -m theory_checks``: predicted and measured, side by side.

Exit codes: 0 all passed, 1 a check failed, 2 could not run, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from accbo._pieces.files import write
from accbo._pieces.workers import WorkerError
from accbo.checkpoint import CheckpointError
from accbo.conformance.faults import FAULTS
from accbo.conformance.target import TargetError
from theory_checks import backends, calibration, kill_matrix, page, printed, report
from theory_checks.harness import Settings
from theory_checks.kept import Kept, default_folder
from theory_checks.options import UsageError, chosen_checks, parser, settings_of
from theory_checks.registry import CHECKS
from theory_checks.sweep import Means, run_checks

COULD_NOT = (
    UsageError,
    TargetError,
    CheckpointError,
    WorkerError,
    page.ReportError,
    backends.BackendError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    kept = None
    try:
        if options.list:
            print(_listing())
            return 0
        settings = settings_of(options)
        checks = chosen_checks(options.check, settings)
        _check_outputs(options)
        kept = _kept(options, settings, [check.NAME for check in checks])
        if kept is not None:
            settings = replace(settings, kept=kept.folder)
        means = Means(options.jobs, options.dask, kept)
        passed = _MODES[_mode(options)](options, checks, settings, means)
        if kept is not None and options.keep is None:
            kept.finish()
    except KeyboardInterrupt:
        print("interrupted: no verdict; --resume goes on", file=sys.stderr)
        return 130
    except COULD_NOT as error:
        print(f"theory_checks: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"theory_checks: cannot write: {error}", file=sys.stderr)
        return 2
    finally:
        if kept is not None:
            kept.close()
    return 0 if passed else 1


def _mode(options: argparse.Namespace) -> str:
    if options.kill_matrix:
        return "kill matrix"
    return "checks" if options.calibrate is None else "calibration"


def _run(options: argparse.Namespace, checks: list[Any], settings: Settings, means: Means) -> bool:
    start = time.perf_counter()
    _say(printed.head())
    verdicts = run_checks(
        checks,
        settings,
        means,
        panels=options.report is not None,
        each=lambda verdict: _say(printed.summary(verdict, settings, options.verbose)),
    )
    seconds = time.perf_counter() - start
    _say("\n" + printed.total(verdicts, seconds, means.jobs))
    content = report.document(verdicts, settings, means.jobs, seconds)
    if options.json:
        report.write_json(options.json, content)
    if options.junit:
        write(options.junit, report.junit(verdicts))
    if options.report:
        html = page.page(verdicts, settings, means.jobs, seconds)
        write(options.report / "index.html", html)
        write(options.report / "junit.xml", report.junit(verdicts))
        report.write_json(options.report / "findings.json", content)
        print(f"report: {options.report / 'index.html'}")
    return all(verdict.passed for verdict in verdicts)


def _say(text: str) -> None:
    """Print at once, also into a pipe, and above the bar where there is one."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def _calibrate(
    options: argparse.Namespace, checks: list[Any], settings: Settings, means: Means
) -> bool:
    found = calibration.calibrate(checks, settings, options.calibrate, means)
    print(calibration.table(found))
    if options.json:
        environment = report.environment(settings, means.jobs, [check.NAME for check in checks])
        document = {"environment": environment, "calibration": calibration.document(found)}
        report.write_json(options.json, document)
    return all(each.passed for each in found)


def _kill(options: argparse.Namespace, checks: list[Any], settings: Settings, means: Means) -> bool:
    names = [check.NAME for check in checks]
    lacking = kill_matrix.missing()
    columns = [
        name
        for name in kill_matrix.columns()
        if name not in lacking and (name in names or (name not in CHECKS and not options.check))
    ]
    for column, package in lacking.items():
        print(f"left out: {column}, which needs {package}", file=sys.stderr)
    faults = list(FAULTS) if settings.fault is None else [settings.fault]
    matrix, seconds = kill_matrix.run(settings, means, faults, columns)
    print(kill_matrix.table(matrix, seconds))
    if options.json:
        environment = report.environment(settings, means.jobs, names)
        document = {"environment": environment, **kill_matrix.document(matrix, seconds)}
        report.write_json(options.json, document)
    whole = not options.check and settings.fault is None and not lacking
    return not (whole and kill_matrix.complaints(matrix))


_MODES = {"checks": _run, "calibration": _calibrate, "kill matrix": _kill}


def _check_outputs(options: argparse.Namespace) -> None:
    """Fail now rather than after the work."""
    for path in filter(None, (options.json, options.junit)):
        report.check_writable(path)
    for folder in filter(None, (options.report, options.records)):
        report.make_folder(folder)
    if options.report:
        page.check()


def _kept(options: argparse.Namespace, settings: Settings, names: list[str]) -> Kept | None:
    """Where finished pieces are kept; nowhere, with a word about it, if that cannot be."""
    what = {"mode": _mode(options), "seeds": options.calibrate, "checks": names}
    what |= settings.numbers()
    named = options.keep or (options.resume if isinstance(options.resume, Path) else None)
    if isinstance(options.resume, Path) and not options.resume.exists():
        raise UsageError(f"--resume {options.resume}: there is no such folder to go on from")
    needed = named is not None or options.resume is not None
    kept = Kept(named or default_folder(what), tell=None if named else _tell)
    try:
        kept.start(what, resume=options.resume is not None)
    except (OSError, CheckpointError) as error:
        if needed:
            raise
        _tell(f"pieces are not kept: {error}")
        return None
    return kept


def _tell(text: str) -> None:
    print(f"theory_checks: {text}", file=sys.stderr)


def _listing() -> str:
    lines = [f"{name:20} {check.CLAIM}" for name, check in CHECKS.items()]
    lines.append("")
    lines.extend(f"{fault.name:36} {fault.wrong}" for fault in FAULTS.values())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
