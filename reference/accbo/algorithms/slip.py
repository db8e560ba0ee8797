"""SLIP: normalised moving average above, one gradient step below, one on the linear system.

    m_t     = β m_{t−1} + (1 − β) (∇_x F(x_t,y_t;ξ) − ∇²_xy G(x_t,y_t;ζ⁰) z_t)
    x_{t+1} = x_t − η m_t/‖m_t‖
    y_{t+1} = y_t − α ∇_y G(x_t, y_t; π_t)
    z_{t+1} = z_t − ν (∇²_yy G(x_t,y_t;ζ) z_t − ∇_y F(x_t,y_t;ξ'))

Fresh samples everywhere: ξ, ξ', ζ⁰, ζ and π are independent. z tracks [∇²_yy g]⁻¹ ∇_y f, so
that an iteration costs 5 oracle calls whatever the condition of the lower level. Source: the
table of SPEC §5. Our conventions where it leaves a choice: all three variables read the old
ones (simultaneous), the warm start is T0 steps of y at x_0, z_0 = 0, and m_0 is a mean over S
samples as AccBO's is.
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
from accbo.upper import normalized_step


class SLIPState(NamedTuple):
    """Everything iteration t reads; ``(..., d_x)`` and ``(..., d_y)`` arrays."""

    x: Array  # x_t
    y: Array  # y_t
    z: Array  # z_t, shaped like y
    momentum: Array  # m_{t−1}
    iteration: int  # t


SLIPSample = LinearSample


class SLIPParts(NamedTuple):
    """The functions a step is made of, each named for what it makes; a variation replaces one."""

    y: Callable[..., Array] = gradient_steps
    z: Callable[..., Array] = linear_system_step
    h: Callable[..., Array] = implicit_gradient
    momentum: Callable[..., Array] = moving_average
    x: Callable[[Array, Array, float], Array] = normalized_step


@traceable
@dataclass(frozen=True, kw_only=True)
class SLIP:
    """SLIP with its four step sizes and momenta.

    Raises ``TypeError`` or ``ValueError`` for a hyper-parameter of the wrong type or outside
    its range.
    """

    lower_step_size: float  # α > 0
    linear_step_size: float  # ν > 0
    momentum: float  # β in [0, 1)
    upper_step_size: float  # η > 0
    parts: SLIPParts = dataclasses.field(default=SLIPParts(), repr=False)

    def __post_init__(self) -> None:
        positive(self, "lower_step_size", "linear_step_size", "upper_step_size")
        real(self, "momentum", least=0.0, below=1.0)

    def init(self, problem: BilevelProblem, x: Array, y: Array, start: Start) -> SLIPState:
        """Warm start and iteration 0, where m_0 is a mean over the S first samples."""
        y = self.warm_start(problem, x, y, start.warm_start)
        z, sample = namespace(y).zeros_like(y), start.first
        both = sample._replace(upper_y={}, hessian={}, lower={})  # what has an axis over S
        momentum = mean_over(lambda one: self.parts.h(problem, x, y, z, one), x, both)
        expect_one_step(sample.lower, "SLIP")
        v = problem.grad_y_upper(x, y, sample.upper_y)
        return SLIPState(
            x=self.parts.x(x, momentum, self.upper_step_size),
            y=self.parts.y(problem, x, y, sample.lower, self.lower_step_size),
            z=self._z_step(problem, x, y, z, v, sample),
            momentum=momentum,
            iteration=1,
        )

    def step(self, problem: BilevelProblem, state: SLIPState, sample: SLIPSample) -> SLIPState:
        """Iteration t ≥ 1: a pure function of its arguments."""
        x, y, z, momentum, t = state
        expect_one_step(sample.lower, "SLIP")

        def direction(x: Array, y: Array) -> Array:
            return self.parts.h(problem, x, y, z, sample)

        momentum = self.parts.momentum(direction, (x, y), momentum, self.momentum)
        x_next = self.parts.x(x, momentum, self.upper_step_size)
        v = problem.grad_y_upper(x, y, sample.upper_y)
        y_next = self.parts.y(problem, x, y, sample.lower, self.lower_step_size)
        z_next = self._z_step(problem, x, y, z, v, sample)

        return SLIPState(x_next, y_next, z_next, momentum, t + 1)

    def warm_start(self, problem: BilevelProblem, x: Array, y: Array, samples: Any) -> Array:
        """T0 lower steps at x_0, one per row of ``samples``."""
        return self.parts.y(problem, x, y, samples, self.lower_step_size)

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes a lower step: every one does."""
        return True

    def draw(self, problem: BilevelProblem, refresh: bool = True) -> SLIPSample:
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
