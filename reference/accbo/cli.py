"""The command ``accbo``: the correctness oracle for the shell and for CI."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accbo import data_commands
from accbo._pieces.files import write
from accbo.auditing import commands as audit_commands
from accbo.conformance import vector_commands
from accbo.conformance.check import check, select
from accbo.conformance.explain import explain
from accbo.conformance.methods import catalogue, declared, known
from accbo.conformance.namespaces import NAMESPACES, NamespaceError
from accbo.conformance.observe import TIME_LIMIT, Runner
from accbo.conformance.target import TargetError, load_target
from accbo.conformance.vector import ACCBO, SET
from accbo.tasks import commands as task_commands

CONFORMS, DEPARTS, COULD_NOT_RUN, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CONFORMS
    except (NamespaceError, TargetError, ValueError, TypeError, OSError) as error:
        print(f"accbo: {error}", file=sys.stderr)
        return COULD_NOT_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="accbo",
        description="Is an implementation right, does the theory apply, and who is best at a task?",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_conform(commands)
    _add_explain(commands)
    _add_faults(commands)
    vector_commands.add_commands(commands)
    data_commands.add_commands(commands)
    task_commands.add_commands(commands)
    audit_commands.add_commands(commands)
    return parser


def _add_conform(commands: Any) -> None:
    parser = commands.add_parser(
        "conform",
        help="hold an implementation to the reference",
        description="Run every check. Exit code 0: conforms, 1: departs, 2: could not run.",
        epilog="an implementation is a factory(problem, algorithm, state) that returns an object "
        "with step(sample) and state(); see accbo.conformance.adapter",
    )
    _add_target(parser)
    parser.add_argument("--fast", action="store_true", help="a part of the cases, for CI")
    parser.add_argument("--cases", type=int, default=SET, metavar="N", help="an older case set")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON")
    parser.add_argument("--junit", metavar="FILE", help="write the report as JUnit XML")
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="CHECK=REASON",
        help="this check is expected to fail; if it passes, that is a failure",
    )
    parser.set_defaults(run=_conform)


def _add_explain(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help="print all intermediates of one step beside the implementation's",
        description="All intermediates of one step: z, both gradients, the series' partial sums.",
    )
    _add_target(parser)
    parser.add_argument("--check", metavar="NAME", help="a check or vector; default: a trajectory")
    parser.add_argument("--step", type=int, metavar="T", help="the iteration; default: the first")
    parser.set_defaults(run=_explain)


def _add_faults(commands: Any) -> None:
    parser = commands.add_parser("faults", help="list the known mistakes")
    vector_commands.add_algorithm(parser)
    parser.add_argument("name", nargs="?", help="one of them, in full")
    parser.set_defaults(run=_faults)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="MODULE:FACTORY", help="or FILE.py:FACTORY")
    vector_commands.add_algorithm(parser)
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        help=f"the arrays it takes: {', '.join(NAMESPACES)}; default: factory.namespace or numpy",
    )
    parser.add_argument(
        "--time-limit",
        type=_seconds,
        default=TIME_LIMIT,
        metavar="S",
        help="seconds one call may take (default %(default)g)",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be seconds above 0, got {text}")
    return value


def _factory(options: argparse.Namespace) -> tuple[Any, str]:
    """The factory, and the namespace; JAX is told to hold float64."""
    factory = load_target(options.target)
    namespace = options.namespace or getattr(factory, "namespace", None) or "numpy"
    if namespace == "jax":
        with contextlib.suppress(ImportError):
            import jax

            jax.config.update("jax_enable_x64", True)
    return factory, namespace


def _conform(options: argparse.Namespace) -> int:
    factory, namespace = _factory(options)
    expected = dict(_expectation(text) for text in options.expect)
    report = check(
        factory,
        algorithm=options.algorithm,
        namespace=namespace,
        on_fail="return",
        expected_failures=expected,
        fast=options.fast,
        cases=options.cases,
        time_limit=options.time_limit,
        progress=sys.stderr.isatty(),
        name=options.target,
    )
    print(report.text())
    for path, text in ((options.json, report.json), (options.junit, report.junit)):
        if path:
            write(Path(path), text())
    return report.exit_code


def _expectation(text: str) -> tuple[str, str]:
    name, equals, reason = text.partition("=")
    if not equals or not reason:
        raise ValueError(f"--expect takes CHECK=REASON, got {text!r}")
    return name, reason


def _explain(options: argparse.Namespace) -> int:
    factory, namespace = _factory(options)
    method = declared(factory, options.algorithm)
    vectors = {vector.id: vector for vector in select(algorithm=method)}
    default = "trajectory-nonquadratic-simultaneous/0" if method == ACCBO else next(iter(vectors))
    name = (options.check or default).partition(":")[0]
    if name not in vectors:
        which = "" if method == ACCBO else f" --algorithm {method}"
        raise ValueError(f"there is no vector {name!r}; accbo vectors list{which} shows them")
    vector = vectors[name]
    step = options.step
    if step is None:
        step = max(1, vector.first_iteration)
    print(explain(Runner(factory, namespace, options.time_limit), vector, step))
    return CONFORMS


def _faults(options: argparse.Namespace) -> int:
    method = known(options.algorithm or ACCBO)
    faults = catalogue(method)
    if options.name is None:
        for fault in faults.values():
            print(f"{fault.name:36} {fault.wrong}")
        return CONFORMS
    if options.name not in faults:
        which = "" if method == ACCBO else f" --algorithm {method}"
        raise ValueError(f"there is no fault {options.name!r}; accbo faults{which} lists them")
    fault = faults[options.name]
    print(f"{fault.name} ({fault.part})\n  wrong: {fault.wrong}\n  right: {fault.right}")
    print(f"  in the long run: {fault.later}")
    print(f"  found in: {fault.where or 'no published code that we read'}")
    return CONFORMS


if __name__ == "__main__":
    sys.exit(main())
