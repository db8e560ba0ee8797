"""What an implementation made of a vector, on the host, and how far it is from what is right."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from accbo.conformance.vectors.replay import Shown, expected, iterations, tolerances
from accbo.conformance.vectors.vector import Vector
from accbo.rounding import norms

NO_RESULT = "no result"  # for a case that is covered


@dataclass(frozen=True, eq=False)
class Observation:
    """The states that an implementation showed after each iteration of ``vector``.

    ``mode`` is one of ``replay.MODES``. ``states`` map field names to NumPy arrays;
    ``x`` is always there. ``trouble`` says why there are fewer states than iterations
    (``crashed``: an exception, or no end), ``missing`` why the case is not covered at all, and
    ``notes`` what is wrong beside the numbers.
    """

    vector: Vector
    mode: str
    states: tuple[Mapping[str, np.ndarray], ...]
    trouble: str = ""
    missing: str = ""
    notes: tuple[str, ...] = ()
    crashed: bool = False

    @property
    def name(self) -> str:
        """The name of the check: the vector's id, and the mode of a trajectory."""
        return self.vector.id if self.mode == "step" else f"{self.vector.id}:{self.mode}"

    @functools.cached_property
    def _departures(self) -> tuple[Departure, ...]:
        vector, mode = self.vector, self.mode
        reference = zip(
            iterations(vector, mode), expected(vector, mode), tolerances(vector, mode), strict=True
        )
        return tuple(
            _departure(t, name, got[name], right[name], allowed[name])
            for (t, right, allowed), got in zip(reference, self.states, strict=False)
            for name in vector.fields
            if name in got
        )


class Departure(NamedTuple):
    """Where a quantity is off: after ``iteration``, by ``error`` where ``tolerance`` is allowed."""

    iteration: int
    quantity: str
    error: float
    tolerance: float
    element: tuple[int, ...]
    got: float
    expected: float

    @property
    def ratio(self) -> float:
        """Error over tolerance; infinite for an error where none is allowed."""
        if self.error == 0:
            return 0.0
        return self.error / self.tolerance if self.tolerance > 0 else math.inf


def departures(observation: Observation) -> tuple[Departure, ...]:
    """Every shown quantity against the reference, in order of iterations and of fields."""
    return observation._departures


_SOURCE = {"x_previous": "x", "y_previous": "y", "y_average_previous": "y_average"}


@np.errstate(all="ignore")
def fits(states: Iterable[Shown], observation: Observation, enough: float = math.inf) -> float:
    """The largest error of ``observation`` against ``states``, in tolerances of the vector.

    Or the first above ``enough``: no more of ``states`` is read then.
    Where a wrong quantity is larger than the right one, so are its roundings; and a field that
    is an exact copy in the right step may be a computed one in a wrong one.
    """
    worst = 0.0
    vector, mode = observation.vector, observation.mode
    reference = zip(expected(vector, mode), tolerances(vector, mode), strict=True)
    for got, replayed, (right, allowed) in zip(observation.states, states, reference, strict=False):
        for name, value in got.items():
            if np.array_equal(value, replayed[name]):
                continue
            tolerance = np.maximum(allowed[name], allowed[_SOURCE.get(name, name)])
            grown = growth(replayed[name], right[name])
            worst = max(worst, ratio(value, replayed[name], tolerance * grown))
            if worst > enough:
                return worst
    return worst


def growth(wrong: np.ndarray, right: np.ndarray) -> np.ndarray:
    """max(1, ‖wrong‖/‖right‖) per replicate."""
    grown = np.fmax(1.0, norms(wrong) / norms(right))
    return np.where(np.isfinite(grown), grown, 1.0)  # 1 for what has overflowed


@np.errstate(all="ignore")
def ratio(got: np.ndarray, right: np.ndarray, tolerance: np.ndarray) -> float:
    """Largest ‖got − right‖/tolerance over the replicates; 0/0 is 0, NaN agrees with NaN."""
    gap = got - right
    gap = np.where((got == right) | (np.isnan(got) & np.isnan(right)), 0.0, gap)
    error = norms(gap)
    ratios = np.where(error == 0, 0.0, error / tolerance)
    worst = float(np.max(ratios, initial=0.0))
    return math.inf if math.isnan(worst) else worst


@np.errstate(all="ignore")
def _departure(
    t: int, name: str, got: np.ndarray, right: np.ndarray, tolerance: np.ndarray
) -> Departure:
    gap = np.abs(got - right)
    error = norms(got - right)
    scaled = np.where(error == 0, 0.0, error / tolerance)
    scaled = np.where(np.isnan(scaled), np.inf, scaled)
    worst = np.unravel_index(int(np.argmax(scaled)), scaled.shape) if scaled.ndim else ()
    element = int(np.argmax(np.where(np.isnan(gap[worst]), np.inf, gap[worst])))
    at = (*(int(index) for index in worst), element)
    size = float(error[worst])
    return Departure(
        t,
        name,
        math.inf if math.isnan(size) else size,
        float(tolerance[worst]),
        at,
        float(got[at]),
        float(right[at]),
    )


def departs(found: Departure) -> bool:
    """Whether a departure is one: more than the tolerance."""
    return not found.ratio <= 1


def fails(observation: Observation) -> bool:
    """Whether something of it departs."""
    return any(map(departs, departures(observation)))
