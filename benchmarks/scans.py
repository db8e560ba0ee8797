"""``python -m benchmarks scans [--size R,d ...] [--rounds N] [--json FILE]``.

The compiled scan of MA-SOBA and of SUSTAIN beside the same lines written by hand, which are first
checked to compute the same. Exit code 0 when everything was timed, 2 when it could not run, 130
when interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import environment

SCHEMA = "accbo-scans/1"
SIZES = ((1, 10), (64, 10))
ROUNDS = 300


def main(
    arguments: list[str],
    prepare_jax: Callable[[], bool],
    size: Callable[[str], tuple[int, int]],
) -> int:
    """Run the contests and print their table; ``prepare_jax`` as for the study of dimensions."""
    options = _parse(arguments, size)
    environment.one_thread()
    try:
        return _run(options, prepare_jax)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, prepare_jax: Callable[[], bool]) -> int:
    # only now, with the threads settled, may NumPy and JAX be imported
    from benchmarks import report

    if options.json is not None:
        try:
            report.check_writable(options.json)
        except OSError as error:
            return _fail(f"cannot write {options.json}: {error.strerror or error}")
    if not prepare_jax():
        return _fail("a scan needs JAX")
    from tqdm import tqdm

    from benchmarks import scans_study as study
    from benchmarks.variants import DisagreementError

    contests = [(name, size) for size in options.size for name in study.ALGORITHMS]
    rows: list[dict[str, Any]] = []
    try:
        for name, (replicates, dimension) in tqdm(contests, unit="contest"):
            rows.append(study.row(name, replicates, dimension, options.rounds))
    except (DisagreementError, MemoryError) as error:
        return _fail(str(error) or "not enough memory for this size")
    print(study.table(rows))
    if options.json is not None:
        from accbo._pieces.files import write

        document = {"schema": SCHEMA, "environment": environment.describe(), "rows": rows}
        try:
            write(options.json, json.dumps(document, indent=1, allow_nan=False) + "\n")
        except OSError as error:
            return _fail(f"cannot write {options.json}: {error.strerror or error}")
    return 0


def _parse(arguments: list[str], size: Callable[[str], tuple[int, int]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scans", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--rounds", type=_rounds, default=ROUNDS, metavar="N", help="of timing")
    parser.add_argument(
        "--size",
        type=size,
        nargs="+",
        default=SIZES,
        metavar="R,d",
        help="replicates and dimension; default: "
        + " ".join(f"{replicates},{dimension}" for replicates, dimension in SIZES),
    )
    return parser.parse_args(arguments)


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds, at least 2")
    return int(text)


def _fail(message: str) -> int:
    print(f"benchmarks: {message}", file=sys.stderr)
    return 2
