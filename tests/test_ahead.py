"""Samples drawn ahead: the same bits, errors in their turn, never where cores are taken."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

from accbo import AccBO, Interrupted, run
from accbo._ahead import each, spare_core
from accbo.problems import LowerNoise, UpperNoise, quadratic
from benchmarks import __main__ as benchmarks
from benchmarks import environment, tape

ALGORITHM = AccBO(
    lower_step_size=0.1,
    lower_momentum=0.6,
    averaging=0.3,
    momentum=0.9,
    upper_step_size=0.05,
    neumann_terms=4,
    neumann_scale=3.0,
)


@pytest.mark.parametrize("ahead", [False, True])
def test_in_order_one_ahead_and_never_two_at_a_time(ahead: bool) -> None:
    running, seen = threading.Lock(), []

    def draw(item: int) -> int:
        assert running.acquire(blocking=False)
        seen.append(item)
        running.release()
        return item * item

    for item, value in each(range(5), draw, ahead):
        assert value == item * item
        assert len(seen) <= item + 2
    assert seen == list(range(5))
    assert list(each([], draw, ahead)) == []


@pytest.mark.parametrize("ahead", [False, True])
def test_what_drawing_raises_is_raised_in_its_turn(ahead: bool) -> None:
    def draw(item: int) -> int:
        return 1 // (2 - item)

    pairs = each(range(5), draw, ahead)
    assert [next(pairs)[0], next(pairs)[0]] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(pairs)


def _run(monkeypatch: pytest.MonkeyPatch, ahead: bool, **more: Any) -> Any:
    import sys

    module = sys.modules["accbo.run"]
    monkeypatch.setattr(module, "spare_core", lambda: ahead)
    monkeypatch.setattr(module, "BLOCK_STEPS", 7)
    problem = quadratic(
        (1.0, 2.0), 2, noise_upper=UpperNoise(0.5, 0.1), noise_lower=LowerNoise(0.5, 0.2, 0.2)
    )
    x = np.ones((6, 2))
    return run(ALGORITHM, problem, x, 0 * x, steps=60, noise=3, **more)


def test_a_run_has_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"x": lambda state: state.x}
    one, two = (_run(monkeypatch, ahead, record=record) for ahead in (False, True))
    assert one.records["x"].tobytes() == two.records["x"].tobytes()
    assert one.state.momentum.tobytes() == two.state.momentum.tobytes()
    assert not [t for t in threading.enumerate() if t.name.startswith("accbo-tape")]


def test_interrupted_in_the_middle_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(state: Any) -> Any:
        if state.iteration > 30:
            raise KeyboardInterrupt
        return state.x

    with pytest.raises(Interrupted) as caught:
        _run(monkeypatch, True, record={"x": stop})
    assert 20 <= caught.value.result.state.iteration <= 30
    assert not [t for t in threading.enumerate() if t.name.startswith("accbo-tape")]


def test_a_worker_process_leaves_the_cores_to_the_others() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert not pool.submit(spare_core).result()


def test_the_study_of_it_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: Any) -> None:
    monkeypatch.setattr(environment, "one_thread", lambda: None)  # of this process, for good
    monkeypatch.setattr(tape, "BLOCKS", 1)
    path = tmp_path / "tape.json"
    assert benchmarks.main(["tape", "--size", "3,2", "--rounds", "2", "--json", str(path)]) == 0
    (row,) = json.loads(path.read_text())["rows"]
    assert set(row["times"]) == {tape.DRAWING, tape.STEPPING, tape.IN_TURN, tape.AHEAD}
    assert row["ahead_to_in_turn"] > 0
    assert "drawn ahead/in turn" in capsys.readouterr().out
