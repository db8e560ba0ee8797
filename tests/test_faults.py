"""Every fault of the catalogue is a fault: it moves the trajectory, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from accbo import AccBOSample, AccBOState
from accbo._arrays import row
from accbo.conformance.faults import FAULTS
from accbo.problems import LowerNoise, UpperNoise
from accbo.problems.wrapped import ScaledUpper
from accbo.run import _as_pytree
from accbo.sampling import Start, Tape
from tests.backends import need
from tests.support import (
    ALGORITHM,
    U64,
    Case,
    X,
    Y,
    batch,
    bits,
    changed,
    condition,
    fields,
    problem,
    stored,
)

# SPEC §6: noise of every kind, Q = 4, l ≠ 1, no parameter at 0, ½ or 1, two blocks of x, a
# non-quadratic g; three replicates, so that a neighbour's sample is another one
GENERIC = Case(problem("nonquadratic"), ALGORITHM, batch(X, 3), batch(Y, 3))
STEPS = 4  # iterations 0 … 3
# where the generic case cannot show a fault: Option II, index batches, a tiny gradient
ELSEWHERE = {
    "inner pair kept": GENERIC._replace(algorithm=changed(period=2, lower_steps=2)),
    "period off by one": GENERIC._replace(algorithm=changed(period=2, lower_steps=2)),
    "upper batch reused below": GENERIC._replace(problem=problem("finite_sum", lower_batch=2)),
    "norm that underflows": GENERIC._replace(
        problem=ScaledUpper(problem("nonquadratic"), 2.0**-600)
    ),
}
K = condition(
    Case(GENERIC.problem, ALGORITHM, X, Y), STEPS, stored(Case(GENERIC.problem, ALGORITHM, X, Y), 4)
)
OF_ACCBO = set(AccBOState._fields) - {"iteration"}


def gap(one: Case, algorithm: Any, steps: int) -> float:
    """The largest difference of AccBO's state from ``algorithm``'s, in units of K·u."""
    right = fields(one.run(steps, 1).state)
    wrong = fields(one._replace(algorithm=algorithm).run(steps, 1).state)
    return max(float(np.max(np.abs(wrong[n] - right[n]))) / (K[n] * U64) for n in OF_ACCBO)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_moves_the_trajectory_within_three_steps(name: str) -> None:
    one = ELSEWHERE.get(name, GENERIC)
    faulty = FAULTS[name].apply(one.algorithm)
    gaps = [gap(one, faulty, steps) for steps in range(1, STEPS + 1)]
    print(name, " ".join(f"{value:.1e}" for value in gaps))
    assert gaps[-1] > 1e4  # rounding stays below 10; ε in the norm and float32 are the smallest


@pytest.mark.parametrize("part", ["momentum", "x", "y", "y_average", "series", "h"])
def test_a_part_that_is_right_moves_nothing(part: str) -> None:
    right = getattr(ALGORITHM.parts, part)

    def same(*arguments: Any) -> Any:
        return right(*arguments)

    parts = ALGORITHM.parts._replace(**{part: same})
    assert gap(GENERIC, dataclasses.replace(ALGORITHM, parts=parts), STEPS) == 0


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_keeps_the_interface(name: str) -> None:
    faulty = FAULTS[name].apply(GENERIC.algorithm)
    layout, start = (
        faulty.draw(GENERIC.problem, True),
        faulty.draw_start(GENERIC.problem, 2, 3),
    )
    assert isinstance(layout, AccBOSample)
    assert isinstance(start, Start)
    assert faulty.refreshes(1) is True
    state = GENERIC._replace(algorithm=faulty).run(STEPS, 1).state
    assert state.iteration == STEPS
    assert set(state._fields) >= set(AccBOState._fields)
    for field in OF_ACCBO:
        value = getattr(state, field)
        assert value.dtype == np.float64
        assert value.shape == (3, 2 if field.startswith(("x", "momentum")) else 3)
        assert np.all(np.isfinite(value))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_traces_and_keeps_its_state_under_jax(name: str) -> None:
    there = need("jax")
    import jax

    one = GENERIC.to(there)
    faulty = FAULTS[name].apply(one.algorithm)
    assert _as_pytree(faulty) is faulty  # registered: traced like AccBO itself
    stream = Tape(1).open(one.x)
    start = stream.start(faulty.draw_start(one.problem, 2, 2))
    sample = row(stream.block(faulty.draw(one.problem), 1), 0)

    def two(x: Any, y: Any) -> Any:
        before = faulty.init(one.problem, x, y, start)
        return before, faulty.step(one.problem, before, sample)

    before, after = jax.eval_shape(two, one.x, one.y)
    for field in OF_ACCBO:
        assert getattr(after, field).shape == getattr(before, field).shape
        assert getattr(after, field).dtype == "float64"


def test_the_catalogue_names_its_faults() -> None:
    assert len(FAULTS) >= 30
    assert sum(fault.found for fault in FAULTS.values()) >= 10
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.wrong
        assert fault.right
        assert fault.later
    assert {fault.part for fault in FAULTS.values()} == {
        "momentum",
        "upper step",
        "lower level",
        "refreshes",
        "start",
        "samples",
        "averaging",
        "Neumann series",
        "hypergradient",
        "numerics",
    }


# --- where SPEC §6 says that a fault cannot be seen ----------------------------------------

QUIET = {"noise_upper": UpperNoise(), "noise_lower": LowerNoise()}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("β and 1−β swapped", {"momentum": 0.5}),
        ("γ as 1−γ", {"lower_momentum": 0.5}),
        ("τ and 1−τ swapped", {"averaging": 0.5}),
        ("y_{t−1} overwritten", {"lower_momentum": 0.0}),
        ("one sample for all factors", {"neumann_terms": 2}),
        ("no averaging", {"averaging": 1.0}),
        ("different sample", {"momentum": 0.0}),
    ],
)
def test_a_fault_is_hidden_where_it_is_the_same_thing(name: str, changes: dict[str, Any]) -> None:
    hidden = changed(**changes)
    one = GENERIC._replace(algorithm=hidden)
    assert gap(one, FAULTS[name].apply(hidden), STEPS) == 0
    assert gap(GENERIC, FAULTS[name].apply(ALGORITHM), STEPS) > 1e4


def test_a_stale_sample_is_right_without_noise() -> None:
    silent = GENERIC._replace(problem=problem("nonquadratic", **QUIET))
    assert gap(silent, FAULTS["stale sample"].apply(ALGORITHM), STEPS) <= 10
    assert gap(silent, FAULTS["no correction"].apply(ALGORITHM), STEPS) > 1e4


@pytest.mark.parametrize(
    "name", ["stale sample", "different sample", "no correction", "correction without β"]
)
def test_faults_of_the_momentum_leave_iteration_zero(name: str) -> None:
    one = GENERIC
    faulty = one._replace(algorithm=FAULTS[name].apply(one.algorithm)).run(1, 1).state
    right = bits(one.run(1, 1).state)
    assert {field: bits(faulty)[field] for field in right} == right
