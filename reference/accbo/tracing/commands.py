"""``accbo trace``: is a training loop right, judged from the scalars that it logged?"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from accbo._exit import DEPARTS, Answer
from accbo.tracing import report
from accbo.tracing.verify import Verdict, verdicts, verify


def fill(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo trace``."""
    parser.description = (
        "Judge a run of any size from its trace (see accbo.tracing.Recorder). "
        "Exit code 0: what was logged conforms, 1: it departs, 2: nothing could be judged."
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, run, about in (
        ("verify", _verify, "judge a trace"),
        ("watch", _watch, "judge a trace that grows, until Ctrl-C"),
    ):
        action = actions.add_parser(name, help=about, description=about)
        action.add_argument("trace", type=Path, metavar="FILE", help="the first part of a trace")
        action.add_argument(
            "--algorithm", metavar="NAME", help="what it is to be (default: what its header says)"
        )
        action.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
        action.add_argument("--junit", type=Path, metavar="FILE", help="write it as JUnit XML")
        action.set_defaults(run=run)
        if name == "watch":
            action.add_argument(
                "--every",
                type=_seconds,
                default=1.0,
                metavar="S",
                help="seconds between two looks at the file (default %(default)g)",
            )
            action.add_argument("--stop", action="store_true", help="end when something departs")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"must be seconds in (0, 3600], got {text!r}")
    return value


def _verify(options: argparse.Namespace) -> Answer:
    return _answer(verify(options.trace, options.algorithm), options)


def _watch(options: argparse.Namespace) -> Answer:
    """Judge what is there again and again; Ctrl-C is the end, and no error."""
    last: Verdict | None = None
    shown = ""
    try:
        for verdict in verdicts(options.trace, options.algorithm, _sleeping(options.every)):
            last = verdict
            now = _heard(verdict)
            if now != shown:
                shown = now
                print(f"t = {verdict.iterations}: {now}", flush=True)
            if options.stop and report.exit_code(verdict) == DEPARTS:
                break
    except KeyboardInterrupt:
        if last is None:
            raise
    assert last is not None  # the first verdict is there, or an error was raised
    return _answer(last, options)


def _heard(verdict: Verdict) -> str:
    names = ", ".join(verdict.names) or ", ".join(g.group.name for g in verdict.departures)
    return f"{report.said(verdict)}: {names}" if names else report.said(verdict)


def _sleeping(seconds: float) -> Callable[[], bool]:
    def wait() -> bool:
        time.sleep(seconds)
        return True

    return wait


def _answer(verdict: Verdict, options: argparse.Namespace) -> Answer:
    name = str(options.trace)
    files = ((options.json, report.as_json), (options.junit, report.as_junit))
    written = tuple((path, make(verdict, name)) for path, make in files if path is not None)
    return Answer(report.exit_code(verdict), report.text(verdict, name), written)
