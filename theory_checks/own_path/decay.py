"""β read off exactly: one step is affine in m_{t−1}, with factor β (SPEC 4.8)."""

from __future__ import annotations

from typing import Any

import numpy as np

from accbo import AccBO, Tape, move
from accbo._arrays import asarray, row, to_host
from accbo.algorithms import AccBOState
from accbo.conformance.mistakes.changes import resume

from ..backends import like
from ..harness import Settings
from ..own_path.dense import U, norms
from ..own_path.path import starting_points
from ..own_path.recursion import Deviation

SHIFT = 2.0**12  # of the momentum: m + SHIFT is exact for m = 0


def decay(
    settings: Settings, problem: Any, algorithm: AccBO, seed: int, iteration: int = 1
) -> Deviation:
    """|m'(δ) − m'(0) − βδ| beside 4u(δ + |m'(0)| + 2‖m'(0)‖ + 1), for 3 replicates ``(3, d_x)``.

    The allowance is that of two roundings of each of the two results.
    """
    here = like(settings.backend)
    x, y = starting_points(problem, 3, seed)
    x_old, y_old = starting_points(problem, 3, seed + 1)
    tested, moved = settings.apply_fault(algorithm), move(problem, here)
    x, y, x_old, y_old = (asarray(part, here) for part in (x, y, x_old, y_old))
    layout = tested.draw(moved, tested.refreshes(iteration))
    sample = row(Tape(seed).open(x).block(layout, 1), 0)
    zero = AccBOState(x, x_old, y, y_old, y, y_old, 0 * x, iteration)
    found = [
        to_host(tested.step(moved, resume(tested, state), sample).momentum)
        for state in (zero, zero._replace(momentum=0 * x + SHIFT))
    ]
    start, shifted = found
    allowed = 4 * U * (SHIFT + np.abs(start) + 2 * norms(start)[..., None] + 1)
    error = np.abs(shifted - start - algorithm.momentum * SHIFT)
    return Deviation(error, allowed)
