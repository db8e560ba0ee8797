"""``python -m benchmarks [--json FILE] [--quick] [--size R,d ...]``.

Microseconds per step of AccBO, ours and hand-written, with one thread. Exit code 0 when
everything was timed, 2 when it could not run, 130 when interrupted. Other studies, with a
``--help`` of their own: ``python -m benchmarks dimension``, cost and accuracy against the
dimension, ``python -m benchmarks exponents``, every algorithm's exponent, and ``python -m
benchmarks scans``, the compiled scans of MA-SOBA and SUSTAIN beside hand-written ones,
``python -m benchmarks tape``, samples drawn ahead on a second core, ``python -m benchmarks own``, a
problem of the user's own in PyTorch beside a loop written by hand, and ``python -m benchmarks
traces``, what traces find and cost.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

from accbo._extras import for_module
from benchmarks import dimension, environment, exponents, own_problem, scans, tape, traces

SIZES = ((1, 10), (64, 10), (1024, 10), (64, 200), (256, 500))
SECONDS, QUICK_SECONDS = 18.0, 3.0  # of timing per size, set-up and compilation apart


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and print the table."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["dimension"]:
        return dimension.main(given[1:], _prepare_jax)
    if given[:1] == ["exponents"]:
        return exponents.main(given[1:])
    if given[:1] == ["scans"]:
        return scans.main(given[1:], _prepare_jax, _size)
    if given[:1] == ["own"]:
        return own_problem.main(given[1:])
    if given[:1] == ["tape"]:
        return tape.main(given[1:], _size)
    if given[:1] == ["traces"]:
        return traces.main(given[1:])
    options = _parse(given)
    environment.one_thread()
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    # only now, with the threads settled, may NumPy and JAX be imported
    from tqdm import tqdm

    from benchmarks import report
    from benchmarks.case import build
    from benchmarks.timing import measure
    from benchmarks.variants import DisagreementError, check, jax_variants, numpy_variants

    if options.json is not None:
        try:
            report.check_writable(options.json)
        except OSError as error:
            return _fail(f"cannot write {options.json}: {error.strerror or error}")
    with_jax = _prepare_jax()
    budget = QUICK_SECONDS if options.quick else SECONDS
    rows: list[dict[str, Any]] = []
    with tqdm(total=100 * len(options.size), unit="%", bar_format="{l_bar}{bar}| {elapsed}") as bar:
        for replicates, dimension in options.size:
            bar.set_description(f"R={replicates} d={dimension}")
            try:
                case = build(replicates, dimension)
                variants = numpy_variants(case) + (jax_variants(case) if with_jax else [])
                check(case, variants)
            except (DisagreementError, MemoryError) as error:
                bar.close()
                return _fail(str(error) or "not enough memory for this size")
            times = measure(case, variants, budget, lambda share: bar.update(100 * share))
            rows += report.rows(replicates, dimension, times)
    print(report.table(rows))
    if options.json is not None:
        try:
            report.write(options.json, environment.describe(), rows)
        except OSError as error:
            return _fail(f"cannot write {options.json}: {error.strerror or error}")
    return 0


def _prepare_jax() -> bool:
    if importlib.util.find_spec("jax") is None:
        print(f"JAX is not installed: its rows are left out{for_module('jax')}", file=sys.stderr)
        return False
    import jax

    jax.config.update("jax_enable_x64", True)
    return True


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument(
        "--size",
        type=_size,
        nargs="+",
        default=SIZES,
        metavar="R,d",
        help="replicates and dimension; default: "
        + " ".join(f"{replicates},{dimension}" for replicates, dimension in SIZES),
    )
    return parser.parse_args(arguments)


def _size(text: str) -> tuple[int, int]:
    try:
        replicates, dimension = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no pair R,d such as 64,10") from None
    if replicates < 1 or dimension < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: R and d must be at least 1")
    return replicates, dimension


def _fail(message: str) -> int:
    print(f"benchmarks: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
