"""Relations of what is evaluated where: at which point, and on which sample.

They need no known answer but the reference's own hypergradient estimate without noise.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from accbo._arrays import map_arrays
from accbo.problems.wrapped import NoiseFree
from accbo.relations.case import (
    Case,
    Outcome,
    Samples,
    as_declared,
    difference,
    draw,
    observed,
    ratio,
    rounding,
    run_evaluate,
    trajectory,
)


def momentum_without_noise(case: Case) -> Outcome:
    """Without noise m_t is the estimate at (x_t, ŷ_t) itself, for every β (from SPEC §2).

    m_0 = h_0, and m_t − h_t = β (m_{t−1} − h_{t−1}) where both points are the right ones: so it
    catches "old point at (x_{t−1}, ŷ_t)", "hypergradient at y" and "no correction". In the
    sequential order the point is (x_t, ŷ_{t+1}).
    """
    sampling = case.algorithm.neumann_sampling
    chosen = "chained" if sampling == "randomised" else sampling  # q stays random without noise
    declared = dataclasses.replace(case.algorithm, neumann_sampling=chosen)
    case = case._replace(problem=NoiseFree(case.problem))
    algorithm, right = case.build(declared), as_declared(declared)
    states = trajectory(algorithm, case.problem, case.x, case.y, draw(case, algorithm))
    samples = draw(case, right)  # of the right length, whatever it is that the other draws
    first = map_arrays(lambda leaf: leaf[0, ...], samples.start.first._replace(lower={}))
    expected = [
        state._replace(momentum=_estimate(right, case.problem, state, sample))
        for state, sample in zip(states, (first, *samples.steps), strict=True)
    ]
    bounds = rounding(case.problem, case.x, case.y, samples, run_evaluate(right))
    error = ratio(observed(None, states), observed(None, expected), bounds)
    return Outcome("momentum without noise", error, 1.0)


def _estimate(algorithm: Any, problem: Any, state: Any, sample: Any) -> Any:
    """h at the point of the iteration that ``state`` is left by."""
    sequential = algorithm.order == "sequential"
    y_average = state.y_average if sequential else state.y_average_previous
    return algorithm._gradient(problem, sample)(state.x_previous, y_average)


def own_samples(case: Case) -> Outcome:
    """y_{t+1} and ŷ_{t+1} read π_t alone; m_t, where it comes first, reads no π_t (SPEC §2).

    At every t, the sample of the other level is exchanged for another tape's: bit for bit
    nothing may change. Catches "upper batch reused below" and "upper gradient leaks".
    """
    algorithm = case.build(case.algorithm)
    samples = draw(case, algorithm)
    other = draw(
        case._replace(noise=dataclasses.replace(case.noise, seed=case.noise.seed + 1)), algorithm
    )
    parts = [("y", "y_average")]
    if case.algorithm.order == "simultaneous":
        parts.append(("x", "momentum"))
    error = 0.0
    for t in range(case.steps):
        plain = _last(case, samples, t)
        for names, swapped in zip(parts, _swapped(samples, other, t), strict=False):
            changed = _last(case, swapped, t)
            pairs = [[getattr(state, name) for name in names] for state in (plain, changed)]
            error = max(error, difference(*pairs))
    return Outcome("own samples", error, 0.0)


def _last(case: Case, samples: Samples, t: int) -> Any:
    """The state after iteration t, by a program of its own: some have a memory."""
    only = samples._replace(steps=samples.steps[:t])
    return trajectory(case.build(case.algorithm), case.problem, case.x, case.y, only)[-1]


def _swapped(samples: Samples, other: Samples, t: int) -> tuple[Samples, Samples]:
    """With iteration t's upper sample exchanged, and with its lower one."""
    if t == 0:
        first, theirs = samples.start.first, other.start.first
        pair = theirs._replace(lower=first.lower), first._replace(lower=theirs.lower)
        above, below = (samples._replace(start=samples.start._replace(first=f)) for f in pair)
        return above, below
    mine, theirs = samples.steps[t - 1], other.steps[t - 1]
    pair = theirs._replace(lower=mine.lower), mine._replace(lower=theirs.lower)
    above, below = (
        samples._replace(steps=(*samples.steps[: t - 1], step, *samples.steps[t:])) for step in pair
    )
    return above, below
