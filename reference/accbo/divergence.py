"""Whether a Neumann series diverges: its scale l against the curvature at the end of a run.

With 0 ≤ ∇²_yy G ≤ l no term of the series is longer than the first. Where the curvature λ passes
2l the terms grow like (λ/l − 1)^q, and ‖m‖ with them, while x, which moves by η whatever ‖m‖ is,
shows nothing. A ‖m‖ above LARGE is the reason to look; the verdict is the curvature's, so that a
problem of large units raises no alarm.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from accbo._arrays import Array, asarray, dot, namespace, norm, row, to_host
from accbo.problem import BilevelProblem
from accbo.sampling import Tape, draw_fields, probe_normals

LARGE = 1e3
PRODUCTS = 8  # of the power iteration


class DivergenceWarning(UserWarning):
    """The Neumann series of a run diverges: its scale is below the curvature."""


def warn_of_divergence(algorithm: Any, problem: BilevelProblem, state: Any) -> None:
    """Warn where the direction in ``state`` is large, and the curvature there above the scale."""
    found = _direction(state)
    if found is None or float(np.max(to_host(norm(found)))) <= LARGE:
        return
    if said := divergence(algorithm, problem, state):
        warnings.warn(said, DivergenceWarning, stacklevel=3)


def divergence(algorithm: Any, problem: BilevelProblem, state: Any) -> str:
    """A sentence where the curvature at ``state`` is twice the scale of the series, or ""."""
    scale = getattr(algorithm, "neumann_scale", None)
    if scale is None or algorithm.neumann_terms == 1:
        return ""
    found = _curvature(problem, state.x, getattr(state, "y_average", state.y))
    if found <= 2 * float(scale):
        return ""
    size = _direction(state)
    shown = "" if size is None else f" (‖m‖ = {float(np.max(to_host(norm(size)))):.3g})"
    return (
        f"the series diverges{shown}: neumann_scale l = {float(scale):.6g}, while ∇²_yy G has a "
        f"curvature of at least {found:.6g} where the run stands; take l at least as large"
    )


def _direction(state: Any) -> Array | None:
    """The estimate of ∇Φ that a method keeps, if it keeps one."""
    return getattr(state, "momentum", getattr(state, "estimate", None))


def _curvature(problem: BilevelProblem, x: Array, y: Array) -> float:
    """From within, the largest eigenvalue of ∇²_yy G(x, y; ζ) over the replicates."""
    sample = row(Tape(0).open(x).block(draw_fields(problem.lower_noise), 1), 0)
    largest = 0.0
    v = namespace(y).zeros_like(y) + asarray(probe_normals(0)(tuple(y.shape[-1:])), y)
    with np.errstate(all="ignore"):
        for _ in range(PRODUCTS):
            v = v / norm(v)[..., None]
            bent = problem.hvp_lower(x, y, v, sample)
            found = np.nan_to_num(to_host(dot(v, bent)), nan=0.0, posinf=0.0)
            largest, v = max(largest, float(np.max(found))), bent
    return largest
