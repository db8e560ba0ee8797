"""What a task is: a problem made of data, a start, what is looked at, and what is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from accbo._arrays import Array
from accbo.problem import BilevelProblem
from accbo.sampling import random_matrix

Measure = Callable[[Array, Array], float]  # of the host's x and y


UNTESTED = "validation score, no test"  # what stands for a test where a task has none


@dataclass(frozen=True)
class Instance:
    """One draw of a task's data: the problem, where to start, and how to judge a pair (x, y).

    ``problem`` is a sum of blocks (``accbo.tasks.blocks``). ``measures`` see training and
    validation data only and may be looked at as often as one likes; ``score`` is the one by which
    the search chooses and a run stops, the larger the better. ``test`` is read once a run.
    ``references`` are what the same data give without a bilevel method. ``reach`` is how far
    from the start good values of x are thought to lie; ``mu`` and ``curvature`` bound ∇²_yy G.
    ``gradient`` is ‖∇Φ‖ at the start, where it is known beforehand.
    """

    problem: BilevelProblem
    x: Array
    y: Array
    measures: Mapping[str, Measure]
    score: str
    test: Mapping[str, Measure]
    reach: float
    mu: float
    curvature: float
    references: Callable[[], Mapping[str, float]] = field(default=dict)
    gradient: float | None = None


class Task(NamedTuple):
    """A named task; ``build(seed)`` draws its data."""

    name: str
    about: str  # one line
    data: str  # what the data are and what they stand in for
    build: Callable[[int], Instance]
    budget: int  # default, in oracle calls


class TaskError(ValueError):
    """A task, a method or a setting that cannot be run; the message says why."""


def shuffled(count: int, seed: int) -> np.ndarray:
    """A random order of ``count`` things, the same everywhere."""
    return np.argsort(random_matrix(1, count, seed)[0])
