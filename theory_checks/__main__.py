"""``python -m theory_checks``: predicted and measured, side by side.

Exit codes: 0 all checks passed, 1 a check failed, 2 could not run, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accbo.conformance.faults import FAULTS
from theory_checks import backends, report
from theory_checks.harness import Settings, run_checks
from theory_checks.registry import CHECKS


class UsageError(Exception):
    """What the user asked for cannot be done; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.list:
            print(_listing())
            return 0
        checks, settings = _checks(options.check), _settings(options)
        for path in filter(None, (options.json,)):
            report.check_writable(path)
        start = time.perf_counter()
        verdicts = run_checks(checks, settings, options.jobs)
        seconds = time.perf_counter() - start
        print(report.table(verdicts, settings, seconds))
        if options.json:
            document = report.document(verdicts, settings, options.jobs, seconds)
            report.write_json(options.json, document)
    except KeyboardInterrupt:
        print("interrupted: no verdict", file=sys.stderr)
        return 130
    except (UsageError, backends.BackendError) as error:
        print(f"theory_checks: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"theory_checks: cannot write: {error}", file=sys.stderr)
        return 2
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m theory_checks",
        description="Measure the theory of AccBO and compare it with the prediction.",
        epilog="Exit codes: 0 all passed, 1 a check failed, 2 could not run, 130 interrupted.",
    )
    parser.add_argument(
        "--check",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"only these: {', '.join(CHECKS)} (default: all)",
    )
    parser.add_argument(
        "--profile",
        choices=("quick", "full"),
        default="quick",
        help="quick: under a minute on two cores; full: more replicates, T to 2^16",
    )
    parser.add_argument(
        "--backend", default="numpy", metavar="NAME", help=f"one of {', '.join(backends.BACKENDS)}"
    )
    parser.add_argument("--seed", type=_count, default=0, metavar="N", help="of all noise (0)")
    parser.add_argument(
        "--jobs", type=_jobs, default=_cores(), metavar="N", help="processes (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings there")
    parser.add_argument(
        "--records", type=Path, metavar="DIR", help="keep the raw per-replicate curves there"
    )
    parser.add_argument(
        "--fault", metavar="NAME", help="run the checks on this faulty AccBO: they should fail"
    )
    parser.add_argument("--list", action="store_true", help="list checks and faults, and stop")
    group = parser.add_argument_group("instances of the rate check, with a band of 0.05")
    group.add_argument("--dimension", type=int, metavar="D", help="d_x = d_y, from 2 to 20 (4)")
    group.add_argument("--skew", type=float, metavar="P", help="p of the two-point noise (0.1)")
    group.add_argument(
        "--window", type=int, nargs=2, metavar=("LO", "HI"), help="T = 2^LO … 2^HI (8 13)"
    )
    return parser


def _checks(names: Sequence[str] | None) -> list[Any]:
    chosen = list(dict.fromkeys(names or CHECKS))
    return [CHECKS[_known(name, "check", CHECKS)] for name in chosen]


def _settings(options: argparse.Namespace) -> Settings:
    if options.fault is not None:
        _known(options.fault, "fault", FAULTS)
    if options.dimension is not None and not 2 <= options.dimension <= 20:
        raise UsageError(f"--dimension must lie in 2 … 20, got {options.dimension}")
    if options.skew is not None and not 0 < options.skew < 1:
        raise UsageError(f"--skew must lie in (0, 1), got {options.skew:g}")
    if options.window and not 4 <= options.window[0] < options.window[1] <= 20:
        raise UsageError(f"--window needs 4 <= LO < HI <= 20, got {options.window}")
    backends.like(options.backend)  # fails here, not in every worker
    if options.records:
        options.records.mkdir(parents=True, exist_ok=True)
        report.check_writable(options.records / "records")
    return Settings(
        profile=options.profile,
        backend=options.backend,
        seed=options.seed,
        fault=options.fault,
        dimension=options.dimension,
        skew=options.skew,
        window=tuple(options.window) if options.window else None,
        records=options.records,
    )


def _known(name: str, kind: str, known: Any) -> str:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"unknown {kind} {name!r}; {hint}Known: {', '.join(known)}")
    return name


def _listing() -> str:
    lines = [f"{name:20} {check.CLAIM}" for name, check in CHECKS.items()]
    lines.append("")
    lines.extend(f"{fault.name:36} {fault.wrong}" for fault in FAULTS.values())
    return "\n".join(lines)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be >= 0, got {value}")
    return value


def _jobs(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be >= 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
