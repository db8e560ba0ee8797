"""All intermediates of one step, beside an implementation's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from accbo._arrays import norm, rows
from accbo.algorithms import AccBO, AccBOState
from accbo.conformance.adapter import factors
from accbo.conformance.adapter import rows as rows_of
from accbo.conformance.methods import DEFAULT
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import Vector, as_fields

Values = dict[str, np.ndarray]


def intermediates(problem: Any, algorithm: AccBO, state: AccBOState, sample: Any) -> Values:
    """Every quantity of iteration t ≥ 1 by name, in the order in which it is computed."""
    after = algorithm.step(problem, state, sample)
    found = dict(_lower(problem, algorithm, state, sample))
    found |= {"y": after.y, "y_average": after.y_average}
    new, old = (state.x, state.y_average), (state.x_previous, state.y_average_previous)
    if algorithm.order == "sequential":
        new, old = (state.x, after.y_average), (state.x_previous, state.y_average)
    for name, point in (("new", new), ("old", old)):
        found |= dict(_gradient(problem, algorithm, point, sample, name))
    m = after.momentum
    return found | {"momentum": m, "norm of momentum": norm(m), "x": after.x}


def _lower(
    problem: Any, algorithm: AccBO, state: AccBOState, sample: Any
) -> Iterator[tuple[str, np.ndarray]]:
    y, y_previous = state.y, state.y if algorithm.period is not None else state.y_previous
    for index, pi in enumerate(rows_of(sample.lower), start=1):
        tag = f" of lower step {index}" if rows(sample.lower) > 1 else ""
        z = y + algorithm.lower_momentum * (y - y_previous)
        gradient = problem.grad_y_lower(state.x, z, pi)
        y, y_previous = z - algorithm.lower_step_size * gradient, y
        yield f"z{tag}", z
        yield f"grad_y G at z{tag}", gradient


def _gradient(
    problem: Any, algorithm: AccBO, point: tuple[Any, Any], sample: Any, name: str
) -> Iterator[tuple[str, np.ndarray]]:
    x, y = point
    v, scale = problem.grad_y_upper(x, y, sample.upper), algorithm.neumann_scale
    grad_x = problem.grad_x_upper(x, y, sample.upper)
    yield f"grad_x F at the {name} point", grad_x
    yield f"grad_y F at the {name} point", v
    total, drawn = 0 * v, algorithm.neumann_sampling == "randomised"
    for q, factor in enumerate(factors(algorithm, sample)):
        power = v
        for zeta in factor:
            power = power - problem.hvp_lower(x, y, power, zeta) / scale
        if drawn:
            weight = np.where(sample.power["power"] == q, float(algorithm.neumann_terms), 0.0)
            total = total + weight * power / scale
        else:
            total = total + power / scale
        yield f"series up to q = {q} at the {name} point", total
    cross = problem.cross_lower(x, y, total, sample.cross)
    yield f"cross term at the {name} point", cross
    yield f"h at the {name} point", grad_x - cross


def explain(runner: Runner, vector: Vector, step: int) -> tuple[str, str]:
    """A table of iteration ``step`` of ``vector``, the reference beside hers; and her trouble."""
    last = vector.first_iteration + len(vector.expected) - 1
    first = vector.first_iteration if vector.kind == "step" else 1
    if not first <= step <= last:
        raise ValueError(f"{vector.id} has the iterations {first} to {last}, not {step}")
    index = step - first
    state = vector.before(index)
    sample = vector.samples[index]
    if vector.method == DEFAULT:
        right = intermediates(vector.problem, vector.algorithm, state, sample)
        what = (
            f"{vector.algorithm.order}, {vector.algorithm.neumann_sampling}, "
            f"Q = {vector.algorithm.neumann_terms}"
        )
    else:
        right = as_fields(vector.algorithm.step(vector.problem, state, sample))
        what = vector.method
    hers, trouble = runner.single(vector, index)
    lines = [
        f"{vector.id}, iteration {step}: {what}",
        "both start from the reference's state before this iteration",
        "",
        f"{'quantity':34} {'reference':>28}  {'yours':>28}  {'difference':>10}",
    ]
    for name, value in right.items():
        lines += _rows(name, value, hers)
    if trouble:
        lines += ["", f"yours: {trouble}"]
    hidden = [name for name in right if name not in hers]
    if hidden:
        lines += ["", "state() may hold any of these names beside its fields, to be shown here"]
    return "\n".join(lines), trouble


def _rows(name: str, value: np.ndarray, hers: Mapping[str, np.ndarray]) -> Iterator[str]:
    flat = np.reshape(np.asarray(value, dtype=float), (-1,))
    mine = np.reshape(hers[name], (-1,)) if name in hers else None
    for index, entry in enumerate(flat):
        label = name if index == 0 else ""
        if mine is None or len(mine) != len(flat):
            yield f"{label:34} {entry:28.17g}  {'·':>28}"
        else:
            gap = mine[index] - entry
            yield f"{label:34} {entry:28.17g}  {mine[index]:28.17g}  {gap:10.1e}"
