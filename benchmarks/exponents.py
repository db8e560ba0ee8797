"""``python -m benchmarks exponents [--method NAME ...] [--quick] [--json FILE]``.

Every algorithm on its own schedule: the exponent with which its mean ‖∇Φ‖ falls in the number N
of oracle calls, and what each does far from a minimiser of a Φ that grows like cosh. Exit code 0
when everything was measured, 2 when it could not run, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path

from benchmarks import environment

SCHEMA = "accbo-exponents/1"


def main(arguments: list[str]) -> int:
    """Run the study and print its two tables."""
    options = _parse(arguments)
    environment.one_thread()
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    # only now, with the threads settled, may NumPy be imported
    from tqdm import tqdm

    from benchmarks import exponents_study as study
    from benchmarks import report

    names = options.method or list(study.METHODS)
    for name in names:
        if name not in study.METHODS:
            near = difflib.get_close_matches(name, study.METHODS, n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]}?" if near else ""
            return _fail(f"there is no method {name!r}{hint} ({', '.join(study.METHODS)})")
    if options.json is not None:
        try:
            report.check_writable(options.json)
        except OSError as error:
            return _fail(f"cannot write {options.json}: {error.strerror or error}")
    measured, far = [], []
    with tqdm(total=study.cost(names, options.quick), unit="step", unit_scale=True) as bar:
        for name in names:
            bar.set_description(name)
            measured.append(study.exponent(name, options.quick, bar.update))
            far.append(study.far_away(name))
    print(study.table(measured), study.far_table(far), sep="\n\n")
    if options.json is not None:
        from accbo._pieces.files import write

        document = {
            "schema": SCHEMA,
            "environment": environment.describe(),
            "exponents": measured,
            "far_away": far,
        }
        try:
            write(options.json, json.dumps(document, indent=1, allow_nan=False) + "\n")
        except OSError as error:
            return _fail(f"cannot write {options.json}: {error.strerror or error}")
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks exponents", description=__doc__)
    parser.add_argument(
        "--method", action="append", metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--quick", action="store_true", help="shorter runs, fewer replicates")
    return parser.parse_args(arguments)


def _fail(message: str) -> int:
    print(f"benchmarks: {message}", file=sys.stderr)
    return 2
