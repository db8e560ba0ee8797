"""How far E h lies from ∇Φ away from y*, as an equality (SPEC 4.9).

On a quadratic g, with v = ∇_y f:

    E h(x, y) − ∇Φ(x) = −∇²_xy g [S_Q (v(y) − v(y*)) − (I − H/l)^Q H⁻¹ v(y*)]

E h is m_0 of the algorithm itself on the problem without noise; of the randomised series with
q = 0 … Q − 1 as the S = Q samples of m_0: every outcome once, no chance involved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accbo import AccBO, Tape, move
from accbo._arrays import asarray, index_dtype, to_host

from ..backends import like
from ..harness import Settings
from ..own_path import dense
from ..own_path.dense import apply, norms
from ..own_path.recursion import Deviation


def hypergradient_error(
    settings: Settings, problem: Any, algorithm: AccBO, x: np.ndarray, y: np.ndarray
) -> Deviation:
    """Left side less right side at every row of x and y, ``(R,)``; ``problem`` has no noise.

    Allowed is the rounding of h, and what a solve of the condition of H makes of u.
    """
    mean, y = mean_by_start(settings, problem, algorithm, x, y)
    scale, terms = algorithm.neumann_scale, algorithm.neumann_terms
    matrix, jacobian = dense.hessian(problem, x, y), dense.cross(problem, x, y)
    target = np.linalg.solve(matrix, apply(to_host(problem.coupling), x).T).T
    v, v_target = (dense.grad_y(problem, x, point) for point in (y, target))
    inverse = np.linalg.solve(matrix, v_target.T).T
    gradient = dense.grad_x(problem, x, target) - apply(jacobian, inverse)
    left_over = np.linalg.matrix_power(np.eye(problem.d_y) - matrix / scale, terms)
    predicted = -apply(
        jacobian,
        apply(dense.truncated(problem, algorithm, x, y), v - v_target) - apply(left_over, inverse),
    )
    condition = float(np.linalg.cond(matrix))
    size = norms(dense.grad_x(problem, x, y)) + condition * norms(gradient)
    frobenius, mu = float(np.linalg.norm(jacobian)), problem.constants.mu
    size += frobenius * terms / scale * (norms(v) + norms(y) + 1)
    size += frobenius * norms(v_target) / mu * condition
    error = norms(mean - gradient - predicted)
    return Deviation(error, dense.rounding(problem, algorithm) * size)


def mean_by_start(
    settings: Settings, problem: Any, algorithm: AccBO, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E h by the algorithm's own m_0, ``(R, d_x)``, and the y at which it takes h."""
    here = like(settings.backend)
    tested, moved = settings.apply_fault(algorithm), move(problem, here)
    randomised = algorithm.neumann_sampling == "randomised"
    samples = algorithm.neumann_terms if randomised else 1
    start = Tape(0).open(asarray(x, here)).start(tested.draw_start(moved, 0, samples))
    if randomised:
        every = np.broadcast_to(np.arange(samples)[:, None, None], (samples, len(x), 1))
        power = {"power": asarray(every.copy(), here, index_dtype(here))}
        start = start._replace(first=start.first._replace(power=power))
    state = tested.init(moved, asarray(x, here), asarray(y, here), start)
    late = algorithm.order == "sequential"
    return to_host(state.momentum), to_host(state.y_average) if late else y
