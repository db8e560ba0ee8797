"""SUSTAIN: recursive momentum on both levels, plain steps of shrinking size.

    u_t     = ∇_y G(x_t,y_t;π_t) + (1 − η^g_t) (u_{t−1} − ∇_y G(x_{t−1},y_{t−1};π_t))
    m_t     = h_t(x_t,y_t) + (1 − η^f_t) (m_{t−1} − h_t(x_{t−1},y_{t−1}))
    y_{t+1} = y_t − β_t u_t
    x_{t+1} = x_t − α_t m_t
    α_t = a (w+t)^{−1/3},  β_t = b (w+t)^{−1/3},  η^f_t = c_f (w+t−1)^{−2/3},  η^g_t: with c_g

h_t is the hypergradient estimate of ``accbo.hypergradient`` with the randomised series, one term
times Q: the two points share ξ, ζ⁰, ζ and the random index, as they share π below. Source:
Khanduri et al. 2021 (arXiv 2102.07367), Alg. 1 for the lines and Theorem 1 for the sizes, where
η_{t+1} is a multiple of α_t²; SPEC §5.

Our conventions where they leave a choice: x and y move together, from (x_t, y_t); u_0 and m_0 are
plain estimates (η_0 = 1), m_0 a mean over S samples; T0 warm-start steps of size β_0, T0 = 0
being the paper's; π is the lower sample that the source scales.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, mean_over, rational_power, row, traceable
from accbo.algorithms._layouts import NeumannSample, neumann_layout
from accbo.hypergradient import implicit_gradient, neumann, neumann_gradient
from accbo.lower import expect_one_step, gradient_steps
from accbo.momentum import Gradient, recursive_momentum
from accbo.parameters import integer, positive, real
from accbo.problem import BilevelProblem
from accbo.sampling import Start, draw_fields
from accbo.upper import gradient_step


class SUSTAINState(NamedTuple):
    """Everything iteration t reads; ``(..., d_x)`` and ``(..., d_y)`` arrays."""

    x: Array  # x_t
    x_previous: Array  # x_{t−1}
    y: Array  # y_t
    y_previous: Array  # y_{t−1}
    lower_momentum: Array  # u_{t−1}, shaped like y
    momentum: Array  # m_{t−1}
    iteration: int  # t


SUSTAINSample = NeumannSample


def cube_root(offset: float, t: int) -> float:
    """(w+t)^{−1/3}; t is an integer, and traced in a compiled run."""
    rate: float = rational_power(offset + t, -1, 3)
    return rate


class SUSTAINParts(NamedTuple):
    """The functions a step is made of, each named for what it makes; a variation replaces one.

    ``size`` and ``decay`` make what α_t and β_t, and the roots of η_{t+1}, are multiples of.
    """

    size: Callable[[float, int], float] = cube_root
    decay: Callable[[float, int], float] = cube_root
    lower_momentum: Callable[..., Array] = recursive_momentum
    series: Callable[..., Array] = neumann
    h: Callable[..., Array] = implicit_gradient
    momentum: Callable[..., Array] = recursive_momentum
    y: Callable[[Array, Array, float], Array] = gradient_step
    x: Callable[[Array, Array, float], Array] = gradient_step


@traceable
@dataclass(frozen=True, kw_only=True)
class SUSTAIN:
    """SUSTAIN with the constants of its sizes; these depend on t as written above.

    Raises ``TypeError`` or ``ValueError`` for a hyper-parameter of the wrong type or outside
    its range, which for c_f and c_g is [0, w^{2/3}]: the momenta 1 − η_t lie in [0, 1].
    """

    lower_step_size: float  # b > 0
    upper_step_size: float  # a > 0
    lower_averaging: float  # c_g
    upper_averaging: float  # c_f
    offset: float  # w ≥ 1
    neumann_terms: int  # Q ≥ 1
    neumann_scale: float  # l > 0, at least the largest curvature of a realisation
    parts: SUSTAINParts = dataclasses.field(default=SUSTAINParts(), repr=False)

    def __post_init__(self) -> None:
        positive(self, "lower_step_size", "upper_step_size", "neumann_scale")
        real(self, "offset", least=1.0)
        real(self, "lower_averaging", least=0.0, most=self.offset ** (2 / 3))
        real(self, "upper_averaging", least=0.0, most=self.offset ** (2 / 3))
        integer(self, "neumann_terms")

    def init(self, problem: BilevelProblem, x: Array, y: Array, start: Start) -> SUSTAINState:
        """Warm start and iteration 0, where m_0 = mean of h_0 over the S first samples."""
        y = self.warm_start(problem, x, y, start.warm_start)
        upper = start.first._replace(lower={})
        momentum = mean_over(lambda sample: self._gradient(problem, sample)(x, y), x, upper)
        lower_momentum = self._lower_gradient(problem, start.first)(x, y)
        size = self.parts.size(self.offset, 0)
        return SUSTAINState(
            x=self.parts.x(x, momentum, self.upper_step_size * size),
            x_previous=x,
            y=self.parts.y(y, lower_momentum, self.lower_step_size * size),
            y_previous=y,
            lower_momentum=lower_momentum,
            momentum=momentum,
            iteration=1,
        )

    def step(
        self, problem: BilevelProblem, state: SUSTAINState, sample: SUSTAINSample
    ) -> SUSTAINState:
        """Iteration t ≥ 1: a pure function of its arguments."""
        x, x_previous, y, y_previous, u, m, t = state
        new, old = (x, y), (x_previous, y_previous)
        eta, size = self.parts.decay(self.offset, t - 1) ** 2, self.parts.size(self.offset, t)

        below, decay = self._lower_gradient(problem, sample), 1 - self.lower_averaging * eta
        u = self.parts.lower_momentum(below, new, old, u, decay)
        above, decay = self._gradient(problem, sample), 1 - self.upper_averaging * eta
        m = self.parts.momentum(above, new, old, m, decay)
        y_next = self.parts.y(y, u, self.lower_step_size * size)
        x_next = self.parts.x(x, m, self.upper_step_size * size)

        return SUSTAINState(x_next, x, y_next, y, u, m, t + 1)

    def warm_start(self, problem: BilevelProblem, x: Array, y: Array, samples: Any) -> Array:
        """T0 plain lower steps at x_0 of the size β_0, one per row of ``samples``."""
        size = self.lower_step_size * self.parts.size(self.offset, 0)
        return gradient_steps(problem, x, y, samples, size)

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes a lower step: every one does."""
        return True

    def draw(self, problem: BilevelProblem, refresh: bool = True) -> SUSTAINSample:
        """The layout of one iteration's sample; there is but one kind of iteration."""
        return self._draw(problem, ())

    def draw_start(self, problem: BilevelProblem, warm_start: int, first: int) -> Start:
        """The layout of iteration 0: T0 = ``warm_start`` lower steps, S = ``first`` samples."""
        lower = draw_fields(problem.lower_noise, (warm_start,), scaled=True)
        return Start(warm_start=lower, first=self._draw(problem, (first,)))

    def _draw(self, problem: BilevelProblem, leading: tuple[int, ...]) -> SUSTAINSample:
        """A sample whose upper-level parts have the ``leading`` axes."""
        return neumann_layout(problem, "randomised", self.neumann_terms, 1, leading)

    def _gradient(self, problem: BilevelProblem, sample: SUSTAINSample) -> Gradient:
        """(x, y) ↦ h_t(x, y), on this one sample and its one index wherever it is evaluated."""
        return neumann_gradient(
            problem,
            sample,
            "randomised",
            self.neumann_terms,
            self.neumann_scale,
            self.parts.series,
            self.parts.h,
        )

    def _lower_gradient(self, problem: BilevelProblem, sample: SUSTAINSample) -> Gradient:
        """(x, y) ↦ ∇_y G(x, y; π_t), on this one π wherever it is evaluated."""
        expect_one_step(sample.lower, "SUSTAIN")
        return lambda x, y: problem.grad_y_lower(x, y, row(sample.lower, 0))
