"""SABA: SAGA on all five derivatives of a finite sum, plain steps of x, y and z together.

    i, j    one lower and one upper index, uniform
    y_{t+1} = y_t − α Ĝ_y             Ĝ_y: SAGA of ∇_y G_i(x_t, y_t)
    z_{t+1} = z_t − ν (Ĥz − F̂_y)      Ĥz: of ∇²_yy G_i(x_t, y_t) z_t, F̂_y: of ∇_y F_j(x_t, y_t)
    x_{t+1} = x_t − η (F̂_x − Ĵz)      F̂_x: of ∇_x F_j(x_t, y_t), Ĵz: of ∇²_xy G_i(x_t, y_t) z_t

z tracks [∇²_yy g]⁻¹ ∇_y f; everything reads the old (x, y, z), and the rows of the tables become
what was seen there. Source: Dagréou, Ablin, Vaiter, Moreau 2022 (arXiv 2201.13409), Alg. 1 for
the three steps and Alg. 2 for the tables, as SPEC §5 has them; their v is our −z, and their one
step ρ of both lower variables is our α and ν.

Our conventions where they leave a choice: z_0 = 0; the tables start full, by one pass over both
sums at x_0 after T0 warm-start steps of y. Iteration 0 is then exact whichever index is drawn
and leaves the tables as they are, so it draws none, and S has no meaning here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, namespace, row, traceable
from accbo.lower import expect_one_step, gradient_steps
from accbo.parameters import positive
from accbo.problem import BilevelProblem
from accbo.saga import Table, expect_rows, full_pass, saga, sums_of
from accbo.sampling import Start, draw_fields
from accbo.upper import gradient_step


class SABATables(NamedTuple):
    """A table for each derivative, by term of its sum: n below, m above."""

    grad_y_lower: Table  # ∇_y G_i
    hvp_lower: Table  # ∇²_yy G_i z
    cross_lower: Table  # ∇²_xy G_i z
    grad_y_upper: Table  # ∇_y F_j
    grad_x_upper: Table  # ∇_x F_j


class SABAState(NamedTuple):
    """Everything iteration t reads; ``(..., d_x)`` and ``(..., d_y)`` arrays, and the tables."""

    x: Array  # x_t
    y: Array  # y_t
    z: Array  # z_t, shaped like y
    tables: SABATables
    iteration: int  # t


class SABASample(NamedTuple):
    """One index of each level; ``lower`` has a leading axis over the lower steps, of length 1."""

    upper: Any  # j
    lower: Any  # i


class SABAParts(NamedTuple):
    """The functions a step is made of, each named for what it makes; a variation replaces one."""

    grad_y_lower: Callable[..., tuple[Array, Table]] = saga
    hvp_lower: Callable[..., tuple[Array, Table]] = saga
    cross_lower: Callable[..., tuple[Array, Table]] = saga
    grad_y_upper: Callable[..., tuple[Array, Table]] = saga
    grad_x_upper: Callable[..., tuple[Array, Table]] = saga
    y: Callable[[Array, Array, float], Array] = gradient_step
    z: Callable[[Array, Array, float], Array] = gradient_step
    x: Callable[[Array, Array, float], Array] = gradient_step


@traceable
@dataclass(frozen=True, kw_only=True)
class SABA:
    """SABA with its three step sizes, for problems that are finite sums drawn term by term.

    Raises ``TypeError`` or ``ValueError`` for a hyper-parameter of the wrong type or outside
    its range, and its methods ``ValueError`` for a problem that is no such sum.
    """

    lower_step_size: float  # α > 0
    linear_step_size: float  # ν > 0
    upper_step_size: float  # η > 0
    parts: SABAParts = dataclasses.field(default=SABAParts(), repr=False)

    def __post_init__(self) -> None:
        positive(self, "lower_step_size", "linear_step_size", "upper_step_size")

    def init(self, problem: BilevelProblem, x: Array, y: Array, start: Start) -> SABAState:
        """Warm start, a pass over both sums, and iteration 0, whose estimates are the means."""
        below, above = sums_of(problem)
        y = self.warm_start(problem, x, y, start.warm_start)
        z = namespace(y).zeros_like(y)
        tables = SABATables(
            grad_y_lower=full_pass(problem.grad_y_lower, (x, y), below, y),
            hvp_lower=full_pass(problem.hvp_lower, (x, y, z), below, y),
            cross_lower=full_pass(problem.cross_lower, (x, y, z), below, x),
            grad_y_upper=full_pass(problem.grad_y_upper, (x, y), above, y),
            grad_x_upper=full_pass(problem.grad_x_upper, (x, y), above, x),
        )
        G_y, Hz, Jz, F_y, F_x = (table.mean for table in tables)
        return SABAState(
            x=self.parts.x(x, F_x - Jz, self.upper_step_size),
            y=self.parts.y(y, G_y, self.lower_step_size),
            z=self.parts.z(z, Hz - F_y, self.linear_step_size),
            tables=tables,
            iteration=1,
        )

    def step(self, problem: BilevelProblem, state: SABAState, sample: SABASample) -> SABAState:
        """Iteration t ≥ 1: a pure function of its arguments."""
        x, y, z, tables, t = state
        parts = self.parts
        below, above = sums_of(problem)
        expect_rows(tables, (below, below, below, above, above))
        expect_one_step(sample.lower, "SABA")
        at_i, at_j = row(sample.lower, 0), sample.upper
        i, j = at_i[below.field], at_j[above.field]

        G_y, of_G_y = parts.grad_y_lower(tables.grad_y_lower, i, problem.grad_y_lower(x, y, at_i))
        Hz, of_Hz = parts.hvp_lower(tables.hvp_lower, i, problem.hvp_lower(x, y, z, at_i))
        Jz, of_Jz = parts.cross_lower(tables.cross_lower, i, problem.cross_lower(x, y, z, at_i))
        F_y, of_F_y = parts.grad_y_upper(tables.grad_y_upper, j, problem.grad_y_upper(x, y, at_j))
        F_x, of_F_x = parts.grad_x_upper(tables.grad_x_upper, j, problem.grad_x_upper(x, y, at_j))

        y_next = parts.y(y, G_y, self.lower_step_size)
        z_next = parts.z(z, Hz - F_y, self.linear_step_size)
        x_next = parts.x(x, F_x - Jz, self.upper_step_size)
        tables = SABATables(of_G_y, of_Hz, of_Jz, of_F_y, of_F_x)
        return SABAState(x_next, y_next, z_next, tables, t + 1)

    def warm_start(self, problem: BilevelProblem, x: Array, y: Array, samples: Any) -> Array:
        """T0 plain lower steps at x_0, one per row of ``samples``."""
        return gradient_steps(problem, x, y, samples, self.lower_step_size)

    def refreshes(self, t: int) -> bool:
        """Whether iteration t takes a lower step: every one does."""
        return True

    def draw(self, problem: BilevelProblem, refresh: bool = True) -> SABASample:
        """The layout of one iteration's sample; there is but one kind of iteration."""
        sums_of(problem)
        return SABASample(
            upper=draw_fields(problem.upper_noise), lower=draw_fields(problem.lower_noise, (1,))
        )

    def draw_start(self, problem: BilevelProblem, warm_start: int, first: int) -> Start:
        """The layout of iteration 0: T0 = ``warm_start`` lower indices and nothing else."""
        sums_of(problem)
        return Start(draw_fields(problem.lower_noise, (warm_start,)), SABASample({}, {}))
