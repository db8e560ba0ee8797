"""How many oracle calls a run makes, by kind, without making the run.

What an iteration asks of the problem does not depend on values: it is the same in every
iteration that takes lower steps, and in every one that does not. So one eager step of each kind
is watched, iteration 0 is carried out as it is, and the total is a sum over t.

One call is one derivative (or value) at one point on one sample. A batch of replicates counts
once; a stack of points, or of samples, in one call counts each of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from accbo._arrays import Array, leaves, row
from accbo.problem import BilevelProblem, Sample
from accbo.sampling import Tape


class Calls(NamedTuple):
    """Numbers of oracle calls by kind; ∇_x F and ∇_y F are counted apart."""

    grad_x_upper: int = 0
    grad_y_upper: int = 0
    grad_y_lower: int = 0
    hvp_lower: int = 0
    cross_lower: int = 0
    values: int = 0  # of F and G

    @property
    def total(self) -> int:
        """All kinds together."""
        return sum(self)


def count_calls(
    algorithm: Any,
    problem: BilevelProblem,
    x: Array,
    y: Array,
    *,
    steps: int,
    warm_start: int = 0,
    first: int = 1,
) -> Calls:
    """The oracle calls of ``accbo.run`` with these arguments, for one replicate.

    The warm start and the samples of m_0 are included. Shapes as for ``run``; the values of
    ``x`` and ``y`` do not matter.
    """
    return calls_by_steps(algorithm, problem, x, y, warm_start=warm_start, first=first)(steps)


def calls_by_steps(
    algorithm: Any,
    problem: BilevelProblem,
    x: Array,
    y: Array,
    *,
    warm_start: int = 0,
    first: int = 1,
) -> Callable[[int], Calls]:
    """``count_calls`` as a function of ``steps``: the start and a step of each kind run once."""
    replicates = len(x.shape) - 1
    stream = Tape().open(x)
    start = stream.start(algorithm.draw_start(problem, warm_start, first))
    counted = Counted(problem, replicates)
    state = algorithm.init(counted, x, y, start)
    at_start = counted.calls

    @functools.cache
    def of_step(refresh: bool) -> Calls:
        sample = row(stream.block(algorithm.draw(problem, refresh), 1), 0)
        one = Counted(problem, replicates)
        algorithm.step(one, state, sample)
        return one.calls

    def calls(steps: int) -> Calls:
        total = at_start
        kinds = [algorithm.refreshes(t) for t in range(1, steps)]
        for refresh in (True, False):
            times = kinds.count(refresh)
            if times:
                pairs = zip(total, of_step(refresh), strict=True)
                total = Calls(*(a + times * b for a, b in pairs))
        return total

    return calls


class Counted:
    """A problem that counts what is asked of it in ``calls``; eager arrays only.

    ``replicates`` is the number of leading axes of x that are replicates. Whatever stands in
    front of them, in the point, the vector or the sample, is a stack of calls in one.
    """

    def __init__(self, problem: BilevelProblem, replicates: int = 0) -> None:
        self._problem, self._axes = problem, replicates + 1
        self.calls = Calls()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F(x, y; ξ), counted."""
        return self._counted("values", self._problem.upper, x, y, sample)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F, counted."""
        return self._counted("grad_x_upper", self._problem.grad_x_upper, x, y, sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F, counted."""
        return self._counted("grad_y_upper", self._problem.grad_y_upper, x, y, sample)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """G(x, y; ζ), counted."""
        return self._counted("values", self._problem.lower, x, y, sample)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y G, counted."""
        return self._counted("grad_y_lower", self._problem.grad_y_lower, x, y, sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_yy G v, counted."""
        return self._counted("hvp_lower", self._problem.hvp_lower, x, y, v, sample)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G v, counted."""
        return self._counted("cross_lower", self._problem.cross_lower, x, y, v, sample)

    def _counted(self, kind: str, oracle: Callable[..., Array], *arguments: Any) -> Array:
        *point, sample = arguments
        stacks = [leaf.shape[: -self._axes] for leaf in (*point, *leaves(sample or {}))]
        stacked = math.prod(_broadcast(stacks))
        self.calls = self.calls._replace(**{kind: getattr(self.calls, kind) + stacked})
        return oracle(*arguments)


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to."""
    longest = max(map(len, shapes))
    padded = [(1,) * (longest - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(0 if 0 in sizes else max(sizes) for sizes in zip(*padded, strict=True))
