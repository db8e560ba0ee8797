"""One lower step after the other on AccBO's own path, to rounding (SPEC 4.11).

From (y_t, y_{t−1}, ŷ_t) of the path, (y_{t+1}, ŷ_{t+1}) follow by dense matrices and the tape's
own noise: on a quadratic g y_{t+1} = A z + force with A = I − α(H + noise). Option II: N such
steps from (y_t, y_t) at a refresh, and y_{t+1} = y_t between.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accbo import AccBO

from ..own_path import dense
from ..own_path.dense import U, norms
from ..own_path.path import Path, Samples
from ..own_path.recursion import Deviation


def lower_steps(problem: Any, algorithm: AccBO, path: Path, samples: Samples) -> Deviation:
    """The deviation of (y_{t+1}, ŷ_{t+1}), beside 8(d_x + d_y + 4)u of what the step adds up."""
    steps = len(path.momentum)
    refreshed = np.array([algorithm.refreshes(t) for t in range(steps)])
    x, y = path.x[:-1], path.y[:-1]
    before = np.concatenate((y[:1], y[:-1])) if algorithm.period is None else y
    size = norms(y) + norms(path.average[:-1])
    after, spent = dense.nesterov_steps(
        problem,
        algorithm,
        x[refreshed],
        (y[refreshed], before[refreshed]),
        samples.lower,
        samples.steps,
    )
    predicted = y.copy()
    predicted[refreshed] = after
    size[refreshed] += spent
    tau = algorithm.averaging
    average = (1 - tau) * path.average[:-1] + tau * predicted
    squares = norms(path.y[1:] - predicted) ** 2 + norms(path.average[1:] - average) ** 2
    return Deviation(np.sqrt(squares), 8 * (problem.d_x + problem.d_y + 4) * U * size)
