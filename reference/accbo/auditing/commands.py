"""``accbo audit``: does the theory apply to a problem of the user's own?"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from accbo._arrays import asarray
from accbo._blame import described
from accbo._exit import Answer
from accbo._foreign import foreign, read
from accbo._options import seconds
from accbo.auditing.core import audit
from accbo.auditing.report import Audit
from accbo.conformance.running.observe import TIME_LIMIT
from accbo.conformance.running.target import TargetError, load_target, space_of
from accbo.namespaces import NAMESPACES, like


def fill(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo audit``."""
    parser.description = (
        "Does the theory apply to a problem of your own? Checks the oracle, estimates "
        "every constant along a trajectory, says which assumption fails and at which point, and "
        "proposes parameters. Exit code 0: no assumption fails, 1: one fails, 2: could not run."
    )
    parser.epilog = (
        "FACTORY() returns a problem: an object with the methods of accbo.BilevelProblem, "
        "or accbo.problems.from_objectives(…)"
    )
    parser.add_argument("target", metavar="MODULE:FACTORY", help="or FILE.py:FACTORY")
    parser.add_argument(
        "--epsilon",
        type=float,
        default=0.1,
        metavar="E",
        help="accuracy to propose parameters for (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--samples",
        type=int,
        default=4096,
        metavar="N",
        help="draws of a mean; smaller biases take more (default %(default)s)",
    )
    for name in ("x", "y"):
        parser.add_argument(
            f"--{name}",
            type=_vector,
            metavar="A,B,…",
            help="where to start (default: the problem's own start, or standard normal); "
            "--%(dest)s=-1,2 for a minus in front",
        )
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        help=f"the arrays it takes: {', '.join(NAMESPACES)} (default: factory.namespace, or the "
        "problem's own)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        help="default: that of the problem's own start, or float64",
    )
    parser.add_argument(
        "--time-limit",
        type=seconds,
        default=TIME_LIMIT,
        metavar="S",
        help="seconds one call of the problem may take (default %(default)g)",
    )
    parser.add_argument(
        "--limit-total",
        type=seconds,
        metavar="S",
        help="seconds for all of it; what was found until then is reported (default: no limit)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.set_defaults(run=_audit)


def _vector(text: str) -> np.ndarray:
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers with commas, got {text!r}") from None


def _audit(options: argparse.Namespace) -> Answer:
    factory = load_target(options.target, options.time_limit)
    with space_of(factory)():
        report = _report(factory, options)
    written = () if options.json is None else ((options.json, report.json()),)
    return Answer(report.exit_code, report.text(), written)


def _report(factory: Any, options: argparse.Namespace) -> Audit:
    declared = options.namespace or read(factory, "namespace")
    _widen(str(declared), options)
    problem = _built(factory, options)
    backend = read(problem, "backend")
    namespace = str(declared or backend or "numpy")
    if not declared and backend == "jax" and read(problem, "start_point") is None:
        _widen("jax", options)
    own = declared is None and options.dtype is None and callable(read(problem, "start_point"))
    shown = None if own else like(namespace, options.dtype or "float64")
    where = problem.start_point()[0] if shown is None else shown
    x, y = (None if a is None else asarray(a, where) for a in (options.x, options.y))
    return audit(
        problem,
        x,
        y,
        epsilon=options.epsilon,
        seed=options.seed,
        samples=options.samples,
        like=shown,
        name=options.target,
        time_limit=options.time_limit,
        limit_total=options.limit_total,
    )


def _widen(namespace: str, options: argparse.Namespace) -> None:
    """Let JAX hold float64, unless float32 is asked for."""
    if namespace == "jax" and options.dtype != "float32":
        with contextlib.suppress(ImportError):
            import jax

            jax.config.update("jax_enable_x64", True)


def _built(factory: Any, options: argparse.Namespace) -> Any:
    try:
        with foreign(f"{options.target}()", options.time_limit):
            return factory()
    except NotImplementedError as error:
        raise TargetError(f"{options.target}() raised {described(error)}") from error
