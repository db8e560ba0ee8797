"""``python -m benchmarks tape [--size R,d ...] [--rounds N] [--json FILE]``.

A run of AccBO with its samples drawn in turn and drawn ahead on a second core, in turns, and what
drawing alone and stepping alone take: microseconds a step, least and median; of these two, which
are one thread each, of the processor, so that nothing else on the machine counts. The two runs
are first checked to have the same bits. Exit code 0, 2 when it could not run, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import environment

SCHEMA = "accbo-tape/1"
SIZES = ((64, 10), (1024, 10), (64, 200))
ROUNDS, BLOCKS = 20, 8
DRAWING, STEPPING = "drawing alone", "stepping alone"
IN_TURN, AHEAD = "run, drawn in turn", "run, drawn ahead"


def main(arguments: list[str], size: Callable[[str], tuple[int, int]]) -> int:
    """Run the study and print its table."""
    options = _parse(arguments, size)
    environment.one_thread()
    try:
        rows = [
            _row(replicates, dimension, options.rounds) for replicates, dimension in options.size
        ]
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(table(rows))
    if options.json is not None:
        from accbo._pieces.files import write

        document = {"schema": SCHEMA, "environment": environment.describe(), "rows": rows}
        try:
            write(options.json, json.dumps(document, indent=1, allow_nan=False) + "\n")
        except OSError as error:
            print(f"benchmarks: cannot write {options.json}: {error}", file=sys.stderr)
            return 2
    return 0


def table(rows: list[dict[str, Any]]) -> str:
    """Least and median of every part, and the two ratios that matter."""
    lines = [f"{'R':>6} {'d':>5}  {'µs/step, least and median':40}"]
    for row in rows:
        for name, (least, median) in row["times"].items():
            lines.append(f"{row['R']:>6} {row['d']:>5}  {name:24}{least:>10.1f} {median:>10.1f}")
        lines.append(
            f"{'':14}drawing/stepping {row['drawing_to_stepping']:.2f}; "
            f"drawn ahead/in turn {row['ahead_to_in_turn']:.2f} (medians of pairs)"
        )
    return "\n".join(lines)


def _row(replicates: int, dimension: int, rounds: int) -> dict[str, Any]:
    """All of one size, in turns: a slow moment hits every part alike."""
    from benchmarks.case import build

    parts = _parts(build(replicates, dimension))
    spent: dict[str, list[float]] = {name: [] for name in parts}
    for index in range(rounds + 1):
        for name in parts if index % 2 == 0 else reversed(parts):
            clock = time.thread_time if name in (DRAWING, STEPPING) else time.perf_counter
            start = clock()
            steps = parts[name]()
            if index:  # the first round pays for fresh memory
                spent[name].append((clock() - start) / steps * 1e6)

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(spent[one], spent[other], strict=True))

    return {
        "R": replicates,
        "d": dimension,
        "times": {name: (min(v), statistics.median(v)) for name, v in spent.items()},
        "drawing_to_stepping": ratio(DRAWING, STEPPING),
        "ahead_to_in_turn": ratio(AHEAD, IN_TURN),
    }


def _parts(case: Any) -> dict[str, Callable[[], int]]:
    """What is timed; each returns how many steps it did."""
    import numpy as np

    from accbo._ahead import each
    from accbo._arrays import row
    from accbo.sampling import Tape

    layout = case.algorithm.draw(case.problem)
    held: list[Any] = [None]

    def draw(stream: Any) -> Any:
        held[0] = stream.block(layout, case.steps)  # the last one is alive, as in a run
        return held[0]

    def step(state: Any, block: Any) -> Any:
        for index in range(case.steps):
            state = case.algorithm.step(case.problem, state, row(block, index))
        return state

    def drawing() -> int:
        draw(case.stream)
        return case.steps

    def stepping() -> int:
        step(case.state, case.block)
        return case.steps

    def whole(ahead: bool) -> Any:
        stream, state = tapes[ahead], case.state
        for _, block in each(range(BLOCKS), lambda _: draw(stream), ahead):
            state = step(state, block)
        return state

    tapes = [Tape(1).open(case.state.x) for _ in range(2)]
    one, two = whole(False), whole(True)
    for a, b in zip(one, two, strict=True):
        if np.asarray(a).tobytes() != np.asarray(b).tobytes():
            raise AssertionError("drawn ahead, a run has other bits")

    def running(ahead: bool) -> Callable[[], int]:
        def timed() -> int:
            whole(ahead)
            return BLOCKS * case.steps

        return timed

    return {
        DRAWING: drawing,
        STEPPING: stepping,
        IN_TURN: running(False),
        AHEAD: running(True),
    }


def _parse(arguments: list[str], size: Callable[[str], tuple[int, int]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks tape", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--rounds", type=_rounds, default=ROUNDS, metavar="N", help="of timing")
    parser.add_argument(
        "--size",
        type=size,
        nargs="+",
        default=SIZES,
        metavar="R,d",
        help="replicates and dimension; default: " + " ".join(f"{r},{d}" for r, d in SIZES),
    )
    return parser.parse_args(arguments)


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds, at least 2")
    return int(text)
