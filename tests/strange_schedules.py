"""Schedules by a stranger for ``python -m theory_checks --check rate --schedule FILE:NAME``.

``VERDICTS`` says of each the words with which ``rate`` rejects it at the smallest ε, or None where
it passes: because it is ε⁻³ on the plateau, or, for ``free_start``, because the window is too
short. ``tests/test_strange_schedules.py`` holds them to it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from accbo import schedules
from accbo.conformance.faults import FAULTS
from accbo.problem import Constants
from accbo.schedules import Schedule

Array = Any
UPPER, OWN = "its momentum, β, η or upper step", "its own method, not taken apart"
AVERAGE, NONE = "moving average, not recursive", "no momentum, β = 0"
VERDICTS: dict[str, str | None] = {}


def schedule(verdict: str | None) -> Callable[[Any], Any]:
    """Note what ``rate`` says of the decorated schedule."""

    def note(function: Any) -> Any:
        VERDICTS[function.__name__] = verdict
        return function

    return note


def _standard(constants: Constants, steps: int, **changes: Any) -> Schedule[Any]:
    """AccBO's schedule, some parameters of the algorithm replaced."""
    found = schedules.accbo(constants, steps=steps)
    return dataclasses.replace(found, algorithm=dataclasses.replace(found.algorithm, **changes))


def _parts(constants: Constants, steps: int, **parts: Any) -> Schedule[Any]:
    """AccBO's schedule, some of its rules replaced."""
    algorithm = schedules.accbo(constants, steps=steps).algorithm
    return _standard(constants, steps, parts=algorithm.parts._replace(**parts))


# --- numbers ------------------------------------------------------------------------------------


@schedule("lower variance not O(ε)")
def constant_variance(constants: Constants, steps: int) -> Schedule[Any]:
    return dataclasses.replace(schedules.accbo(constants, steps=steps), lower_scale=1.0)


@schedule(NONE)
def no_momentum(constants: Constants, steps: int) -> Schedule[Any]:
    return _standard(constants, steps, momentum=0.0)


@schedule(UPPER)
def forgets_in_1_over_epsilon(constants: Constants, steps: int) -> Schedule[Any]:
    return _standard(constants, steps, momentum=1 - steps ** (-1 / 3))


@schedule(UPPER)
def forgets_in_the_whole_run(constants: Constants, steps: int) -> Schedule[Any]:
    return _standard(constants, steps, momentum=1 - 1 / steps)


@schedule("its α, γ or τ")
def no_momentum_below(constants: Constants, steps: int) -> Schedule[Any]:
    return _standard(constants, steps, lower_momentum=0.0)


@schedule(UPPER)
def one_upper_step(constants: Constants, steps: int) -> Schedule[Any]:
    return _standard(constants, steps, upper_step_size=0.004)


@schedule(None)
def one_term(constants: Constants, steps: int) -> Schedule[Any]:
    return _standard(constants, steps, neumann_terms=1)


@schedule(None)
def no_averaging(constants: Constants, steps: int) -> Schedule[Any]:
    return _standard(constants, steps, averaging=1.0)


@schedule(None)
def one_first_sample(constants: Constants, steps: int) -> Schedule[Any]:
    found = schedules.accbo(constants, steps=steps)
    return dataclasses.replace(found, first=1, warm_start=0)


@schedule(None)
def free_start(constants: Constants, steps: int) -> Schedule[Any]:
    """As many samples in m_0 as there are iterations, then next to none."""
    return dataclasses.replace(_standard(constants, steps, momentum=1 - 1e-9), first=steps)


# --- rules --------------------------------------------------------------------------------------


def _average(constants: Constants, steps: int, step: float, memory: float) -> Schedule[Any]:
    epsilon = steps ** (-1 / 3)
    numbers = {"upper_step_size": epsilon**step, "momentum": 1 - epsilon**memory}
    found = _standard(constants, steps, **numbers)
    algorithm = FAULTS["no correction"].apply(found.algorithm)
    return dataclasses.replace(found, algorithm=algorithm)


@schedule(AVERAGE)
def average_with_the_floor(constants: Constants, steps: int) -> Schedule[Any]:
    return _average(constants, steps, 2.5, 1.0)


@schedule(AVERAGE)
def average_with_short_steps(constants: Constants, steps: int) -> Schedule[Any]:
    return _average(constants, steps, 3.0, 2.0)


@schedule(UPPER)
def half_correction(constants: Constants, steps: int) -> Schedule[Any]:
    def rule(h: Any, new: Any, old: Any, m: Array, decay: float) -> Array:
        return h(*new) + decay * (m - 0.5 * h(*old))

    return _parts(constants, steps, momentum=rule)


@schedule(None)
def half_correction_of_an_average(constants: Constants, steps: int) -> Schedule[Any]:
    def rule(h: Any, new: Any, old: Any, m: Array, decay: float) -> Array:
        return (1 - decay) * h(*new) + decay * (m + 0.5 * (h(*new) - h(*old)))

    return _parts(constants, steps, momentum=rule)


@schedule(UPPER)
def wrong_sign(constants: Constants, steps: int) -> Schedule[Any]:
    def rule(h: Any, new: Any, old: Any, m: Array, decay: float) -> Array:
        return (1 - decay) * h(*new) + decay * (m - (h(*new) - h(*old)))

    return _parts(constants, steps, momentum=rule)


@schedule(UPPER)
def transported(constants: Constants, steps: int) -> Schedule[Any]:
    """Implicit gradient transport: one sample, at the point so far ahead that nothing lags."""

    def rule(h: Any, new: Any, old: Any, m: Array, decay: float) -> Array:
        far = decay / (1 - decay)
        ahead = [a + far * (a - b) for a, b in zip(new, old, strict=True)]
        return decay * m + (1 - decay) * h(*ahead)

    return _parts(constants, steps, momentum=rule)


@schedule(None)
def signs(constants: Constants, steps: int) -> Schedule[Any]:
    def step(x: Array, m: Array, size: float) -> Array:
        return x - size * np.sign(m) / math.sqrt(m.shape[-1])

    return _parts(constants, steps, x=step)


@schedule(None)
def clipped(constants: Constants, steps: int) -> Schedule[Any]:
    def step(x: Array, m: Array, size: float) -> Array:
        return x - size * m / np.maximum(np.linalg.norm(m, axis=-1, keepdims=True), 0.05)

    return _parts(constants, steps, x=step)


# --- methods ------------------------------------------------------------------------------------


class Now:
    """AccBO, but another one in every ``period``-th iteration."""

    def __init__(self, algorithm: Any, other: Any, period: int) -> None:
        self._algorithm, self._other, self._period = algorithm, other, period

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        now = state.iteration % self._period == 0
        return (self._other if now else self._algorithm).step(problem, state, sample)


def _restarted(constants: Constants, steps: int, memories: int) -> Schedule[Any]:
    found = schedules.accbo(constants, steps=steps)
    period = memories * math.ceil(1 / (1 - found.algorithm.momentum))
    other = dataclasses.replace(found.algorithm, momentum=0.0)
    return dataclasses.replace(found, algorithm=Now(found.algorithm, other, period))


@schedule(OWN)
def restarted(constants: Constants, steps: int) -> Schedule[Any]:
    return _restarted(constants, steps, 1)


@schedule(OWN)
def rarely_restarted(constants: Constants, steps: int) -> Schedule[Any]:
    return _restarted(constants, steps, 10)


@schedule(None)
def average_in_every_other_iteration(constants: Constants, steps: int) -> Schedule[Any]:
    found = schedules.accbo(constants, steps=steps)
    other = FAULTS["no correction"].apply(found.algorithm)
    return dataclasses.replace(found, algorithm=Now(found.algorithm, other, 2))


class TwoBack:
    """AccBO, whose correction is at the point before the previous one."""

    def __init__(self, algorithm: Any) -> None:
        self._algorithm = algorithm
        self._before: dict[str, Array] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        kept = {name: getattr(state, name) for name in ("x_previous", "y_average_previous")}
        given = state._replace(**self._before) if state.iteration > 1 else state
        self._before = kept
        after = self._algorithm.step(problem, given, sample)
        return after._replace(x_previous=state.x, y_average_previous=state.y_average)


@schedule(None)
def two_points_back(constants: Constants, steps: int) -> Schedule[Any]:
    found = schedules.accbo(constants, steps=steps)
    return dataclasses.replace(found, algorithm=TwoBack(found.algorithm))
