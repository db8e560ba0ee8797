"""Seven other methods on every backend, alone and in batches, killed and resumed, counted."""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import (
    BOREP,
    MASOBA,
    SABA,
    SUSTAIN,
    TTSA,
    VRBO,
    Calls,
    StocBiO,
    Tape,
    checkpoint,
    count_calls,
)
from accbo._arrays import map_arrays, named_leaves, to_host
from tests.backends import Backend, need
from tests.support import (
    ROUNDOFF,
    Case,
    X,
    Y,
    batch,
    bits,
    condition,
    errors,
    exact,
    fields,
    problem,
    stored,
)

RUN = sys.modules["accbo.run"]
TAPED = 20
CASES = {
    "saba": Case(
        problem("finite_sum", upper_batch=1, lower_batch=1),
        SABA(lower_step_size=0.25, linear_step_size=0.375, upper_step_size=0.125),
        X,
        Y,
    ),
    "sustain": Case(
        problem("nonquadratic"),
        SUSTAIN(
            lower_step_size=0.375,
            upper_step_size=0.0625,
            lower_averaging=1.25,
            upper_averaging=0.75,
            offset=2.5,
            neumann_terms=4,
            neumann_scale=3.0,
        ),
        X,
        Y,
    ),
    "vrbo": Case(
        problem("nonquadratic"),
        VRBO(
            lower_step_size=0.25,
            upper_step_size=0.0625,
            period=3,
            lower_steps=2,
            large_batch=4,
            small_batch=2,
            neumann_terms=4,
            neumann_scale=3.0,
        ),
        X,
        Y,
    ),
    "ttsa": Case(
        problem("nonquadratic"),
        TTSA(
            lower_step_size=0.375,
            upper_step_size=0.0625,
            offset=2.5,
            neumann_terms=4,
            neumann_scale=3.0,
        ),
        X,
        Y,
    ),
    "stocbio": Case(
        problem("nonquadratic"),
        StocBiO(
            lower_step_size=0.25,
            upper_step_size=0.0625,
            lower_steps=3,
            lower_batch=2,
            upper_batch=4,
            neumann_terms=4,
            neumann_scale=3.0,
        ),
        X,
        Y,
    ),
    "masoba": Case(
        problem("nonquadratic"),
        MASOBA(
            lower_step_size=0.25, linear_step_size=0.375, momentum=0.875, upper_step_size=0.0625
        ),
        X,
        Y,
    ),
    "borep": Case(
        problem("nonquadratic"),
        BOREP(
            lower_step_size=0.25,
            linear_step_size=0.375,
            momentum=0.875,
            upper_step_size=0.0625,
            period=3,
            lower_steps=2,
        ),
        X,
        Y,
    ),
    # what SABA needs a finite sum for, the others take too, in batches
    "sustain on batches": Case(
        problem("finite_sum"),
        SUSTAIN(
            lower_step_size=0.375,
            upper_step_size=0.25,
            lower_averaging=1.25,
            upper_averaging=0.75,
            offset=2.5,
            neumann_terms=3,
            neumann_scale=3.0,
        ),
        X,
        Y,
    ),
    "ttsa on batches": Case(
        problem("finite_sum"),
        TTSA(
            lower_step_size=0.375,
            upper_step_size=0.25,
            offset=1.0,
            neumann_terms=3,
            neumann_scale=3.0,
        ),
        X,
        Y,
    ),
    "stocbio on batches": Case(
        problem("finite_sum"),
        StocBiO(
            lower_step_size=0.25,
            upper_step_size=0.0625,
            lower_steps=1,
            lower_batch=1,
            upper_batch=3,
            neumann_terms=1,
            neumann_scale=3.0,
        ),
        X,
        Y,
    ),
    "vrbo on batches": Case(
        problem("finite_sum"),
        VRBO(
            lower_step_size=0.25,
            upper_step_size=0.0625,
            period=4,
            lower_steps=1,
            large_batch=3,
            small_batch=1,
            neumann_terms=1,
            neumann_scale=3.0,
        ),
        X,
        Y,
    ),
    "masoba on batches": Case(
        problem("finite_sum"),
        MASOBA(lower_step_size=0.25, linear_step_size=0.25, momentum=0.75, upper_step_size=0.25),
        X,
        Y,
    ),
    "borep on batches": Case(
        problem("finite_sum"),
        BOREP(
            lower_step_size=0.25,
            linear_step_size=0.25,
            momentum=0.75,
            upper_step_size=0.0625,
            period=4,
            lower_steps=1,
        ),
        X,
        Y,
    ),
}
NAMES = tuple(CASES)
SINGLE = ("saba", "sustain", "vrbo", "ttsa", "stocbio", "masoba", "borep")


def compiled(backend: Backend, name: str, names: tuple[str, ...]) -> None:
    """JAX compiles for seconds: there, the cases of ``names`` stand for the others."""
    if backend.name == "jax" and name not in names:
        pytest.skip("compiled for the other cases")


@functools.cache
def known(name: str) -> tuple[Any, dict[str, float], Any]:
    """The samples of a short run as values, K of its fields, and its last state at 50 digits."""
    replay = stored(CASES[name], TAPED)
    return replay, condition(CASES[name], TAPED, replay), exact(CASES[name], TAPED, replay)


def many(name: str, count: int = 3) -> Case:
    return CASES[name]._replace(x=batch(X, count), y=batch(Y, count))


# --- backends ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_short_runs_agree_with_50_digits(backend: Backend, name: str) -> None:
    compiled(backend, name, SINGLE)
    one = CASES[name]
    state = one.to(backend).run(TAPED, Tape(1)).state
    assert state.iteration == TAPED
    assert all(backend.holds(leaf) for _, leaf in named_leaves(state))
    _, K, right = known(name)
    found = errors(state, right)
    for field, error in found.items():
        # 1: gradients of size 1 are rounded inside a step, however small what they add up to
        assert error <= 10 * max(K[field], 1.0) * ROUNDOFF["float64"], field


def test_the_comparison_sees_a_relative_fault_of_1e_12() -> None:
    for name in SINGLE:
        one = CASES[name]
        size = one.algorithm.upper_step_size * (1 + 1e-12)
        wrong = one._replace(algorithm=dataclasses.replace(one.algorithm, upper_step_size=size))
        replay, K, right = known(name)
        found = errors(wrong.run(TAPED, replay).state, right)
        assert found["x"] > 10 * max(K["x"], 1.0) * ROUNDOFF["float64"]


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "cupy"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_float32(backend: Backend, name: str) -> None:
    compiled(backend, name, ("sustain",))  # whose sizes are powers of a traced t
    state = many(name).to(backend, "float32").run(7, 1).state
    assert all(backend.holds(leaf, "float32") for _, leaf in named_leaves(state))
    for field, leaf in fields(many(name).run(7, 1).state).items():
        np.testing.assert_allclose(fields(state)[field], leaf, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["strict", "strict-device1"], indirect=True)
def test_strict_has_the_bits_of_numpy(backend: Backend, name: str) -> None:
    for one in (CASES[name], many(name)):
        assert bits(one.to(backend).run(TAPED, 1).state) == bits(one.run(TAPED, 1).state)


# --- batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_replicates_are_independent_runs(name: str) -> None:
    together = many(name).run(TAPED, Tape(1)).state
    for r in range(3):
        alone = CASES[name]._replace(x=many(name).x[r], y=many(name).y[r])
        mine = alone.run(TAPED, Tape(1, first_replicate=r)).state
        its = map_arrays(lambda leaf, r=r: leaf[r].copy(), together)
        if name != "saba":
            assert bits(mine) == bits(its)
            continue
        # its sums are products with the data's matrix: OpenBLAS's Prescott kernel rounds the second
        # of three replicates in another way than that replicate alone (by 1e-16, seen)
        for (_, one), (_, other) in zip(named_leaves(mine), named_leaves(its), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_replicates_may_have_several_axes(name: str) -> None:
    flat = many(name, 6)
    folded = flat._replace(x=flat.x.reshape(2, 3, -1), y=flat.y.reshape(2, 3, -1))
    one, other = (case.run(9, 2).state for case in (flat, folded))
    assert bits(one) == bits(map_arrays(lambda leaf: leaf.reshape(6, *leaf.shape[2:]), other))


# --- the engine ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("saba", ("lower_step_size", "linear_step_size", "upper_step_size")),
        ("sustain", ("lower_step_size", "upper_averaging", "offset", "neumann_scale")),
        ("vrbo", ("lower_step_size", "upper_step_size", "neumann_scale")),
        ("ttsa", ("lower_step_size", "upper_step_size", "offset", "neumann_scale")),
        ("stocbio", ("lower_step_size", "upper_step_size", "neumann_scale")),
        ("borep", ("lower_step_size", "linear_step_size", "upper_step_size")),
    ],
)
def test_neither_new_sizes_nor_later_iterations_recompile(
    name: str, sizes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUN, "BLOCK_STEPS", 3)
    jax, one = need("jax"), CASES[name]

    def only_here(state: Any) -> Any:  # a record of this test: its functions start empty
        return state.x

    def run(**changes: Any) -> np.ndarray:
        case = one._replace(algorithm=dataclasses.replace(one.algorithm, **changes)).to(jax)
        result = case.run(10, 1, record={"x": only_here}, every=3)  # t = 1, 2, 3 | 4, 5, 6 | …
        return to_host(result.state.x)

    def sizes_of_caches() -> list[int]:
        functions = RUN._compiled(tuple({"x": only_here}.items()))
        return [functions.init._cache_size(), functions.advance._cache_size()]

    xs = [run()]
    first = sizes_of_caches()
    for size in sizes:
        xs.append(run(**{size: getattr(one.algorithm, size) * 1.25}))
    assert sizes_of_caches() == first
    assert len({x.tobytes() for x in xs}) == len(xs)  # and yet they act
    assert first[0] == 1


class Killed(BaseException):
    """Not an Exception, as SIGKILL is none."""


@pytest.mark.parametrize("backend", ["numpy", "jax"], indirect=True)
@pytest.mark.parametrize("name", SINGLE)
def test_a_killed_run_goes_on_to_the_same_bits(
    backend: Backend, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(backend, name, ("saba",))  # whose state has parts of its own
    monkeypatch.setattr(RUN, "BLOCK_STEPS", 4)
    one = many(name).to(backend)
    whole = one.run(TAPED, Tape(2)).state
    keep = {"checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0.0}
    save, count = checkpoint.save, [0]

    def dying(*arguments: Any) -> None:
        save(*arguments)
        count[0] += 1
        if count[0] == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", dying)
        with pytest.raises(Killed):
            one.run(TAPED, Tape(2), **keep)
    assert bits(one.run(TAPED, Tape(2), **keep).state) == bits(whole)


# --- oracle calls --------------------------------------------------------------------------


def calls(name: str, steps: int, **changes: Any) -> Calls:
    one = CASES[name]
    algorithm = dataclasses.replace(one.algorithm, **changes)
    return count_calls(algorithm, one.problem, X, Y, steps=steps)


def test_saba_takes_five_calls_an_iteration_and_a_pass_to_start() -> None:
    assert calls("saba", 1) == Calls(6, 6, 8, 8, 8, 0)  # m above, n below
    assert calls("saba", 1 + 7) == Calls(6 + 7, 6 + 7, 8 + 7, 8 + 7, 8 + 7, 0)


@pytest.mark.parametrize("Q", [1, 2, 5])
def test_sustain_takes_2q_plus_6(Q: int) -> None:
    first, later = (calls("sustain", steps, neumann_terms=Q).total for steps in (1, 8))
    assert first == Q + 3
    assert later - first == 7 * (2 * Q + 6)


@pytest.mark.parametrize(("Q", "m", "S1", "S2"), [(1, 1, 1, 1), (4, 2, 5, 3), (2, 3, 7, 2)])
def test_vrbo_by_the_formula(Q: int, m: int, S1: int, S2: int) -> None:
    """A refresh S1 (Q + 3), an inner loop 2 (m + 1) S2 (Q + 3): one ∇_y G and Q + 2 of h."""
    sizes = {"neumann_terms": Q, "lower_steps": m, "large_batch": S1, "small_batch": S2}
    loop = 2 * (m + 1) * S2 * (Q + 3)
    assert calls("vrbo", 1, **sizes).total == S1 * (Q + 3) + loop
    found = calls("vrbo", 6, **sizes).total  # t = 0 and t = 3 are refreshes
    assert found == 2 * S1 * (Q + 3) + 6 * loop


@pytest.mark.parametrize("Q", [1, 2, 5])
def test_ttsa_takes_q_plus_3(Q: int) -> None:
    """∇_y G, and Q + 2 of h; the first iteration is as any other."""
    assert calls("ttsa", 8, neumann_terms=Q) == Calls(8, 8, 8, 8 * (Q - 1), 8, 0)


@pytest.mark.parametrize(("Q", "D", "S", "B"), [(1, 1, 1, 1), (4, 3, 2, 5), (2, 2, 4, 3)])
def test_stocbio_takes_a_batch_for_each_derivative(Q: int, D: int, S: int, B: int) -> None:
    sizes = {"neumann_terms": Q, "lower_steps": D, "lower_batch": S, "upper_batch": B}
    found = calls("stocbio", 6, **sizes)
    assert found == Calls(6 * B, 6 * B, 6 * D * S, 6 * (Q - 1) * B, 6 * B, 0)
    assert found.total == 6 * (D * S + (Q + 2) * B)


def test_masoba_takes_five() -> None:
    """One of each; S of ∇_x F and of the cross derivative at the start."""
    algorithm, p = CASES["masoba"].algorithm, CASES["masoba"].problem
    assert calls("masoba", 8) == Calls(8, 8, 8, 8, 8, 0)
    start = count_calls(algorithm, p, X, Y, steps=1, warm_start=11, first=6)
    assert start == Calls(6, 1, 11 + 1, 1, 6, 0)


@pytest.mark.parametrize(("period", "N"), [(1, 1), (3, 2), (2, 5)])
def test_borep_takes_four_and_a_round(period: int, N: int) -> None:
    found = calls("borep", 8, period=period, lower_steps=N)
    assert found == Calls(8, 8, N * -(-8 // period), 8, 8, 0)
