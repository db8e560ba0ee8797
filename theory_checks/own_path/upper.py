"""x_{t+1} = x_t − η m_t/‖m_t‖ on AccBO's own path, to rounding (SPEC 2).

The descent of Φ judges the length and the direction of a step too, but over fewer iterations.
"""

from __future__ import annotations

import numpy as np

from accbo import AccBO

from ..own_path.dense import U, norms
from ..own_path.path import Path
from ..own_path.recursion import Deviation


def upper_steps(algorithm: AccBO, path: Path) -> Deviation:
    """The deviation of x_{t+1}, beside 2(d_x + 4)u(‖x_t‖ + η): a norm, a quotient, two more."""
    x, m, size = path.x[:-1], path.momentum, algorithm.upper_step_size
    length = norms(m)[..., None]
    predicted = x - size * m / np.where(length > 0, length, 1.0)
    allowed = 2 * (x.shape[-1] + 4) * U * (norms(x) + size)
    return Deviation(norms(path.x[1:] - predicted), allowed)
