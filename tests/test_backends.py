"""One step source on every array library: bits for NumPy, derived tolerances for the rest.

The tolerance of a field is 10·K·u: K by ``support.condition``, u the unit roundoff. It is
never chosen; 10 allows for the roundings inside a step that the estimate counts as one.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from accbo import Tape
from accbo._arrays import map_arrays, named_leaves
from accbo.upper import normalized_step
from tests.backends import Backend, need, no_conversions
from tests.support import (
    CASES,
    ROUNDOFF,
    Case,
    batch,
    bits,
    case,
    changed,
    condition,
    errors,
    fields,
    stored,
    truth,
)

SHORT, LONG = 20, 200
INEXACT = ("numpy", "torch", "jax", "cupy")


def ratios(state: object, name: str, steps: int, dtype: str = "float64") -> dict[str, float]:
    """error/(K·u) of every field of ``state``."""
    known = truth(name, steps, dtype)
    worst = errors(state, known.state)
    table = {field: worst[field] / (known.K[field] * ROUNDOFF[dtype]) for field in worst}
    for field, ratio in table.items():
        print(f"{name} {steps} {dtype} {field}: K {known.K[field]:.3g}, error/(K u) {ratio:.3g}")
    return table


@pytest.mark.parametrize("name", CASES)
def test_short_runs_agree_with_50_digits(backend: Backend, name: str) -> None:
    state = case(name).to(backend).run(SHORT, Tape(1)).state
    assert state.iteration == SHORT
    assert all(backend.holds(leaf) for _, leaf in named_leaves(state))
    if backend.name == "mparray":  # the reference itself, here fed by the tape and not by values
        assert max(errors(state, truth(name, SHORT).state).values()) == 0
    else:
        assert max(ratios(state, name, SHORT).values()) <= 10


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", INEXACT, indirect=True)
def test_long_runs_agree_with_50_digits(backend: Backend, dtype: str) -> None:
    state = case("plain").to(backend, dtype).run(LONG, Tape(1)).state
    assert all(backend.holds(leaf, dtype) for _, leaf in named_leaves(state))
    table = ratios(state, "plain", LONG, dtype)
    assert max(table.values()) <= 10
    assert max(table.values()) > 0  # no rounding at all would mean no comparison at all


@pytest.mark.parametrize("backend", ["strict", "strict-device1"], indirect=True)
def test_long_runs_have_the_bits_of_numpy(backend: Backend) -> None:
    plain = case("plain")
    assert bits(plain.to(backend).run(LONG, Tape(1)).state) == bits(plain.run(LONG, Tape(1)).state)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", ["strict", "strict-device1"], indirect=True)
def test_short_runs_have_the_bits_of_numpy(backend: Backend, name: str) -> None:
    host = case(name)
    batched = host._replace(x=batch(host.x, 3), y=batch(host.y, 3))
    for one in (host, batched):
        assert bits(one.to(backend).run(SHORT, 1).state) == bits(one.run(SHORT, 1).state)


@pytest.mark.parametrize("backend", INEXACT, indirect=True)
def test_float32_batches_stay_float32(backend: Backend) -> None:
    host = case("restarts")
    batched = host._replace(x=batch(host.x, 3), y=batch(host.y, 3)).to(backend, "float32")
    state = batched.run(5, 1).state
    assert all(backend.holds(leaf, "float32") for _, leaf in named_leaves(state))


# --- the comparison itself can fail --------------------------------------------------------


def _scaled_step(relative: float) -> object:
    def step(x: object, direction: object, step_size: float) -> object:
        return normalized_step(x, direction, step_size * (1 + relative))

    return step


def _deviating(relative: float) -> Case:
    plain = case("plain")
    parts = plain.algorithm.parts._replace(x=_scaled_step(relative))
    return plain._replace(algorithm=dataclasses.replace(plain.algorithm, parts=parts))


@pytest.mark.parametrize("steps", [SHORT, LONG])
def test_a_relative_fault_of_1e_12_is_caught(steps: int) -> None:
    right, wrong = _deviating(0.0), _deviating(1e-12)
    assert max(ratios(right.run(steps, Tape(1)).state, "plain", steps).values()) <= 10
    assert max(ratios(wrong.run(steps, Tape(1)).state, "plain", steps).values()) > 10


def test_the_condition_estimate_is_linear_in_the_perturbation() -> None:
    plain = case("plain")
    replay = stored(plain, LONG)
    small, large = (condition(plain, LONG, replay, size=size) for size in (2.0**-30, 2.0**-22))
    for field in small:  # the same random numbers: only curvature could make them differ
        assert small[field] == pytest.approx(large[field], rel=1e-2)


def test_the_guard_catches_a_look_at_a_value() -> None:
    need("strict-device1")
    import array_api_strict as xp

    array = xp.asarray(1.0, device=xp.Device("device1"))
    with no_conversions():
        for look in (float, int, bool, complex, iter, np.asarray):
            with pytest.raises(AssertionError, match="inside init or step"):
                look(array)
    assert float(array) == 1.0


@pytest.mark.parametrize("backend", ["strict-device1"], indirect=True)
def test_the_guard_reaches_the_step(backend: Backend) -> None:
    def peeking(x: object, direction: object, step_size: float) -> object:
        return x if float(direction[0]) == 0 else normalized_step(x, direction, step_size)

    parts = changed().parts._replace(x=peeking)
    wrong = case("plain")._replace(algorithm=changed(parts=parts))
    with pytest.raises(AssertionError, match="__float__"):
        wrong.to(backend).run(2, 1)


# --- batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_replicate_alone_has_the_bits_it_has_in_a_batch(name: str) -> None:
    host, count = case(name), 5
    x, y = batch(host.x, count), batch(host.y, count)
    together = fields(host._replace(x=x, y=y).run(SHORT, Tape(4)).state)
    for r in range(count):
        alone = host._replace(x=x[r], y=y[r]).run(SHORT, Tape(4, first_replicate=r)).state
        assert {n: v.tobytes() for n, v in fields(alone).items()} == {
            n: np.ascontiguousarray(v[r]).tobytes() for n, v in together.items()
        }


@pytest.mark.parametrize("name", CASES)
def test_permuting_the_replicates_permutes_the_bits(name: str) -> None:
    count = 5
    host = case(name)
    host = host._replace(x=batch(host.x, count), y=batch(host.y, count))
    order = np.array([3, 0, 4, 2, 1])
    replay = stored(host, SHORT)

    def permute(tree: object) -> object:
        return map_arrays(lambda leaf: leaf[..., order, :], tree)

    shuffled = host._replace(x=host.x[order], y=host.y[order])
    one, other = host.run(SHORT, replay).state, shuffled.run(SHORT, permute(replay)).state
    assert bits(permute(one)) == bits(other)


def test_replicates_may_have_several_axes() -> None:
    host = case("plain")
    x, y = batch(host.x, 6), batch(host.y, 6)
    flat = fields(host._replace(x=x, y=y).run(SHORT, 2).state)
    folded = host._replace(x=x.reshape(2, 3, -1), y=y.reshape(2, 3, -1)).run(SHORT, 2).state
    for name, value in fields(folded).items():
        assert value.shape[:2] == (2, 3)
        assert value.reshape(6, -1).tobytes() == flat[name].tobytes()
