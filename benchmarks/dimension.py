"""``python -m benchmarks dimension [--largest D] [--json FILE] [--figures DIR] [--quick]``.

Cost and accuracy of AccBO against d_x and d_y on a problem without a matrix. Exit code 0 when
everything was measured, 2 when it could not run, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accbo._extras import install
from benchmarks import environment
from benchmarks.dimension_plan import LEAST, Plan

SCHEMA = "accbo-dimension/1"
FULL = Plan(
    together=(10, 100, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 100_000),
    dense=(10, 100, 500, 1_000, 2_000),
    apart=(100, 1_000, 10_000, 30_000, 100_000),
    seconds=1.0,
    sweeps=4,
    accuracy=(10, 100, 1_000, 10_000),
    steps=1_000,
    least_replicates=16,
    most_replicates=64,
)
QUICK = Plan(
    together=(10, 100, 300, 1_000, 10_000),
    dense=(10, 100, 300),
    apart=(100, 10_000),
    seconds=0.2,
    sweeps=1,
    accuracy=(10, 100, 1_000),
    steps=125,
    least_replicates=8,
    most_replicates=16,
)


def main(arguments: list[str], prepare_jax: Callable[[], bool]) -> int:
    """Run the study; ``prepare_jax`` says whether there is JAX and switches 64 bits on."""
    options = _parse(arguments)
    environment.one_thread()
    try:
        return _run(options, prepare_jax)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, prepare_jax: Callable[[], bool]) -> int:
    if (problem := _cannot_write(options)) is not None:
        return _fail(problem)
    # only now, with the threads settled, may NumPy and JAX be imported
    from benchmarks import dimension_accuracy, dimension_cost, dimension_tables
    from benchmarks.variants import DisagreementError

    plan = (QUICK if options.quick else FULL).up_to(options.largest)
    load = [os.getloadavg()[0]]
    try:
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "environment": environment.describe(),
            "plan": plan._asdict(),
            **dimension_cost.study(plan, prepare_jax()),
            **dimension_accuracy.study(plan),
        }
    except (DisagreementError, MemoryError) as error:
        return _fail(str(error) or "not enough memory; --largest D leaves out what is above D")
    load.append(os.getloadavg()[0])
    document["load"] = {"first": load[0], "last": load[1]}
    print(dimension_tables.tables(document))
    try:
        if options.json is not None:
            from accbo._pieces.files import write

            write(options.json, json.dumps(document, indent=1, allow_nan=False) + "\n")
        if options.figures is not None:
            from benchmarks import dimension_figures

            dimension_figures.write(options.figures, document)
    except OSError as error:
        return _fail(f"cannot write {error.filename}: {error.strerror or error}")
    return 0


def _cannot_write(options: argparse.Namespace) -> str | None:
    """Why the files asked for could not be written, told before minutes of measuring."""
    from benchmarks import report

    try:
        if options.json is not None:
            report.check_writable(options.json)
        if options.figures is not None:
            if importlib.util.find_spec("matplotlib") is None:
                return f"--figures needs matplotlib; {install('report')}"
            options.figures.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=options.figures):
                pass
    except OSError as error:
        return f"cannot write {error.filename}: {error.strerror or error}"
    return None


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks dimension", description=__doc__)
    parser.add_argument(
        "--largest", type=_dimension, default=100_000, metavar="D", help="leave out what is above"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write SVG pictures there")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, steps and rounds")
    return parser.parse_args(arguments)


def _dimension(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if value < LEAST:
        raise argparse.ArgumentTypeError(f"{text!r}: D must be at least {LEAST}")
    return value


def _fail(message: str) -> int:
    print(f"benchmarks: {message}", file=sys.stderr)
    return 2
