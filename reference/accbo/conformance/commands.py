"""``accbo conform``, ``explain`` and ``faults``: the oracle for the shell and for CI."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accbo._columns import listed, terminal
from accbo._exit import COULD_NOT_RUN, OK, Answer
from accbo._options import seconds
from accbo.conformance import ci
from accbo.conformance.check import check, namespace_of, select
from accbo.conformance.methods import DEFAULT, catalogue, declared, known, option
from accbo.conformance.running.observe import TIME_LIMIT, Runner
from accbo.conformance.running.target import load_target, space_of
from accbo.conformance.scaffold.adapters import LANGUAGES
from accbo.conformance.scaffold.write import scaffold
from accbo.conformance.vector_commands import add_algorithm, add_strict, answer
from accbo.conformance.vectors.long import LONG_RUN, long_runs
from accbo.conformance.vectors.vector import SET, Vector
from accbo.conformance.verdict.expected import expectation
from accbo.conformance.verdict.explain import explain, first_off
from accbo.namespaces import NAMESPACES


def fill_conform(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo conform``."""
    parser.description = "Run every check. Exit code 0: conforms, 1: departs, 2: could not run."
    parser.epilog = (
        "an implementation is a factory(problem, algorithm, state) that returns an object "
        "with step(sample) and state(); see accbo.conformance.adapter"
    )
    _add_target(parser, nargs="?")
    parser.add_argument(
        "--scaffold",
        choices=tuple(LANGUAGES),
        help="judge nothing: write an adapter to start from, of --algorithm, into the new file "
        "TARGET (such as mine.py), or on standard output",
    )
    parser.add_argument("--fast", action="store_true", help="a part of the cases, for CI")
    parser.add_argument("--cases", type=int, default=SET, metavar="N", help="an older case set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the report as JUnit XML")
    parser.add_argument(
        "--badge", type=Path, metavar="FILE", help="write the verdict as JSON for a badge"
    )
    parser.add_argument(
        "--annotate", action="store_true", help="print the lines that GitHub Actions shows on top"
    )
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="WHAT=REASON",
        help="expect a failure: of a check, of a glob of checks, or by a mistake of accbo faults; "
        "where it is not there, that is a failure",
    )
    add_strict(parser)
    parser.add_argument(
        "--limit-total",
        type=seconds,
        metavar="S",
        help="seconds for all cases; what was judged until then is reported (default: no limit)",
    )
    parser.set_defaults(run=_conform)


def fill_explain(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo explain``."""
    parser.description = (
        "The intermediates of one step, of any of the algorithms, beside what yours shows; the "
        "first of yours that is off is marked."
    )
    _add_target(parser)
    parser.add_argument("--check", metavar="NAME", help="a check or vector; default: a trajectory")
    parser.add_argument(
        "--step",
        type=int,
        metavar="T",
        help="the iteration; default: the first that departs, begun from the right state",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="what is inside of loops too, and every entry with all its digits",
    )
    parser.set_defaults(run=_explain)


def fill_faults(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo faults``."""
    add_algorithm(parser)
    parser.add_argument("name", nargs="?", help="one of them, in full")
    parser.set_defaults(run=_faults)


def _add_target(parser: argparse.ArgumentParser, **options: Any) -> None:
    parser.add_argument("target", metavar="MODULE:FACTORY", help="or FILE.py:FACTORY", **options)
    add_algorithm(parser)
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        help=f"the arrays it takes: {', '.join(NAMESPACES)}; default: factory.namespace or numpy",
    )
    parser.add_argument(
        "--time-limit",
        type=seconds,
        default=TIME_LIMIT,
        metavar="S",
        help="seconds one call may take (default %(default)g)",
    )


def _factory(options: argparse.Namespace) -> tuple[Any, str]:
    """The factory, and the namespace; JAX is told to hold float64."""
    factory = load_target(options.target, options.time_limit)
    with space_of(factory)():
        namespace = namespace_of(factory, options.namespace)
    if namespace == "jax":
        with contextlib.suppress(ImportError):
            import jax

            jax.config.update("jax_enable_x64", True)
    return factory, namespace


def _conform(options: argparse.Namespace) -> Answer:
    if options.scaffold is not None:
        return Answer(
            OK, *scaffold(options.scaffold, known(options.algorithm or DEFAULT), options.target)
        )
    if options.target is None:
        raise ValueError("say what to judge, MODULE:FACTORY; --scaffold gives a file to start from")
    expected = dict(map(expectation, options.expect))
    factory, namespace = _factory(options)
    report = check(
        factory,
        algorithm=options.algorithm,
        namespace=namespace,
        on_fail="return",
        expected_failures=expected,
        fast=options.fast,
        cases=options.cases,
        time_limit=options.time_limit,
        limit_total=options.limit_total,
        progress=sys.stderr.isatty(),
        name=options.target,
        strict=options.strict,
    )
    found, document = answer(report, options), json.loads(report.json())
    if options.badge is not None:
        found = replace(found, files=(*found.files, (options.badge, ci.badge(document))))
    if options.annotate:
        found = replace(found, text=f"{found.text}\n{ci.annotated(document)}")
    return found


def _explain(options: argparse.Namespace) -> Answer:
    factory, namespace = _factory(options)
    method = declared(factory, options.algorithm)
    of_the_set = select(algorithm=method)
    runner = Runner(factory, namespace, options.time_limit)
    name = (options.check or _telling(runner, of_the_set)).partition(":")[0]
    vectors = {vector.id: vector for vector in of_the_set}
    if name.startswith(LONG_RUN):
        of_fast = [vector for vector in of_the_set if vector.fast]
        vectors |= {v.id: v for v in (*long_runs(of_fast), *long_runs(of_the_set))}
    if name not in vectors:
        raise ValueError(
            f"there is no vector {name!r}; accbo vectors list{option(method)} shows them"
        )
    vector = vectors[name]
    step = first_off(runner, vector) if options.step is None else options.step
    text, trouble = explain(runner, vector, step, options.verbose)
    return Answer(COULD_NOT_RUN if trouble else OK, text)


def _telling(runner: Runner, vectors: Sequence[Vector]) -> str:
    """A covered trajectory, where there is one on a problem whose third derivatives are not 0."""
    runs = [vector for vector in vectors if vector.kind == "trajectory"]
    able = [vector for vector in runs if not runner.not_covered(vector)] or runs
    curved = (vector for vector in able if vector.problem_name.startswith("nonquadratic"))
    return next(curved, able[0]).id


def _faults(options: argparse.Namespace) -> Answer:
    method = known(options.algorithm or DEFAULT)
    faults = catalogue(method)
    if options.name is None:
        rows = [(fault.name, fault.wrong) for fault in faults.values()]
        return Answer(OK, listed(rows, 36, terminal()))
    if options.name not in faults:
        raise ValueError(
            f"there is no fault {options.name!r}; accbo faults{option(method)} lists them"
        )
    fault = faults[options.name]
    lines = [
        f"{fault.name} ({fault.part})\n  wrong: {fault.wrong}\n  right: {fault.right}",
        f"  in the long run: {fault.later}",
        f"  found in: {fault.where or 'no published code that we read'}",
    ]
    return Answer(OK, "\n".join(lines))
