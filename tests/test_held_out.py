"""Wrong programs that no catalogue holds: the quantity is the one that is wrong, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accbo.conformance import from_function, rows
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import load
from accbo.conformance.verdict.locate import offending
from tests.scaffold_steps import HELP

TOOLS: dict[str, Any] = {"rows": rows}
exec(HELP, TOOLS)
unit, gradient = TOOLS["unit"], TOOLS["gradient"]
CHOICE = {"order": "simultaneous", "option": "I", "neumann_sampling": "chained"}


def momentum(problem: Any, a: Any, s: Any, w: Any, weight: float = 1.0) -> Any:
    def h(x: Any, y: Any) -> Any:
        return gradient(problem, a, x, y, w.upper, w.cross, rows(w.hessian))

    old, new = h(s.x_previous, s.y_average_previous), h(s.x, s.y_average)
    return weight * new + a.momentum * (s.momentum - old)


def lower(
    problem: Any, a: Any, s: Any, w: Any, at: Any = None, y: Any = None, v: Any = None
) -> Any:
    v = s.y - s.y_previous if v is None else v
    z = (s.y if y is None else y) + a.lower_momentum * v
    (pi,) = rows(w.lower)
    return z - a.lower_step_size * problem.grad_y_lower(s.x if at is None else at, z, pi)


def right(problem: Any, a: Any, s: Any, w: Any, wrong: str = "") -> Any:
    m = momentum(problem, a, s, w, 1 - a.momentum if wrong == "half momentum" else 1.0)
    direction, eta = unit(s.momentum if wrong == "old momentum" else m), a.upper_step_size
    if wrong == "shrinking steps":
        eta = eta / float(1 + s.iteration) ** 0.5
    if wrong == "sum of absolute values":
        direction = m / max(abs(m).sum(), np.finfo(float).tiny)
    x = s.x - eta * direction
    y = lower(
        problem,
        a,
        s,
        w,
        at=x if wrong == "lower level at the new x" else None,
        y=s.y_average if wrong == "lower level from the average" else None,
        v=s.y_average - s.y_average_previous if wrong == "velocity of the average" else None,
    )
    average = (1 - a.averaging) * s.y_average + a.averaging * y
    if wrong == "average of the old y":
        average = (1 - a.averaging) * s.y_average + a.averaging * s.y
    return s._replace(
        x=x,
        x_previous=s.x,
        y=y,
        y_previous=s.y,
        y_average=average,
        y_average_previous=s.y_average,
        momentum=m,
        iteration=s.iteration + 1,
    )


@pytest.mark.parametrize(
    ("wrong", "quantity"),
    [
        ("half momentum", "momentum"),
        ("old momentum", "x"),
        ("shrinking steps", "x"),
        ("sum of absolute values", "x"),
        ("lower level at the new x", "y"),
        ("lower level from the average", "y"),
        ("velocity of the average", "y"),
        ("average of the old y", "y_average"),
    ],
)
def test_the_quantity_alone(wrong: str, quantity: str) -> None:
    """In small round numbers one quantity equals another: those vectors were misread."""

    def step(problem: Any, a: Any, s: Any, w: Any) -> Any:
        return right(problem, a, s, w, wrong)

    runner = Runner(from_function(step, conventions=CHOICE), "numpy")
    with np.errstate(all="ignore"):
        seen = [one for vector in load() if vector.fast for one in runner.observe(vector)]
    assert offending([one for one in seen if not one.missing]) == ((quantity,), "")


def test_the_right_one_departs_nowhere() -> None:
    runner = Runner(from_function(right, conventions=CHOICE), "numpy")
    seen = [one for vector in load() if vector.fast for one in runner.observe(vector)]
    assert offending([one for one in seen if not one.missing]) == ((), "")
