"""``python -m theory_checks``, or ``accbo theory``: predicted and measured, side by side.

Exit codes: 0 all passed, 1 a check failed, 2 could not run, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from accbo._columns import listed, terminal
from accbo._exit import COULD_NOT_RUN, DEPARTS, OK, Answer, finish, program, steady_streams
from accbo._limits import Limit, TooLong, at_most
from accbo.checkpoint import CheckpointError
from accbo.conformance.faults import FAULTS

from . import calibration, kill_matrix, page, printed, report
from .harness import Settings, Verdict, spaces
from .kept import Kept, default_folder
from .options import UsageError, add_options, chosen_checks, parser, settings_of
from .registry import CHECKS
from .sweep import Case, Means, run_cases

STOPPED = "interrupted: no verdict; --resume goes on"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    with steady_streams():
        options = parser().parse_args(arguments)
    return finish("theory_checks", lambda: _answer(options), STOPPED)


def fill(command: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo theory``, which is this program."""
    add_options(command)
    command.set_defaults(run=_answer, stopped=STOPPED)


def _answer(options: argparse.Namespace) -> Answer:
    if options.list:
        return Answer(OK, _listing())
    with at_most(options.limit_total) as limit:
        try:
            return _measured(options, limit)
        except TooLong as late:
            if late.limit is not limit:
                raise
            said = f"theory_checks: no verdict: {_used_up(limit)}"
            return Answer(COULD_NOT_RUN, complaint=said)


def _measured(options: argparse.Namespace, limit: Limit | None) -> Answer:
    settings = settings_of(options)
    checks = chosen_checks(options.check, settings)
    if not checks:
        raise UsageError("no check allows all that was asked for")
    _check_outputs(options)
    with contextlib.ExitStack() as stack:
        kept = _kept(options, settings, [check.NAME for check in checks])
        if kept is not None:
            stack.callback(kept.close)
            settings = replace(settings, kept=kept.folder)
        means = Means(options.jobs, options.dask, kept)
        stack.enter_context(spaces(settings))
        answer = _MODES[_mode(options)](options, checks, settings, means, limit)
        whole = options.keep is None and answer.code != COULD_NOT_RUN
        afterwards = kept.finish if kept is not None and whole else None
        return replace(answer, afterwards=afterwards, closing=stack.pop_all().close)


def _used_up(limit: Limit | None) -> str:
    seconds = 0.0 if limit is None else limit.seconds
    return f"the limit of {seconds:g} s was used up; --resume goes on"


def _mode(options: argparse.Namespace) -> str:
    if options.kill_matrix:
        return "kill matrix"
    return "checks" if options.calibrate is None else "calibration"


def _run(
    options: argparse.Namespace,
    checks: list[Any],
    settings: Settings,
    means: Means,
    limit: Limit | None,
) -> Answer:
    start = time.perf_counter()
    _say(printed.head())
    verdicts, stopped = _verdicts(options, checks, settings, means, limit)
    seconds = time.perf_counter() - start
    content = report.document(verdicts, settings, means.jobs, seconds)
    files: list[tuple[Path, str | bytes]] = []
    if options.json:
        files.append((options.json, report.json_text(content)))
    if options.junit:
        files.append((options.junit, report.junit(verdicts)))
    text = "\n" + printed.total(verdicts, seconds, means.jobs)
    if options.report:
        html = page.page(verdicts, settings, means.jobs, seconds)
        files.append((options.report / "index.html", html))
        files.append((options.report / "junit.xml", report.junit(verdicts)))
        files.append((options.report / "findings.json", report.json_text(content)))
        text += f"\nreport: {options.report / 'index.html'}"
    if options.figures:
        files += page.figures(options.figures, verdicts)
        text += f"\nfigures: {options.figures}"
    if stopped:
        text += f"\nstopped after {len(verdicts)} of {len(checks)} checks: {stopped}"
    return Answer(_code(verdicts, len(checks)), text, tuple(files))


def _verdicts(
    options: argparse.Namespace,
    checks: list[Any],
    settings: Settings,
    means: Means,
    limit: Limit | None,
) -> tuple[list[Verdict], str]:
    """The verdicts in the checks' order, each said as it comes, and why they are not all."""
    cases = [Case(check, settings) for check in checks]
    found: dict[int, Verdict] = {}
    stopped = ""
    try:
        running: Any = run_cases(cases, means, bool(options.report or options.figures))
        with contextlib.closing(running):  # and with it the workers
            for index, verdict in running:
                found[index] = verdict
                _say(printed.summary(verdict, settings, options.verbose))
    except TooLong as late:
        if late.limit is not limit:
            raise
        stopped = _used_up(limit)
    return [found[index] for index in sorted(found)], stopped


def _code(verdicts: Sequence[Any], wanted: int) -> int:
    """The exit code of verdicts that say whether they ``passed``, of which there should be some."""
    if not all(verdict.passed for verdict in verdicts):
        return DEPARTS
    return OK if 0 < wanted == len(verdicts) else COULD_NOT_RUN


def _say(text: str) -> None:
    """Print at once, also into a pipe, and above the bar where there is one."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def _calibrate(
    options: argparse.Namespace,
    checks: list[Any],
    settings: Settings,
    means: Means,
    limit: Limit | None,
) -> Answer:
    found = calibration.calibrate(checks, settings, options.calibrate, means)
    environment = report.environment(settings, means.jobs, [check.NAME for check in checks])
    document = {"environment": environment, "calibration": calibration.document(found)}
    files = ((options.json, report.json_text(document)),) if options.json else ()
    return Answer(_code(found, len(checks)), calibration.table(found), files)


def _kill(
    options: argparse.Namespace,
    checks: list[Any],
    settings: Settings,
    means: Means,
    limit: Limit | None,
) -> Answer:
    names = [check.NAME for check in checks]
    lacking = kill_matrix.missing()
    columns = [
        name
        for name in kill_matrix.columns()
        if name not in lacking and (name in names or (name not in CHECKS and not options.check))
    ]
    for column, package in lacking.items():
        print(f"left out: {column}, which needs {package}", file=sys.stderr)
    faults = kill_matrix.faults() if settings.fault is None else [settings.fault]
    matrix, seconds = kill_matrix.run(settings, means, faults, columns)
    environment = report.environment(settings, means.jobs, names)
    document = {"environment": environment, **kill_matrix.document(matrix, seconds)}
    files = ((options.json, report.json_text(document)),) if options.json else ()
    whole = not options.check and settings.fault is None and not lacking
    complaints = whole and kill_matrix.complaints(matrix)
    code = DEPARTS if complaints else OK if matrix and columns else COULD_NOT_RUN
    return Answer(code, kill_matrix.table(matrix, seconds), files)


_MODES = {"checks": _run, "calibration": _calibrate, "kill matrix": _kill}


def _check_outputs(options: argparse.Namespace) -> None:
    """Fail now rather than after the work."""
    try:
        for path in filter(None, (options.json, options.junit)):
            report.check_writable(path)
        for folder in filter(None, (options.report, options.figures, options.records)):
            report.make_folder(folder)
    except OSError as error:
        raise UsageError(f"cannot write: {error}") from error
    if options.report:
        page.check("--report", "jinja2", "matplotlib")
    if options.figures:
        page.check("--figures", "matplotlib")


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
        kept.start(what | settings.key(), resume=options.resume is not None)
    except (OSError, CheckpointError) as error:
        if needed:
            raise
        _tell(f"pieces are not kept: {error}")
        return None
    return kept


def _tell(text: str) -> None:
    print(f"theory_checks: {text}", file=sys.stderr)


def _listing() -> str:
    width = terminal()
    claims = listed([(name, check.CLAIM) for name, check in CHECKS.items()], 20, width)
    faults = listed([(fault.name, fault.wrong) for fault in FAULTS.values()], 36, width)
    return f"{claims}\n\n{faults}"


if __name__ == "__main__":
    program(main)
