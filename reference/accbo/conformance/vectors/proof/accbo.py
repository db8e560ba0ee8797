"""AccBO as sections 2 and 3 of VECTORS.md have it."""

from __future__ import annotations

from typing import Any

from accbo.conformance.vectors.proof.lists import (
    Numbers,
    Part,
    add,
    each,
    mean,
    row,
    rows,
    scale,
    sub,
)
from accbo.conformance.vectors.proof.parts import Sample, hypergradient, normalised, plain
from accbo.conformance.vectors.proof.problems import Problem

State = dict[str, Any]


def start(k: Any, problem: Problem, a: Sample, x: Numbers, y: Numbers, start: Sample) -> State:
    """The state after iteration 0."""
    y_0, y_before = y, y
    for noise in each(start["warm_start"]):
        y_0, y_before = _nesterov(k, problem, a, x, y_0, y_before, noise), y_0
    first = start["first"]
    y_1 = _lower(k, problem, a, x, y_0, y_0, first["lower"])
    average = _average(k, a, y_0, y_1)
    point = (x, y_0) if a["order"] == "simultaneous" else (x, average)
    samples = [
        {part: row(first[part], s) for part in ("upper", "cross", "hessian")}
        | {"power": row(first["power"], s) if first["power"] else {}}
        for s in range(rows(first["upper"]))
    ]
    m = mean(k, [hypergradient(k, problem, *point, sample, a) for sample in samples])
    return _state(k, a, x, y_1, y_0, average, y_0, m)


def step(k: Any, problem: Problem, a: Sample, state: State, sample: Sample, _: int) -> State:
    """The state after an iteration t ≥ 1."""
    x, y, hat = state["x"], state["y"], state["y_average"]
    y_next = _lower(k, problem, a, x, y, state["y_previous"], sample["lower"])
    hat_next = _average(k, a, hat, y_next)
    if a["order"] == "simultaneous":
        new, old = (x, hat), (state["x_previous"], state["y_average_previous"])
    else:
        new, old = (x, hat_next), (state["x_previous"], hat)
    at_new, at_old = (hypergradient(k, problem, *point, sample, a) for point in (new, old))
    beta = k.number(a["momentum"])
    m = add(k, at_new, scale(beta, sub(state["momentum"], at_old)))
    return _state(k, a, x, y_next, y, hat_next, hat, m)


def _state(
    k: Any,
    a: Sample,
    x: Numbers,
    y: Numbers,
    y_previous: Numbers,
    average: Numbers,
    average_previous: Numbers,
    m: Numbers,
) -> State:
    return {
        "x": normalised(k, x, m, k.number(a["upper_step_size"])),
        "x_previous": x,
        "y": y,
        "y_previous": y_previous,
        "y_average": average,
        "y_average_previous": average_previous,
        "momentum": m,
    }


def _lower(
    k: Any, problem: Problem, a: Sample, x: Numbers, y: Numbers, y_previous: Numbers, lower: Part
) -> Numbers:
    """y_{t+1}: Option I from the pair, Option II from (y, y) where it takes steps at all."""
    if a["period"] is None:
        return _nesterov(k, problem, a, x, y, y_previous, row(lower, 0))
    before = y
    for noise in each(lower):
        y, before = _nesterov(k, problem, a, x, y, before, noise), y
    return y


def _nesterov(
    k: Any, problem: Problem, a: Sample, x: Numbers, y: Numbers, y_previous: Numbers, noise: Part
) -> Numbers:
    z = add(k, y, scale(k.number(a["lower_momentum"]), sub(y, y_previous)))
    z = k.settled(z, 2.0)  # (1 + γ) y − γ y_previous rounds y twice more
    step = problem.grad_y_lower(x, z, noise)
    return k.settled(plain(z, k.number(a["lower_step_size"]), step))


def _average(k: Any, a: Sample, hat: Numbers, y: Numbers) -> Numbers:
    tau = k.number(a["averaging"])
    return k.settled(add(k, scale(1 - tau, hat), scale(tau, y)))
