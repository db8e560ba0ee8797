"""The command line of ``python -m theory_checks``: what may be asked for, and what it means."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accbo._options import Parser, seconds
from accbo.conformance.faults import FAULTS
from accbo.conformance.running.target import load_target

from . import backends
from .harness import Settings
from .noise import LAWS, NoiseError, chosen_law
from .registry import CHECKS

VARIED = ("schedule", "noise", "problem", "dimension", "skew", "window")


class UsageError(Exception):
    """What the user asked for cannot be done; the message says why."""


def parser() -> Parser:
    """The parser of ``python -m theory_checks``."""
    made = Parser(prog="python -m theory_checks")
    add_options(made)
    return made


def add_options(made: argparse.ArgumentParser) -> None:
    """Add the options."""
    made.description = "Measure the theory of AccBO and compare it with the prediction."
    made.epilog = "Exit codes: 0 all passed, 1 a check failed, 2 could not run, 130 interrupted."
    made.add_argument(
        "--check",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"only these: {', '.join(CHECKS)} (default: all)",
    )
    made.add_argument(
        "--profile",
        choices=("quick", "full"),
        default="quick",
        help="quick: under a minute on two cores; full: more replicates, T to 2^16",
    )
    made.add_argument(
        "--backend", default="numpy", metavar="NAME", help=f"one of {', '.join(backends.BACKENDS)}"
    )
    made.add_argument("--seed", type=_count, default=0, metavar="N", help="of all noise (0)")
    made.add_argument(
        "--fault",
        metavar="NAME",
        help="run the checks on this faulty AccBO: they should fail; or your own, MODULE:FUNCTION, "
        "that makes one of the algorithm",
    )
    made.add_argument("--list", action="store_true", help="list checks and faults, and stop")
    made.add_argument(
        "-v", "--verbose", action="store_true", help="print every row, not only those that failed"
    )
    _outputs(made.add_argument_group("what is written"))
    _modes(made.add_argument_group("operating characteristics").add_mutually_exclusive_group())
    _scale(made.add_argument_group("long runs"))
    _instances(made.add_argument_group("your own instance of the checks that allow it"))


def _outputs(group: Any) -> None:
    group.add_argument("--json", type=Path, metavar="FILE", help="write the findings there")
    group.add_argument("--junit", type=Path, metavar="FILE", help="the same as JUnit XML")
    group.add_argument(
        "--report", type=Path, metavar="DIR", help="a page with pictures, and both of the above"
    )
    group.add_argument(
        "--figures",
        type=Path,
        metavar="DIR",
        help="each picture as PDF, SVG, PNG and CSV, and all laws in one",
    )
    group.add_argument(
        "--records", type=Path, metavar="DIR", help="keep the raw per-replicate curves there"
    )


def _modes(group: Any) -> None:
    group.add_argument(
        "--kill-matrix", action="store_true", help="which check and relation catches which fault"
    )
    group.add_argument(
        "--calibrate",
        type=_positive,
        metavar="N",
        help="false alarms and misses on N fresh seeds, AccBO and one fault a check",
    )


def _scale(group: Any) -> None:
    group.add_argument(
        "--jobs", type=_positive, default=_cores(), metavar="N", help="processes (%(default)s)"
    )
    group.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="workers of the dask.distributed scheduler there, or 'local': --jobs workers here",
    )
    group.add_argument(
        "--resume",
        nargs="?",
        type=Path,
        const=True,
        metavar="DIR",
        help="go on with the pieces that the same command left when it was killed "
        "(in DIR, if it was given --keep DIR)",
    )
    group.add_argument(
        "--limit-total",
        type=seconds,
        metavar="S",
        help="seconds for all of it; what was judged until then is reported (default: no limit)",
    )
    group.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="where finished pieces are kept (default: the user's cache, until the run is done)",
    )


def _instances(group: Any) -> None:
    group.add_argument(
        "--dimension", type=int, metavar="D", help="d_x = d_y of noise_floor, 2 to 20 (4)"
    )
    group.add_argument("--skew", type=float, metavar="P", help="p of its two-point noise (0.1)")
    group.add_argument(
        "--window", type=int, nargs=2, metavar=("LO", "HI"), help="its T = 2^LO … 2^HI (8 12)"
    )
    group.add_argument(
        "--schedule",
        metavar="MODULE:FUNCTION",
        help="(constants, steps) -> accbo.schedules.Schedule, in place of AccBO's",
    )
    group.add_argument(
        "--noise",
        metavar="LAW[:P]",
        help=f"one of {', '.join(LAWS)}, P being that of two_point; or MODULE:FUNCTION, from "
        "uniform numbers to noise of mean 0 and variance 1",
    )
    group.add_argument(
        "--problem",
        metavar="MODULE:FACTORY",
        help="() or (epsilon) -> a problem with constants, hypergradient and solution",
    )


def chosen_checks(names: Sequence[str] | None, settings: Settings) -> list[Any]:
    """The checks asked for; under a variation those that allow it."""
    wanted = {name for name in VARIED if getattr(settings, name) is not None}
    if names is None:
        able = [check for check in CHECKS.values() if wanted <= set(check.VARIATIONS)]
        for check, why in [(each, refusal(each, settings)) for each in able]:
            if why is not None:
                print(f"{check.NAME} is left out: {why}", file=sys.stderr)
                able.remove(check)
        return able
    chosen = [CHECKS[_known(name, "check", CHECKS)] for name in dict.fromkeys(names)]
    for check in chosen:
        if refused := sorted(wanted - set(check.VARIATIONS)):
            names = [each.NAME for each in CHECKS.values() if wanted <= set(each.VARIATIONS)]
            raise UsageError(
                f"{check.NAME} does not allow --{refused[0]}; allowed for: {', '.join(names)}"
            )
        if why := refusal(check, settings):
            raise UsageError(f"{check.NAME}: {why}")
    return chosen


def refusal(check: Any, settings: Settings) -> str | None:
    """Why the check cannot be about what the user put in, or ``None``."""
    refuse = getattr(check, "refusal", None)
    return None if refuse is None else refuse(settings)


def settings_of(options: argparse.Namespace) -> Settings:
    """What was asked for, checked; raises ``UsageError``, ``TargetError`` or ``BackendError``."""
    if options.fault is not None and ":" not in options.fault:
        _known(options.fault, "fault", FAULTS)
    if options.dimension is not None and not 2 <= options.dimension <= 20:
        raise UsageError(f"--dimension must lie in 2 … 20, got {options.dimension}")
    if options.skew is not None and not 0 < options.skew < 1:
        raise UsageError(f"--skew must lie in (0, 1), got {options.skew:g}")
    if options.window and not 4 <= options.window[0] < options.window[1] <= 20:
        raise UsageError(f"--window needs 4 <= LO < HI <= 20, got {options.window}")
    try:
        chosen_law(options.noise)
    except NoiseError as error:
        raise UsageError(f"--noise {options.noise}: {error}") from None
    own = options.fault if ":" in (options.fault or "") else None
    for target in filter(None, (options.schedule, options.problem, own)):
        load_target(target)  # fails here, not in every worker
    backends.like(options.backend)
    if options.problem and (options.noise or options.skew or options.dimension):
        raise UsageError("--problem brings its own noise and dimension")
    return Settings(
        profile=options.profile,
        backend=options.backend,
        seed=options.seed,
        fault=options.fault,
        dimension=options.dimension,
        skew=options.skew,
        window=tuple(options.window) if options.window else None,
        schedule=options.schedule,
        noise=options.noise,
        problem=options.problem,
        records=options.records,
    )


def _known(name: str, kind: str, known: Any) -> str:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"unknown {kind} {name!r}; {hint}Known: {', '.join(known)}")
    return name


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be >= 0, got {value}")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be >= 1, got {value}")
    return value
