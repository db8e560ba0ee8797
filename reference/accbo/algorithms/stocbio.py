"""StocBiO: D lower steps to every upper one, all derivatives means over large batches.

    y ← y_{k−1};  D times:  y ← y − α ∇_y G(x_k, y; π)      a fresh batch of S each;  y_k = y
    p_0 = ∇_y F(x_k, y_k; ξ),  p_q = p_{q−1} − ∇²_yy G(x_k, y_k; ζ^q) p_{q−1}/l
    z = (1/l) (p_0 + … + p_{Q−1})
    x_{k+1} = x_k − η (∇_x F(x_k, y_k; ξ) − ∇²_xy G(x_k, y_k; ζ⁰) z)

ξ, ζ⁰ and every ζ^q are batches of B. Each derivative is a mean over its own batch, so that a
factor of the series is I − (a mean of Hessians)/l: not a mean of B series. Source: Ji, Yang,
Liang 2021 (arXiv 2010.07962), Alg. 2 for the lines, where y starts from the last one, and Alg. 3
for the series, whose Q is our Q − 1 and whose η is our 1/l; SPEC §5.

Our conventions where they leave a choice: one B for what are D_f, D_g and |B_q| there, though its
theory lets |B_q| shrink with q; T0 warm-start steps like the D, T0 = 0 being the paper's;
iteration 0 is an iteration as any other, so S of the run has no meaning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, fold, rows, traceable
from accbo.hypergradient import hessian_rows, neumann
from accbo.parameters import integer, positive
from accbo.problem import BilevelProblem
from accbo.sampling import Start, draw_fields
from accbo.spider import batch_mean
from accbo.upper import gradient_step


def mean(oracle: Callable[..., Array], *arguments: Any) -> Array:
    """Mean of ``oracle`` over the batch, which is the last of its ``arguments``."""
    *point, batch = arguments
    return batch_mean(lambda *point: oracle(*point, batch), tuple(point), rows(batch))


def batch_steps(
    problem: BilevelProblem, x: Array, y: Array, batches: Any, step_size: float
) -> Array:
    """Gradient steps on y at a fixed x, one per row of ``batches``; shape ``(..., d_y)``."""

    def advance(y: Array, batch: Any) -> Array:
        return gradient_step(y, mean(problem.grad_y_lower, x, y, batch), step_size)

    return fold(advance, y, batches)


def batch_gradient(problem: BilevelProblem, x: Array, y: Array, z: Array, sample: Any) -> Array:
    """∇_x F(x,y;ξ) − ∇²_xy G(x,y;ζ⁰) z, means over the batches ξ and ζ⁰; shape ``(..., d_x)``."""
    direct = mean(problem.grad_x_upper, x, y, sample.upper)
    return direct - mean(problem.cross_lower, x, y, z, sample.cross)


class StocBiOState(NamedTuple):
    """Everything iteration k reads; ``(..., d_x)`` and ``(..., d_y)`` arrays."""

    x: Array  # x_k
    y: Array  # y_{k−1}
    iteration: int  # k


class StocBiOSample(NamedTuple):
    """The noise of one iteration; the batch is the axis in front of the replicates."""

    upper: Any  # ξ
    cross: Any  # ζ⁰
    hessian: Any  # ζ, a leading axis over the Q − 1 factors in front of the batch
    lower: Any  # π, a leading axis over the D lower steps in front of the batch


class StocBiOParts(NamedTuple):
    """The functions a step is made of, each named for what it makes; a variation replaces one."""

    y: Callable[..., Array] = batch_steps
    series: Callable[..., Array] = neumann
    h: Callable[..., Array] = batch_gradient
    x: Callable[[Array, Array, float], Array] = gradient_step


@traceable
@dataclass(frozen=True, kw_only=True)
class StocBiO:
    """StocBiO with its two step sizes, its inner loop and the sizes of its batches.

    Raises ``TypeError`` or ``ValueError`` for a hyper-parameter of the wrong type or outside
    its range.
    """

    lower_step_size: float  # α > 0
    upper_step_size: float  # η > 0
    lower_steps: int  # D ≥ 1
    lower_batch: int  # S ≥ 1
    upper_batch: int  # B ≥ 1
    neumann_terms: int  # Q ≥ 1
    neumann_scale: float  # l > 0, at least the largest curvature of a realisation
    parts: StocBiOParts = dataclasses.field(default=StocBiOParts(), repr=False)

    def __post_init__(self) -> None:
        positive(self, "lower_step_size", "upper_step_size", "neumann_scale")
        integer(self, "lower_steps", "lower_batch", "upper_batch", "neumann_terms")

    def init(self, problem: BilevelProblem, x: Array, y: Array, start: Start) -> StocBiOState:
        """Warm start and iteration 0."""
        y = self.warm_start(problem, x, y, start.warm_start)
        return self.step(problem, StocBiOState(x, y, 0), start.first)

    def step(
        self, problem: BilevelProblem, state: StocBiOState, sample: StocBiOSample
    ) -> StocBiOState:
        """One iteration: a pure function of its arguments."""
        x, y, k = state
        y = self.parts.y(problem, x, y, sample.lower, self.lower_step_size)

        def product(u: Array, batch: Any) -> Array:
            return mean(problem.hvp_lower, x, y, u, batch)

        v = mean(problem.grad_y_upper, x, y, sample.upper)
        terms, scale = self.neumann_terms, self.neumann_scale
        z = self.parts.series(product, v, sample, terms, scale, "chained")
        direction = self.parts.h(problem, x, y, z, sample)
        return StocBiOState(self.parts.x(x, direction, self.upper_step_size), y, k + 1)

    def warm_start(self, problem: BilevelProblem, x: Array, y: Array, samples: Any) -> Array:
        """T0 lower steps at x_0, one per row of ``samples``."""
        return self.parts.y(problem, x, y, samples, self.lower_step_size)

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes lower steps: every one does."""
        return True

    def draw(self, problem: BilevelProblem, refresh: bool = True) -> StocBiOSample:
        """The layout of one iteration's sample; there is but one kind of iteration."""
        factors, B = hessian_rows("chained", self.neumann_terms), self.upper_batch
        return StocBiOSample(
            upper=draw_fields(problem.upper_noise, (B,)),
            cross=draw_fields(problem.cross_noise, (B,)),
            hessian=draw_fields(problem.hessian_noise, (factors, B)),
            lower=self._lower_batches(problem, self.lower_steps),
        )

    def draw_start(self, problem: BilevelProblem, warm_start: int, first: int) -> Start:
        """The layout of iteration 0, after T0 = ``warm_start`` lower steps."""
        return Start(self._lower_batches(problem, warm_start), self.draw(problem))

    def _lower_batches(self, problem: BilevelProblem, steps: int) -> Any:
        return draw_fields(problem.lower_noise, (steps, self.lower_batch), scaled=True)
