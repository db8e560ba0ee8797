"""AccBO: normalised recursive momentum above, accelerated averaging below.

    m_t     = h_t(x_t, ŷ_t) + β (m_{t−1} − h_t(x_{t−1}, ŷ_{t−1}))     one sample for both
    x_{t+1} = x_t − η m_t/‖m_t‖
    z_t     = y_t + γ (y_t − y_{t−1});   y_{t+1} = z_t − α ∇_y G(x_t, z_t; π_t)
    ŷ_{t+1} = (1 − τ) ŷ_t + τ y_{t+1}

h_t is the hypergradient estimate of ``accbo.hypergradient``. Source: arXiv 2409.19212;
the order of the updates, the start and the restarts are the conventions of SPEC §2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, fold, mean_over, rows, traceable
from accbo.algorithms._layouts import NeumannSample, neumann_layout
from accbo.hypergradient import NEUMANN, implicit_gradient, neumann, neumann_gradient
from accbo.lower import average, nesterov_step
from accbo.momentum import Gradient, recursive_momentum
from accbo.parameters import choice, integer, real
from accbo.problem import BilevelProblem
from accbo.sampling import Start, draw_fields
from accbo.upper import normalized_step

ORDERS = ("simultaneous", "sequential")


class AccBOState(NamedTuple):
    """Everything iteration t reads; ``(..., d_x)`` and ``(..., d_y)`` arrays."""

    x: Array  # x_t
    x_previous: Array  # x_{t−1}
    y: Array  # y_t
    y_previous: Array  # y_{t−1}
    y_average: Array  # ŷ_t
    y_average_previous: Array  # ŷ_{t−1}
    momentum: Array  # m_{t−1}
    iteration: int  # t


AccBOSample = NeumannSample


class AccBOParts(NamedTuple):
    """The functions a step is made of, each named for what it makes; a variation replaces one."""

    y: Callable[..., Array] = nesterov_step
    y_average: Callable[[Array, Array, float], Array] = average
    series: Callable[..., Array] = neumann
    h: Callable[..., Array] = implicit_gradient
    momentum: Callable[..., Array] = recursive_momentum
    x: Callable[[Array, Array, float], Array] = normalized_step


@traceable
@dataclass(frozen=True, kw_only=True)
class AccBO:
    """AccBO with the hyper-parameters of SPEC §2.

    ``period=None`` is Option I, one lower step per iteration; an integer I ≥ 1 is Option II,
    ``lower_steps`` from a restart every I iterations and none between. Raises ``TypeError``
    or ``ValueError`` for a hyper-parameter of the wrong type or outside its range.
    """

    lower_step_size: float  # α > 0
    lower_momentum: float  # γ in [0, 1)
    averaging: float  # τ in (0, 1]
    momentum: float  # β in [0, 1)
    upper_step_size: float  # η > 0
    neumann_terms: int  # Q ≥ 1
    neumann_scale: float  # l > 0, at least the largest curvature of a realisation
    neumann_sampling: str = "chained"  # or "independent", "randomised"
    period: int | None = None  # I ≥ 1, or None for Option I
    lower_steps: int = 1  # N ≥ 1, Option II only
    order: str = "simultaneous"  # or "sequential"
    parts: AccBOParts = dataclasses.field(default=AccBOParts(), repr=False)

    def __post_init__(self) -> None:
        real(self, "lower_step_size", above=0.0)
        real(self, "lower_momentum", least=0.0, below=1.0)
        real(self, "averaging", above=0.0, most=1.0)
        real(self, "momentum", least=0.0, below=1.0)
        real(self, "upper_step_size", above=0.0)
        integer(self, "neumann_terms")
        real(self, "neumann_scale", above=0.0)
        choice(self, "neumann_sampling", tuple(NEUMANN))
        if self.period is not None:
            integer(self, "period")
        integer(self, "lower_steps")
        choice(self, "order", ORDERS)

    def init(self, problem: BilevelProblem, x: Array, y: Array, start: Start) -> AccBOState:
        """Warm start and iteration 0, where m_0 = mean of h_0 over the S first samples."""
        y = self.warm_start(problem, x, y, start.warm_start)
        y_next = self._lower_level(problem, x, y, y, start.first.lower)
        y_average_next = self.parts.y_average(y, y_next, self.averaging)
        point = (x, y) if self.order == "simultaneous" else (x, y_average_next)
        upper = start.first._replace(lower={})
        momentum = mean_over(lambda sample: self._gradient(problem, sample)(*point), x, upper)
        return AccBOState(
            x=self.parts.x(x, momentum, self.upper_step_size),
            x_previous=x,
            y=y_next,
            y_previous=y,
            y_average=y_average_next,
            y_average_previous=y,
            momentum=momentum,
            iteration=1,
        )

    def step(self, problem: BilevelProblem, state: AccBOState, sample: AccBOSample) -> AccBOState:
        """Iteration t ≥ 1: a pure function of its arguments."""
        x, x_previous, y, y_previous, y_average, y_average_previous, momentum, t = state

        y_next = self._lower_level(problem, x, y, y_previous, sample.lower)
        y_average_next = self.parts.y_average(y_average, y_next, self.averaging)

        new, old = (x, y_average), (x_previous, y_average_previous)
        if self.order == "sequential":
            new, old = (x, y_average_next), (x_previous, y_average)

        gradient = self._gradient(problem, sample)
        momentum = self.parts.momentum(gradient, new, old, momentum, self.momentum)
        x_next = self.parts.x(x, momentum, self.upper_step_size)

        return AccBOState(x_next, x, y_next, y, y_average_next, y_average, momentum, t + 1)

    def warm_start(self, problem: BilevelProblem, x: Array, y: Array, samples: Any) -> Array:
        """T0 lower steps at x_0 from the pair (y, y), one per row of ``samples``."""
        return self._lower_steps(problem, x, (y, y), samples)[0]

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes lower steps: always in Option I, if t mod I = 0 in II."""
        return self.period is None or t % self.period == 0

    def draw(self, problem: BilevelProblem, refresh: bool = True) -> AccBOSample:
        """The layout of one iteration's sample (see ``accbo.sampling``)."""
        return self._draw(problem, refresh, ())

    def draw_start(self, problem: BilevelProblem, warm_start: int, first: int) -> Start:
        """The layout of iteration 0: T0 = ``warm_start`` lower steps, S = ``first`` samples."""
        lower = draw_fields(problem.lower_noise, (warm_start,), scaled=True)
        return Start(warm_start=lower, first=self._draw(problem, self.refreshes(0), (first,)))

    def _draw(
        self, problem: BilevelProblem, refresh: bool, leading: tuple[int, ...]
    ) -> AccBOSample:
        steps = 1 if self.period is None else self.lower_steps
        sampling, terms = self.neumann_sampling, self.neumann_terms
        return neumann_layout(problem, sampling, terms, steps if refresh else 0, leading)

    def _gradient(self, problem: BilevelProblem, sample: AccBOSample) -> Gradient:
        """(x, y) ↦ h_t(x, y), on this one sample wherever it is evaluated."""
        return neumann_gradient(
            problem,
            sample,
            self.neumann_sampling,
            self.neumann_terms,
            self.neumann_scale,
            self.parts.series,
            self.parts.h,
        )

    def _lower_level(
        self, problem: BilevelProblem, x: Array, y: Array, y_previous: Array, samples: Any
    ) -> Array:
        """y_{t+1}: one step from (y_t, y_{t−1}), or N from the restart (y_t, y_t), or y_t."""
        if self.period is not None:
            y_previous = y
        elif rows(samples) != 1:
            raise ValueError(
                f"sample.lower has {rows(samples)} rows; Option I takes one lower step"
            )
        return self._lower_steps(problem, x, (y, y_previous), samples)[0]

    def _lower_steps(
        self, problem: BilevelProblem, x: Array, pair: tuple[Array, Array], samples: Any
    ) -> tuple[Array, Array]:
        """Nesterov steps at a fixed x on the pair (y, y_previous), one per row of samples."""

        def advance(pair: tuple[Array, Array], sample: Any) -> tuple[Array, Array]:
            def gradient(z: Array) -> Array:
                return problem.grad_y_lower(x, z, sample)

            y, y_previous = pair
            step_size, momentum = self.lower_step_size, self.lower_momentum
            return self.parts.y(gradient, y, y_previous, step_size, momentum), y

        last: tuple[Array, Array] = fold(advance, pair, samples)
        return last
