"""TTSA: one SGD step on each level, the lower of a size that shrinks more slowly.

    y_{t+1} = y_t − β_t ∇_y G(x_t, y_t; π_t)
    x_{t+1} = x_t − α_t h_t(x_t, y_{t+1})
    α_t = a (w+t)^{−3/5},  β_t = b (w+t)^{−2/5}

h_t is the hypergradient estimate of ``accbo.hypergradient`` with the randomised series, one term
times Q. No momentum and no batch: that β_t shrinks more slowly, the two time scales, is what lets
y follow x. Source: Hong, Wai, Wang, Yang 2020 (arXiv 2007.05170), Alg. 1 for the lines, without
its projection, x being free here; the exponents are those of SPEC §5.

Our conventions where they leave a choice: an offset w, 1 being none; T0 warm-start steps of size
β_0, T0 = 0 being the paper's; iteration 0 is an iteration as any other, so S has no meaning; π is
the lower sample that the source scales.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, rational_power, traceable
from accbo.algorithms._layouts import NeumannSample, neumann_layout
from accbo.hypergradient import implicit_gradient, neumann, neumann_gradient
from accbo.lower import expect_one_step, gradient_steps
from accbo.parameters import integer, positive, real
from accbo.problem import BilevelProblem
from accbo.sampling import Start, draw_fields
from accbo.upper import gradient_step


def power_of(numerator: int, denominator: int) -> Callable[[float, float, int], float]:
    """(c, w, t) ↦ c (w+t)^{p/q}; t is an integer, and traced in a compiled run."""

    def size(constant: float, offset: float, t: int) -> float:
        size: float = constant * rational_power(offset + t, numerator, denominator)
        return size

    return size


class TTSAState(NamedTuple):
    """Everything iteration t reads; ``(..., d_x)`` and ``(..., d_y)`` arrays."""

    x: Array  # x_t
    y: Array  # y_t
    iteration: int  # t


TTSASample = NeumannSample


class TTSAParts(NamedTuple):
    """The functions a step is made of, each named for what it makes; a variation replaces one."""

    y_size: Callable[[float, float, int], float] = power_of(-2, 5)
    x_size: Callable[[float, float, int], float] = power_of(-3, 5)
    y: Callable[..., Array] = gradient_steps
    series: Callable[..., Array] = neumann
    h: Callable[..., Array] = implicit_gradient
    x: Callable[[Array, Array, float], Array] = gradient_step


@traceable
@dataclass(frozen=True, kw_only=True)
class TTSA:
    """TTSA with the constants of its two sizes; these depend on t as written above.

    Raises ``TypeError`` or ``ValueError`` for a hyper-parameter of the wrong type or outside
    its range.
    """

    lower_step_size: float  # b > 0
    upper_step_size: float  # a > 0
    offset: float  # w ≥ 1
    neumann_terms: int  # Q ≥ 1
    neumann_scale: float  # l > 0, at least the largest curvature of a realisation
    parts: TTSAParts = dataclasses.field(default=TTSAParts(), repr=False)

    def __post_init__(self) -> None:
        positive(self, "lower_step_size", "upper_step_size", "neumann_scale")
        real(self, "offset", least=1.0)
        integer(self, "neumann_terms")

    def init(self, problem: BilevelProblem, x: Array, y: Array, start: Start) -> TTSAState:
        """Warm start and iteration 0."""
        y = self.warm_start(problem, x, y, start.warm_start)
        return self.step(problem, TTSAState(x, y, 0), start.first)

    def step(self, problem: BilevelProblem, state: TTSAState, sample: TTSASample) -> TTSAState:
        """One iteration: a pure function of its arguments."""
        x, y, t = state
        expect_one_step(sample.lower, "TTSA")
        y_next = self.parts.y(problem, x, y, sample.lower, self._lower_size(t))
        gradient = neumann_gradient(
            problem,
            sample,
            "randomised",
            self.neumann_terms,
            self.neumann_scale,
            self.parts.series,
            self.parts.h,
        )
        x_next = self.parts.x(x, gradient(x, y_next), self._upper_size(t))
        return TTSAState(x_next, y_next, t + 1)

    def warm_start(self, problem: BilevelProblem, x: Array, y: Array, samples: Any) -> Array:
        """T0 lower steps at x_0 of the size β_0, one per row of ``samples``."""
        return self.parts.y(problem, x, y, samples, self._lower_size(0))

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes a lower step: every one does."""
        return True

    def draw(self, problem: BilevelProblem, refresh: bool = True) -> TTSASample:
        """The layout of one iteration's sample; there is but one kind of iteration."""
        return neumann_layout(problem, "randomised", self.neumann_terms, 1)

    def draw_start(self, problem: BilevelProblem, warm_start: int, first: int) -> Start:
        """The layout of iteration 0, after T0 = ``warm_start`` lower steps."""
        lower = draw_fields(problem.lower_noise, (warm_start,), scaled=True)
        return Start(warm_start=lower, first=self.draw(problem))

    def _lower_size(self, t: int) -> float:
        """β_t."""
        return self.parts.y_size(self.lower_step_size, self.offset, t)

    def _upper_size(self, t: int) -> float:
        """α_t."""
        return self.parts.x_size(self.upper_step_size, self.offset, t)
