"""SABA against a second program, its step by exact enumeration, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from accbo import SABA, NonFiniteError, Replay, SABASample, Start, Tape
from accbo._arrays import map_arrays
from accbo.algorithms import SABATables
from accbo.saga import Table, saga
from tests.support import U64, Case, X, Y, condition, fields, problem, replace_parts, stored

STEPS = 12
SUM = problem("finite_sum", upper_batch=1, lower_batch=1)  # n = 8 below, m = 6 above
ALGORITHM = SABA(lower_step_size=0.25, linear_step_size=0.375, upper_step_size=0.125)
TABLES = ("grad_y_lower", "hvp_lower", "cross_lower", "grad_y_upper", "grad_x_upper")


def saba(**changes: Any) -> SABA:
    return dataclasses.replace(ALGORITHM, **changes)


def case(algorithm: SABA = ALGORITHM, **options: Any) -> Case:
    return Case(SUM, algorithm, X, Y)._replace(**options)


# --- the second program --------------------------------------------------------------------


def sigma(t: float) -> float:
    return float(1 / (1 + np.exp(-t)))


def derivatives(p: Any, i: int, j: int, x: Any, y: Any, z: Any) -> dict[str, Any]:
    """The five derivatives of terms i and j, from the losses by hand."""
    a, c, b = p.lower_features[i], p.lower_offsets[i], p.lower_labels[i]
    t = b * (a @ y + c @ x)
    slope = sigma(t) * sigma(-t)
    A, C, B = p.upper_features[j], p.upper_offsets[j], p.upper_labels[j]
    s = B * (A @ y + C @ x)
    return {
        "grad_y_lower": p.lower_ridge * y - b * sigma(-t) * a,
        "hvp_lower": p.lower_ridge * z + slope * (a @ z) * a,
        "cross_lower": slope * (a @ z) * c,
        "grad_y_upper": -B * sigma(-s) * A,
        "grad_x_upper": p.upper_ridge * x - B * sigma(-s) * C,
    }


def slow(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """Lists of what was last seen of every term, whose mean is taken anew each time."""
    a, p = case.algorithm, case.problem
    x, y, z = case.x, case.y, np.zeros_like(case.y)
    for (i,) in replay.start.warm_start["index"]:
        y = y - a.lower_step_size * derivatives(p, i, 0, x, y, z)["grad_y_lower"]
    sizes = dict(zip(TABLES, (8, 8, 8, 6, 6), strict=True))
    seen = {
        name: [derivatives(p, k % 8, k % 6, x, y, z)[name] for k in range(size)]
        for name, size in sizes.items()
    }
    for t in range(steps):
        e = {name: np.mean(seen[name], axis=0) for name in TABLES}
        if t > 0:
            s = replay.steps[t - 1]
            i, j = int(s.lower["index"][0, 0]), int(s.upper["index"][0])
            new = derivatives(p, i, j, x, y, z)
            for name in TABLES:
                k = j if name.endswith("upper") else i
                e[name] = e[name] + new[name] - seen[name][k]
                seen[name][k] = new[name]
        x, y, z = (
            x - a.upper_step_size * (e["grad_x_upper"] - e["cross_lower"]),
            y - a.lower_step_size * e["grad_y_lower"],
            z - a.linear_step_size * (e["hvp_lower"] - e["grad_y_upper"]),
        )
    found = {"x": x, "y": y, "z": z}
    for name in TABLES:
        found[f"tables.{name}.stored"] = np.array(seen[name])
        found[f"tables.{name}.mean"] = np.mean(seen[name], axis=0)
    return found


@pytest.mark.parametrize("steps", [1, 2, 3, STEPS])
def test_every_step_is_that_of_the_second_program(steps: int) -> None:
    one = case()
    replay = stored(one, STEPS)
    K = condition(one, steps, replay)
    state = one.run(steps, replay).state
    assert state.iteration == steps
    found, expected = fields(state), slow(one, replay, steps)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.linalg.norm(found[name] - value) <= 10 * max(K[name], 1.0) * U64, name


@pytest.mark.parametrize("name", ["lower_step_size", "linear_step_size", "upper_step_size"])
def test_the_second_program_sees_every_hyper_parameter(name: str) -> None:
    one, other = case(), case(saba(**{name: getattr(ALGORITHM, name) + 1e-9}))
    replay = stored(one, 4)
    expected, found = slow(one, replay, 4), fields(other.run(4, replay).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-12


# --- one step, over every outcome ----------------------------------------------------------

PAIRS = np.array(list(itertools.product(range(8), range(6))))  # (i, j), equally likely


def every_step() -> tuple[Any, Any]:
    """A state some steps into a run, and the next one for every (i, j)."""
    state = case().run(6, Tape(3)).state
    many = map_arrays(lambda leaf: np.stack([leaf] * len(PAIRS)), state)
    sample = SABASample({"index": PAIRS[:, 1:]}, {"index": PAIRS[None, :, :1]})
    return state, ALGORITHM.step(SUM, many, sample)


def unbiased() -> None:
    """E over (i, j) of the next x, y, z: the step on the full sums."""
    (x, y, z, _, _), after = every_step()
    full = {
        "x": x - 0.125 * (SUM.grad_x_upper(x, y) - SUM.cross_lower(x, y, z)),
        "y": y - 0.25 * SUM.grad_y_lower(x, y),
        "z": z - 0.375 * (SUM.hvp_lower(x, y, z) - SUM.grad_y_upper(x, y)),
    }
    for name, expected in full.items():
        mean = getattr(after, name).mean(axis=0)
        np.testing.assert_allclose(mean, expected, rtol=0, atol=40 * U64)


def variance_of_the_differences() -> None:
    """Var of the next x, y, z: i and j are independent, each table adds that of new − stored."""
    state, after = every_step()
    x, y, z, tables, _ = state
    new = {
        name: np.stack([derivatives(SUM, k % 8, k % 6, x, y, z)[name] for k in range(size)])
        for name, size in zip(TABLES, (8, 8, 8, 6, 6), strict=True)
    }
    v = {name: (new[name] - getattr(tables, name).stored).var(axis=0) for name in TABLES}
    assert all(np.all(part > 1e-6) for part in v.values())
    for name, expected in {
        "x": 0.125**2 * (v["grad_x_upper"] + v["cross_lower"]),
        "y": 0.25**2 * v["grad_y_lower"],
        "z": 0.375**2 * (v["hvp_lower"] + v["grad_y_upper"]),
    }.items():
        found = getattr(after, name).var(axis=0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=40 * U64)


def variance_at_rest_is_zero() -> None:
    """Once every term was seen where the run stands, no index matters."""
    still = saba(lower_step_size=1e-300, linear_step_size=1e-300, upper_step_size=1e-300)
    state = case(still, warm_start=0).run(2, Tape(3)).state
    moved = state._replace(x=X + 0.5, y=Y - 0.25, z=Y + 1.0)  # tables of an older point
    for k in range(8):  # an epoch below; above, two terms twice
        sample = SABASample({"index": np.array([k % 6])}, {"index": np.array([[k]])})
        moved = still.step(SUM, moved, sample)
    x, y, z, tables, _ = moved
    full = (
        SUM.grad_y_lower(x, y),
        SUM.hvp_lower(x, y, z),
        SUM.cross_lower(x, y, z),
        SUM.grad_y_upper(x, y),
        SUM.grad_x_upper(x, y),
    )
    for table, expected in zip(tables, full, strict=True):
        np.testing.assert_allclose(table.mean, expected, rtol=0, atol=40 * U64)
    for i, j in PAIRS[::7]:
        sample = SABASample({"index": np.array([j])}, {"index": np.array([[i]])})
        after = ALGORITHM.step(SUM, moved, sample)
        np.testing.assert_allclose(after.y, y - 0.25 * full[0], rtol=0, atol=40 * U64)
        np.testing.assert_allclose(after.x, x - 0.125 * (full[4] - full[2]), rtol=0, atol=40 * U64)


LAWS = (unbiased, variance_of_the_differences, variance_at_rest_is_zero)


@pytest.mark.parametrize("law", LAWS)
def test_the_step_obeys(law: Any) -> None:
    law()


def another_index(table: Table, index: Any, new: Any) -> Any:
    control, _ = saga(table, (index + 1) % table.stored.shape[-2], 0 * new)
    return new + control, saga(table, index, new)[1]


def no_update(table: Table, index: Any, new: Any) -> Any:
    return saga(table, index, new)[0], table


def no_control_variate(table: Table, index: Any, new: Any) -> Any:
    return new, saga(table, index, new)[1]


@pytest.mark.parametrize(
    ("variant", "broken"),
    [
        (another_index, variance_of_the_differences),
        (another_index, variance_at_rest_is_zero),
        (no_update, variance_at_rest_is_zero),
        (no_control_variate, variance_of_the_differences),
        (no_control_variate, variance_at_rest_is_zero),
    ],
)
def test_a_wrong_table_is_rejected(
    monkeypatch: pytest.MonkeyPatch, variant: Any, broken: Any
) -> None:
    replace_parts(monkeypatch, SABA, **dict.fromkeys(SABATables._fields, variant))
    with pytest.raises(AssertionError):
        broken()


def test_a_wrong_sign_of_the_implicit_term_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found in public code: + instead of −, which ascends."""

    def signed(table: Table, index: Any, new: Any) -> Any:
        estimate, after = saga(table, index, new)
        return (-estimate if table.stored.shape[-2:] == (8, 2) else estimate), after

    replace_parts(monkeypatch, SABA, **dict.fromkeys(SABATables._fields, signed))
    with pytest.raises(AssertionError):
        unbiased()


# --- where it ends -------------------------------------------------------------------------


def distance_after(steps: int) -> float:
    state = case().run(steps, Tape(2)).state
    hypergradient = SUM.hypergradient(state.x)
    return float(np.linalg.norm(hypergradient))


def test_it_reaches_the_stationary_point_at_constant_steps() -> None:
    assert distance_after(2000) < 1e-12


def test_without_its_control_variate_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_parts(monkeypatch, SABA, **dict.fromkeys(SABATables._fields, no_control_variate))
    assert distance_after(2000) > 1e-3


# --- conventions and bad input -------------------------------------------------------------


def test_iteration_0_is_exact_and_draws_nothing() -> None:
    layout = ALGORITHM.draw_start(SUM, 2, 3)
    assert layout.first == SABASample({}, {})
    assert layout.warm_start["index"].leading == (2,)
    still = {name: np.zeros((0, 1), dtype=np.int64) for name in layout.warm_start}
    state = ALGORITHM.init(SUM, X, Y, Start(still, layout.first))
    np.testing.assert_allclose(state.y, Y - 0.25 * SUM.grad_y_lower(X, Y), rtol=0, atol=10 * U64)
    np.testing.assert_allclose(state.z, 0.375 * SUM.grad_y_upper(X, Y), rtol=0, atol=10 * U64)
    np.testing.assert_allclose(state.x, X - 0.125 * SUM.grad_x_upper(X, Y), rtol=0, atol=10 * U64)
    assert np.all(state.tables.hvp_lower.stored == 0)  # z_0 = 0
    assert np.all(state.tables.cross_lower.stored == 0)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (problem("quadratic"), "SABA needs a finite sum: lower_noise must be one field"),
        (problem("finite_sum"), "SABA needs a finite sum drawn one term at a time"),
    ],
)
def test_another_problem_is_refused(host: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Case(host, ALGORITHM, X, Y).run(3, 1)


@pytest.mark.parametrize(("part", "below"), [("lower", 8), ("upper", 6)])
@pytest.mark.parametrize("wrong", [-1, 8])
def test_an_index_out_of_range_is_refused(part: str, below: int, wrong: int) -> None:
    one = case()
    replay = stored(one, 3)
    bad = map_arrays(lambda leaf: 0 * leaf + wrong, getattr(replay.steps[1], part))
    steps = (replay.steps[0], replay.steps[1]._replace(**{part: bad}))
    with pytest.raises(ValueError, match=rf"sample\.{part}\['index'\].* outside \[0, {below}\)"):
        one.run(3, Replay(replay.start, steps))


def test_tables_of_another_size_are_refused() -> None:
    one = case()
    replay = stored(one, 3)
    state = one.run(2, replay).state
    larger = problem("finite_sum", upper_samples=7, upper_batch=1, lower_batch=1)
    with pytest.raises(
        ValueError, match="the table of grad_y_upper has 6 rows, the sum of the problem 7 terms"
    ):
        ALGORITHM.step(larger, state, replay.steps[1])


def test_more_than_one_lower_index_is_refused() -> None:
    one = case()
    replay = stored(one, 3)
    two = {"index": np.array([[1], [2]])}
    with pytest.raises(ValueError, match="2 rows; SABA takes one step"):
        ALGORITHM.step(SUM, one.run(2, replay).state, replay.steps[1]._replace(lower=two))


@pytest.mark.parametrize("name", ["lower_step_size", "linear_step_size", "upper_step_size"])
def test_hyper_parameters_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must lie in"):
        saba(**{name: 0.0})
    with pytest.raises(TypeError, match=f"{name} must be a number"):
        saba(**{name: "1"})


def test_a_diverging_run_names_the_iteration() -> None:
    with pytest.raises(NonFiniteError, match=r"iteration \d+: \w+"):
        case(saba(lower_step_size=100.0)).run(1000, 1)
