"""One run of one method on one draw of a task, for a budget of oracle calls.

A run is judged at the point of its learning curve where the validation score is best: what
early stopping would have kept. Every method has as many points to choose from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import Array, move, to_host
from accbo.counting import calls_by_steps
from accbo.run import NonFiniteError, run
from accbo.sampling import Tape
from accbo.tasks.methods import Trial, build, first_gradient
from accbo.tasks.task import Instance, TaskError

POINTS = 20  # of a learning curve
WARM_START = 20  # lower steps before the first iteration, the same for all


class Curve(NamedTuple):
    """What one run came to.

    ``trouble`` says at which iteration it diverged; what there is of the curve is kept.
    ``best`` is the point of the curve with the highest score, at which ``test`` is read.
    """

    steps: int
    calls: list[int]  # at the points of the curve
    seconds: list[float]
    measures: dict[str, list[float]]
    test: dict[str, float]
    trouble: str = ""
    best: int = -1


def check_curve(
    value: Any, steps: int, budget: int, measures: Sequence[str], test: Sequence[str]
) -> None:
    """Raise ``ValueError`` unless ``value`` is a curve of ``steps`` steps with these measures."""
    if not isinstance(value, dict) or list(value) != list(Curve._fields):
        raise ValueError(f"a curve has the fields {', '.join(Curve._fields)}")
    curve = Curve(**value)
    if type(curve.steps) is not int or curve.steps != steps or type(curve.trouble) is not str:
        raise ValueError(f"this run takes {steps} steps, the file says {curve.steps!r}")
    if not isinstance(curve.measures, dict) or list(curve.measures) != list(measures):
        raise ValueError(f"the measures are {', '.join(measures)}")
    points = len(curve.calls) if isinstance(curve.calls, list) else -1
    for name, values in {"seconds": curve.seconds, **curve.measures}.items():
        if not isinstance(values, list) or len(values) != points:
            raise ValueError(f"calls and {name} are no lists of one length")
        if any(type(each) is not float for each in values):
            raise ValueError(f"{name} holds what is no number")
        if not curve.trouble and not all(map(math.isfinite, values)):
            raise ValueError(f"{name} is not finite, though the run did not diverge")
    if any(type(each) is not int for each in curve.calls) or curve.calls != sorted(curve.calls):
        raise ValueError("calls are no rising whole numbers")
    if points and not 0 < curve.calls[0] <= curve.calls[-1] <= budget:
        raise ValueError(f"calls lie outside 1 … {budget}")
    good = not curve.trouble
    if type(curve.best) is not int or not (0 <= curve.best < points if good else curve.best == -1):
        raise ValueError(f"the best of {points} points is {curve.best!r}")
    if not isinstance(curve.test, dict) or list(curve.test) != (list(test) if good else []):
        raise ValueError("the test measures are others")
    if not all(type(each) is float and math.isfinite(each) for each in curve.test.values()):
        raise ValueError("a test measure is no finite number")


def steps_for(name: str, instance: Instance, budget: int) -> int:
    """The most iterations that ``budget`` oracle calls pay for; raises ``TaskError`` for none."""
    cost = _cost(build(name, instance, Trial(1.0, 1.0), 1000, 1.0), instance)
    first = cost(1)
    if first > budget:
        raise TaskError(
            f"{name}: a budget of {budget} oracle calls does not pay for the warm start and the "
            f"first iteration, which take {first}"
        )
    low, high = 1, 2
    while cost(high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle)
    return low


def _cost(algorithm: Any, instance: Instance) -> Callable[[int], int]:
    """The oracle calls of a run as a function of its iterations."""
    calls = calls_by_steps(
        algorithm, instance.problem, instance.x, instance.y, warm_start=WARM_START
    )
    return lambda steps: int(calls(steps).total)


def train(
    name: str,
    instance: Instance,
    trial: Trial,
    budget: int,
    seed: int,
    *,
    test: bool = False,
    like: Array | None = None,
) -> Curve:
    """Run ``name``; ``test`` reads the test set at the best point of the curve.

    The run is made of arrays such as ``like``, by default the instance's own; it is judged on the
    host.
    """
    steps = steps_for(name, instance, budget)
    algorithm = build(name, instance, trial, steps, first_gradient(instance))
    every = max(1, steps // POINTS)
    problem, x, y = instance.problem, instance.x, instance.y
    if like is not None:
        problem, x, y = (move(part, like) for part in (problem, x, y))
    started = time.perf_counter()
    try:
        result = run(
            algorithm,
            problem,
            x,
            y,
            steps=steps,
            noise=Tape(seed),
            warm_start=WARM_START,
            record={"x": _upper, "y": _lower},
            every=every,
            progress=False,
        )
    except NonFiniteError as error:
        return Curve(steps, [], [], {name: [] for name in instance.measures}, {}, str(error))
    seconds = time.perf_counter() - started
    iterations = np.asarray(result.iterations)
    xs, ys = (to_host(result.records[part]) for part in ("x", "y"))
    pairs = list(zip(xs, ys, strict=True))
    measures = {
        measure: [_value(function, pair) for pair in pairs]
        for measure, function in instance.measures.items()
    }
    cost = _cost(algorithm, instance)
    spent = [cost(int(t)) for t in iterations]
    trouble = _not_finite(measures)
    best = -1 if trouble else int(np.argmax(measures[instance.score]))
    return Curve(
        steps=steps,
        calls=spent,
        seconds=[seconds * float(t) / steps for t in iterations],
        measures=measures,
        test=_read(instance.test, pairs[best]) if test and not trouble else {},
        trouble=trouble,
        best=best,
    )


def _read(measures: Mapping[str, Any], pair: tuple[Any, Any]) -> dict[str, float]:
    return {name: _value(function, pair) for name, function in measures.items()}


def _value(function: Any, pair: tuple[Any, Any]) -> float:
    """A measure, NaN where a run has gone too far for it to exist: that is a diverged run."""
    with np.errstate(all="ignore"):
        try:
            return float(function(*pair))
        except (ArithmeticError, np.linalg.LinAlgError):
            return math.nan


def _not_finite(measures: Mapping[str, list[float]]) -> str:
    for name, values in measures.items():
        if not np.all(np.isfinite(values)):
            return f"{name} is not finite"
    return ""


def _upper(state: Any) -> Any:
    return state.x


def _lower(state: Any) -> Any:
    """What a method takes for y*: the average where it keeps one."""
    return getattr(state, "y_average", state.y)
