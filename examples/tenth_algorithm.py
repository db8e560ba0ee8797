"""A tenth algorithm, by copying one file: normalised SGD above, one SGD step below.

    x_{t+1} = x_t − η h_t(x_t, y_t)/‖h_t(x_t, y_t)‖
    y_{t+1} = y_t − α ∇_y G(x_t, y_t; π_t)

h_t is the hypergradient estimate of ``accbo.hypergradient`` with the chained series. No momentum:
it stalls under skewed noise, since the mean of h/‖h‖ does not point along ∇Φ.

Copied from ``accbo/algorithms/slip.py``: the state and the sample are what this method reads, the
step is its pseudo-code out of the shared parts, and ``draw`` says which noise an iteration takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, traceable
from accbo.hypergradient import hessian_rows, neumann_gradient
from accbo.lower import gradient_steps
from accbo.parameters import integer, real
from accbo.problem import BilevelProblem
from accbo.sampling import Start, draw_fields
from accbo.upper import normalized_step


class NSGDState(NamedTuple):
    """Everything iteration t reads: a replicate a row, the clock last."""

    x: Array  # x_t
    y: Array  # y_t
    iteration: int  # t


class NSGDSample(NamedTuple):
    """The noise of one iteration, one part for each use of it."""

    upper: Any  # ξ
    cross: Any  # ζ⁰
    hessian: Any  # ζ, a leading axis over the Q − 1 factors
    lower: Any  # π, a leading axis over the lower steps, of length 1


@traceable
@dataclass(frozen=True, kw_only=True)
class NSGD:
    """Normalised SGD with its two step sizes and its series."""

    lower_step_size: float  # α > 0
    upper_step_size: float  # η > 0
    neumann_terms: int  # Q ≥ 1
    neumann_scale: float  # l > 0, at least the largest curvature of a realisation

    def __post_init__(self) -> None:
        real(self, "lower_step_size", above=0.0)
        real(self, "upper_step_size", above=0.0)
        integer(self, "neumann_terms")
        real(self, "neumann_scale", above=0.0)

    def init(self, problem: BilevelProblem, x: Array, y: Array, start: Start) -> NSGDState:
        """Warm start and iteration 0, which is an iteration as any other."""
        y = gradient_steps(problem, x, y, start.warm_start, self.lower_step_size)
        return self.step(problem, NSGDState(x, y, 0), start.first)

    def step(self, problem: BilevelProblem, state: NSGDState, sample: NSGDSample) -> NSGDState:
        """One iteration: a pure function of its arguments."""
        x, y, t = state
        gradient = neumann_gradient(
            problem, sample, "chained", self.neumann_terms, self.neumann_scale
        )
        return NSGDState(
            x=normalized_step(x, gradient(x, y), self.upper_step_size),
            y=gradient_steps(problem, x, y, sample.lower, self.lower_step_size),
            iteration=t + 1,
        )

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes a lower step: every one does."""
        return True

    def draw(self, problem: BilevelProblem, refresh: bool = True) -> NSGDSample:
        """The layout of one iteration's sample."""
        factors = hessian_rows("chained", self.neumann_terms)
        return NSGDSample(
            upper=draw_fields(problem.upper_noise),
            cross=draw_fields(problem.cross_noise),
            hessian=draw_fields(problem.hessian_noise, (factors,)),
            lower=draw_fields(problem.lower_noise, (1,), scaled=True),
        )

    def draw_start(self, problem: BilevelProblem, warm_start: int, first: int) -> Start:
        """The layout of iteration 0; S = ``first`` has no meaning without momentum."""
        lower = draw_fields(problem.lower_noise, (warm_start,), scaled=True)
        return Start(warm_start=lower, first=self.draw(problem))
