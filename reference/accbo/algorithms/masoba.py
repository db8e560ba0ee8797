"""MA-SOBA: one SGD step below, one on the linear system, a moving average above.

    x_{t+1} = x_t − η h_t
    y_{t+1} = y_t − α ∇_y G(x_t, y_t; π_t)
    z_{t+1} = z_t − ν (∇²_yy G(x_t,y_t;ζ) z_t − ∇_y F(x_t,y_t;ξ'))
    h_{t+1} = β h_t + (1 − β) (∇_x F(x_t,y_t;ξ) − ∇²_xy G(x_t,y_t;ζ⁰) z_t)

All four read the old variables: x, y and z move together, and x moves with the *old* average,
which knows nothing of the samples of iteration t. Fresh samples everywhere: ξ, ξ', ζ⁰, ζ and π
are independent. z tracks [∇²_yy g]⁻¹ ∇_y f. Source: Chen, Xiao, Balasubramanian 2023 (arXiv
2306.12067), Alg. 1, as SPEC §5 has it; their θ is our 1 − β.

Our conventions where it leaves a choice: z_0 = 0 and h_0 = 0, so that iteration 0 does not move
x, and h_1 is the mean of the direction over S samples without decay (β_0 = 0); T0 warm-start
steps of size α, T0 = 0 being the paper's; π is the lower sample that the source scales.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, mean_over, namespace, traceable
from accbo.algorithms._layouts import LinearSample, linear_layout, linear_start
from accbo.hypergradient import implicit_gradient, linear_system_step
from accbo.lower import expect_one_step, gradient_steps
from accbo.momentum import moving_average
from accbo.parameters import positive, real
from accbo.problem import BilevelProblem
from accbo.sampling import Start
from accbo.upper import gradient_step


class MASOBAState(NamedTuple):
    """Everything iteration t reads; ``(..., d_x)`` and ``(..., d_y)`` arrays."""

    x: Array  # x_t
    y: Array  # y_t
    z: Array  # z_t, shaped like y
    momentum: Array  # h_t, of the samples before t
    iteration: int  # t


MASOBASample = LinearSample


class MASOBAParts(NamedTuple):
    """The functions a step is made of, each named for what it makes; a variation replaces one."""

    y: Callable[..., Array] = gradient_steps
    z: Callable[..., Array] = linear_system_step
    h: Callable[..., Array] = implicit_gradient
    momentum: Callable[..., Array] = moving_average
    x: Callable[[Array, Array, float], Array] = gradient_step


@traceable
@dataclass(frozen=True, kw_only=True)
class MASOBA:
    """MA-SOBA with its three step sizes and the decay of its average.

    Raises ``TypeError`` or ``ValueError`` for a hyper-parameter of the wrong type or outside
    its range.
    """

    lower_step_size: float  # α > 0
    linear_step_size: float  # ν > 0
    momentum: float  # β in [0, 1)
    upper_step_size: float  # η > 0
    parts: MASOBAParts = dataclasses.field(default=MASOBAParts(), repr=False)

    def __post_init__(self) -> None:
        positive(self, "lower_step_size", "linear_step_size", "upper_step_size")
        real(self, "momentum", least=0.0, below=1.0)

    def init(self, problem: BilevelProblem, x: Array, y: Array, start: Start) -> MASOBAState:
        """Warm start and iteration 0, where h_1 is a mean over the S first samples."""
        y = self.warm_start(problem, x, y, start.warm_start)
        z, sample = namespace(y).zeros_like(y), start.first
        both = sample._replace(upper_y={}, hessian={}, lower={})  # what has an axis over S
        momentum = mean_over(lambda one: self.parts.h(problem, x, y, z, one), x, both)
        expect_one_step(sample.lower, "MA-SOBA")
        zero = namespace(x).zeros_like(x)
        v = problem.grad_y_upper(x, y, sample.upper_y)
        return MASOBAState(
            x=self.parts.x(x, zero, self.upper_step_size),
            y=self.parts.y(problem, x, y, sample.lower, self.lower_step_size),
            z=self._z_step(problem, x, y, z, v, sample),
            momentum=momentum,
            iteration=1,
        )

    def step(
        self, problem: BilevelProblem, state: MASOBAState, sample: MASOBASample
    ) -> MASOBAState:
        """Iteration t ≥ 1: a pure function of its arguments."""
        x, y, z, average, t = state
        expect_one_step(sample.lower, "MA-SOBA")

        def direction(x: Array, y: Array) -> Array:
            return self.parts.h(problem, x, y, z, sample)

        average_next = self.parts.momentum(direction, (x, y), average, self.momentum)
        x_next = self.parts.x(x, average, self.upper_step_size)
        v = problem.grad_y_upper(x, y, sample.upper_y)
        y_next = self.parts.y(problem, x, y, sample.lower, self.lower_step_size)
        z_next = self._z_step(problem, x, y, z, v, sample)

        return MASOBAState(x_next, y_next, z_next, average_next, t + 1)

    def warm_start(self, problem: BilevelProblem, x: Array, y: Array, samples: Any) -> Array:
        """T0 lower steps at x_0, one per row of ``samples``."""
        return self.parts.y(problem, x, y, samples, self.lower_step_size)

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes a lower step: every one does."""
        return True

    def draw(self, problem: BilevelProblem, refresh: bool = True) -> MASOBASample:
        """The layout of one iteration's sample; there is but one kind of iteration."""
        return linear_layout(problem, 1)

    def draw_start(self, problem: BilevelProblem, warm_start: int, first: int) -> Start:
        """The layout of iteration 0: T0 = ``warm_start`` lower steps, S = ``first`` samples."""
        return linear_start(problem, self.draw(problem), warm_start, first)

    def _z_step(
        self, problem: BilevelProblem, x: Array, y: Array, z: Array, v: Array, sample: Any
    ) -> Array:
        """z_{t+1}: a step on the linear system ∇²_yy G z = v at (x_t, y_t)."""

        def product(u: Array) -> Array:
            return problem.hvp_lower(x, y, u, sample.hessian)

        return self.parts.z(product, v, z, self.linear_step_size)
