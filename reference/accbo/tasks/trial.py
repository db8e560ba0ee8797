"""One run of one method on one draw of a task, for a budget of oracle calls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import to_host
from accbo.counting import count_calls
from accbo.run import NonFiniteError, run
from accbo.sampling import Tape
from accbo.tasks.blocks import Blocks
from accbo.tasks.methods import METHODS, Trial, build, first_gradient
from accbo.tasks.task import Instance, TaskError

POINTS = 20  # of a learning curve
WARM_START = 20  # lower steps before the first iteration, the same for all


class Curve(NamedTuple):
    """What one run came to.

    ``trouble`` says at which iteration it diverged; what there is of the curve is kept.
    """

    steps: int
    calls: list[int]  # at the points of the curve
    seconds: list[float]
    measures: dict[str, list[float]]
    test: dict[str, float]
    trouble: str = ""


def steps_for(name: str, instance: Instance, budget: int) -> int:
    """The most iterations that ``budget`` oracle calls pay for; raises ``TaskError`` for none."""
    algorithm = build(name, instance, Trial(1.0, 1.0), 1000, 1.0)
    problem = _problem(name, instance)

    def cost(steps: int) -> int:
        return int(
            count_calls(
                algorithm, problem, instance.x, instance.y, steps=steps, warm_start=WARM_START
            ).total
        )

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


def train(
    name: str, instance: Instance, trial: Trial, budget: int, seed: int, *, test: bool = False
) -> Curve:
    """Run ``name``; ``test`` reads the test set at the end."""
    steps = steps_for(name, instance, budget)
    algorithm = build(name, instance, trial, steps, first_gradient(instance))
    problem, every = _problem(name, instance), max(1, steps // POINTS)
    started = time.perf_counter()
    try:
        result = run(
            algorithm,
            problem,
            instance.x,
            instance.y,
            steps=steps,
            noise=Tape(seed),
            warm_start=WARM_START,
            record={"x": lambda state: state.x, "y": _lower},
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
        measure: [float(function(x, y)) for x, y in pairs]
        for measure, function in instance.measures.items()
    }
    spent = [
        int(
            count_calls(
                algorithm, problem, instance.x, instance.y, steps=int(t), warm_start=WARM_START
            ).total
        )
        for t in iterations
    ]
    last = to_host(result.state.x), to_host(_lower(result.state))
    return Curve(
        steps=steps,
        calls=spent,
        seconds=[seconds * float(t) / steps for t in iterations],
        measures=measures,
        test=_read(instance.test, last) if test else {},
        trouble=_not_finite(measures),
    )


def _read(measures: Mapping[str, Any], pair: tuple[Any, Any]) -> dict[str, float]:
    return {name: float(function(*pair)) for name, function in measures.items()}


def _not_finite(measures: Mapping[str, list[float]]) -> str:
    for name, values in measures.items():
        if not np.all(np.isfinite(values)):
            return f"{name} is not finite"
    return ""


def _lower(state: Any) -> Any:
    """What a method takes for y*: the average where it keeps one."""
    return getattr(state, "y_average", state.y)


def _problem(name: str, instance: Instance) -> Any:
    return Blocks(instance.problem) if METHODS[name].single_terms else instance.problem
