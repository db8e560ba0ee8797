"""Mistakes made in BO-REP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, row, rows
from accbo.conformance import common_faults as common
from accbo.conformance.method_variants import by, overriding
from accbo.conformance.variants import Variant, rows_kept
from accbo.lower import gradient_steps
from accbo.sampling import Start
from accbo.upper import normalized_step


@dataclass(frozen=True)
class Clock(Variant):
    """Lower steps only where (t + shift) mod (I + longer) = 0, and there are samples for them."""

    shift: int = 0
    longer: int = 0

    def _seen(self, sample: Any, t: int) -> Any:
        if (t + self.shift) % max(1, self.algorithm.period + self.longer) == 0:
            return sample
        return sample._replace(lower=rows_kept(sample.lower, 0))

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 by the wrong clock."""
        first = self._seen(start.first, 0)
        return self.algorithm.init(problem, x, y, start._replace(first=first))

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t by the wrong clock."""
        return self.algorithm.step(problem, state, self._seen(sample, state.iteration))


def _adding_up(self: Any, problem: Any, state: Any, sample: Any) -> Any:
    """_advance whose lower gradients add up."""
    y, total = state.y, 0 * state.y
    for index in range(rows(sample.lower)):
        total = total + problem.grad_y_lower(state.x, y, row(sample.lower, index))
        y = y - self.lower_step_size * total
    return super(type(self), self)._advance(problem, state, sample)._replace(y=y)


def _one_fewer(self: Any, problem: Any, state: Any, sample: Any) -> Any:
    """_advance whose rounds end one step early."""
    right = super(type(self), self)._advance(problem, state, sample)
    kept = rows_kept(sample.lower, max(rows(sample.lower) - 1, 0))
    return right._replace(y=gradient_steps(problem, state.x, state.y, kept, self.lower_step_size))


_Y = "t mod I = 0: N steps y ← y − α ∇_y G(x_t, y; π), each on its own sample; else y_{t+1} = y_t"
_Z = "z_{t+1} = z_t − ν (∇²_yy G(x_t, y_t; ζ) z_t − ∇_y F(x_t, y_t; ξ'))"
_M = "m_t = β m_{t−1} + (1 − β) (∇_x F(x_t, y_t; ξ) − ∇²_xy G(x_t, y_t; ζ⁰) z_t)"
_X = "x_{t+1} = x_t − η m_t/‖m_t‖, one norm over all of x"

CATALOGUE = (
    common.fault(
        "period off by one",
        common.LOWER,
        "the rounds are at the wrong iterations",
        _Y,
        "y is older than the theory allows, from the first iteration on",
        by(Clock, 1),
        by(Clock, 0, 1),
        by(Clock, 0, -1),
    ),
    common.without_zeroing(_Y, overriding(_advance=_adding_up)),
    common.inner_step_too_few(_Y, overriding(_advance=_one_fewer)),
    *common.normalisation(_X),
    common.other_average(_X, new=False, normalised=True),
    *common.averages(_M, normalized_step),
    common.z_at_new_point(_Z),
    common.z_sign(_Z),
    common.one_after_the_other(
        f"{_Y}; z and x at the same (x_t, y_t, z_t)",
        ((("y",), ("z",)), (("y", "z"), ("x", "momentum"))),
        ((("y",), ("z", "x", "momentum")),),
        ((("z",), ("x", "momentum")),),
    ),
    common.opposite_sign(_M),
    common.cross_elsewhere(_M),
    common.one_upper_sample(_Z),
    common.leak(_Y, upper="upper_y"),
    common.shared_batch(_Y),
    common.no_warm_start(),
    common.single_precision(),
)
