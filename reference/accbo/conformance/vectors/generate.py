"""A test vector, made: inputs, expected values at 50 digits, tolerances, flags.

Every vector is a function of its group and its number alone, so that a group can be added
without touching another, and a run that was stopped goes on where it was. Tolerances come from
a condition estimate (``conditions``), before anybody's errors are seen.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from accbo._arrays import map_arrays, row, to_host
from accbo.algorithms import AccBOState
from accbo.conformance.methods import METHODS, catalogue
from accbo.conformance.vectors.conditions import (
    LARGEST_ERROR,
    ROUNDOFF,
    conditions,
    figures,
    of_conditions,
    run,
    up,
)
from accbo.conformance.vectors.group import GRID, Group, problems
from accbo.conformance.vectors.known import Known, known_problems
from accbo.conformance.vectors.proof.prove import bounds
from accbo.conformance.vectors.replay import replay
from accbo.conformance.vectors.vector import (
    MEASURED,
    PROVEN,
    Vector,
    as_fields,
    encode,
    encode_problem,
)
from accbo.namespaces import like
from accbo.problems.wrapped import ScaledUpper
from accbo.rounding import SAFETY, norms
from accbo.saga import Table
from accbo.sampling import Tape, probe_normals

DIGITS = 50
CAUGHT = 100.0  # a flag needs an error of this many tolerances
PROVEN_WITHIN = 20.0  # a bound is taken for the tolerance up to so many times the measured one
EARLY = 12  # iterations that lead to a state, whatever its number
LINEAR = ("z", "momentum", "estimate")  # fields of states that are linear in F


def make(group: Group, number: int) -> Vector:
    """The vector ``number`` of ``group``; raises ``ValueError`` where it is too ill-conditioned."""
    bare = Vector(
        id=f"{group.slug}/{number}",
        since=group.since,
        kind=group.kind,
        problem=problems()[group.problem],
        problem_name=group.problem,
        algorithm=group.algorithm,
        dtype=group.dtype,
        expected=(),
        tolerance=(),
        line=group.line,
        note=group.note,
        fast=number < group.fast,
        **_inputs(group, number),
    )
    return finish(bare)


def make_known(known: Known) -> Vector:
    """The vector of a known answer; raises ``ValueError`` where 50 digits say something else."""
    bare = Vector(
        id=f"known-answer/{known.slug}",
        since=known.since,
        kind="trajectory" if known.state is None else "step",
        problem=known_problems()[known.problem],
        problem_name=known.problem,
        algorithm=known.algorithm,
        dtype=known.dtype,
        expected=(),
        tolerance=(),
        line=known.line,
        note=known.note,
        fast=True,
        state=known.state,
        x=known.x,
        y=known.y,
        start=known.start,
        samples=known.samples,
    )
    made = finish(bare)
    for index, (by_hand, expected) in enumerate(zip(known.hand, made.expected, strict=True)):
        for name, value in by_hand.items():
            if expected[name].tolist() != list(value):
                raise ValueError(
                    f"{made.id}, state {index}: {name} is {value} by hand and "
                    f"{expected[name].tolist()} at {DIGITS} digits"
                )
    return made


# --- inputs ---------------------------------------------------------------------------------


def _inputs(group: Group, number: int) -> dict[str, Any]:
    """What the vector ``number`` of ``group`` starts from, and its samples."""
    problem, algorithm = problems()[group.problem], group.algorithm
    seed = zlib.crc32(f"{group.slug}/{number}".encode())
    normals = probe_normals(seed)

    def draw(size: int, spread: float) -> np.ndarray:
        return np.round(spread * normals((*group.replicates, size)) * GRID) / GRID

    x, y = draw(problem.d_x, 0.75), draw(problem.d_y, 0.75)
    stream = Tape(seed).open(x)
    if group.kind == "trajectory":
        start = stream.start(algorithm.draw_start(problem, group.warm_start, group.first))
        layouts = [
            algorithm.draw(problem, algorithm.refreshes(t)) for t in range(1, group.steps + 1)
        ]
        samples = tuple(row(stream.block(layout, 1), 0) for layout in layouts)
        return {
            "x": x,
            "y": y,
            "start": _grid(start),
            "samples": tuple(map(_grid, samples)),
            "first": group.first,
        }
    t = group.iterations[number % len(group.iterations)]
    if not group.drawn:
        state = _later_state(group, x, y, t, stream)
        sample = row(stream.block(algorithm.draw(problem, algorithm.refreshes(t)), 1), 0)
        return {"state": state, "samples": (_grid(sample),)}
    x, y = _far(x, group.far_x), _far(y, group.far_y)
    state = _state(problem, x, y, t, draw, group.momentum)
    if group.where == "no momentum yet":
        state = state._replace(momentum=np.zeros_like(x))
    if group.where == "near a stationary point":
        state = _near_stationary(problem, state, draw)
    if isinstance(problem, ScaledUpper):
        state = state._replace(momentum=state.momentum * problem.factor)
    sample = row(stream.block(algorithm.draw(problem, algorithm.refreshes(t)), 1), 0)
    return {"state": state, "samples": (_grid(sample),)}


Drawn = Callable[[int, float], np.ndarray]  # (size, spread) to numbers on the grid


def _far(z: np.ndarray, distance: float) -> np.ndarray:
    """``z`` moved away from 0, every entry to the side that it is on."""
    return z if distance == 0 else z + np.where(z < 0, -distance, distance)


def _state(
    problem: Any, x: np.ndarray, y: np.ndarray, t: int, draw: Drawn, momentum: float
) -> AccBOState:
    """A state around (x, y) in which no two fields agree."""
    near_y = [draw(problem.d_y, 0.375) for _ in range(3)]
    return AccBOState(
        x=x,
        x_previous=x + draw(problem.d_x, 0.375),
        y=y,
        y_previous=y + near_y[0],
        y_average=y + near_y[1],
        y_average_previous=y + near_y[1] + near_y[2],
        momentum=draw(problem.d_x, momentum),
        iteration=t,
    )


def _later_state(group: Group, x: np.ndarray, y: np.ndarray, t: int, stream: Any) -> Any:
    """The state before iteration t of a run from (x, y), on the grid; means of tables are theirs.

    In it no two fields agree, and what belongs together does. Of a late iteration the state is
    that of an early one, with its number; where F is scaled, what is linear in F is scaled too.
    """
    problem, algorithm = problems()[group.problem], group.algorithm
    factor = 1.0
    if isinstance(problem, ScaledUpper):
        factor, problem = problem.factor, problem.problem
    start = stream.start(algorithm.draw_start(problem, group.warm_start, group.first))
    state = algorithm.init(problem, x, y, start)
    for index in range(1, min(t, EARLY)):
        layout = algorithm.draw(problem, algorithm.refreshes(index))
        state = algorithm.step(problem, state, row(stream.block(layout, 1), 0))
    state = _exact_means(_grid(state))
    scaled = {name: factor * getattr(state, name) for name in LINEAR if hasattr(state, name)}
    moved = {
        name: _far(getattr(state, name), distance)
        for name, distance in (("x", group.far_x), ("y", group.far_y))
    }
    if "x_previous" in state._fields:
        moved |= {
            f"{name}_previous": getattr(state, f"{name}_previous")
            + moved[name]
            - getattr(state, name)
            for name in ("x", "y")
        }
    return state._replace(**scaled, **moved, iteration=t)


def _exact_means(tree: Any) -> Any:
    if isinstance(tree, Table):
        return Table(tree.stored, np.mean(tree.stored, axis=-2))
    if not hasattr(tree, "_fields"):
        return tree
    return type(tree)(*map(_exact_means, tree))


def _grid(tree: Any) -> Any:
    """Every float on the grid; indices stay."""
    return map_arrays(lambda a: a if a.dtype.kind == "i" else np.round(a * GRID) / GRID, tree)


def _near_stationary(problem: Any, state: AccBOState, draw: Drawn) -> AccBOState:
    """A state 2^-8 from a point where ∇Φ = 0, found by gradient steps."""
    x = state.x
    for _ in range(500):
        x = x - 0.25 * problem.hypergradient(x)
    moved = {}
    y = problem.solution(x)
    for name in state._fields[:-1]:
        size = problem.d_x if name in ("x", "x_previous", "momentum") else problem.d_y
        centre = {"momentum": 0 * x, "x": x, "x_previous": x}.get(name, y)
        moved[name] = np.round((centre + 2.0**-8 * draw(size, 1.0)) * 2.0**20) / 2.0**20
    return state._replace(**moved)


# --- expected values and tolerances -----------------------------------------------------------


def finish(vector: Vector) -> Vector:
    """``vector`` with expected values, tolerances, flags and difficulty."""
    expected = exact(vector)
    K = conditions(vector)
    fields = vector.fields
    tolerance = of_conditions(vector, K)
    worst = max(float(np.max(t[name])) for t in tolerance for name in fields)
    size = max(1.0, max(float(np.max(np.abs(e[name]))) for e in expected for name in fields))
    if not worst <= LARGEST_ERROR[vector.dtype] * size:  # a NaN is not
        raise ValueError(f"{vector.id} is too ill-conditioned: a tolerance of {worst:.1e}")
    made = dataclasses.replace(
        vector,
        expected=expected,
        **_tolerances(dataclasses.replace(vector, expected=expected), tolerance),
        condition=figures(max(float(np.max(k[name])) for k in K for name in fields)),
        smallest_momentum=_smallest_momentum(vector, expected),
    )
    return dataclasses.replace(made, flags=flags_of(made))


def _tolerances(vector: Vector, measured: tuple[dict[str, np.ndarray], ...]) -> dict[str, Any]:
    """The tolerances of a vector and their kind: of a step a proven bound, where one is near."""
    if vector.kind == "step":
        values = encode(dataclasses.replace(vector, tolerance=measured))
        proven = bounds(encode_problem(vector.problem), values)
        # a row of a table may be as small as it likes, and its rounding is that of its terms
        least = SAFETY * ROUNDOFF[vector.dtype]
        near = all(
            np.all(
                bound[name]
                <= PROVEN_WITHIN * np.maximum(estimate[name], least * name.startswith("tables."))
            )
            for bound, estimate in zip(proven, measured, strict=True)
            for name in vector.fields
        )
        if near:
            tolerance = tuple({name: up(b[name], 0.0) for name in vector.fields} for b in proven)
            return {"tolerance": tolerance, "tolerance_kind": PROVEN}
    return {"tolerance": measured, "tolerance_kind": MEASURED}


def _smallest_momentum(vector: Vector, expected: tuple[dict[str, np.ndarray], ...]) -> float:
    """The least ‖m‖, where the vectors of the algorithm say it."""
    if not METHODS[vector.method].smallest_momentum:
        return 0.0
    return figures(min(float(np.min(norms(e["momentum"]))) for e in expected))


def exact(vector: Vector, digits: int = DIGITS) -> tuple[dict[str, np.ndarray], ...]:
    """The states of the same source at ``digits`` digits, rounded to float64 at the end."""
    import mpmath

    def hosted(state: Any) -> dict[str, np.ndarray]:
        arrays = as_fields(state)
        return {name: np.asarray(to_host(arrays[name]), dtype=float) for name in vector.fields}

    with mpmath.workdps(digits):
        return tuple(map(hosted, run(vector, like("mparray"))))


# --- flags ------------------------------------------------------------------------------------


def flags_of(vector: Vector) -> tuple[str, ...]:
    """The faults whose plainest variant is seen here."""
    found = catalogue(vector.method)
    return tuple(name for name, fault in found.items() if _seen(vector, fault))


def _seen(vector: Vector, fault: Any) -> bool:
    algorithms = [change(vector.algorithm) for change in fault.variants(vector.algorithm)[0]]
    if vector.kind == "step" and getattr(algorithms[0], "remembers", False):
        return False  # what it remembers is not in a state
    with np.errstate(all="ignore"):
        states = replay(algorithms, vector, "step" if vector.kind == "step" else "start")
    copies = METHODS[vector.method].seen_in_copies
    names = [name for name in vector.fields if copies or not name.endswith("_previous")]
    for state, expected, tolerance in zip(states, vector.expected, vector.tolerance, strict=True):
        for name in names:
            error = norms(state[name] - expected[name])
            if not bool(np.all(error <= CAUGHT * tolerance[name])):
                return True
    return False
