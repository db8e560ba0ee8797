"""VRBO: SPIDER on both levels inside an inner loop, a large batch every q iterations.

    k mod q = 0:  u, v = means of ∇_y G and h at (x_k, y_k) over a batch of S1
    x_{k+1} = x_k − a v
    p_{−1} = (x_k, y_k), p_0 = (x_{k+1}, y_k); for i = 0 … m, on a fresh batch of S2 each:
        u ← u + ∇_y G(p_i) − ∇_y G(p_{i−1}),   v ← v + h(p_i) − h(p_{i−1})      means over it
        p_{i+1} = (x_{k+1}, y-part of p_i − b u)
    y_{k+1} = y-part of p_m

h is the hypergradient estimate of ``accbo.hypergradient`` with the chained series. The first
difference, from p_{−1} to p_0, is the one that sees x move. Source: Yang, Ji, Liang 2021 (arXiv
2106.04692), Alg. 2, as SPEC §5 has it.

Our conventions where they leave a choice: y_{k+1} is the last point at which u and v were taken,
so that they belong to (x_{k+1}, y_{k+1}) and the next first difference leaves nothing out; the
step after the last difference is dropped, which makes m lower steps an iteration. T0
warm-start steps of size b, T0 = 0 being the paper's. Iteration 0 is a refresh: its batch of S1
takes the place of S.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, fold, namespace, rows, traceable
from accbo.hypergradient import hessian_rows, implicit_gradient, neumann, neumann_gradient
from accbo.lower import gradient_steps
from accbo.momentum import Gradient
from accbo.parameters import integer, positive
from accbo.problem import BilevelProblem
from accbo.sampling import Start, draw_fields
from accbo.spider import batch_mean, spider
from accbo.upper import gradient_step


class VRBOState(NamedTuple):
    """Everything iteration k reads; ``(..., d_x)`` and ``(..., d_y)`` arrays."""

    x: Array  # x_k
    y: Array  # y_k
    lower_estimate: Array  # u, shaped like y
    estimate: Array  # v
    iteration: int  # k


class VRBOBatch(NamedTuple):
    """A batch of samples of both levels; the batch is the axis in front of the replicates."""

    upper: Any  # ξ
    cross: Any  # ζ⁰
    hessian: Any  # ζ, a leading axis over the Q − 1 factors in front of the batch
    lower: Any  # π


class VRBOSample(NamedTuple):
    """The noise of one iteration.

    ``large`` is a batch of S1 at a refresh and of 0 between, ``inner`` has a leading axis over
    the m + 1 differences.
    """

    large: VRBOBatch
    inner: VRBOBatch


class VRBOParts(NamedTuple):
    """The functions a step is made of, each named for what it makes; a variation replaces one."""

    refreshed: Callable[..., Array] = batch_mean  # u and v at a refresh
    lower_estimate: Callable[..., Array] = spider
    series: Callable[..., Array] = neumann
    h: Callable[..., Array] = implicit_gradient
    estimate: Callable[..., Array] = spider
    y: Callable[[Array, Array, float], Array] = gradient_step
    x: Callable[[Array, Array, float], Array] = gradient_step


@traceable
@dataclass(frozen=True, kw_only=True)
class VRBO:
    """VRBO with its two step sizes, its period and the sizes of its batches and of its loop.

    Raises ``TypeError`` or ``ValueError`` for a hyper-parameter of the wrong type or outside
    its range.
    """

    lower_step_size: float  # b > 0
    upper_step_size: float  # a > 0
    period: int  # q ≥ 1
    lower_steps: int  # m ≥ 1
    large_batch: int  # S1 ≥ 1
    small_batch: int  # S2 ≥ 1
    neumann_terms: int  # Q ≥ 1
    neumann_scale: float  # l > 0, at least the largest curvature of a realisation
    parts: VRBOParts = dataclasses.field(default=VRBOParts(), repr=False)

    def __post_init__(self) -> None:
        positive(self, "lower_step_size", "upper_step_size", "neumann_scale")
        integer(self, "period", "lower_steps", "large_batch", "small_batch", "neumann_terms")

    def init(self, problem: BilevelProblem, x: Array, y: Array, start: Start) -> VRBOState:
        """Warm start and iteration 0, which is a refresh."""
        y = self.warm_start(problem, x, y, start.warm_start)
        zeros = namespace(x).zeros_like
        return self.step(problem, VRBOState(x, y, zeros(y), zeros(x), 0), start.first)

    def step(self, problem: BilevelProblem, state: VRBOState, sample: VRBOSample) -> VRBOState:
        """Iteration k: a pure function of its arguments."""
        x, y, u, v, k = state
        if rows(sample.large.upper):
            lower_gradient, gradient, size = self._gradients(problem, sample.large)
            u = self.parts.refreshed(lower_gradient, (x, y), size)
            v = self.parts.refreshed(gradient, (x, y), size)
        x_next = self.parts.x(x, v, self.upper_step_size)

        def advance(inner: Any, batch: VRBOBatch) -> Any:
            old, new, u, v = inner
            lower_gradient, gradient, size = self._gradients(problem, batch)
            u = self.parts.lower_estimate(lower_gradient, new, old, u, size)
            v = self.parts.estimate(gradient, new, old, v, size)
            x, y = new
            return new, (x, self.parts.y(y, u, self.lower_step_size)), u, v

        (x, y), _, u, v = fold(advance, ((x, y), (x_next, y), u, v), sample.inner)
        return VRBOState(x, y, u, v, k + 1)

    def warm_start(self, problem: BilevelProblem, x: Array, y: Array, samples: Any) -> Array:
        """T0 plain lower steps at x_0, one per row of ``samples``."""
        return gradient_steps(problem, x, y, samples, self.lower_step_size)

    def refreshes(self, t: int) -> bool:
        """Whether iteration t draws a large batch: if t mod q = 0."""
        return t % self.period == 0

    def draw(self, problem: BilevelProblem, refresh: bool = True) -> VRBOSample:
        """The layout of one iteration's sample."""
        return VRBOSample(
            large=self._batch(problem, self.large_batch if refresh else 0),
            inner=self._batch(problem, self.small_batch, (self.lower_steps + 1,)),
        )

    def draw_start(self, problem: BilevelProblem, warm_start: int, first: int) -> Start:
        """The layout of iteration 0, a refresh, after T0 = ``warm_start`` lower steps."""
        lower = draw_fields(problem.lower_noise, (warm_start,), scaled=True)
        return Start(warm_start=lower, first=self.draw(problem))

    def _batch(
        self, problem: BilevelProblem, size: int, leading: tuple[int, ...] = ()
    ) -> VRBOBatch:
        """The layout of a batch under ``leading`` axes."""
        factors = hessian_rows("chained", self.neumann_terms)
        return VRBOBatch(
            upper=draw_fields(problem.upper_noise, (*leading, size)),
            cross=draw_fields(problem.cross_noise, (*leading, size)),
            hessian=draw_fields(problem.hessian_noise, (*leading, factors, size)),
            lower=draw_fields(problem.lower_noise, (*leading, size), scaled=True),
        )

    def _gradients(
        self, problem: BilevelProblem, batch: VRBOBatch
    ) -> tuple[Gradient, Gradient, int]:
        """(x, y) ↦ ∇_y G and h, one value per sample of this one batch, and its size."""
        terms, scale = self.neumann_terms, self.neumann_scale
        return (
            lambda x, y: problem.grad_y_lower(x, y, batch.lower),
            neumann_gradient(
                problem, batch, "chained", terms, scale, self.parts.series, self.parts.h
            ),
            rows(batch.upper),
        )
