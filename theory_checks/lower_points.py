"""Where AccBO takes h, and which sample may move its lower level.

Two pieces of ``lower_tracking``. The orders differ in h alone: at (x_t, ŷ_t), or at (x_t, ŷ_{t+1})
in the sequential one. Without noise above, m_t = h(x_t, ŷ) whatever β, because the recursion
telescopes; so m shows the point at which h was taken.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from accbo import Tape, move
from accbo._arrays import asarray
from accbo.problems import LowerNoise, finite_sum, nonquadratic
from accbo.sampling import Replay
from theory_checks.backends import like
from theory_checks.harness import Outcome, Settings
from theory_checks.lower_paths import (
    ADDITIVE,
    RECORD,
    ROUNDING,
    SCALE,
    TERMS,
    WARM_START,
    Path,
    algorithm_of,
    curves,
    positions,
)
from theory_checks.statistics import Finding, exact

STEPS = 12
ON = Path(True, (STEPS,))
POINTS = {
    "Option I, simultaneous": ON,
    "Option I, sequential": ON._replace(order="sequential"),
    "Option II, simultaneous": ON._replace(period=3, lower_steps=4),
    "Option II, sequential": ON._replace(order="sequential", period=3, lower_steps=4),
}
POINT_RECORD = {**RECORD, "momentum": lambda state: state.momentum}


# --- measurements -------------------------------------------------------------------------


def measure_point(settings: Settings, name: str) -> Outcome:
    """m_t and y, ŷ on a g that is not quadratic, whose noise is all below."""
    path = POINTS[name]
    return curves(settings, path, _problem(), 4, Tape(settings.seed), STEPS, POINT_RECORD)


def measure_own_sample(settings: Settings) -> Outcome:
    """y and ŷ of two runs on finite sums whose lower samples alone agree."""
    problem = finite_sum(8, 2, 3)
    here = like(settings.backend)
    moved = move(problem, here)
    layouts = settings.apply_fault(algorithm_of(ON, problem))
    x = asarray(np.zeros((16, 2)), here)
    streams = [Tape(settings.seed * 2 + k).open(x) for k in (0, 1)]
    starts = [stream.start(layouts.draw_start(moved, WARM_START, 1)) for stream in streams]
    steps = [[stream.block(layouts.draw(moved), 1) for _ in range(STEPS)] for stream in streams]
    found: Outcome = {}
    for k in (0, 1):
        first = starts[k].first._replace(lower=starts[0].first.lower)
        samples = [
            _first_row(own._replace(lower=shared.lower))
            for own, shared in zip(steps[k], steps[0], strict=True)
        ]
        source = Replay(starts[0]._replace(first=first), samples)
        records = curves(settings, ON, problem, 16, source, STEPS, RECORD)
        found |= {f"{part} {k}": values for part, values in records.items()}
    return found


def _first_row(sample: Any) -> Any:
    """A block of one step as that step's sample."""
    return type(sample)(*[{k: leaf[0, ...] for k, leaf in part.items()} for part in sample])


# --- decisions ----------------------------------------------------------------------------


def judge_point(name: str, outcome: Outcome) -> list[Finding]:
    """m_t = h(x_t, ŷ_t), or h(x_t, ŷ_{t+1}) in the sequential order."""
    averages, momentum = outcome["y_average"], outcome["momentum"]
    if POINTS[name].order == "simultaneous":
        averages = np.concatenate((outcome["y_previous"][:1], averages[:-1]))
    x = np.broadcast_to(positions(STEPS)[:-1, None], momentum.shape)
    predicted = _hypergradient(x, averages)
    worst = float(np.max(np.abs(momentum - predicted)))
    tolerance = ROUNDING * float(np.max(np.abs(predicted)))
    return [exact(f"m − h(x_t, ŷ), {name}", 0.0, worst, tolerance)]


def _hypergradient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """h without noise: ∇_x f − ∇²_xy g H⁻¹(I − (I − H/l)^Q) ∇_y f, H = ∇²_yy g(x, y)."""
    problem = _problem()
    scale = SCALE * problem.constants.curvature
    columns = [problem.hvp_lower(x, y, np.broadcast_to(e, y.shape)) for e in np.eye(problem.d_y)]
    hessian = np.stack(columns, axis=-1)
    identity = np.eye(problem.d_y)
    left = identity - np.linalg.matrix_power(identity - hessian / scale, TERMS)
    v = (left @ problem.grad_y_upper(x, y)[..., None])[..., 0]
    inverse = np.linalg.solve(hessian, v[..., None])[..., 0]
    return problem.grad_x_upper(x, y) - problem.cross_lower(x, y, inverse)


def judge_own_sample(outcome: Outcome) -> list[Finding]:
    """y and ŷ are functions of π alone: no other sample moves them by a bit."""
    return [
        exact(
            f"change of {part} with ξ, ζ⁰ and ζ, finite sums",
            0.0,
            float(np.max(np.abs(outcome[f"{part} 0"] - outcome[f"{part} 1"]))),
            0.0,
        )
        for part in ("y", "y_average")
    ]


@functools.lru_cache(maxsize=1)
def _problem() -> Any:
    noise = LowerNoise(additive=ADDITIVE)
    return nonquadratic((0.6, 1.1, 1.9), 2, target=0.8, noise_lower=noise, seed=5)
