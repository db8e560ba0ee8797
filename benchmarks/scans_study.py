"""Our compiled scan of MA-SOBA and SUSTAIN beside the same written by hand: checked, then timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from accbo.algorithms import MASOBA, SUSTAIN
from accbo.problems import LowerNoise, UpperNoise, quadratic
from accbo.run import BLOCK_BYTES, BLOCK_STEPS, _Scan, _Segment
from accbo.sampling import Tape, sample_bytes
from benchmarks.variants import TOLERANCE, DisagreementError

OURS, AGAIN = "ours", "ours, again"  # the same twice: what the ratios are worth
ALGORITHMS: dict[str, Any] = {
    "MA-SOBA": MASOBA(
        lower_step_size=0.05, linear_step_size=0.05, momentum=0.9, upper_step_size=0.01
    ),
    "SUSTAIN": SUSTAIN(
        lower_step_size=0.05,
        upper_step_size=0.01,
        lower_averaging=0.5,
        upper_averaging=0.5,
        offset=2.0,
        neumann_terms=10,
        neumann_scale=2.5,
    ),
}

Run = Callable[[], Any]  # a whole block from the same state; returns the last state


class Contest(NamedTuple):
    """What is timed, ``steps`` iterations each: ours, twice, and every form by hand."""

    steps: int
    runs: dict[str, Run]


def build(name: str, replicates: int, dimension: int) -> Contest:
    """Both on the problem of the table of AccBO, from iteration 1, on one block of samples."""
    import jax
    import jax.numpy as jnp

    from accbo import move
    from benchmarks import hand_scans

    like = jnp.zeros(1)
    problem = quadratic(
        np.linspace(1.0, 2.0, dimension).tolist(),
        dimension,
        noise_upper=UpperNoise(0.5, 0.1, 0.5, 0.1),
        noise_lower=LowerNoise(0.5, 0.2, 0.2),
    )
    problem, algorithm = move(problem, like), ALGORITHMS[name]
    x = jnp.zeros((replicates, dimension))
    stream = Tape(0).open(x)
    engine = _Scan(algorithm, problem, {})
    state = engine.init(x, x, stream.start(algorithm.draw_start(problem, 3, 2)))
    layout = algorithm.draw(problem)
    steps = max(1, min(BLOCK_STEPS, BLOCK_BYTES // sample_bytes(layout, replicates)))
    block = stream.block(layout, steps)
    segment = _Segment(first=1, refresh=True, groups=1, length=steps, recorded=False)
    start = tuple(state) if name == "SUSTAIN" else tuple(state)[:-1]

    def ours() -> Any:  # the block as accbo.run carries it out
        return jax.block_until_ready(engine.advance(state, block, segment)[0])

    def by_hand(step: hand_scans.Step) -> Run:
        def run() -> Any:
            return jax.block_until_ready(hand_scans.run(step, problem, algorithm, start, block))

        return run

    forms = {form: by_hand(step) for form, step in hand_scans.FORMS[name].items()}
    return Contest(steps, {OURS: ours, **forms, AGAIN: ours})


def check(contest: Contest) -> float:
    """The largest difference to our arrays; ``DisagreementError`` above ``TOLERANCE``."""
    ours = _arrays_of(contest.runs[OURS]())
    largest = 0.0
    for form, run in contest.runs.items():
        found = _arrays_of(run())
        away = max(float(np.max(np.abs(a - b))) for a, b in zip(ours, found, strict=True))
        if not away <= TOLERANCE:
            raise DisagreementError(f"'{form}' is {away:.2g} away from ours: it was not timed")
        largest = max(largest, away)
    return largest


def _arrays_of(state: Any) -> list[np.ndarray]:
    """What is no iteration number."""
    return [np.asarray(leaf) for leaf in state if np.ndim(leaf)]


def measure(contest: Contest, rounds: int) -> dict[str, list[float]]:
    """Microseconds of the processor per iteration, by form and round; there and back.

    The time of the process, not of the clock: what else runs on the machine is left out but for
    the caches, which a round's neighbours meet alike.
    """
    spent: dict[str, list[float]] = {form: [] for form in contest.runs}
    for done in range(rounds):
        for form in contest.runs if done % 2 == 0 else reversed(contest.runs):
            begin = time.process_time()
            contest.runs[form]()
            spent[form].append((time.process_time() - begin) / contest.steps * 1e6)
    return spent


def row(name: str, replicates: int, dimension: int, rounds: int) -> dict[str, Any]:
    """One contest: times, and the ratio of ours to the fastest by hand, round by round."""
    contest = build(name, replicates, dimension)
    away = check(contest)
    spent = measure(contest, rounds)
    medians = {form: statistics.median(times) for form, times in spent.items()}
    fastest = min(set(spent) - {OURS, AGAIN}, key=lambda form: medians[form])
    low, middle, high = _ratio(spent[OURS], spent[fastest])
    return {
        "method": name,
        "R": replicates,
        "d": dimension,
        "steps": contest.steps,
        "rounds": rounds,
        "deviation": away,
        "us_median": medians,
        "us_min": {form: min(times) for form, times in spent.items()},
        "fastest": fastest,
        "ratio": middle,
        "ratio_quartiles": [low, high],
        "ratio_min": min(spent[OURS]) / min(spent[fastest]),
        "control": _ratio(spent[OURS], spent[AGAIN])[1],
    }


def _ratio(ours: list[float], others: list[float]) -> list[float]:
    """The quartiles of the ratios of the rounds."""
    return statistics.quantiles([a / b for a, b in zip(ours, others, strict=True)], n=4)


def table(rows: list[dict[str, Any]]) -> str:
    """All contests."""
    lines = [
        "microseconds of the processor per iteration in a compiled scan; ratio: ours to the",
        "fastest by hand, the median over the rounds and its quartiles, and of the least times;",
        "control: the same ratio of ours to itself",
        f"{'method':8} {'R':>5} {'d':>4} {'ours':>8} {'by hand':>8}  {'ratio':>6} "
        f"{'quartiles':>13} {'least':>6} {'control':>7}  form",
    ]
    for one in rows:
        low, high = one["ratio_quartiles"]
        lines.append(
            f"{one['method']:8} {one['R']:>5} {one['d']:>4} {one['us_median'][OURS]:>8.2f} "
            f"{one['us_median'][one['fastest']]:>8.2f}  {one['ratio']:>6.3f} "
            f"{low:>6.3f}–{high:.3f}  {one['ratio_min']:>6.3f} {one['control']:>7.3f}  "
            f"{one['fastest']}"
        )
    return "\n".join(lines)
