"""Schedules by a stranger for ``python -m theory_checks --check rate --schedule FILE:NAME``.

``VERDICTS`` says of each the words with which ``rate`` rejects it at the smallest ε, or the row
that it fails, or None where it passes: because it is ε⁻³ on the plateau, or, for ``free_start``,
because the window is too short. ``REFUSED`` cannot be run, and its sentence says why.
``tests/test_strange_schedules.py`` holds them to it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from accbo import AccBO, schedules
from accbo.conformance.faults import FAULTS
from accbo.problem import Constants
from accbo.schedules import Schedule
from accbo.upper import gradient_step

Array = Any
UPPER, OWN = "its momentum, β, η or upper step", "its own method, not taken apart"
AVERAGE, NONE = "moving average, not recursive", "no momentum, β = 0"
BELOW, PRODUCTS = "R3 exponent of calls(ε), ∇_yG", "R3 exponent of calls(ε), ∇²_yyG v"
VERDICTS: dict[str, str | None] = {}
REFUSED: dict[str, str] = {}


def schedule(verdict: str | None) -> Callable[[Any], Any]:
    """Note what ``rate`` says of the decorated schedule."""

    def note(function: Any) -> Any:
        VERDICTS[function.__name__] = verdict
        return function

    return note


def refused(sentence: str) -> Callable[[Any], Any]:
    """Note why the decorated schedule cannot be run."""

    def note(function: Any) -> Any:
        REFUSED[function.__name__] = sentence
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


@schedule("R1 μ, ε = 2^−2")
def the_same_whatever_epsilon(constants: Constants, steps: int) -> Schedule[Any]:
    found = schedules.accbo(constants, epsilon=1 / 32)
    return dataclasses.replace(found, steps=steps, warm_start=0, first=1)


@schedule(None)
def longer_by_a_logarithm(constants: Constants, steps: int) -> Schedule[Any]:
    epsilon = steps ** (-1 / 3)
    return _standard(constants, steps, upper_step_size=epsilon**2 * math.log(1 / epsilon) / 4)


@schedule(NONE)
def plain_steps_for_this_plateau(constants: Constants, steps: int) -> Schedule[Any]:
    """SGD above with the ε²/3 that suits it best here; its n is ε⁻⁴."""
    epsilon = 4 * steps ** (-1 / 3)
    found = _standard(constants, steps, momentum=0.0, upper_step_size=epsilon**2 / 3)
    parts = found.algorithm.parts._replace(x=gradient_step)
    return dataclasses.replace(found, algorithm=dataclasses.replace(found.algorithm, parts=parts))


@schedule("R3 exponent of calls(ε), ∇_xF")
def ttsa(constants: Constants, steps: int) -> Schedule[Any]:
    return schedules.ttsa(constants, steps=steps)


# What makes few iterations out of many calls.


@schedule(PRODUCTS)
def terms_like_1_over_epsilon(constants: Constants, steps: int) -> Schedule[Any]:
    return _standard(constants, steps, neumann_terms=math.ceil(0.5 * steps ** (1 / 3)))


@schedule(BELOW)
def ever_more_steps_below(constants: Constants, steps: int) -> Schedule[Any]:
    """Option II with a refresh in every iteration, of 1/ε plain steps."""
    many = math.ceil(0.5 * steps ** (1 / 3))
    plain = {"lower_momentum": 0.0, "averaging": 1.0}
    return _standard(constants, steps, period=1, lower_steps=many, **plain)


@schedule(BELOW)
def no_noise_below(constants: Constants, steps: int) -> Schedule[Any]:
    return dataclasses.replace(schedules.accbo(constants, steps=steps), lower_scale=0.0)


@schedule(BELOW)
def less_noise_below(constants: Constants, steps: int) -> Schedule[Any]:
    """A variance of ε³, where ε is granted."""
    found = schedules.accbo(constants, steps=steps)
    return dataclasses.replace(found, lower_scale=found.epsilon**1.5)


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


@schedule(None)
def softened(constants: Constants, steps: int) -> Schedule[Any]:
    """η/√(‖m‖² + ε²) in the place of η/‖m‖."""
    epsilon = steps ** (-1 / 3)

    def step(x: Array, m: Array, size: float) -> Array:
        return x - size * m / np.sqrt(np.sum(m * m, axis=-1, keepdims=True) + epsilon**2)

    return _parts(constants, steps, x=step)


@schedule(None)
def corrected_by_lot(constants: Constants, steps: int) -> Schedule[Any]:
    """The correction where the sample's gradient points one way, which is about as often as not."""

    def rule(h: Any, new: Any, old: Any, m: Array, decay: float) -> Array:
        here, there = h(*new), h(*old)
        corrected = here + decay * (m - there)
        return np.where(here[..., :1] < 0, corrected, (1 - decay) * here + decay * m)

    return _parts(constants, steps, momentum=rule)


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


class Later:
    """AccBO, but another one from iteration ``after`` on."""

    def __init__(self, algorithm: Any, other: Any, after: int) -> None:
        self._algorithm, self._other, self._after = algorithm, other, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        late = state.iteration >= self._after
        return (self._other if late else self._algorithm).step(problem, state, sample)


def _later(constants: Constants, steps: int, after: int, change: Any) -> Schedule[Any]:
    found = schedules.accbo(constants, steps=steps)
    return dataclasses.replace(
        found, algorithm=Later(found.algorithm, change(found.algorithm), after)
    )


def _memories(steps: int, count: int) -> int:
    return math.ceil(count * steps ** (2 / 3))


@schedule(OWN)
def average_after_a_warm_up(constants: Constants, steps: int) -> Schedule[Any]:
    return _later(constants, steps, _memories(steps, 3), FAULTS["no correction"].apply)


@schedule(OWN)
def no_momentum_after_a_warm_up(constants: Constants, steps: int) -> Schedule[Any]:
    def change(algorithm: Any) -> Any:
        return dataclasses.replace(algorithm, momentum=0.0)

    return _later(constants, steps, _memories(steps, 3), change)


@schedule(OWN)
def wrong_sign_from_an_eighth_on(constants: Constants, steps: int) -> Schedule[Any]:
    def change(algorithm: Any) -> Any:
        return wrong_sign(constants, steps).algorithm

    return _later(constants, steps, steps // 8, change)


class HeavyBall:
    """AccBO, whose x goes on by nine tenths of its last step."""

    def __init__(self, algorithm: Any) -> None:
        self._algorithm = algorithm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        after = self._algorithm.step(problem, state, sample)
        return after._replace(x=after.x + 0.9 * (state.x - state.x_previous))


@schedule(OWN)
def heavy_ball_above(constants: Constants, steps: int) -> Schedule[Any]:
    found = schedules.accbo(constants, steps=steps)
    return dataclasses.replace(found, algorithm=HeavyBall(found.algorithm))


class Shrinking:
    """AccBO with 1 − β = η = (t + 8)^−⅔, which knows no T."""

    def __init__(self, algorithm: Any) -> None:
        self._algorithm = algorithm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        size = (state.iteration + 8) ** (-2 / 3)
        now = dataclasses.replace(self._algorithm, momentum=1 - size, upper_step_size=size)
        return now.step(problem, state, sample)


@schedule(None)
def shrinking(constants: Constants, steps: int) -> Schedule[Any]:
    found = schedules.accbo(constants, steps=steps)
    return dataclasses.replace(found, algorithm=Shrinking(found.algorithm), first=1)


class Short(AccBO):
    """AccBO, of whose m only nine tenths are handed on: a part by inheritance."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        after = super().step(problem, state, sample)
        return after._replace(momentum=0.9 * after.momentum)


@schedule(OWN)
def nine_tenths_of_m(constants: Constants, steps: int) -> Schedule[Any]:
    found = schedules.accbo(constants, steps=steps)
    fields = {
        field.name: getattr(found.algorithm, field.name)
        for field in dataclasses.fields(found.algorithm)
    }
    return dataclasses.replace(found, algorithm=Short(**fields))


# --- what is no oracle call ---------------------------------------------------------------------


class Peeking:
    """AccBO, whose step reads ``more`` of the problem first."""

    def __init__(self, algorithm: Any, more: Any) -> None:
        self._algorithm, self._more = algorithm, more

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        self._more(problem, state)
        return self._algorithm.step(problem, state, sample)


def _peeking(constants: Constants, steps: int, more: Any) -> Schedule[Any]:
    found = schedules.accbo(constants, steps=steps)
    return dataclasses.replace(found, algorithm=Peeking(found.algorithm, more))


@refused("an oracle alone, which has no 'hypergradient'")
def reads_the_hypergradient(constants: Constants, steps: int) -> Schedule[Any]:
    return _peeking(constants, steps, lambda p, state: p.hypergradient(state.x))


@refused("an oracle alone, which has no 'solution'")
def reads_the_solution(constants: Constants, steps: int) -> Schedule[Any]:
    return _peeking(constants, steps, lambda p, state: p.solution(state.x))


@refused("a derivative without a sample is an expectation")
def forgets_the_sample(constants: Constants, steps: int) -> Schedule[Any]:
    return _peeking(constants, steps, lambda p, state: p.grad_y_upper(state.x, state.y))
