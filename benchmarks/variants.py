"""The ways to take a step that are timed, each one first held against ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import map_arrays, move, row
from benchmarks import best_numpy, plain_numpy
from benchmarks.case import Case, deviation, plain_noise

TOLERANCE = 1e-12  # the state is of order 1; rounding over a few steps gives 1e-15 to 1e-14
CHECKED_STEPS = 5


class Variant(NamedTuple):
    """``run(steps)`` does that many steps from the same start and returns the last state.

    ``whole`` marks a compiled scan, which always runs the whole block.
    """

    name: str
    family: str  # "numpy" or "jax": who is compared with whom
    run: Callable[[int], Any]
    whole: bool


class DisagreementError(ValueError):
    """A hand-written version does not compute what we compute: its time would mean nothing."""


def numpy_variants(case: Case) -> list[Variant]:
    """Our eager step, two plain versions and the best one."""
    step, problem = case.algorithm.step, case.problem
    numbers, noise, start = case.numbers, case.noise, tuple(case.state)[:7]

    def ours(steps: int) -> Any:  # the loop of accbo.run
        state = case.state
        for index in range(steps):
            state = step(problem, state, row(case.block, index))
        return state

    return [
        Variant("numpy, ours", "numpy", ours, False),
        Variant(
            "numpy, plain", "numpy", lambda n: plain_numpy.run(numbers, noise, start, n), False
        ),
        Variant(
            "numpy, plain, stacked",
            "numpy",
            lambda n: plain_numpy.run(numbers, noise, start, n, stacked=True),
            False,
        ),
        Variant("numpy, best", "numpy", lambda n: best_numpy.run(numbers, noise, start, n), False),
    ]


def jax_variants(case: Case) -> list[Variant]:
    """Our compiled scan over the block, and every hand-written form of it."""
    import jax
    import jax.numpy as jnp

    from accbo.run import _Scan, _Segment
    from benchmarks import hand_jax

    like = jnp.zeros(1)
    engine = _Scan(case.algorithm, move(case.problem, like), {})
    state, block = move(case.state, like), move(case.block, like)
    segment = _Segment(first=1, refresh=True, groups=1, length=case.steps, recorded=False)
    numbers = map_arrays(jnp.asarray, case.numbers)
    noise = plain_noise(block)  # the same arrays: another copy would be warm or cold on its own
    start = tuple(state)[:7]

    def ours(_: int) -> Any:  # the block as accbo.run carries it out
        return jax.block_until_ready(engine.advance(state, block, segment)[0])

    def hand(form: str) -> Callable[[int], Any]:
        series, stacked = hand_jax.FORMS[form]

        def run(_: int) -> Any:
            return jax.block_until_ready(hand_jax.run(series, stacked, numbers, noise, start))

        return run

    by_hand = [Variant(f"jax, by hand, {form}", "jax", hand(form), True) for form in hand_jax.FORMS]
    return [Variant("jax, ours", "jax", ours, True), *by_hand]


def check(case: Case, variants: list[Variant]) -> None:
    """Raise ``DisagreementError`` unless every variant reaches our state within ``TOLERANCE``."""
    ours = variants[0].run
    steps = min(CHECKED_STEPS, case.steps)
    for variant in variants[1:]:
        count = case.steps if variant.whole else steps
        largest = deviation(ours(count), variant.run(count))
        if not largest <= TOLERANCE:
            raise DisagreementError(
                f"R = {case.replicates}, d = {case.dimension}: after {count} steps "
                f"'{variant.name}' is {largest:.2g} away from our NumPy step, more than "
                f"{TOLERANCE:g}; it does not compute the same thing and was not timed"
            )
    if not np.any(np.asarray(ours(steps).x) != np.asarray(case.state.x)):
        raise DisagreementError("our own step did not move x: nothing was compared")
