"""The identities on AccBO's own path (SPEC 4.7–4.9, 4.11, 4.12) over random problems and options.

No exponent is fitted here. A fit of a short window with an interval of its own cannot tell −1/3
from −1/4 on a problem drawn at random, and what it could tell it tells late: that AccBO is
AccBO follows step by step from these identities, to rounding, and no method of another rate
meets them (``test_no_moving_average_meets_the_recursion``). The exponent itself is measured by
``python -m theory_checks --check rate``, where its constants are fixed and its errors known.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accbo import AccBO, Tape
from accbo.conformance.faults import FAULTS
from property_tests import strategies
from property_tests.strategies import SEEDS, numbers
from theory_checks.harness import Settings
from theory_checks.own_path import instances, lyapunov
from theory_checks.own_path.bias import hypergradient_error
from theory_checks.own_path.decay import decay
from theory_checks.own_path.lower import lower_steps
from theory_checks.own_path.path import starting_points, trace
from theory_checks.own_path.recursion import recursion, values_on

MANY = settings(
    max_examples=3 * settings().max_examples
)  # an example takes a hundredth of a second
HERE = Settings()
STEPS = 5
DECAYS = st.one_of(
    numbers(0.0, 0.9999),
    numbers(0.98, 0.9999),
    st.sampled_from([instances.scheduled(k) for k in instances.SCHEDULED]),
)
TERMS = st.one_of(st.integers(1, 8), st.integers(1, 40))


@st.composite
def cases(draw: Any, **options: Any) -> tuple[Any, AccBO, int]:
    """A problem, an algorithm with any β of the schedules, and a seed."""
    problem = draw(strategies.problems(**options))
    algorithm = draw(strategies.algorithms(problem.constants.curvature, TERMS, DECAYS))
    if algorithm.neumann_sampling == "independent":  # Q(Q − 1)/2 factors
        fewer = min(algorithm.neumann_terms, 12)
        algorithm = dataclasses.replace(algorithm, neumann_terms=fewer)
    return problem, algorithm, draw(SEEDS)


def recursion_error(case: tuple[Any, AccBO, int], where: Settings = HERE, first: int = 1) -> float:
    """The largest share of the allowance of 4.7."""
    problem, algorithm, seed = case
    start, tape = starting_points(problem, 2, seed), Tape(seed)
    path, samples = trace(where, problem, algorithm, start, tape, STEPS, first)
    return recursion(problem, algorithm, path, values_on(problem, algorithm, path, samples)).ratio


def lower_error(
    case: tuple[Any, AccBO, int], scale: float, where: Settings = HERE, warm_start: int = 2
) -> float:
    """The largest share of the allowance of 4.11."""
    problem, algorithm, seed = case
    start, tape = starting_points(problem, 2, seed), Tape(seed, lower_scale=scale)
    path, samples = trace(where, problem, algorithm, start, tape, STEPS, warm_start=warm_start)
    return lower_steps(problem, algorithm, path, samples).ratio


def bias_error(case: tuple[Any, AccBO, int], far: float, where: Settings = HERE) -> float:
    """The largest share of the allowance of 4.9."""
    problem, algorithm, seed = case
    x, y = starting_points(problem, 3, seed)
    return hypergradient_error(where, problem, algorithm, x, far * y).ratio


@MANY
@given(case=cases(), first=st.integers(1, 3))
def test_the_momentum_obeys_its_recursion(case: Any, first: int) -> None:
    assert recursion_error(case, first=first) <= 1


@MANY
@given(case=cases(), scale=st.sampled_from((1.0, 0.3)), warm_start=st.integers(0, 3))
def test_the_lower_level_takes_its_steps(case: Any, scale: float, warm_start: int) -> None:
    assert lower_error(case, scale, warm_start=warm_start) <= 1


@MANY
@given(case=cases(), iteration=st.integers(1, 300))
def test_one_step_multiplies_the_momentum_by_its_decay(case: Any, iteration: int) -> None:
    assert decay(HERE, *case, iteration).ratio <= 1


@MANY
@given(
    case=cases(kinds=("quadratic", "relaxed"), noisy=False),
    far=st.sampled_from((1e-3, 1.0, 100.0)),
)
def test_the_hypergradient_is_off_by_its_law(case: Any, far: float) -> None:
    assert bias_error(case, far) <= 1


@st.composite
def matched(draw: Any) -> tuple[Any, AccBO, int]:
    """A case in Option I whose γ is matched to its α, αl up to 1.2 and below a full step of μ."""
    problem, algorithm, seed = draw(cases())
    constants = problem.constants
    alpha = min(draw(numbers(0.01, 1.2)) / constants.curvature, 0.99 / constants.mu)
    _, gamma = lyapunov.matched(constants.mu, alpha)
    changes = {"lower_step_size": alpha, "lower_momentum": gamma, "period": None}
    return problem, dataclasses.replace(algorithm, **changes), seed


def decrease_error(case: tuple[Any, AccBO, int], scale: float, where: Settings = HERE) -> float:
    """The largest share of the allowance of 4.12."""
    problem, algorithm, seed = case
    start, tape = starting_points(problem, 2, seed), Tape(seed, lower_scale=scale)
    path, samples = trace(where, problem, algorithm, start, tape, STEPS, warm_start=1)
    return lyapunov.decrease(problem, algorithm, path, samples).deviation.ratio


@MANY
@given(case=matched(), scale=st.sampled_from((0.0, 1.0)))
def test_what_a_lower_step_does_to_v(case: Any, scale: float) -> None:
    assert decrease_error(case, scale) <= 1


AVERAGED = Settings(fault="no correction")


@MANY
@given(case=cases(), decay=numbers(0.05, 0.9999))
def test_no_moving_average_meets_the_recursion(case: Any, decay: float) -> None:
    """The method of the rate −1/4 fails on every example, whatever its schedule."""
    problem, algorithm, seed = case
    changed = dataclasses.replace(algorithm, momentum=decay)
    assert recursion_error((problem, changed, seed), AVERAGED) > 1


# --- each law is seen to fail ------------------------------------------------------------------


def fixed(**changes: Any) -> tuple[Any, AccBO, int]:
    """A case with every noise, at which all of the faults below act."""
    problem = instances.problems()["cosh, skewed"]
    where = instances.Combination("simultaneous", "I", "randomised", "cosh, skewed", 9)
    return problem, dataclasses.replace(instances.algorithm(problem, where), **changes), 3


@pytest.mark.parametrize(
    "fault",
    [
        "stale sample",
        "different sample",
        "no correction",
        "correction without β",
        "β and 1−β swapped",
        "old point at (x_{t−1}, ŷ_t)",
        "old point copied after the step",
        "hypergradient at y",
        "random term without Q",
        "sign of the implicit term",
    ],
)
def test_recursion_catches(fault: str) -> None:
    assert FAULTS[fault]
    assert recursion_error(fixed()) <= 1
    assert recursion_error(fixed(), Settings(fault=fault)) > 1


@pytest.mark.parametrize(
    "fault",
    [
        "gradient at y",
        "γ as 1−γ",
        "y_{t−1} overwritten",
        "no averaging",
        "τ and 1−τ swapped",
        "no warm start",
    ],
)
def test_lower_steps_catch(fault: str) -> None:
    assert lower_error(fixed(), 1.0) <= 1
    assert lower_error(fixed(), 1.0, Settings(fault=fault)) > 1


@pytest.mark.parametrize("fault", ["β and 1−β swapped", "correction without β"])
def test_decay_catches(fault: str) -> None:
    assert decay(HERE, *fixed()).ratio <= 1
    assert decay(Settings(fault=fault), *fixed()).ratio > 1


@pytest.mark.parametrize(
    "fault", ["series from q = 1", "one term too few", "random term without Q"]
)
def test_bias_catches(fault: str) -> None:
    _, algorithm, seed = fixed()
    quiet = instances.problems(noisy=False)["cosh"]
    case = quiet, dataclasses.replace(algorithm, neumann_scale=3.0), seed
    assert bias_error(case, 1.0) <= 1
    assert bias_error(case, 1.0, Settings(fault=fault)) > 1


@pytest.mark.parametrize("fault", ["gradient at y", "γ as 1−γ", "y_{t−1} overwritten"])
def test_decrease_catches(fault: str) -> None:
    problem, algorithm, seed = fixed()
    _, gamma = lyapunov.matched(problem.constants.mu, algorithm.lower_step_size)
    case = problem, dataclasses.replace(algorithm, lower_momentum=gamma), seed
    assert decrease_error(case, 1.0) <= 1
    assert decrease_error(case, 1.0, Settings(fault=fault)) > 1
