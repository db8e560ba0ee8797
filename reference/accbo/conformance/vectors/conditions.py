"""How far rounding moves the states of a vector: tolerances from a condition estimate.

Everything here is float64, at any precision beside it; nobody's errors are seen.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from accbo._arrays import at_precision, map_arrays
from accbo.conformance.vectors.vector import Vector, as_fields
from accbo.namespaces import move_to
from accbo.problems.wrapped import Perturbed
from accbo.rounding import PROBES, SAFETY, SIZE, near, norms
from accbo.sampling import probe_normals

ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}
LARGEST_ERROR = {"float64": 1e-9, "float32": 1e-2}  # a vector with a larger tolerance is refused
FIGURES = 2  # of tolerances: the float64 runs behind them differ in the last bits elsewhere


def measured(vector: Vector) -> tuple[dict[str, np.ndarray], ...]:
    """10 K u of every field after every iteration, rounded up."""
    return of_conditions(vector, conditions(vector))


def of_conditions(
    vector: Vector, K: Sequence[dict[str, np.ndarray]]
) -> tuple[dict[str, np.ndarray], ...]:
    """The same for a known K."""
    u = ROUNDOFF[vector.dtype]
    return tuple({name: up(SAFETY * u * k[name]) for name in vector.fields} for k in K)


def run(vector: Vector, like: Any, after: Any = lambda state: state) -> list[Any]:
    """The states after every iteration of ``vector`` in ``like``'s namespace."""
    algorithm = at_precision(vector.algorithm, like)
    problem, samples = move_to(vector.problem, like), move_to(vector.samples, like)
    if vector.state is not None:
        state, states = move_to(vector.state, like), []
    else:
        x, y, start = (move_to(part, like) for part in (vector.x, vector.y, vector.start))
        state = after(algorithm.init(problem, x, y, start))
        states = [state]
    for sample in samples:
        state = after(algorithm.step(problem, state, sample))
        states.append(state)
    return states


def conditions(vector: Vector) -> list[dict[str, np.ndarray]]:
    """K of every field after every iteration: RMS displacement per relative disturbance.

    Sixteen runs in float64 whose every oracle call, and every state after an iteration, is
    disturbed at random by ``SIZE``; the inputs are exact and stay.
    """
    disturb = near(probe_normals(zlib.crc32(vector.id.encode())))

    def after(state: Any) -> Any:
        # everything but what is a copy
        names = [name for name in state._fields if not name.endswith(("_previous", "iteration"))]
        return state._replace(**{n: map_arrays(disturb, getattr(state, n)) for n in names})

    def copies(tree: Any) -> Any:
        return map_arrays(lambda leaf: np.repeat(leaf[None], PROBES, axis=0), tree)

    behind = (vector.x if vector.state is None else vector.state.x).ndim

    def shared(leaf: np.ndarray) -> np.ndarray:  # samples may be batches, an axis before the copies
        return np.expand_dims(leaf, leaf.ndim - behind)

    probed = dataclasses.replace(
        vector,
        problem=Perturbed(vector.problem, disturb),
        state=None if vector.state is None else copies(vector.state),
        x=None if vector.x is None else copies(vector.x),
        y=None if vector.y is None else copies(vector.y),
        samples=map_arrays(shared, vector.samples),
        start=map_arrays(shared, vector.start),
    )
    host = np.zeros(1)
    right, moved = run(vector, host), run(probed, host, after)
    return [
        {name: _spread(m[name] - e[name]) / SIZE for name in vector.fields}
        for e, m in zip(map(as_fields, right), map(as_fields, moved), strict=True)
    ]


def _spread(gaps: np.ndarray) -> np.ndarray:
    """Root mean square over the leading axis of the norms over the last."""
    return norms(norms(gaps).T).T / math.sqrt(len(gaps))


HAIR = 1e-6  # of an estimate: what lies so little above a short number is that number


def up(values: np.ndarray, hair: float = HAIR) -> np.ndarray:
    """``values`` rounded up to a few figures."""
    written: np.ndarray = np.vectorize(
        lambda value: figures(value, up=True, hair=hair), otypes=[float]
    )(values)
    return written


def figures(value: float, up: bool = False, hair: float = HAIR) -> float:
    """``value`` to a few figures."""
    if not (value > 0 and math.isfinite(value)):
        return float(value)
    digits, _, exponent = f"{value:.{FIGURES - 1}e}".partition("e")
    if up and float(f"{digits}e{exponent}") < value * (1 - hair):
        digits = f"{float(digits) + 10.0 ** (1 - FIGURES):.{FIGURES - 1}f}"
    return float(f"{digits}e{exponent}")
