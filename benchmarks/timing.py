"""Interleaved timing: A B C D, D C B A, … so that a slow moment hits every variant alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.case import Case
from benchmarks.variants import Variant

CALL_SECONDS = 0.02  # of one NumPy timing: long against the clock, short against the noise
LEAST_ROUNDS, MOST_ROUNDS = 5, 60
DRAWING_ROUNDS = 20
DRAWING = "drawing the tape"

Task = tuple[str, Callable[[int], object], int]  # name, what to time, steps a call


class Times(NamedTuple):
    """Microseconds per step of one variant over the rounds."""

    minimum: float
    median: float
    rounds: int


def measure(
    case: Case,
    variants: list[Variant],
    budget: float,
    progress: Callable[[float], None],
) -> dict[str, Times]:
    """Times of every variant and of drawing the tape, in about ``budget`` seconds.

    ``progress`` is told the share of this case that is done since the last call.
    """
    stepping, drawing = _tasks(case, variants)
    spent: dict[str, list[float]] = {name: [] for name, _, _ in [*stepping, drawing]}

    def time_once(task: Task) -> None:
        name, run, steps = task
        start = time.perf_counter()
        run(steps)
        spent[name].append((time.perf_counter() - start) / steps * 1e6)

    begin = time.perf_counter()
    rounds = LEAST_ROUNDS
    done = 0
    while done < rounds:
        # there and back: otherwise each would always meet the caches its neighbour leaves
        for task in stepping if done % 2 == 0 else reversed(stepping):
            time_once(task)
        done += 1
        if done == 1:
            one = time.perf_counter() - begin
            rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, int(budget / one)))
        progress(0.9 / rounds)
    for _ in range(DRAWING_ROUNDS):  # apart: it sweeps the caches and the heap
        time_once(drawing)
    progress(0.1)
    return {
        name: Times(min(values), statistics.median(values), len(values))
        for name, values in spent.items()
    }


def _tasks(case: Case, variants: list[Variant]) -> tuple[list[Task], Task]:
    layout = case.algorithm.draw(case.problem)

    held: list[object] = [None]

    def draw(steps: int) -> object:
        # as in a run, the last block is alive while the next is drawn: memory is not given back
        held[0] = case.stream.block(layout, steps)
        return held[0]

    start = time.perf_counter()
    variants[0].run(1)
    one = max(1e-6, time.perf_counter() - start)
    eager = max(1, min(case.steps, int(CALL_SECONDS / one)))
    stepping = [(v.name, v.run, case.steps if v.whole else eager) for v in variants]
    for _ in range(3):  # a first block pays for fresh memory, which a run pays only once
        draw(case.steps)
    return stepping, (DRAWING, draw, case.steps)
