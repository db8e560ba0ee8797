"""``run``: records, blocks, memory, Ctrl-C, the bar, and what JAX compiles."""

from __future__ import annotations

import dataclasses
import gc
import os
import subprocess
import sys
import textwrap
import tracemalloc
from typing import Any

import numpy as np
import pytest
import tqdm.auto

import accbo
from accbo import Interrupted, Tape
from accbo import run as run_function
from accbo._arrays import map_arrays, to_host
from accbo.problems import quadratic
from accbo.sampling import Replay
from tests.backends import Backend, need
from tests.support import Case, X, Y, batch, bits, case, changed, problem, stored

RUN = sys.modules[run_function.__module__]  # accbo.run the module, which the function shadows
ENGINES = ["numpy", "jax"]


def record_x(state: Any) -> Any:
    return state.x


def record_gap(state: Any) -> Any:
    return state.y - state.y_average


RECORD = {"x": record_x, "gap": record_gap}


# --- records -------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 3, 7, 40])
@pytest.mark.parametrize("name", ["plain", "restarts"])
def test_records_are_the_states_at_multiples_of_every(name: str, every: int) -> None:
    steps, one = 23, case(name)
    result = one.run(steps, 1, record=RECORD, every=every)
    assert result.iterations.tolist() == [t for t in range(1, steps + 1) if t % every == 0]
    if not len(result.iterations):
        assert result.records == {}
    for index, t in enumerate(result.iterations):
        state = one.run(int(t), 1).state
        assert np.array_equal(result.records["x"][index], state.x)
        assert np.array_equal(result.records["gap"][index], state.y - state.y_average)


@pytest.mark.parametrize("every", [1, 4])
def test_both_engines_record_the_same_iterations(every: int) -> None:
    jax = need("jax")
    host = case("restarts")
    there = host.to(jax).run(11, 1, record=RECORD, every=every)
    here = host.run(11, 1, record=RECORD, every=every)
    assert np.array_equal(there.iterations, here.iterations)
    for name, value in here.records.items():
        # the trajectories agree to 10 K u with K below 4 (test_backends)
        found = to_host(there.records[name])
        assert found.shape == value.shape
        np.testing.assert_allclose(found, value, rtol=0, atol=40 * 2.0**-53)
    assert there.state.iteration == here.state.iteration == 11


def test_records_have_the_replicates_behind_the_iterations() -> None:
    one = case("plain")
    many = one._replace(x=batch(X, 4), y=batch(Y, 4))
    result = many.run(6, 1, record={"x": record_x, "norm": lambda s: np.sum(s.x, axis=-1)}, every=2)
    assert result.records["x"].shape == (3, 4, 2)
    assert result.records["norm"].shape == (3, 4)


def test_a_record_of_one_replicate_may_be_a_number() -> None:
    """Reductions of a NumPy vector give scalars, not arrays of rank 0: ‖x‖, Φ(x)."""
    one = case("plain")
    result = one.run(6, 1, record={"norm": lambda state: np.linalg.norm(state.x)}, every=2)
    assert result.records["norm"].shape == (3,)


def test_recording_changes_no_bit_of_the_run() -> None:
    one = case("plain")
    plain = bits(one.run(30, 1).state)
    for every in (1, 4, 7):
        assert bits(one.run(30, 1, record=RECORD, every=every).state) == plain
    result = one.run(30, 1)
    assert result.records == {}
    assert result.iterations.size == 0


# --- blocks and memory ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "restarts", "randomised"])
def test_blocks_change_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case(name)
    known = one.run(30, 1, record=RECORD, every=4)
    for limit, value in (("BLOCK_STEPS", 1), ("BLOCK_STEPS", 7), ("BLOCK_BYTES", 1000)):
        with monkeypatch.context() as patch:
            patch.setattr(RUN, limit, value)
            again = one.run(30, 1, record=RECORD, every=4)
        assert bits(again.state) == bits(known.state)
        assert bits(again.records) == bits(known.records)
        assert np.array_equal(again.iterations, known.iterations)


def test_blocks_are_as_large_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    @dataclasses.dataclass(frozen=True)
    class Watched(Tape):
        def open(self, like: Any) -> Any:
            stream = super().open(like)
            block = stream.block
            stream.block = lambda layout, steps: asked.append(steps) or block(layout, steps)
            return stream

    monkeypatch.setattr(RUN, "BLOCK_STEPS", 8)
    case("plain").run(20, Watched(1))
    assert asked == [1, 8, 8, 3]  # the start draws one
    asked.clear()
    case("restarts").run(9, Watched(1))  # iterations 0, 3 and 6 refresh
    assert asked == [1, 2, 1, 2, 1, 2]


def test_memory_does_not_grow_with_the_steps() -> None:
    one = case("plain")
    one = one._replace(x=batch(X, 8), y=batch(Y, 8))

    def peak(steps: int, **options: Any) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            one.run(steps, 1, **options)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RUN, "BLOCK_STEPS", 50)
        patch.setattr(RUN, "spare_core", lambda: False)  # whose block ahead comes when it may
        peak(100)  # imports and caches
        short, long = peak(100), peak(1000)
        recorded = peak(1000, record=RECORD)
    # 900 more iterations would keep 900 · 8 · 2 · 8 bytes of x alone
    assert long - short < 900 * 8 * 2 * 8 / 4
    assert recorded - long > 900 * 8 * 5 * 8 / 2  # kept when asked for: the test can see it


# --- Ctrl-C --------------------------------------------------------------------------------


def test_ctrl_c_in_a_record_leaves_a_consistent_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN, "BLOCK_STEPS", 5)
    one = case("plain")

    def impatient(state: Any) -> Any:
        if state.iteration == 14:
            raise KeyboardInterrupt
        return state.x

    with pytest.raises(Interrupted, match="interrupted after iteration 10") as caught:
        one.run(100, 1, record={"x": impatient})
    partial = caught.value.result
    assert isinstance(caught.value, KeyboardInterrupt)  # an interrupt it stays
    assert partial.state.iteration == 11  # the last finished block
    known = one.run(11, 1, record={"x": record_x})
    assert bits(partial.state) == bits(known.state)
    assert np.array_equal(partial.iterations, known.iterations)
    assert np.array_equal(partial.records["x"], known.records["x"])


@pytest.mark.parametrize("backend", ENGINES, indirect=True)
def test_ctrl_c_in_the_source_leaves_a_consistent_result(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUN, "BLOCK_STEPS", 5)
    one = case("plain").to(backend)
    replay = backend.move(stored(case("plain"), 30))

    def steps() -> Any:
        yield from replay.steps[:12]
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        one.run(30, Replay(replay.start, steps()))
    assert caught.value.result.state.iteration == 11
    assert bits(caught.value.result.state) == bits(one.run(11, replay).state)


def test_ctrl_c_before_the_first_state_has_no_result() -> None:
    class Impatient(Tape):
        def open(self, like: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        case("plain").run(3, Impatient())
    assert not isinstance(caught.value, Interrupted)


# --- the progress bar ----------------------------------------------------------------------


def test_the_bar_shows_when_asked_for_and_counts_every_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[tuple[Any, int]] = []

    class Bar(tqdm.tqdm):
        def close(self) -> None:
            counts.append((self.total, self.n))
            super().close()

    one = case("restarts")
    one.run(20, 1)
    one.run(20, 1, progress=False)
    assert capsys.readouterr().err == ""  # no terminal, no bar
    monkeypatch.setattr(tqdm.auto, "tqdm", lambda **options: Bar(**{**options, "delay": 0}))
    one.run(20, 1, progress=True)
    assert "step" in capsys.readouterr().err
    assert (20, 20) in counts
    one.run(20, 1, progress=False)
    assert capsys.readouterr().err == ""


# --- JAX -----------------------------------------------------------------------------------


def test_new_step_sizes_do_not_recompile() -> None:
    jax = need("jax")

    def only_here(state: Any) -> Any:  # a record of this test: its functions start empty
        return state.x

    def sizes() -> list[int]:
        functions = RUN._compiled(tuple({"x": only_here}.items()))
        return [functions.init._cache_size(), functions.advance._cache_size()]

    def once(**changes: Any) -> np.ndarray:
        one = Case(problem("quadratic"), changed(**changes), X, Y).to(jax)
        return to_host(one.run(4, 1, record={"x": only_here}).state.x)

    xs = [once()]
    assert sizes() == [1, 1]
    for change in (
        {"lower_step_size": 0.125},
        {"lower_momentum": 0.5},
        {"averaging": 0.5},
        {"momentum": 0.5},
        {"upper_step_size": 0.125},
        {"neumann_scale": 4.0},
    ):
        xs.append(once(**change))
    assert sizes() == [1, 1]
    assert len({x.tobytes() for x in xs}) == len(xs)  # and yet they act
    # another problem of the same kind: its numbers are traced too
    other = Case(problem("quadratic", weights=2.0, seed=5), changed(), X, Y).to(jax)
    other.run(4, 1, record={"x": only_here})
    assert sizes() == [1, 1]
    once(neumann_terms=3)  # statics do recompile: the count can rise
    assert sizes() == [2, 2]


class Users:
    """A problem from outside: no dataclass, no pytree."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("backend", ENGINES, indirect=True)
def test_a_problem_from_outside_runs(backend: Backend) -> None:
    inner = quadratic((1.0, 1.5, 2.0), 2)
    ours = Case(inner, changed(), X, Y).to(backend)
    users = ours._replace(problem=Users(ours.problem))
    one, other = (c.run(5, 1).state for c in (ours, users))
    # a constant instead of an argument lets the compiler fold: a rounding or two a step
    for name in ("x", "y", "momentum"):
        np.testing.assert_allclose(
            to_host(getattr(other, name)), to_host(getattr(one, name)), rtol=0, atol=40 * 2.0**-53
        )
    again = ours._replace(problem=Users(backend.move(quadratic((1.0, 1.5, 2.0), 2, target=3.0))))
    moved = again.run(5, 1).state
    assert np.any(to_host(moved.x) != to_host(other.x))  # no stale constant of the first one


def test_jax_without_64_bit_floats_refuses_a_float64_request() -> None:
    need("jax")
    script = """
        import jax, numpy as np, accbo
        problem, like = accbo.problems.quadratic(), jax.numpy.zeros(1)
        assert not jax.config.jax_enable_x64 and like.dtype == "float32"
        moved = accbo.move(problem, like)
        assert moved.hessian.dtype == "float32"
        for wanted in (jax.numpy.float64, np.float64, "float64"):
            try:
                accbo.move(problem, like, wanted)
            except TypeError as error:
                assert "jax_enable_x64" in str(error), error
            else:
                raise SystemExit(f"{wanted}: float64 became float32 without a word")
        print("refused")
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        env={**os.environ, "JAX_ENABLE_X64": "0", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "refused"


# --- what a run is given -------------------------------------------------------------------


def test_a_seed_is_a_tape() -> None:
    one = case("plain")
    assert bits(one.run(9, 6).state) == bits(one.run(9, Tape(6)).state)
    assert bits(one.run(9, 6).state) != bits(one.run(9, 7).state)


def test_a_run_of_one_step_is_iteration_zero() -> None:
    one = case("plain")
    replay = stored(one, 1)
    state = one.algorithm.init(one.problem, one.x, one.y, replay.start)
    assert bits(one.run(1, 1).state) == bits(state)


@pytest.mark.parametrize("backend", ENGINES, indirect=True)
def test_a_run_leaves_its_arguments_alone(backend: Backend) -> None:
    one = case("plain").to(backend)
    before = bits((one.problem, one.x, one.y))
    one.run(5, 1)
    assert bits((one.problem, one.x, one.y)) == before


def test_the_public_names_are_there() -> None:
    for name in accbo.__all__:
        assert getattr(accbo, name) is not None
    assert accbo.__version__.count(".") == 2


def test_errors_of_numpy_stay_as_the_caller_set_them() -> None:
    with np.errstate(over="raise"):
        case("plain").run(3, 1)
        assert np.geterr()["over"] == "raise"


def test_map_arrays_reaches_nested_trees() -> None:
    tree = {"a": (np.ones(2), [3]), "b": None}
    found = map_arrays(lambda leaf: leaf + 1, tree)
    assert np.array_equal(found["a"][0], [2, 2])
    assert found["a"][1] == [3]
    assert found["b"] is None
