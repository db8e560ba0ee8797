"""What a relation is tried on, the runs it compares, and the tolerances of the comparison.

Tolerances. Where both sides do the same operations the tolerance is 0. Where they round
differently it is 10 K u (DESIGN §5): K is the root mean square displacement of the observed
array, per relative perturbation, when every oracle call and every state of a NumPy float64 run
is disturbed at random; the error is then given in units of it, and the tolerance is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import (
    Array,
    move,
    namespace,
    row,
    unit_roundoff,
)
from accbo.algorithms import AccBO
from accbo.problems.wrapped import Perturbed, Wrapped
from accbo.rounding import PROBES, SAFETY, SIZE, as_host, near
from accbo.sampling import Start, Tape, probe_normals

Arrays = list[Array]


def as_declared(algorithm: AccBO) -> Any:
    """AccBO itself, the right algorithm to test."""
    return algorithm


class Case(NamedTuple):
    """What a relation is tried on.

    ``algorithm`` holds the declared hyper-parameters; ``build`` makes of them the algorithm
    under test. ``x`` ``(..., d_x)`` and ``y`` ``(..., d_y)`` are x_0 and y_init; ``steps``
    counts iteration 0. ``problem``, ``x`` and ``y`` share namespace, dtype and device.
    """

    algorithm: AccBO
    problem: Any
    x: Array
    y: Array
    noise: Tape = Tape()
    steps: int = 4
    warm_start: int = 0
    first: int = 1
    build: Callable[[AccBO], Any] = as_declared


class Outcome(NamedTuple):
    """What a relation found; ``error`` is infinite where something was not finite."""

    name: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the error stays within the tolerance."""
        return bool(self.error <= self.tolerance)


class Samples(NamedTuple):
    """All the noise of a short run."""

    start: Start
    steps: tuple[Any, ...]


# --- runs -----------------------------------------------------------------------------------


def draw(case: Case, algorithm: Any) -> Samples:
    """The samples that ``algorithm`` takes on ``case``'s tape."""
    stream = case.noise.open(case.x)
    start = stream.start(algorithm.draw_start(case.problem, case.warm_start, case.first))
    layouts = (algorithm.draw(case.problem, algorithm.refreshes(t)) for t in range(1, case.steps))
    return Samples(start, tuple(row(stream.block(layout, 1), 0) for layout in layouts))


def unchanged(tree: Any) -> Any:
    """``tree`` itself."""
    return tree


def trajectory(
    algorithm: Any,
    problem: Any,
    x: Array,
    y: Array,
    samples: Samples,
    after: Callable[[Any], Any] = unchanged,
) -> list[Any]:
    """The states after iterations 0, 1, …; ``after`` is applied to each of them.

    Not ``accbo.run``: all of every state is wanted, and a scan would compile for each case.
    """
    with np.errstate(all="ignore"):  # a fault may diverge; what is not finite is an error
        states = [after(algorithm.init(problem, x, y, samples.start))]
        for sample in samples.steps:
            states.append(after(algorithm.step(problem, states[-1], sample)))
    return states


def observed(problem: Any, states: Iterable[Any]) -> Arrays:
    """x, y, ŷ and m of every state, in the coordinates of the problem inside a wrapper."""
    back = problem.back if isinstance(problem, Wrapped) else Wrapped(problem).back
    return [array for state in states for array in back(state)]


def largest(ratios: np.ndarray) -> float:
    """The largest entry; a NaN counts as infinite, none as 0."""
    found = float(np.max(ratios, initial=0.0))
    return math.inf if math.isnan(found) else found


def difference(left: Arrays, right: Arrays) -> float:
    """Largest |left − right| over all entries of all arrays."""
    pairs = zip(left, right, strict=True)
    with np.errstate(all="ignore"):
        return max(largest(np.abs(as_host(a) - as_host(b))) for a, b in pairs)


def ratio(left: Arrays, right: Arrays, tolerances: Sequence[np.ndarray]) -> float:
    """Largest ‖left − right‖/tolerance over all replicates of all arrays; 0/0 is 0."""
    worst = 0.0
    with np.errstate(all="ignore"):
        for a, b, tolerance in zip(left, right, tolerances, strict=True):
            error = np.linalg.norm(as_host(a) - as_host(b), axis=-1)
            worst = max(worst, largest(np.where(error == 0, 0.0, error / tolerance)))
    return worst


def bitwise(case: Case) -> bool:
    """Whether a replicate's bits depend neither on the batch nor on its place in it."""
    library = namespace(case.x).__name__.split(".")[0]
    return library in ("numpy", "array_api_strict") and (
        getattr(case.problem, "form", None) == "matmul"
    )


# --- tolerances -----------------------------------------------------------------------------

Evaluate = Callable[[Any, Array, Array, Samples, Callable[[Any], Any]], Arrays]


def rounding(
    problem: Any, x: Array, y: Array, samples: Samples, evaluate: Evaluate
) -> list[np.ndarray]:
    """10 K u for every array of ``evaluate(problem, x, y, samples, after)``, shape ``(...)``.

    K² is the mean, over ``PROBES`` runs disturbed by ``Perturbed``, of the squared
    displacement over the squared size of the disturbance.
    """
    u, host = unit_roundoff(x), np.zeros(1)
    problem, x, y, samples = (move(part, host) for part in (problem, x, y, samples))
    disturb_one = near(probe_normals(0))
    disturbed = Perturbed(problem, disturb_one)
    near_x, near_y = (disturb_one(np.broadcast_to(z, (PROBES, *z.shape))) for z in (x, y))

    def disturb(state: Any) -> Any:
        names = ("x", "y", "y_average", "momentum")
        return state._replace(**{name: disturb_one(getattr(state, name)) for name in names})

    exact = evaluate(problem, x, y, samples, unchanged)
    moved = evaluate(disturbed, near_x, near_y, samples, disturb)
    pairs = zip(moved, exact, strict=True)
    squares = (np.mean(np.sum((m - e) ** 2, axis=-1), axis=0) for m, e in pairs)
    return [SAFETY * u * np.sqrt(square) / SIZE for square in squares]


def run_evaluate(algorithm: Any) -> Evaluate:
    """x, y, ŷ, m of all states of ``algorithm``'s run."""

    def evaluate(problem: Any, x: Array, y: Array, samples: Samples, after: Any) -> Arrays:
        inner = problem.problem if isinstance(problem, Perturbed) else problem
        return observed(inner, trajectory(algorithm, problem, x, y, samples, after))

    return evaluate


def start_evaluate(algorithm: Any) -> Evaluate:
    """m_0 of ``algorithm``'s run."""

    def evaluate(problem: Any, x: Array, y: Array, samples: Samples, after: Any) -> Arrays:
        return [algorithm.init(problem, x, y, samples.start).momentum]

    return evaluate
